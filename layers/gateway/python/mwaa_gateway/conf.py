"""From an event to the conf of its run: EventBridge's input transformer, filled structurally.

The template is parsed once, and values are put into the parsed tree, never text into JSON: no key or message, whatever
a stranger wrote, can add a field or break out of one. A template is an object, or EventBridge's own JSON text:

    input_paths: {bucket: $.detail.bucket.name, size: $.detail.object.size}
    input_template: {source: "s3://<bucket>/", size: <size>}          # size stays a number
    input_template: '{"source": "s3://<bucket>/", "size": <size>}'    # the same

- `<name>` as a whole value keeps the type of what its path finds; inside text it is written into the text. (In JSON
  text a quoted `"<name>"` is text too, as EventBridge has it.)
- A path that finds nothing gives "".
- An object or list inside text is refused; EventBridge drops such an event without a word.
- Reserved: `<aws.events.rule-name>`, and as whole values `<aws.events.event>` (the event without its detail) and
  `<aws.events.event.json>` (the event).
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from mwaa_gateway.errors import ConfError, Problem
from mwaa_gateway.events import Event

__all__ = ["MAXIMUM_CONF_BYTES", "ORIGIN_KEY", "InputTransformer", "build_conf", "validate_transformer"]

ORIGIN_KEY: Final = "mwaa_gateway"
# The conf travels as one word of a command; a run whose conf is larger belongs into an object that the run reads.
MAXIMUM_CONF_BYTES: Final = 32 * 1024
MAXIMUM_INPUT_PATHS: Final = 100
MAXIMUM_TEMPLATE_CHARACTERS: Final = 8_192


@dataclass(frozen=True, slots=True)
class InputTransformer:
    """A target's input transformer: names for paths into the event, and the template that they fill.

    `input_template` is as its author wrote it, an object or JSON text. Built by `validate_transformer` only.
    """

    input_paths: Mapping[str, str]
    input_template: Mapping[str, Any] | str
    paths: "Mapping[str, _Path]" = field(repr=False, compare=False)
    tree: "_Node" = field(repr=False, compare=False)

    def document(self) -> dict[str, Any]:
        """Return the transformer as it stands in a rule."""
        return {"input_paths": dict(self.input_paths), "input_template": self.input_template}


class Transforms(Protocol):
    """What the conf depends on, of a rule's target."""

    @property
    def id(self) -> str:
        """The target's id, for the error's text."""
        ...

    @property
    def input_transformer(self) -> InputTransformer | None:
        """None: the event itself is the conf."""
        ...


