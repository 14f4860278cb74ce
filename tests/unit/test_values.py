"""`@value`: a dataclass whose methods are the same for all classes."""

import copy
import pickle
from dataclasses import field, fields, replace

import pytest

from mwaa_gateway.values import value


@value
class Point:
    """Two numbers, and a name that does not count."""

    x: int
    y: int = 0
    name: str = field(default="", compare=False, repr=False)


@value
class Other:
    """The same two numbers."""

    x: int
    y: int = 0


@value(kw_only=True)
class Named(Point):
    """One more field."""

    label: str


@value
class Counted:
    """A field that the caller does not give, and one that follows from the others."""

    x: int
    noticed: list[int] = field(default_factory=list)
    times: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.noticed.append(self.x)


class Undecorated(Counted):
    """Adds no field."""


@value
class Nothing:
    """No fields."""


@value
class Loud:
    """Its own text."""

    x: int

    def __repr__(self) -> str:
        return "LOUD"


def test_values_are_equal_if_their_class_and_fields_are():
    """And then they have one hash: they are keys of dictionaries."""
    assert Point(1, name="a") == Point(1, 0, "b")
    assert hash(Point(1, name="a")) == hash(Point(1, 0, "b"))
    assert Point(1) not in (Point(2), Other(1), Named(x=1, label=""), (1, 0))
    assert Named(x=1, label="a") != Named(x=1, label="b")
    assert Nothing() == Nothing()
    assert 3 == len({Nothing(), Nothing(), Point(1), Other(1), Point(1)})


def test_a_value_is_a_dataclass_with_slots():
    """So `replace`, `match`, copies and pickles work; a misspelt attribute is an error."""
    assert Point(1, 2) == replace(Point(1), y=2)
    assert ["x", "y", "name", "label"] == [each.name for each in fields(Named)]
    match Point(1, 2):
        case Point(x, y):
            assert (1, 2) == (x, y)
    for same in (copy.deepcopy(Point(1)), pickle.loads(pickle.dumps(Point(1)))):  # noqa: S301
        assert Point(1) == same
    with pytest.raises(AttributeError):
        Point(1).z = 3  # type: ignore[attr-defined]


def test_a_value_is_built_as_a_dataclass_is():
    """The first instance too, which compiles `__init__`, also if it is one of a subclass, or is refused."""
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        Counted()  # type: ignore[call-arg]
    for made in (Undecorated(1), Counted(1), Counted(x=1)):
        assert ([1], 0) == (made.noticed, made.times)
    with pytest.raises(TypeError):
        Counted(1, times=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Named(1, 0, "", "no name given")  # type: ignore[misc]


def test_the_text_of_a_value_names_its_fields():
    """Without those that must not show, such as tokens; a class may have its own text."""
    assert ("Point(x=1, y=0)", "Nothing()", "LOUD") == (
        repr(Point(1, name="secret")),
        repr(Nothing()),
        repr(Loud(1)),
    )
