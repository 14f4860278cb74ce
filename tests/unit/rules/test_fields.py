"""A field of a rule is one annotation: reading, document and error texts follow from it, also for nested objects."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

from mwaa_gateway.rules.fields import (
    Duration,
    Integer,
    Nested,
    OneOf,
    Own,
    Reading,
    RuleField,
    Text,
    document_of,
    duration,
    names_of,
    seconds_of,
)

Order = Literal["first", "last", "any"]


@dataclass(frozen=True, slots=True)
class Due:
    """A nested object inside a nested object."""

    within_seconds: Annotated[int, RuleField(Duration(86_400, "10m or 6h"), "By when.", name="within")]
    owner: Annotated[str, RuleField(Text(longest=8), "Who answers for it.")] = ""


@dataclass(frozen=True, slots=True)
class Collect:
    """A field of every kind."""

    quiet_seconds: Annotated[
        int, RuleField(Duration(3_600, "30s or 10m"), "How long nothing arrives.", name="quiet_period")
    ]
    name: Annotated[str, RuleField(Text("[a-z]+", "a to z"), "Its name.")] = "all"
    order: Annotated[Order, RuleField(OneOf(Order), "Which one counts.", always=True)] = "any"
    items: Annotated[int, RuleField(Integer(1, 10_000), "How many at most.")] = 100
    due: Annotated[Due | None, RuleField(Nested(Due), "When it is late.")] = None
    form: Annotated[str, RuleField(Own(str.upper), "Read elsewhere.", shorthand="f")] = ""
    version: int = 0


KIND = Nested(Collect)


def read(written: Any) -> tuple[Any, list[tuple[str, str]]]:
    """Read `collect` as a field of a rule."""

    @dataclass(frozen=True, slots=True)
    class WithCollect:
        collect: Annotated[Collect | None, RuleField(KIND, "Several events, one run.")] = None

    reading = Reading()
    values = reading.values(WithCollect, {"collect": written})
    return values.get("collect"), [(problem.field, problem.message) for problem in reading.problems]


@pytest.mark.parametrize(
    ("written", "collect", "again"),
    [
        ({"quiet_period": "600s"}, Collect(600), {"quiet_period": "10m", "order": "any"}),
        (
            {
                "quiet_period": "10m",
                "order": "last",
                "name": "x",
                "items": 2,
                "due": {"within": "90m", "owner": "finance"},
            },
            Collect(600, "x", "last", 2, Due(5_400, "finance")),
            {
                "quiet_period": "10m",
                "name": "x",
                "order": "last",
                "items": 2,
                "due": {"within": "90m", "owner": "finance"},
            },
        ),
    ],
)
def test_a_nested_object_is_read_and_written(written: Any, collect: Collect, again: Any) -> None:
    """Durations in their largest unit; a default is left out, unless the field is always written."""
    assert read(written) == (collect, [])
    assert document_of(collect) == again
    assert read(again) == (collect, [])


@pytest.mark.parametrize(
    ("written", "problems"),
    [
        ({}, [("collect.quiet_period", "is missing; write 30s or 10m, at most 1h")]),
        (
            {"quiet_period": "2h", "order": ["first"], "name": "X", "items": True},
            [
                ("collect.quiet_period", "is '2h'; write 30s or 10m, at most 1h"),
                ("collect.name", "is 'X'; write a to z"),
                ("collect.order", "is ['first']; write first, last or any"),
                ("collect.items", "is True; write a number from 1 to 10,000"),
            ],
        ),
        (
            {"quiet_period": "1m", "due": {"with": "1h", "owner": "finance team"}},
            [
                ("collect.due.with", "is an unknown field; did you mean 'within'?"),
                ("collect.due.within", "is missing; write 10m or 6h, at most 1d"),
                ("collect.due.owner", "is 'finance team'; write text of at most 8 characters"),
            ],
        ),
        (
            {"quiet_period": "1m", "due": "1h"},
            [("collect.due", "is '1h'; write an object with within, owner")],
        ),
        (None, [("collect", "is None; write an object with quiet_period, name, order, items, due, form, f")]),
    ],
)
def test_every_problem_names_its_field_and_the_remedy(written: Any, problems: list[tuple[str, str]]) -> None:
    """Also deep inside, and all of them at once."""
    assert read(written) == (None, problems)


def test_names_include_shorthands_and_no_attribute_without_a_field() -> None:
    """In the order of the attributes: that of the document and of error texts."""
    assert names_of(Collect) == ("quiet_period", "name", "order", "items", "due", "form", "f")


def test_an_own_field_is_written_by_its_own_function() -> None:
    """Its reader is elsewhere."""
    assert document_of(Collect(1, form="a"))["form"] == "A"


@pytest.mark.parametrize(("written", "seconds"), [("90s", 90), ("1h", 3_600), ("0s", 0), ("1w", 0), (5, 0)])
def test_seconds_of(written: object, seconds: int) -> None:
    """0 is no duration."""
    assert seconds_of(written) == seconds


@pytest.mark.parametrize(("seconds", "written"), [(90, "90s"), (5_400, "90m"), (86_400, "1d")])
def test_duration(seconds: int, written: str) -> None:
    """The largest unit without a remainder."""
    assert duration(seconds) == written