def build_conf(target: Transforms, event: Event, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return the conf of the run that this event starts for this target.

    `origin` (where the run came from) is put under the reserved key `mwaa_gateway`; its `rule_id` also fills
    `<aws.events.rule-name>`.

    Raises:
        ConfError: An object or list would have to be written into text, the conf has more than 32 KB as ASCII JSON,
            or the event has a field under the reserved key.
    """
    if target.input_transformer is None:
        conf = dict(event.envelope)
        if ORIGIN_KEY in conf:
            raise ConfError(
                f"the event has a field {ORIGIN_KEY!r}, where the conf says where it came from; give target "
                f"{target.id!r} an input_transformer that names the fields it needs"
            )
    else:
        conf = _Filling(target.id, target.input_transformer, event.envelope, str(origin["rule_id"])).conf()
    conf[ORIGIN_KEY] = dict(origin)
    size = _size(conf)
    if size > MAXIMUM_CONF_BYTES:
        raise _too_large(target.id, f"{size}")
    return conf


def _size(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":")))


def _too_large(target_id: str, size: str) -> ConfError:
    return ConfError(
        f"the conf of target {target_id!r} would have {size} bytes; at most {MAXIMUM_CONF_BYTES} can be passed. "
        "Name only the fields the DAG needs in an input_transformer, or pass the URI of the object and read it there"
    )


# --- filling ------------------------------------------------------------------------------------------------------


class _Filling:
    """One filling of one template; stops as soon as the values put in are too large together."""

    def __init__(self, target_id: str, transformer: InputTransformer, envelope: Mapping[str, Any], rule_id: str) -> None:
        self._target_id = target_id
        self._transformer = transformer
        self._envelope = envelope
        self._rule_id = rule_id
        self._found: dict[str, tuple[Any, int]] = {}
        self._left = MAXIMUM_CONF_BYTES

    def conf(self) -> dict[str, Any]:
        conf: dict[str, Any] = self._fill(self._transformer.tree)
        return conf

    def _fill(self, node: "_Node") -> Any:
        match node:
            case _Whole(name):
                return self._value(name)
            case _Text(parts):
                return "".join(self._text(part.name) if isinstance(part, _Whole) else part for part in parts)
            case dict():
                return {name: self._fill(child) for name, child in node.items()}
            case list():
                return [self._fill(child) for child in node]
            case _:
                return node

    def _value(self, name: str) -> Any:
        if name not in self._found:
            value = self._find(name)
            self._found[name] = value, _size(value)
        value, size = self._found[name]
        self._left -= size
        if self._left < 0:
            raise _too_large(self._target_id, f"more than {MAXIMUM_CONF_BYTES - self._left - 1}")
        return value

    def _find(self, name: str) -> Any:
        match name:
            case "aws.events.rule-name":
                return self._rule_id
            case "aws.events.event":
                return {field: value for field, value in self._envelope.items() if field != "detail"}
            case "aws.events.event.json":
                return self._envelope
            case _:
                found = _follow(self._transformer.paths[name], self._envelope)
                return "" if found is _MISSING else found

    def _text(self, name: str) -> str:
        value = self._value(name)
        if isinstance(value, str):
            return value
        if isinstance(value, Mapping | list):
            raise ConfError(
                f"<{name}> is {'a list' if isinstance(value, list) else 'an object'} in this event and stands inside "
                f"text in the input_template of target {self._target_id!r}; give it a field of its own, or name one "
                f"value in it (input_paths: {name})"
            )
        return json.dumps(value)


# --- the template -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Whole:
    """A placeholder that is a whole value."""

    name: str


@dataclass(frozen=True, slots=True)
class _Text:
    """Text with placeholders in it."""

    parts: tuple[str | _Whole, ...]


_Node = _Whole | _Text | dict[str, Any] | list[Any] | str | int | float | bool | None

_PLACEHOLDER: Final = re.compile(r"<([A-Za-z0-9_.-]+)>")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
_WHOLE_ONLY: Final = ("aws.events.event", "aws.events.event.json")
_RESERVED: Final = ("aws.events.rule-name", *_WHOLE_ONLY)
_REFUSED: Final = {
    "aws.events.rule-arn": "the gateway's rules have no ARN; use <aws.events.rule-name>",
    "aws.events.event.ingestion-time": "it would differ between two deliveries of one event; name a path to $.time",
}


def validate_transformer(
    document: object, *, field: str = "input_transformer"
) -> tuple[InputTransformer | None, list[Problem]]:
    """Check the `input_transformer` of a target; return it, or None and everything that is wrong with it.

    `field` is where it stands in the rule, for the problems.
    """
    if not isinstance(document, Mapping):
        return None, [Problem(field, "must be an object with input_paths and input_template")]
    problems = [
        Problem(f"{field}.{name}", "is unknown; an input_transformer has input_paths and input_template")
        for name in document
        if name not in {"input_paths", "input_template"}
    ]
    paths, path_problems = _checked_paths(document.get("input_paths", {}), f"{field}.input_paths")
    problems += path_problems
    if "input_template" not in document:
        return None, [*problems, Problem(f"{field}.input_template", "is missing; write the conf as an object")]
    reading = _Template(f"{field}.input_template", paths.keys(), problems)
    tree = reading.tree(document["input_template"])
    if problems or tree is None:
        return None, problems
    return InputTransformer(dict(document.get("input_paths", {})), document["input_template"], paths, tree), []


class _Template:
    """Reads one template into a tree; what is wrong is added to `problems`."""

    def __init__(self, field: str, names: object, problems: list[Problem]) -> None:
        self._field = field
        self._names = frozenset(names)  # type: ignore[call-overload]
        self._problems = problems

    def tree(self, template: object) -> dict[str, Any] | None:
        quoted_is_whole = not isinstance(template, str)
        value: object = template
        try:
            text = template if isinstance(template, str) else json.dumps(template, allow_nan=False)
            if isinstance(template, str):
                value = json.loads(_with_marks(template))
        except (ValueError, TypeError, RecursionError) as error:
            self._refuse(f"is not JSON ({error}); quote text, and write a bare <name> only as a whole value")
            return None
        if len(text) > MAXIMUM_TEMPLATE_CHARACTERS:
            self._refuse(f"has {len(text)} characters; at most {MAXIMUM_TEMPLATE_CHARACTERS} are allowed")
            return None
        if not isinstance(value, Mapping):
            self._refuse("must be an object: the conf of a DAG run is one")
            return None
        if ORIGIN_KEY in value:
            self._refuse(f"must not have a field {ORIGIN_KEY!r}: the gateway says there where the run came from")
        tree: dict[str, Any] = self._read(value, whole=quoted_is_whole)
        return tree

    def _read(self, value: Any, *, whole: bool) -> Any:
        match value:
            case Mapping():
                for name in value:
                    if not isinstance(name, str):
                        self._refuse(f"has the field name {name!r}; field names are text")
                    elif _PLACEHOLDER.search(name) or _MARK in name:
                        self._refuse(f"has a placeholder in the field name {_unmarked(name)!r}; it can only be in a value")
                return {name: self._read(child, whole=whole) for name, child in value.items()}
            case list():
                return [self._read(child, whole=whole) for child in value]
            case str():
                return self._string(value, whole=whole)
            case _:
                return value

    def _string(self, text: str, *, whole: bool) -> Any:
        if text.startswith(_MARK):
            return self._placeholder(text.removeprefix(_MARK), inside_text=False)
        if whole and (match := _PLACEHOLDER.fullmatch(text)):
            return self._placeholder(match[1], inside_text=False)
        pieces = _PLACEHOLDER.split(text)  # text, name, text, name, …, text
        if len(pieces) == 1:
            return text
        return _Text(
            tuple(
                self._placeholder(piece, inside_text=True) if position % 2 else piece
                for position, piece in enumerate(pieces)
                if piece
            )
        )

    def _placeholder(self, name: str, *, inside_text: bool) -> _Whole:
        if name in _REFUSED:
            self._refuse(f"uses <{name}>: {_REFUSED[name]}")
        elif inside_text and name in _WHOLE_ONLY:
            self._refuse(f"has <{name}> inside text; it is an object and can only be a whole value")
        elif name not in self._names and name not in _RESERVED:
            self._refuse(f"contains invalid placeholder {name}. Name its path in input_paths, or correct its spelling")
        return _Whole(name)

    def _refuse(self, message: str) -> None:
        self._problems.append(Problem(self._field, message))


# JSON text may hold a bare <name> where a value stands. It is read as a string that no author can write by chance.
_MARK: Final = "\ue000mwaa-gateway-placeholder:"
_STRING_OR_PLACEHOLDER: Final = re.compile(r'"(?:[^"\\]|\\.)*"|<[A-Za-z0-9_.-]+>', re.DOTALL)


def _with_marks(template: str) -> str:
    if _MARK in template:
        raise ValueError("it holds the gateway's own mark for a placeholder")
    return _STRING_OR_PLACEHOLDER.sub(
        lambda match: json.dumps(_MARK + match[0][1:-1]) if match[0][0] == "<" else match[0], template
    )


def _unmarked(name: str) -> str:
    return f"<{name.removeprefix(_MARK)}>" if name.startswith(_MARK) else name


# --- input paths --------------------------------------------------------------------------------------------------

_EACH: Final = object()  # [*]
_MISSING: Final = object()
_Path = tuple[object, ...]  # names, positions, and _EACH

_STEP: Final = re.compile(r"\.([A-Za-z0-9_/-]+)|\[([0-9]{1,6})\]|(\[\*\])")


def _checked_paths(written: object, field: str) -> tuple[dict[str, _Path], list[Problem]]:
    if not isinstance(written, Mapping):
        return {}, [Problem(field, "must be an object: a name for each path, as in `key: $.detail.object.key`")]
    problems: list[Problem] = []
    if len(written) > MAXIMUM_INPUT_PATHS:
        problems.append(Problem(field, f"has {len(written)} names; at most {MAXIMUM_INPUT_PATHS} are allowed"))
    paths: dict[str, _Path] = {}
    for name, text in written.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            problems.append(Problem(field, f"has the name {name!r}; use letters, digits, - and _"))
            continue
        paths[name] = path = tuple(_steps(text)) if isinstance(text, str) else (None,)
        if None in path:
            problems.append(
                Problem(
                    f"{field}.{name}",
                    f"is {text!r}; write a path such as $.detail.object.key, $.resources[0] or $.detail.items[*].id",
                )
            )
    return paths, problems


def _steps(text: str) -> Iterator[object]:
    """Yield the steps of a path, and None where it cannot be read."""
    if not text.startswith("$"):
        yield None
        return
    position = 1
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            yield None
            return
        yield match[1] or (_EACH if match[3] else int(match[2]))
        position = match.end()


def _follow(path: _Path, value: Any) -> Any:
    """Return what the path finds; `[*]` gives the list of what the rest of the path finds in each element."""
    for position, step in enumerate(path):
        if step is _EACH:
            if not isinstance(value, list):
                return _MISSING
            found = (_follow(path[position + 1 :], element) for element in value)
            return [element for element in found if element is not _MISSING]
        if isinstance(step, str) and isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(step, int) and isinstance(value, list) and step < len(value):
            value = value[step]
        else:
            return _MISSING
    return value
