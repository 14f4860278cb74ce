"""What leaves the account in a report: the shape of every answer, without what names the account or opens it.

Replaced are account ids, ARNs, host names, IP addresses, access keys, tokens, who asked, and the names that the command
knows (its stack, environment and buckets). Placeholders say what stood there: `<account>`, `<arn>`, `<host>`, `<token>`.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

# A word begins here: also behind an escape in a text within a text, such as the line break of JSON, backslash and n.
_WORD: Final = r"(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt]))"
_PATTERNS: Final = (
    # First what contains others: an ARN has an account, a URL a host.
    (re.compile(r"arn:aws[a-z-]*:[^\s\"'<>,;)\]}\\]+"), "<arn>"),
    (re.compile(r"(?<=://)[^\s/\"'<>?#\\]+"), "<host>"),
    (
        re.compile(
            r"(?i)(?<![a-z0-9_-])(?:[a-z0-9_-]{1,63}\.){1,9}(?:amazonaws\.com(?:\.cn)?|on\.aws|amazonwebservices\.com\.cn|api\.aws|internal|local)\b"
            r"(?::\d+)?"
        ),
        "<host>",
    ),
    (re.compile(r"(?i)localhost(?::\d+)?"), "<host>"),
    (re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])(?::\d+)?"), "<host>"),
    (re.compile(r"eyJ[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*"), "<token>"),  # a JSON Web Token
    (re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}"), "<token>"),
    (re.compile(r"(?i)(?<=bearer )\S+|(?<=session=)[^\s;\"']+|(?<=_token=)[^\s;\"']+"), "<token>"),
    (re.compile(r"(?<=\"triggering_user_name\": \")[^\"]*"), "<caller>"),
    (re.compile(r"(?<!\d)\d{4}-\d{4}-\d{4}(?!\d)"), "<account>"),
    (re.compile(r"(?<!\d)\d{12}(?!\d)"), "<account>"),
)

# base64, base64url and hexadecimal: 32 characters or more without a break.
_LONG: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{32,}={0,2}")
_OWN_RUN: Final = re.compile(r"certify__\d{8}T\d{6}__")
_PEOPLE: Final = ("triggering_user_name", "user")  # in answers of Airflow's REST API


class Redaction:
    """Replaces what names an account or opens it. `names` are texts to replace, with their placeholders."""

    def __init__(self, names: Mapping[str, str]) -> None:
        # The longest first: one name may begin with another.
        known = sorted((name for name in names if name), key=len, reverse=True)
        self._placeholders = dict(names)
        self._names = (
            re.compile(rf"{_WORD}(?:{'|'.join(map(re.escape, known))})(?![A-Za-z0-9])") if known else None
        )

    def text(self, text: str) -> str:
        """Return a text without them; a text that was redacted stays as it is."""
        if self._names is not None:
            text = self._names.sub(lambda found: self._placeholders[found[0]], text)
        for pattern, placeholder in _PATTERNS:
            text = pattern.sub(placeholder, text)
        return _LONG.sub(lambda found: found[0] if _is_plain(found[0]) else "<token>", text)

    def value(self, value: Any) -> Any:
        """Return a JSON value, redacted in every text and key."""
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {
                    self.text(str(key)): "<caller>" if key in _PEOPLE else self.value(each)
                    for key, each in value.items()
                }
            case list() | tuple():
                return [self.value(each) for each in value]
            case bool() | None:
                return value
            case int() | float():  # an account id may stand there as a number
                redacted = self.text(str(value))
                return value if redacted == str(value) else redacted
            case _:
                return self.text(str(value))


def _is_plain(run: str) -> bool:
    """Return whether a text is no token: a word or path in one case without digits, or a run_id of this command."""
    letters = run.strip("=")
    plain = not any(each.isdigit() for each in letters) and (letters.islower() or letters.isupper())
    return plain or _OWN_RUN.match(run) is not None
