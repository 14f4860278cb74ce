"""From an event to the conf of its run: the template of the target's input transformer, filled.

Values are put into the parsed template, never text into JSON: no key or message, whatever a stranger wrote,
can add a field or break out of one. A conf that cannot be what the rule's author meant is refused, never cut.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from mwaa_gateway.conf.input_transformer import ORIGIN_KEY, InputTransformer, Node, Text, Whole
from mwaa_gateway.conf.paths import MISSING, follow
from mwaa_gateway.errors import ConfError, ConfTooLarge, kind_of
from mwaa_gateway.events import Event

__all__ = ["MAXIMUM_CONF_BYTES", "ORIGIN_KEY", "build_conf", "conf_size", "origin_of"]

# The conf travels as one word of a command; a run whose conf is larger belongs into an object that the run
# reads.
MAXIMUM_CONF_BYTES: Final = 32 * 1024
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))


def origin_of(event: Event, *, rule_id: str, rule_version: int, target_id: str) -> dict[str, Any]:
    """Return where a run came from: what each conf carries under ORIGIN_KEY."""
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


def build_conf(
    target: Transforms,
    event: Event,
    origin: Mapping[str, Any],
    captured: Mapping[str, str] | None = None,
    *,
    now: float = 0.0,
    maximum_bytes: int = MAXIMUM_CONF_BYTES,
) -> dict[str, Any]:
    """Return the conf of the run that this event starts for this target.

    `origin` (where the run came from) is put under the reserved key `mwaa_gateway`; its `rule_id` also fills
    `<aws.events.rule-name>`. `captured` are the pieces that the rule's captures took; `now`, in seconds since the epoch,
    fills `<aws.events.event.ingestion-time>`.

    Raises:
        ConfTooLarge: The conf has more than `maximum_bytes` as ASCII JSON.
        ConfError: An object or list would have to be written into text, or the event has a field under the reserved key.
    """
    if target.input_transformer is None:
        conf = dict(event.envelope)
        if ORIGIN_KEY in conf:
            raise ConfError(
                f"the event has a field {ORIGIN_KEY!r}, where the conf says where it came from; give target "
                f"{target.id!r} an input_transformer that names the fields it needs"
            )
    else:
        given = {
            **(captured or {}),
            "aws.events.rule-name": str(origin["rule_id"]),
            "aws.events.event.ingestion-time": _iso(now),
        }
        conf = _Filling(target.id, target.input_transformer, event.envelope, given, maximum_bytes).conf()
    conf[ORIGIN_KEY] = dict(origin)
    size = conf_size(conf)
    if size > maximum_bytes:
        raise _too_large(target.id, f"{size}", maximum_bytes)
    return conf


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def conf_size(value: Any) -> int:
    """Return the bytes of a conf, or of a part of one, as the ASCII JSON that travels."""
    return len(_ENCODER.encode(value))


def _too_large(target_id: str, size: str, maximum_bytes: int) -> ConfTooLarge:
    remedy = ", or let the target say large_conf: claim_check" if maximum_bytes == MAXIMUM_CONF_BYTES else ""
    return ConfTooLarge(
        f"the conf of target {target_id!r} would have {size} bytes; at most {maximum_bytes} can be "
        f"passed. Name only the fields the DAG needs in its input_transformer{remedy}"
    )


# --- filling ------------------------------------------------------------------------------------------------


class _Filling:
    """One filling of one template; stops as soon as the values put in are too large together."""

    def __init__(
        self,
        target_id: str,
        transformer: InputTransformer,
        envelope: Mapping[str, Any],
        given: Mapping[str, str],
        maximum_bytes: int,
    ) -> None:
        self._target_id = target_id
        self._transformer = transformer
        self._envelope = envelope
        self._given = given
        self._found: dict[str, tuple[Any, int]] = {}
        self._maximum = self._left = maximum_bytes

    def conf(self) -> dict[str, Any]:
        conf: dict[str, Any] = self._fill(self._transformer.tree)
        return conf

    def _fill(self, node: Node) -> Any:
        match node:
            case Whole(name):
                return self._value(name)
            case Text(parts):
                return "".join(self._text(part.name) if isinstance(part, Whole) else part for part in parts)
            case dict():
                return {name: self._fill(child) for name, child in node.items()}
            case list():
                return [self._fill(child) for child in node]
            case _:
                return node

    def _value(self, name: str) -> Any:
        if name not in self._found:
            value = self._find(name)
            self._found[name] = value, conf_size(value)
        value, size = self._found[name]
        self._left -= size
        if self._left < 0:
            raise _too_large(self._target_id, f"more than {self._maximum - self._left - 1}", self._maximum)
        return value

    def _find(self, name: str) -> Any:
        if name in self._given:
            return self._given[name]
        match name:
            case "aws.events.event":
                return {field: value for field, value in self._envelope.items() if field != "detail"}
            case "aws.events.event.json":
                return self._envelope
            case _:
                found = follow(self._transformer.paths[name], self._envelope)
                return "" if found is MISSING else found

    def _text(self, name: str) -> str:
        value = self._value(name)
        if isinstance(value, str):
            return value
        if isinstance(value, Mapping | list):
            raise ConfError(
                f"<{name}> is {kind_of(value)} in this event, but stands inside text in the template of "
                f"target {self._target_id!r}; give it a field of its own, or let input_paths.{name} name one "
                "value in it"
            )
        return json.dumps(value)
