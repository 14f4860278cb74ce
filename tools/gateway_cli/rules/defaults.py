"""`defaults:` of a rule file: values for the fields that its rules leave out."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway_cli.documents.document import Document, Flaw, Place
from mwaa_gateway.rules.fields import names_of
from mwaa_gateway.rules.rule import Rule

DEFAULT_FIELDS: Final = tuple(name for name in names_of(Rule) if name not in ("id", "targets"))
_ONE_OF: Final = {
    "pattern": "s3",
    "s3": "pattern",
}  # alternatives: a rule with one does not get the other as default


def flaws_of_defaults(document: Document) -> Iterator[Flaw]:
    """Yield the flaws of a document's `defaults` itself; their values are checked in each rule."""
    defaults = document.value.get("defaults", {})
    if not isinstance(defaults, Mapping):
        yield Flaw(
            document.lines[("defaults",)],
            "must be a mapping of the fields that the rules of this file leave out",
        )
        return
    for name in defaults.keys() - set(DEFAULT_FIELDS):
        what = f"{name!r} must be in each rule" if name == "id" else f"{name!r} is no default"
        yield Flaw(document.lines[("defaults", name)], f"{what}; defaults are {', '.join(DEFAULT_FIELDS)}")
    if not isinstance(defaults.get("target", {}), Mapping):
        yield Flaw(
            document.lines[("defaults", "target")],
            "`target` must be a mapping: it completes every target of a rule",
        )


def filled_in(
    rule: Mapping[str, Any], defaults: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Place]]:
    """Return the rule completed from `defaults`, and for each completed field its place in `defaults`.

    A default replaces a whole field, never a part of one. The defaults under `target` complete each target of the rule,
    whether it has one or several.
    """
    filled: dict[str, Any] = dict(rule)
    sources: dict[str, Place] = {}
    for name, value in defaults.items():
        if name in rule or _ONE_OF.get(name) in rule or name not in DEFAULT_FIELDS or name == "target":
            continue
        filled[name] = value
        sources[name] = (name,)
    of_targets = defaults.get("target")
    if isinstance(of_targets, Mapping):
        _fill_targets(filled, of_targets, sources)
    return filled, sources


def _fill_targets(filled: dict[str, Any], defaults: Mapping[str, Any], sources: dict[str, Place]) -> None:
    def complete(target: Any, field: str) -> Any:
        if not isinstance(target, Mapping):
            return target
        missing = {name: value for name, value in defaults.items() if name not in target}
        sources.update({f"{field}.{name}": ("target", name) for name in missing})
        return {**target, **missing}

    match filled.get("targets"):
        case list() as targets:
            filled["targets"] = [
                complete(target, f"targets[{position}]") for position, target in enumerate(targets)
            ]
        case None:
            filled["target"] = complete(filled.get("target", {}), "target")
