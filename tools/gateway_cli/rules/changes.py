"""What differs between two documents of a rule, field by field, as a person would say it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["ABSENT", "FieldChange", "field_changes"]

ABSENT: Final = object()  # a field that one of the two documents does not have; null is something


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field with its value in either document, `ABSENT` where that has none."""

    field: str
    before: Any
    after: Any

    def document(self) -> dict[str, Any]:
        """Return it as JSON; a value that is absent is left out."""
        values = {"before": self.before, "after": self.after}
        return {"field": self.field} | {name: value for name, value in values.items() if value is not ABSENT}


def field_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[FieldChange]:
    """Return every field in which two documents of a rule differ, in the order of the fields.

    Objects are gone into, and targets held against the target of the same id; of a pattern the list of one
    field is the unit, as it is for who writes it.
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
    """Return targets as an object of their ids: a target that moved within the list is the same one."""
    if field != "targets" or not isinstance(value, Sequence):
        return value
    targets = {str(target.get("id")): target for target in value if isinstance(target, Mapping)}
    return targets if len(targets) == len(value) else value


def _same(before: Any, after: Any) -> bool:
    if before is ABSENT or after is ABSENT:
        return before is after
    # As text: to Python `1 == True`, to a pattern it does not.
    return json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
