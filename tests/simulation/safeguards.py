"""Switches a safeguard off in the production code as it runs, and looks whether the suite goes red.

A piece of the production code's source is replaced by another.
"""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, ModuleType

import pytest

from simulation import gateway

__all__ = ["Off", "Safeguard", "goes_red_without", "switch_off"]

Off = tuple[
    str, str, str
]  # module of the gateway, or function; a piece of its source; what stands there instead


@dataclass(frozen=True, slots=True)
class Safeguard:
    """What is switched off, the day on which it is needed, and what the checker says when it is gone."""

    off: tuple[Off, ...]
    day: Callable[[], list[str]]
    red: str


def goes_red_without(
    name: str,
    safeguard: Safeguard,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, dict[str, str]], None],
) -> None:
    """Play the safeguard's day with it: no problem; and without it: the checker names the one that it is there for."""
    assert [] == safeguard.day()
    switch_off(monkeypatch, *safeguard.off)
    problems = safeguard.day()
    assert any(safeguard.red in problem for problem in problems), problems
    record_property("red", {name: safeguard.red})


def switch_off(monkeypatch: pytest.MonkeyPatch, *replacements: Off) -> None:
    """Replace pieces of source text, each of which must stand exactly once where it is said to stand."""
    for where in dict.fromkeys(where for where, _, _ in replacements):
        pieces = [(safeguard, instead) for there, safeguard, instead in replacements if there == where]
        if where in gateway.SOURCES:
            path = gateway.FUNCTIONS / where / "app.py"
            code = compile(_replaced(path.read_text(), pieces), str(path), "exec")
            monkeypatch.setitem(gateway.SOURCES, where, code)
        else:
            _switch_off(monkeypatch, importlib.import_module(f"mwaa_gateway.{where}"), pieces)


def _switch_off(monkeypatch: pytest.MonkeyPatch, module: ModuleType, pieces: list[tuple[str, str]]) -> None:
    scratch = ModuleType(module.__name__)
    code = compile(_replaced(inspect.getsource(module), pieces), str(module.__file__), "exec")
    exec(code, scratch.__dict__)  # noqa: S102  our own code
    changed = 0
    for name, ours in vars(module).items():
        theirs = vars(scratch).get(name)
        if isinstance(ours, str) and not name.startswith("__") and ours != theirs:
            monkeypatch.setattr(module, name, theirs)
            changed += 1
        for mine, other in _functions(module, ours, theirs):
            # The code alone: whoever imported the function has it too, and its globals stay.
            if mine.__code__ != other.__code__:
                monkeypatch.setattr(mine, "__code__", other.__code__)
                changed += 1
    assert changed, "the replacement changed nothing"


def _replaced(text: str, pieces: list[tuple[str, str]]) -> str:
    for safeguard, instead in pieces:
        assert 1 == text.count(safeguard), f"{safeguard!r} is not there any more: what does its work now?"
        text = text.replace(safeguard, instead)
    return text


def _functions(module: ModuleType, ours: object, theirs: object) -> list[tuple[FunctionType, FunctionType]]:
    if (
        isinstance(ours, FunctionType)
        and isinstance(theirs, FunctionType)
        and ours.__module__ == module.__name__
    ):
        return [(ours, theirs)]
    if isinstance(ours, type) and isinstance(theirs, type) and ours.__module__ == module.__name__:
        return [
            (mine, other)
            for name, mine in vars(ours).items()
            if isinstance(mine, FunctionType)
            and isinstance(other := vars(theirs).get(name), FunctionType)
            and mine.__code__.co_filename == module.__file__  # not those of a decorator
        ]
    return []
