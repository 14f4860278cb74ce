"""EventBridge's input transformer, parsed once into a tree that `conf.build` fills.

A template is an object, or EventBridge's own JSON text:

    input_paths: {bucket: $.detail.bucket.name, size: $.detail.object.size}
    input_template: {source: "s3://<bucket>/", size: <size>}          # size stays a number
    input_template: '{"source": "s3://<bucket>/", "size": <size>}'    # the same

- `<name>` as a whole value keeps the type of the value at its path; inside text it becomes text.
  In JSON text a quoted `"<name>"` counts as inside text, as in EventBridge.
- A path without a value gives "".
- An object or list inside text is an error; EventBridge silently drops such an event.
- `<name>` may also be a piece of the rule's `captures`, which is always text.
- In a rule with `collect`, `<batch.…>` is a value of the released batch: see `conf.batch_values`. `member_template` says how
  an entry of `<batch.members>` looks, with fields of the member, as in `{path: <uri>, bytes: <size>}`, or paths into it.
- Reserved: `<aws.events.rule-name>`; `<aws.events.event.ingestion-time>`, when the gateway received the delivery that
  started the run; and, only as whole values, `<aws.events.event>` (the event without its detail) and
  `<aws.events.event.json>` (the event).
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import field
from typing import Any, ClassVar, Final

from mwaa_gateway.conf.batch_values import LINE_FIELDS, LISTS, MEMBERS, PREFIX, placeholders
from mwaa_gateway.conf.paths import Path, parse_path
from mwaa_gateway.errors import Problem, nearest
from mwaa_gateway.json_values import MAXIMUM_DEPTH, is_deeper_than
from mwaa_gateway.values import value

ORIGIN_KEY: Final = "mwaa_gateway"  # in every conf: the event and rule of the run
MAXIMUM_INPUT_PATHS: Final = 100
MAXIMUM_TEMPLATE_CHARACTERS: Final = 8_192


@value
class Whole:
    """A placeholder for a whole value."""

    name: str


@value
class Text:
    """Text with placeholders."""

    parts: tuple[str | Whole, ...]


Node = Whole | Text | dict[str, Any] | list[Any] | str | int | float | bool | None


@value
class InputTransformer:
    """A target's input transformer: names for paths into the event, and the template that they fill.

    `input_template` is as its author wrote it, an object or JSON text. `member_template` is None if the entries of
    `<batch.members>` are the lines of the manifest; `paths` contains its paths, too. Only `validate_transformer` builds it.
    """

    input_paths: Mapping[str, str]
    input_template: Mapping[str, Any] | str
    paths: Mapping[str, Path] = field(repr=False, compare=False)
    tree: Node = field(repr=False, compare=False)
    member_template: Any = None
    member_tree: Node = field(default=None, repr=False, compare=False)

    def document(self) -> dict[str, Any]:
        """Return the transformer as a rule has it."""
        document = {"input_paths": dict(self.input_paths), "input_template": self.input_template}
        return (
            document if self.member_template is None else document | {"member_template": self.member_template}
        )


def validate_transformer(
    document: object,
    *,
    field: str = "input_transformer",
    target_id: str = "default",
    captured: Collection[str] = (),
    key_names: Collection[str] | None = None,
) -> tuple[InputTransformer | None, list[Problem]]:
    """Check the `input_transformer` of a target; return it, or None and all its problems.

    `field` is its place in the rule, for the problems; `captured` are the names of the rule's captures, `key_names` those in
    the key of its `collect`, None for a rule without one.
    """
    if not isinstance(document, Mapping):
        return None, [Problem(field, "must be an object with input_paths and input_template")]
    problems = [
        Problem(f"{field}.{name}", f"is unknown; an input_transformer has {_FIELD_WORDS}")
        for name in document
        if name not in _FIELDS
    ]
    paths, path_problems = _checked_paths(document.get("input_paths", {}), f"{field}.input_paths")
    problems += path_problems
    problems += [
        Problem(f"{field}.input_paths.{name}", "is also the name of a capture; rename one of them")
        for name in paths
        if name in captured
    ]
    if "input_template" not in document:
        return None, [
            *problems,
            Problem(f"{field}.input_template", "is missing; write the conf as an object"),
        ]
    reading = _Template(f"{field}.input_template", target_id, {*paths, *captured}, problems, key_names)
    tree = reading.tree(document["input_template"])
    members = _MemberTemplate(f"{field}.member_template", target_id, LINE_FIELDS, problems, key_names)
    member_tree = None
    if "member_template" in document:
        member_tree = members.member_tree(document["member_template"], is_used=MEMBERS in reading.seen)
    if problems or tree is None:
        return None, problems
    return InputTransformer(
        dict(document.get("input_paths", {})),
        document["input_template"],
        paths | members.paths,
        tree,
        document.get("member_template"),
        member_tree,
    ), []


_FIELDS: Final = ("input_paths", "input_template", "member_template")
_FIELD_WORDS: Final = "input_paths, input_template and, with collect, member_template"


# --- the template -------------------------------------------------------------------------------------------

_PLACEHOLDER: Final = re.compile(r"<([A-Za-z0-9_.-]+)>")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
_WHOLE_ONLY: Final = ("aws.events.event", "aws.events.event.json")
_RESERVED: Final = ("aws.events.rule-name", "aws.events.event.ingestion-time", *_WHOLE_ONLY)
_REFUSED: Final = {
    "aws.events.rule-arn": "the gateway's rules have no ARN; use <aws.events.rule-name>",
}


class _Template:
    """Parses one template into a tree; adds to `problems` what is wrong, and to `seen` the names of placeholders."""

    placeholder: ClassVar[re.Pattern[str]] = _PLACEHOLDER

    def __init__(
        self,
        field: str,
        target_id: str,
        names: Collection[str],
        problems: list[Problem],
        key_names: Collection[str] | None,
    ) -> None:
        self._field = field
        self._target_id = target_id
        self._names = names
        self._problems = problems
        self._key_names = key_names
        self.seen: set[str] = set()
        self.paths: dict[str, Path] = {}  # of placeholders that are paths

    def tree(self, template: object) -> dict[str, Any] | None:
        quoted_is_whole = not isinstance(template, str)
        value: object = template
        try:
            text = template if isinstance(template, str) else json.dumps(template, allow_nan=False)
            if len(text) > MAXIMUM_TEMPLATE_CHARACTERS:  # checked before the search for placeholders
                self._refuse(f"has {len(text)} characters; at most {MAXIMUM_TEMPLATE_CHARACTERS} are allowed")
                return None
            if isinstance(template, str):
                value = json.loads(_with_marks(template))
        except (ValueError, TypeError, RecursionError) as error:
            self._refuse(f"is not JSON ({error}); quote text, and write a bare <name> only as a whole value")
            return None
        if is_deeper_than(MAXIMUM_DEPTH, value):
            self._refuse(f"is nested deeper than {MAXIMUM_DEPTH} levels")
            return None
        if not isinstance(value, Mapping):
            self._refuse("must be an object, as the conf of a DAG run")
            return None
        if ORIGIN_KEY in value:
            self._refuse(
                f"must not have a field {ORIGIN_KEY!r}: the gateway writes it, with the event and rule of the run"
            )
        tree: dict[str, Any] = self._read(value, whole=quoted_is_whole)
        return tree

    def _read(self, value: Any, *, whole: bool) -> Any:
        match value:
            case Mapping():
                for name in value:
                    if not isinstance(name, str):
                        self._refuse(f"has the field name {name!r}; field names must be text")
                    elif self.placeholder.search(name) or _MARK in name:
                        self._refuse(
                            f"has a placeholder in the field name {_unmarked(name)!r}; use placeholders in values only"
                        )
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
        if whole and (match := self.placeholder.fullmatch(text)):
            return self._placeholder(match[1], inside_text=False)
        pieces = self.placeholder.split(text)  # text, name, text, name, …, text
        if len(pieces) == 1:
            return text
        return Text(
            tuple(
                self._placeholder(piece, inside_text=True) if position % 2 else piece
                for position, piece in enumerate(pieces)
                if piece
            )
        )

    def _placeholder(self, name: str, *, inside_text: bool) -> Whole:
        self.seen.add(name)
        if name in _REFUSED:
            self._refuse(f"uses <{name}>: {_REFUSED[name]}")
        elif name.startswith(PREFIX):
            self._check_batch(name, inside_text=inside_text)
        elif inside_text and name in _WHOLE_ONLY:
            self._refuse(f"has <{name}> inside text; it is an object, so write it as a whole value")
        elif name not in self._names and name not in _RESERVED:
            self._refuse(
                f"InputTemplate for target {self._target_id} contains invalid placeholder {name}. Name its "
                "path in input_paths or captures, or correct its spelling"
            )
        return Whole(name)

    def _check_batch(self, name: str, *, inside_text: bool) -> None:
        if self._key_names is None:
            self._refuse(
                f"has <{name}>, which only a rule with collect has; name a path of the event in input_paths instead"
            )
            return
        known = placeholders(self._key_names)
        if name not in known:
            self._refuse(f"has <{name}>, which is unknown; {_hint(name, known)}")
        elif inside_text and name in LISTS:
            self._refuse(f"has <{name}> inside text; it is a list, so write it as a whole value")

    def _refuse(self, message: str) -> None:
        self._problems.append(Problem(self._field, message))


class _MemberTemplate(_Template):
    """Parses a `member_template`: any JSON value, with fields of a manifest's line, or paths into the line."""

    placeholder = re.compile(r"<([A-Za-z0-9_.-]+|\$[^<>]*)>")

    def member_tree(self, template: object, *, is_used: bool) -> Any:
        if self._key_names is None:
            self._refuse("is only for a rule with collect; remove it")
            return None
        if not is_used:
            self._refuse("has no effect: write <batch.members> in input_template, or remove it")
        try:
            characters = len(json.dumps(template, allow_nan=False))
        except (ValueError, TypeError, RecursionError) as error:
            self._refuse(f"is no JSON value ({error})")
            return None
        if characters > MAXIMUM_TEMPLATE_CHARACTERS:
            self._refuse(f"has {characters} characters; at most {MAXIMUM_TEMPLATE_CHARACTERS} are allowed")
        elif is_deeper_than(MAXIMUM_DEPTH, template):
            self._refuse(f"is nested deeper than {MAXIMUM_DEPTH} levels")
        else:
            tree = self._read(template, whole=True)
            if not self.seen:
                self._refuse("is the same for every member; name a value of the member, as in {path: <uri>}")
            return tree
        return None

    def _placeholder(self, name: str, *, inside_text: bool) -> Whole:
        del inside_text
        self.seen.add(name)
        if name.startswith("$"):
            path = parse_path(name)
            if path is None:
                self._refuse(f"has the path <{name}>; write a path into a member, as in <$.detail.order>")
            self.paths[name] = path or ()
        elif name not in self._names:
            self._refuse(
                f"has <{name}>, which no member has; {_hint(name, self._names)}; or write a path into it, as in "
                "<$.detail.order>"
            )
        return Whole(name)


