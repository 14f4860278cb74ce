"""The shorthand `s3: s3://bucket/orders/*.csv` for the pattern of these uploads."""

import re
from typing import Any, Final

PIECE: Final = re.compile(r"\{([A-Za-z0-9_-]+)\*?\}")  # a piece of captures
_URI: Final = re.compile(r"s3://([A-Za-z0-9._-]{3,255})(?:/(.*))?", re.DOTALL)


def pattern_of_uploads(uri: object) -> dict[str, Any]:
    """Return the event pattern of uploads to `s3://bucket/key`; `*` matches any run of characters, including `/`.

    Raises:
        ValueError: It is no such URI, or it names pieces, which belong into `captures`; says what to write instead.
    """
    match = _URI.fullmatch(uri) if isinstance(uri, str) else None
    if match is None:
        raise ValueError(
            f"is {uri!r}; write s3://bucket/key, where * in the key matches any run of characters"
        )
    bucket, key = match[1], match[2] or "*"
    pieces = [piece[0] for piece in PIECE.finditer(key)]
    if pieces:
        raise ValueError(
            f"names {', '.join(pieces)}; write * for each piece here, and beside it "
            f'captures: {{detail.object.key: "{capture_form(key)}"}}; a key that contains braces needs a `pattern`'
        )
    detail: dict[str, Any] = {"bucket": {"name": [bucket]}}
    if key != "*":
        detail["object"] = {"key": [_key_pattern(key)]}
    return {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": detail}


def capture_form(key: str) -> str:
    """Return the form of captures for such keys: pieces stay, and each `*` becomes a piece without a name."""
    return re.sub(r"(\{[^{}]*\})|\*", lambda match: match[1] or "{_*}", key)


def _key_pattern(key: str) -> Any:
    """Return the simplest pattern for a key that may contain `*`."""
    if "\\" not in key:
        head, star, tail = key.partition("*")
        if not star:
            return key
        if not tail:
            return {"prefix": head}
        if not head and "*" not in tail:
            return {"suffix": tail}
    return {"wildcard": key}
