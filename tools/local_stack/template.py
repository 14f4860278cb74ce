"""Makes `template.yaml` deployable on MiniStack: the same resources, with a few named substitutions.

What CloudFormation does in AWS, MiniStack does here: the transforms (AWS::LanguageExtensions and
AWS::Serverless) are left to it. What `sam build` and `sam package` do is done here: local folders become
objects in S3. The rest are MiniStack's own gaps, each with its reason below. There is no second description of
any resource.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from local_stack.artifacts import Artifact

# Resource types MiniStack 1.5.33 refuses, and why their absence is harmless here.
LEFT_OUT: Mapping[str, str] = {
    "AWS::Events::Archive": "unknown to its CloudFormation; nothing on one machine replays an archive",
    "AWS::Logs::QueryDefinition": "unknown to its CloudFormation; a saved query, not a part of the path",
}
# Python runtimes run on MiniStack's own interpreter and packages; `provided` runs our bootstrap.
_RUNTIME = "provided.al2023"
_LOOP = "Fn::ForEach::"
_TEXTS = "Environment"  # of a function: its variables are text, whatever they refer to


@dataclass(frozen=True, slots=True)
class Package:
    """A template that MiniStack can create, the zips it refers to, and the resources that are left out."""

    template: dict[str, Any]
    artifacts: tuple[Artifact, ...]
    left_out: tuple[str, ...]


def load_template(path: Path) -> dict[str, Any]:
    """Read a SAM template with its short-form functions (`!Ref`, `!Sub`, …) written out."""
    template: dict[str, Any] = yaml_parse(path.read_text())
    return template


def localise(
    template: Mapping[str, Any],
    *,
    bucket: str,
    parameters: Mapping[str, str],
    function: Callable[[str], Artifact],
    layer: Callable[[str], Artifact],
) -> Package:
    """Prepare `template` for MiniStack.

    `function` and `layer` turn a CodeUri or ContentUri into the zip that is to stand in `bucket`;
    `parameters` are the values the stack will be created with: a reference to a number must become that number.
    """
    artifacts: dict[str, Artifact] = {}
    left_out: list[str] = []

    def stored(artifact: Artifact) -> dict[str, str]:
        artifacts[artifact.key] = artifact
        return {"Bucket": bucket, "Key": artifact.key}

    resources = _numbers_written_out(template["Resources"], _numbers(template, parameters))
    for siblings, name, loops in list(_resources(resources)):
        resource = siblings[name]
        properties = resource.setdefault("Properties", {})
        match resource["Type"]:
            case kind if kind in LEFT_OUT:
                del siblings[name]
                left_out.append(f"{name} ({kind}): {LEFT_OUT[kind]}")
            case "AWS::Serverless::Function":
                properties["CodeUri"] = stored(function(_folder(properties["CodeUri"], loops)))
                properties["Runtime"] = _RUNTIME
            case "AWS::Serverless::LayerVersion":
                properties["ContentUri"] = stored(layer(_folder(properties["ContentUri"], loops)))
    return Package({**template, "Resources": resources}, tuple(artifacts.values()), tuple(left_out))


def _numbers(template: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, int | float]:
    """The value of every parameter of type Number."""
    found: dict[str, int | float] = {}
    for name, declared in template.get("Parameters", {}).items():
        if declared["Type"] == "Number":
            text = str(parameters.get(name, declared.get("Default")))
            found[name] = int(text) if text.lstrip("-").isdigit() else float(text)
    return found


def _numbers_written_out(node: Any, numbers: Mapping[str, int | float]) -> Any:
    """A copy of `node` in which `!Ref <number>` is that number.

    MiniStack hands a referenced number on as text, and a mapping with MaximumConcurrency "3" never polls.
    """
    match node:
        case {"Ref": str(name), **rest} if not rest and name in numbers:
            return numbers[name]
        case dict():
            return {
                key: value if key == _TEXTS else _numbers_written_out(value, numbers)
                for key, value in node.items()
            }
        case list():
            return [_numbers_written_out(value, numbers) for value in node]
        case _:
            return node


def _resources(
    resources: dict[str, Any], loops: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[tuple[dict[str, Any], str, Mapping[str, Any]]]:
    """Yield every resource, one in a loop once: the mapping that contains it, its key there, and the loops around it."""
    for name, body in resources.items():
        if name.startswith(_LOOP):
            identifier, collection, fragment = body
            yield from _resources(fragment, {**loops, identifier: collection})
        else:
            yield resources, name, loops


def _folder(uri: str, loops: Mapping[str, Any]) -> str:
    """Return the folder of a URI. As for SAM CLI, it may name a loop around it; here, one over a single name."""
    for identifier, collection in loops.items():
        if isinstance(collection, list) and len(collection) == 1:
            uri = uri.replace(f"${{{identifier}}}", collection[0])
    return uri
