"""Conditions that MiniStack 1.5.33 evaluates otherwise than CloudFormation: those with an `Fn::Join` or `Fn::Split`.

It compares the unresolved function, so that "this list is not empty" is true of an empty one.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ministack.services.cloudformation import (  # type: ignore[import-untyped]
    changesets,
    engine,
    handlers,
    provisioners,
    stacks,
)

_LISTS = ("CommaDelimitedList", "List<")


def extend() -> None:
    """Patch the modules, before MiniStack serves anything."""
    evaluate: Callable[..., dict[str, bool]] = engine._evaluate_conditions  # noqa: SLF001  there is no other way in

    def evaluate_joined(template: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, bool]:
        conditions = _joined(template.get("Conditions", {}), parameters)
        return evaluate({**template, "Conditions": conditions}, parameters)

    for module in (
        engine,
        changesets,
        handlers,
        provisioners,
        stacks,
    ):  # the others import the function by name
        module._evaluate_conditions = evaluate_joined  # noqa: SLF001


def _joined(node: Any, parameters: Mapping[str, Any]) -> Any:
    """Return the conditions with each Fn::Join and Fn::Split of texts and parameters replaced by its value."""
    match node:
        case {"Fn::Split": [str(delimiter), source]}:
            return "".join(_texts(source, parameters)).split(delimiter)
        case {"Fn::Join": [str(delimiter), values]}:
            return delimiter.join(_texts(values, parameters))
        case dict():
            return {key: _joined(value, parameters) for key, value in node.items()}
        case list():
            return [_joined(value, parameters) for value in node]
        case _:
            return node


def _texts(values: Any, parameters: Mapping[str, Any]) -> list[str]:
    match values:
        case list():
            return [text for value in values for text in _texts(value, parameters)]
        case {"Ref": name} if name in parameters:
            value = parameters[name]
            text = str(value["Value"])
            return text.split(",") if value["Type"].startswith(_LISTS) else [text]
        case {"Fn::Join": _}:
            return [_joined(values, parameters)]
        case dict():
            raise ValueError(f"the local stack knows no such function in a condition's Fn::Join: {values}")
        case _:
            return [str(values)]
