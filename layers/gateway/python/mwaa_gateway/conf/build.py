"""From an event to the conf of its run: fills the template of the target's input transformer.

Values go into the parsed template, never into JSON text, so that untrusted text cannot add or break a field. A conf that
exceeds its limit is an error, never truncated.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol

from mwaa_gateway.conf.batch_values import MEMBERS, BatchValues
from mwaa_gateway.conf.input_transformer import ORIGIN_KEY, InputTransformer, Node, Text, Whole
from mwaa_gateway.conf.paths import MISSING, follow
from mwaa_gateway.errors import ConfError, ConfTooLarge, kind_of
from mwaa_gateway.events import Event

# The conf is one word of an Airflow command; larger ones become claim checks.
MAXIMUM_CONF_BYTES: Final = 32 * 1024
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))


def origin_of(event: Event, *, rule_id: str, rule_version: int, target_id: str) -> dict[str, Any]:
    """Return the event, rule and target of a run: the value of ORIGIN_KEY in its conf."""
    return {
        "event_id": event.id,
        "event_time": event.envelope["time"],
        "source": event.envelope["source"],
        "detail_type": event.envelope["detail-type"],
        "rule_id": rule_id,
        "rule_version": rule_version,
        "target_id": target_id,
        "generation": 0,
    }


class ConfTarget(Protocol):
    """The part of a rule's target that determines the conf."""

    @property
    def id(self) -> str:
        """The target's id, for error texts."""

    @property
    def input_transformer(self) -> InputTransformer | None:
        """The input transformer; None makes the event itself the conf."""


def build_conf(
    target: ConfTarget,
    event: Event,
    origin: Mapping[str, Any],
    captured: Mapping[str, str] | None = None,
    *,
    batch: BatchValues | None = None,
    now: float = 0.0,
    maximum_bytes: int = MAXIMUM_CONF_BYTES,
) -> dict[str, Any]:
    """Return the conf of the run that this event starts for this target.

    `origin` describes the event and rule of the run, under the reserved key `mwaa_gateway`; its `rule_id` also fills
    `<aws.events.rule-name>`. `captured` are the pieces of the rule's captures. `now`, in seconds since the epoch, fills
    `<aws.events.event.ingestion-time>`. A `batch` is added to the origin, and fills `<batch.…>`; its list of members is left
    out, as null, where it would make the conf too large for a command.

    Raises:
        ConfTooLarge: The conf has more than `maximum_bytes` as ASCII JSON.
        ConfError: A placeholder inside text has an object or list, or the event has a field with the reserved name.
    """
    if target.input_transformer is None:
        conf = dict(event.envelope)
        if ORIGIN_KEY in conf:
            raise ConfError(
                f"the event has a field {ORIGIN_KEY!r}, a name that the gateway reserves in every conf; give target "
                f"{target.id!r} an input_transformer that names the fields it needs"
            )
    else:
        given = {
            **(captured or {}),
            "aws.events.rule-name": str(origin["rule_id"]),
            "aws.events.event.ingestion-time": _iso(now),
            **(batch.placeholders() if batch else {}),
        }
        transformer = target.input_transformer

        def find(name: str) -> Any:
            if name == MEMBERS and batch is not None:
                return _members(target.id, transformer, batch, maximum_bytes // 2)
            return _value_in(event.envelope, name, given, transformer)

        conf = _Filling(target.id, find, maximum_bytes).fill(transformer.tree)
    conf[ORIGIN_KEY] = dict(origin) | ({} if batch is None else {"batch": batch.facts})
    if batch is not None and conf_size(conf) > MAXIMUM_CONF_BYTES:
        conf[ORIGIN_KEY]["batch"] = without_members(batch.facts)
        if target.input_transformer is None and conf_size(conf) > MAXIMUM_CONF_BYTES:
            conf["detail"] = without_members(batch.facts)
    size = conf_size(conf)
    if size > maximum_bytes:
        raise _too_large(target.id, f"{size}", maximum_bytes)
    return conf


def without_members(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a batch without the list of its members, which the manifest has."""
    return {**facts, "members": None}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def conf_size(value: Any) -> int:
    """Return the size of a conf, or of a part of one, in bytes of ASCII JSON."""
    return len(_ENCODER.encode(value))


def _too_large(target_id: str, size: str, maximum_bytes: int) -> ConfTooLarge:
    remedy = ", or set large_conf: claim_check for the target" if maximum_bytes == MAXIMUM_CONF_BYTES else ""
    return ConfTooLarge(
        f"the conf of target {target_id!r} would have {size} bytes; at most {maximum_bytes} are allowed. "
        f"Name only the fields the DAG needs in its input_transformer{remedy}"
    )


# --- filling ------------------------------------------------------------------------------------------------


class _Filling:
    """Fills templates with the values that `find` returns by name; stops as soon as they exceed the size limit."""

    def __init__(self, target_id: str, find: Callable[[str], Any], maximum_bytes: int) -> None:
        self._target_id = target_id
        self._find = find
        self._values: dict[str, tuple[Any, int]] = {}  # by name, with their sizes
        self._maximum = self._left = maximum_bytes

    def fill(self, node: Node) -> Any:
        """Return the tree with its values."""
        match node:
            case Whole(name):
                return self._value(name)
            case Text(parts):
                return "".join(self._text(part.name) if isinstance(part, Whole) else part for part in parts)
            case dict():
                return {name: self.fill(child) for name, child in node.items()}
            case list():
                return [self.fill(child) for child in node]
            case _:
                return node

    def _value(self, name: str) -> Any:
        if name not in self._values:
            value = self._find(name)
            self._values[name] = value, conf_size(value)
        value, size = self._values[name]
        self._left -= size
        if self._left < 0:
            raise _too_large(self._target_id, f"more than {self._maximum - self._left - 1}", self._maximum)
        return value

    def _text(self, name: str) -> str:
        value = self._value(name)
        if isinstance(value, str):
            return value
        if isinstance(value, Mapping | list):
            raise ConfError(
                f"<{name}> is {kind_of(value)} in this event, but inside text in the template of target "
                f"{self._target_id!r}; give it a field of its own, or write a path to one value in it as "
                f"input_paths.{name}"
            )
        return json.dumps(value)


def _value_in(
    envelope: Mapping[str, Any], name: str, given: Mapping[str, Any], transformer: InputTransformer
) -> Any:
    if name in given:
        return given[name]
    match name:
        case "aws.events.event":
            return {field: value for field, value in envelope.items() if field != "detail"}
        case "aws.events.event.json":
            return envelope
        case _:
            found = follow(transformer.paths[name], envelope)
            return "" if found is MISSING else found


def _members(
    target_id: str, transformer: InputTransformer, batch: BatchValues, maximum_bytes: int
) -> list[Any] | None:
    """Return each member of the batch in the form of the member template; None if the list exceeds the limit."""
    if batch.lines is None:
        return None
    members: list[Any] = []
    left = maximum_bytes
    for line in batch.lines:
        member: Any = line
        if transformer.member_template is not None:
            filling = _Filling(target_id, partial(_value_in_line, line, transformer), left)
            try:
                member = filling.fill(transformer.member_tree)
            except ConfTooLarge:
                return None
        left -= conf_size(member) + 1  # a comma
        if left < 0:
            return None
        members.append(member)
    return members


def _value_in_line(line: Mapping[str, Any], transformer: InputTransformer, name: str) -> Any:
    found = follow(transformer.paths[name], line) if name.startswith("$") else line.get(name, "")
    return "" if found is MISSING else found
