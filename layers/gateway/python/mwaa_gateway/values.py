"""`@value`: a frozen dataclass with slots, made in an eighth of the time at a cold start, and built in a quarter of it.

`@dataclass(frozen=True, slots=True)` compiles the text of six methods, half a millisecond for each class, and a function
loads some seventy classes. Here `dataclass` compiles `__init__` alone, when the first instance is built: the other methods
are the same for all classes, and only the type checker refuses an assignment to an attribute (docs/adr/0032-*.md).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform, overload

Made = TypeVar("Made")


@overload
def value(cls: type[Made], /) -> type[Made]: ...


@overload
def value(*, kw_only: bool) -> Callable[[type[Made]], type[Made]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(
    cls: type[Made] | None = None, /, *, kw_only: bool = False
) -> type[Made] | Callable[[type[Made]], type[Made]]:
    """Make a class a dataclass whose instances do not change, and are equal if their class and fields are."""
    if cls is None:
        return lambda each: _value(each, kw_only=kw_only)
    return _value(cls, kw_only=kw_only)


def _value(cls: type[Made], *, kw_only: bool) -> type[Made]:
    made: Any = dataclass(slots=True, init=False, repr=False, eq=False, kw_only=kw_only)(cls)
    made.__init__ = _compiled_when_called(made)
    compared = [each.name for each in fields(made) if each.compare]
    made._compared = attrgetter(*compared) if compared else staticmethod(lambda _each: ())  # noqa: SLF001
    for method in (__eq__, __hash__, __repr__):
        if method.__name__ not in cls.__dict__:
            setattr(made, method.__name__, method)
    return made  # type: ignore[no-any-return]


def _compiled_when_called(made: Any) -> Any:
    """An `__init__` that makes the dataclass's own take its place."""

    def __init__(self: Any, *positional: Any, **named: Any) -> None:  # noqa: N807
        inherits_all_fields: Any = type(made.__name__, (made,), {"__doc__": made.__doc__})
        made.__init__ = dataclass(slots=True, repr=False, eq=False)(inherits_all_fields).__init__
        made.__init__(self, *positional, **named)

    return __init__


def __eq__(self: Any, other: Any) -> Any:  # noqa: N807
    if self.__class__ is not other.__class__:
        return NotImplemented
    return self._compared(self) == self._compared(other)


def __hash__(self: Any) -> int:  # noqa: N807
    return hash(self._compared(self))


def __repr__(self: Any) -> str:  # noqa: N807
    shown = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{self.__class__.__qualname__}({shown})"
