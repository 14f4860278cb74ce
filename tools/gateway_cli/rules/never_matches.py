"""Valid patterns that match no event, because their author meant something else.

Each finding is only a warning: a key may contain a `*`, and a user may forward other events to the gateway's bus.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mwaa_gateway.errors import Problem, nearest
from mwaa_gateway.events.s3 import DETAIL_TYPES
from mwaa_gateway.patterns.pattern import Pattern

_CLOUDTRAIL: Final = "AWS API Call via CloudTrail"  # any source, if somebody forwards it
_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "aws.s3": DETAIL_TYPES | {_CLOUDTRAIL},
    "aws.sns": frozenset({"Notification", _CLOUDTRAIL}),
    "aws.states": frozenset({"DAG Run Requested", "Step Functions Execution Status Change", _CLOUDTRAIL}),
}
# These events of S3 exist only as notifications, and keep their notification names.
_NOTIFICATIONS: Final = ("Replication:", "ReducedRedundancyLostObject")


def never_matches(pattern: Pattern) -> list[Problem]:
    """Return the parts of a pattern that no event can match, with the field and what was probably meant."""
    found = [
        Problem(path, message)
        for path, operator, text in _texts("", pattern.document)
        if (message := _of_text(path, operator, text))
    ]
    return list(dict.fromkeys([*found, *_detail_types(pattern)]))


def _of_text(path: str, operator: str, text: str) -> str:
    if path == "source" and operator == "exact" and text not in _KNOWN:
        meant = f"aws.{text.lower().replace(':', '.').removeprefix('aws.')}"
        return f"no event has the source {text!r}: did you mean {meant!r}?" if meant in _KNOWN else ""
    if path == "detail.bucket.name" and operator == "exact" and any(mark in text for mark in ":/"):
        name = text.rpartition(":")[2].removeprefix("//").partition("/")[0]
        return f"no bucket has the name {text!r}: write the name alone, as in {name}"
    if path == "detail.object.key" and text.startswith(("s3://", "arn:")):
        return f"no key begins like this: write {text!r} without the bucket"
    if "*" in text:
        wildcard = (
            text
            if operator == "exact"
            else f"{text.rstrip('*')}*"
            if operator == "prefix"
            else f"*{text.lstrip('*')}"
        )
        return f'{text!r} matches only the character *: write {{wildcard: "{wildcard}"}} for any run of characters'
    return ""


def _detail_types(pattern: Pattern) -> Iterator[Problem]:
    """Yield the detail-types that none of a branch's sources has, if all of its sources are known."""
    for branch in pattern.branches:
        fields = dict(branch)
        source, kind = fields.get("source"), fields.get("detail-type")
        if source is None or kind is None or source.others or not source.strings <= _KNOWN.keys():
            continue
        known = frozenset[str]().union(*(_KNOWN[name] for name in source.strings))
        for text in sorted(kind.strings - known):
            if not text.startswith(_NOTIFICATIONS):
                sources = " or ".join(sorted(source.strings))
                hint = nearest(text, known) or f"known are {', '.join(sorted(known - {_CLOUDTRAIL}))}"
                yield Problem("detail-type", f"no event of {sources} has the detail-type {text!r}; {hint}")


def _texts(path: str, pattern: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield (field, operator, text) of each text that the pattern compares literally."""
    for name, child in pattern.items():
        full = f"{path}.{name}" if path else name
        if name == "$or":
            for option in child:
                yield from _texts(path, option)
        elif isinstance(child, Mapping):
            yield from _texts(full, child)
        else:
            for entry in child:
                if isinstance(entry, str):
                    yield full, "exact", entry
                elif isinstance(entry, Mapping):
                    for operator in ("prefix", "suffix"):
                        if isinstance(text := entry.get(operator), str):
                            yield full, operator, text
