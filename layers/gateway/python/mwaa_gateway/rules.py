"""A routing rule: which events it is about, and what each of them starts."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from mwaa_gateway.errors import InvalidPattern, InvalidRule, Problem
from mwaa_gateway.input_transformer import InputTransformer, validate_transformer
from mwaa_gateway.patterns import Pattern, compile_pattern

__all__ = ["OWN_SOURCE", "Rule", "Target", "parse_rule"]

OWN_SOURCE: Final = "mwaa-gateway"  # the source of the gateway's own events; a rule on them could feed itself
MAXIMUM_TARGETS: Final = 5
MAXIMUM_EVENT_AGE_SECONDS: Final = 3 * 24 * 3600  # the trigger queue keeps a message for four days

State = Literal["ENABLED", "DISABLED"]


@dataclass(frozen=True, slots=True)
class Target:
    """What an event starts: a DAG of an environment, with a conf. The id is part of the run's identity."""

    id: str
    environment: str
    dag_id: str
    input_transformer: InputTransformer | None = None
    when_paused: Literal["queue"] = "queue"

    def document(self) -> dict[str, Any]:
        """Return the target as it stands in a rule, nothing left to a default."""
        written: dict[str, Any] = {"id": self.id, "environment": self.environment, "dag_id": self.dag_id}
        if self.input_transformer is not None:
            written["input_transformer"] = self.input_transformer.document()
        return written | {"when_paused": self.when_paused}


@dataclass(frozen=True, slots=True)
class Rule:
    """One routing rule, checked.

    `version` is the one it has in the rules table, 0 outside of it. A rule whose `maximum_event_age_seconds`
    is None leaves it to the environment's dispatcher.
    """

    id: str
    description: str
    state: State
    pattern: Pattern
    targets: tuple[Target, ...]
    maximum_event_age_seconds: int | None = None
    version: int = 0

    def document(self) -> dict[str, Any]:
        """Return the rule as JSON, sugar and defaults resolved; `parse_rule` of it gives an equal rule."""
        written: dict[str, Any] = {"id": self.id}
        if self.description:
            written["description"] = self.description
        written["state"] = self.state
        written["pattern"] = self.pattern.document
        written["targets"] = [target.document() for target in self.targets]
        if self.maximum_event_age_seconds is not None:
            written["maximum_event_age"] = _duration(self.maximum_event_age_seconds)
        return written


def parse_rule(
    document: Mapping[str, Any], *, environments: Collection[str] | None, version: int = 0
) -> Rule:
    """Check a rule as its author wrote it and resolve what is sugar.

    `environments` are the names the gateway knows; None leaves the names unchecked.

    Raises:
        InvalidRule: The rule cannot be used; holds every problem, each with its field and what to write
        instead.
    """
    reading = _Reading(environments)
    rule = reading.rule(document, version)
    if reading.problems or rule is None:
        rule_id = document.get("id") if isinstance(document, Mapping) else None
        raise InvalidRule(rule_id if isinstance(rule_id, str) else "?", tuple(reading.problems))
    return rule


# Known names, and those that a later release brings: refused by name, never ignored.
_RULE_FIELDS: Final = (
    "id",
    "description",
    "state",
    "pattern",
    "s3",
    "targets",
    "target",
    "maximum_event_age",
)
_RULE_FIELDS_LATER: Final = ("captures", "dedupe_key", "on_replay", "collect")
_TARGET_FIELDS: Final = ("id", "environment", "dag_id", "input_transformer", "when_paused")
_TARGET_FIELDS_LATER: Final = ("large_conf",)

_RULE_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
_TARGET_ID: Final = re.compile(r"[a-z0-9_-]{1,40}")
_ENVIRONMENT: Final = re.compile(r"[a-zA-Z][0-9a-zA-Z_-]{0,79}")
_DAG_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,250}")
_AGE: Final = re.compile(r"([1-9][0-9]{0,6})([smhd])")
_SECONDS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_BUCKET: Final = re.compile(r"[A-Za-z0-9._-]{3,255}")