def _hint(name: str, known: Collection[str]) -> str:
    return nearest(name, known) or f"known are {', '.join(f'<{each}>' for each in known)}"


# JSON text may contain a bare <name> as a value. It becomes a string with a mark that nobody writes by chance.
_MARK: Final = "\ue000mwaa-gateway-placeholder:"
# An unterminated string matches to the end of the text, so the search never backtracks.
STRING_OR_PLACEHOLDER: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|<[A-Za-z0-9_.-]+>', re.DOTALL)


def _with_marks(template: str) -> str:
    if _MARK in template:
        raise ValueError("it contains the gateway's own mark for a placeholder")
    return STRING_OR_PLACEHOLDER.sub(
        lambda match: json.dumps(_MARK + match[0][1:-1]) if match[0][0] == "<" else match[0], template
    )


def _unmarked(name: str) -> str:
    return f"<{name.removeprefix(_MARK)}>" if name.startswith(_MARK) else name


# --- input paths --------------------------------------------------------------------------------------------


def _checked_paths(written: object, field: str) -> tuple[dict[str, Path], list[Problem]]:
    if not isinstance(written, Mapping):
        return {}, [
            Problem(field, "must be an object: a name for each path, as in `key: $.detail.object.key`")
        ]
    problems: list[Problem] = []
    if len(written) > MAXIMUM_INPUT_PATHS:
        problems.append(
            Problem(field, f"has {len(written)} names; at most {MAXIMUM_INPUT_PATHS} are allowed")
        )
    paths: dict[str, Path] = {}
    for name, text in written.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            problems.append(Problem(field, f"has the name {name!r}; use letters, digits, - and _"))
            continue
        path = parse_path(text)
        paths[name] = path or ()
        if path is None:
            problems.append(
                Problem(
                    f"{field}.{name}",
                    f"is {text!r}; write a path like $.detail.object.key, $.resources[0] or $.detail.row[*].id",
                )
            )
    return paths, problems
