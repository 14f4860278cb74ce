"""The differences between two documents of a rule, field by field."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

ABSENT: Final = object()  # the value of a field that a document does not have; null is a value


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field with its value in each document; `ABSENT` if a document does not have it."""

    field: str
    before: Any
    after: Any

    def document(self) -> dict[str, Any]:
        """Return the change as JSON, without absent values."""
        values = {"before": self.before, "after": self.after}
        return {"field": self.field} | {name: value for name, value in values.items() if value is not ABSENT}


def field_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[FieldChange]:
    """Return every field in which two documents of a rule differ, in the order of the fields.

    Objects are compared field by field, and targets with the target of the same id. A field of a pattern is compared as a
    whole list, as its author writes it.
    """
    return list(_differing("", before, after))


def _differing(field: str, before: Any, after: Any) -> Iterator[FieldChange]:
    if _same(before, after):
        return
    match _by_id(field, before), _by_id(field, after):
        case (Mapping() as ours, Mapping() as theirs):
            for name in dict.fromkeys([*ours, *theirs]):
                place = f"{field}[{name}]" if field == "targets" else f"{field}.{name}".removeprefix(".")
                yield from _differing(place, ours.get(name, ABSENT), theirs.get(name, ABSENT))
        case _:
            yield FieldChange(field, before, after)


def _by_id(field: str, value: Any) -> Any:
    """Return the targets by their ids, so that a target that moved within the list is the same one."""
    if field != "targets" or not isinstance(value, Sequence):
        return value
    targets = {str(target.get("id")): target for target in value if isinstance(target, Mapping)}
    return targets if len(targets) == len(value) else value


def _same(before: Any, after: Any) -> bool:
    if before is ABSENT or after is ABSENT:
        return before is after
    # Compare as text: to Python `1 == True`, to a pattern they differ.
    return json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