class _Reading:
    """One reading of one rule; what is wrong is added to `problems` and reading goes on."""

    def __init__(self, environments: Collection[str] | None) -> None:
        self._environments = environments
        self.problems: list[Problem] = []

    def rule(self, document: object, version: int) -> Rule | None:
        if not isinstance(document, Mapping):
            self._refuse("", "a rule is an object with id, pattern and targets")
            return None
        self._fields(document, "", _RULE_FIELDS, _RULE_FIELDS_LATER)
        rule_id = self._id(document)
        description = document.get("description", "")
        if not isinstance(description, str):
            self._refuse("description", f"is {description!r}; write text")
        state = self._state(document.get("state", "ENABLED"))
        pattern = self._pattern(document)
        targets = self._targets(document)
        age = self._age(document["maximum_event_age"]) if "maximum_event_age" in document else None
        if self.problems or pattern is None:
            return None
        return Rule(rule_id, description, state, pattern, targets, age, version)

    def _id(self, document: Mapping[str, Any]) -> str:
        rule_id = self._text(
            document,
            "id",
            "",
            _RULE_ID,
            "a-z, 0-9, '.', '_' and '-', at most 80, beginning with a letter or digit",
        )
        if ".." in rule_id:
            self._refuse(
                "id",
                f"is {rule_id!r}; write single dots: the id becomes part of a run_id, where '..' is refused",
            )
        return rule_id

    def _state(self, state: object) -> State:
        match state:
            case "ENABLED" | "DISABLED":
                return state
            case "SHADOW":
                self._refuse("state", "SHADOW is not supported yet; write ENABLED or DISABLED")
            case _:
                self._refuse("state", f"is {state!r}; write ENABLED or DISABLED")
        return "DISABLED"

    # --- pattern

    def _pattern(self, document: Mapping[str, Any]) -> Pattern | None:
        if ("pattern" in document) == ("s3" in document):
            self._refuse(
                "pattern",
                "write either `pattern` (an event pattern) or `s3` (s3://bucket/key), and only one of them",
            )
            return None
        field = "pattern" if "pattern" in document else "s3"
        written = document["pattern"] if field == "pattern" else self._s3_pattern(document["s3"])
        if field == "s3" and written is None:
            return None
        if not isinstance(written, Mapping):
            self._refuse(field, "Filter is not an object; write an event pattern, as in {source: [aws.s3]}")
            return None
        try:
            pattern = compile_pattern(written)
        except InvalidPattern as error:
            self._refuse(field, str(error))
            return None
        for branch in pattern.branches:
            if OWN_SOURCE in (dict(branch)["source"].strings if "source" in dict(branch) else ()):
                self._refuse(
                    field,
                    f"matches source {OWN_SOURCE!r}, the gateway's own events: it could start itself",
                )
                break
        return pattern

    def _s3_pattern(self, written: object) -> dict[str, Any] | None:
        """Return the event pattern of uploads to `s3://bucket/key`; `*` is any run of characters, `/` too."""
        match = (
            re.fullmatch(r"s3://([^/]*)(?:/(.*))?", written, re.DOTALL) if isinstance(written, str) else None
        )
        if match is None or not _BUCKET.fullmatch(match[1]):
            self._refuse(
                "s3", f"is {written!r}; write s3://bucket/key, where * in the key is any run of characters"
            )
            return None
        bucket, key = match[1], match[2] or "*"
        detail: dict[str, Any] = {"bucket": {"name": [bucket]}}
        if key != "*":
            detail["object"] = {"key": [_key_pattern(key)]}
        return {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": detail}

    # --- targets

    def _targets(self, document: Mapping[str, Any]) -> tuple[Target, ...]:
        if ("targets" in document) == ("target" in document):
            self._refuse(
                "targets", "write either `targets` (a list) or `target` (one, with the id `default`)"
            )
            return ()
        if "target" in document:
            return (self._target(document["target"], "target", default_id="default"),)
        written = document["targets"]
        if not isinstance(written, list) or not 1 <= len(written) <= MAXIMUM_TARGETS:
            self._refuse("targets", f"must be a list of 1 to {MAXIMUM_TARGETS} targets")
            return ()
        targets = tuple(
            self._target(target, f"targets[{position}]", default_id=None)
            for position, target in enumerate(written)
        )
        seen: set[str] = set()
        for position, target in enumerate(targets):
            if target.id in seen and target.id:
                self._refuse(
                    f"targets[{position}].id", f"{target.id!r} is taken by another target; give each its own"
                )
            seen.add(target.id)
        return targets

    def _target(self, written: object, field: str, default_id: str | None) -> Target:
        if not isinstance(written, Mapping):
            self._refuse(field, "must be an object with environment and dag_id")
            return Target("", "", "")
        self._fields(written, f"{field}.", _TARGET_FIELDS, _TARGET_FIELDS_LATER)
        if default_id is not None:
            written = {"id": default_id, **written}
        target_id = self._text(written, "id", field, _TARGET_ID, "a-z, 0-9, '_' and '-', at most 40")
        environment = self._text(
            written,
            "environment",
            field,
            _ENVIRONMENT,
            "the name of an MWAA environment: letters, digits, '_' and '-'",
        )
        known = self._environments
        if environment and known is not None and environment not in known:
            hint = _nearest(environment, known) or f"known are: {', '.join(sorted(known)) or 'none'}"
            self._refuse(
                f"{field}.environment", f"{environment!r} is not an environment of this gateway; {hint}"
            )
        dag_id = self._text(
            written, "dag_id", field, _DAG_ID, "letters, digits, '_', '.' and '-', at most 250"
        )
        transformer = None
        if "input_transformer" in written:
            transformer, problems = validate_transformer(
                written["input_transformer"], field=f"{field}.input_transformer", target_id=target_id
            )
            self.problems += problems
        match written.get("when_paused", "queue"):
            case "queue":
                pass
            case "hold" | "reject" as later:
                self._refuse(f"{field}.when_paused", f"{later} is not supported yet; write queue")
            case other:
                self._refuse(f"{field}.when_paused", f"is {other!r}; write queue")
        return Target(target_id, environment, dag_id, transformer)

    # --- small things

    def _age(self, written: object) -> int | None:
        match = _AGE.fullmatch(written) if isinstance(written, str) else None
        seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
        if not 0 < seconds <= MAXIMUM_EVENT_AGE_SECONDS:
            self._refuse("maximum_event_age", f"is {written!r}; write 30s, 15m, 24h or 3d, at most 3d")
            return None
        return seconds

    def _text(
        self, written: Mapping[str, Any], name: str, where: str, form: re.Pattern[str], words: str
    ) -> str:
        """Return a required text field, "" where it is refused."""
        field = f"{where}.{name}" if where else name
        value = written.get(name)
        if value is None:
            self._refuse(field, f"is missing; write {words}")
        elif not isinstance(value, str) or not form.fullmatch(value):
            self._refuse(field, f"is {value!r}; write {words}")
        else:
            return value
        return ""

    def _fields(
        self, written: Mapping[str, Any], where: str, known: Collection[str], later: Collection[str]
    ) -> None:
        for name in written:
            if name in later:
                self._refuse(f"{where}{name}", "is not supported yet; remove it")
            elif name not in known:
                hint = _nearest(name, (*known, *later)) or f"known are: {', '.join(known)}"
                self._refuse(f"{where}{name}", f"is an unknown field; {hint}")

    def _refuse(self, field: str, message: str) -> None:
        self.problems.append(Problem(field, message))


def _key_pattern(key: str) -> Any:
    """Return the simplest pattern for a key with `*` in it."""
    if "\\" not in key:
        head, star, tail = key.partition("*")
        if not star:
            return key
        if not tail:
            return {"prefix": head}
        if not head and "*" not in tail:
            return {"suffix": tail}
    return {"wildcard": key}


def _nearest(name: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def _duration(seconds: int) -> str:
    """Write seconds in the largest unit that holds them without a rest."""
    unit = next(unit for unit, length in _SECONDS.items() if seconds % length == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"
