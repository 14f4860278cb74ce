"""Tests the gateway with events: rules of namespace `certify`, events that match them, and their rows in the ledger.

`clean_up` removes everything that this module creates, and reports what it cannot remove.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar, Final, Self, TypeVar

from gateway_cli.certify.canary import CANARY_DAG_ID
from gateway_cli.certify.judging import RowSeen
from gateway_cli.connection import Connection
from gateway_cli.ledger_rows import LedgerRow, LedgerRows
from gateway_cli.namespaces.store import StoredNamespace
from gateway_cli.rules.store import RuleMissing
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.rules.allow_lists import EVERY_NAMESPACE, Namespace
from mwaa_gateway.trigger_request import event_hash, identity_of

Answer = TypeVar("Answer")

NAMESPACE: Final = "certify"
SOURCE: Final = "mwaa-gateway.certify"
DETAIL_TYPE: Final = "Certify"
TRIES: Final = 3
_SETTLED: Final = ("triggered", "dead", "held")


class NotAsked(Exception):
    """The stack lacks something that the question needs; the text says what, `remedy` what to do."""

    def __init__(self, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.remedy = remedy


class CannotAsk(NotAsked):
    """The question cannot be asked: its answer is unknown."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An event that was sent: its `id`, the identity that the gateway gives it, and the rule that matches it."""

    id: str
    identity: str
    rule_id: str

    @classmethod
    def of_event(cls, event_id: str, rule_id: str) -> Self:
        """An event in EventBridge's envelope."""
        return cls(event_id, identity_of("eventbridge", event_id), rule_id)


@dataclass
class GatewayProbe:
    """One environment of a gateway. `stamp` names this certification; `patience` is the time limit of one answer."""

    connection: Connection
    environment: str
    stamp: str
    patience: float
    left_behind: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    wrote_rules: bool = False
    poll_seconds: ClassVar[float] = 1.0
    # A function's rules are at most 5 s old: after that, an event for which it found no rule is sent again.
    again_seconds: ClassVar[float] = 6.0
    _undo: list[tuple[str, Callable[[], object]]] = field(default_factory=list)

    # ------------------------------------------------------------------------------------------------------ rules
    def rule_id(self, kind: str) -> str:
        """Return the id of the rule for a kind of event."""
        return f"{NAMESPACE}.{self.environment.lower()}-{kind}"

    def own_events(self, field: str) -> Mapping[str, Any]:
        """Return the pattern of this certification's events that have its stamp in a field of their detail."""
        return {"source": [SOURCE], "detail-type": [DETAIL_TYPE], "detail": {field: [self.stamp]}}

    def write_rule(self, kind: str, pattern: Mapping[str, Any], **more: Any) -> str:
        """Write a rule that starts the canary, through the rules store as `rules apply` does; return its id."""
        rule_id = self.rule_id(kind)
        paths = more.pop("paths", {"seconds": "$.detail.seconds"})
        document = {
            "id": rule_id,
            "description": "Of `mwaa-gateway environments certify`, which deletes it at the end",
            "pattern": pattern,
            "target": {
                "environment": self.environment,
                "dag_id": CANARY_DAG_ID,
                "input_transformer": {
                    "input_paths": paths,
                    "input_template": {name: f"<{name}>" for name in paths},
                },
            },
            "maximum_event_age": "30m",
            **more,
        }
        rule = parse_rule(document, environments=self.connection.environments)
        self._allow()
        problems = self.connection.namespaces.namespaces().permits(rule)
        if problems:
            refused = "; ".join(map(str, problems))
            raise CannotAsk(
                f"the allow-list of namespace {NAMESPACE!r} refuses its rules: {refused}",
                f"Allow it, or delete the list (`mwaa-gateway namespaces delete {NAMESPACE}`)",
            )
        self.undo_later(f"rule {rule_id}", lambda: self._delete_rule(rule_id))
        self.connection.store.put(rule, by=self._by, now=datetime.now(UTC))
        self.wrote_rules = True
        return rule_id

    def _delete_rule(self, rule_id: str) -> None:
        with suppress(RuleMissing):  # interrupted before it was written
            self.connection.store.delete(rule_id, by=self._by, now=datetime.now(UTC))

    def _allow(self) -> None:
        """If `*` has an allow-list and `certify` has none, write one for `certify` until the cleanup."""
        store = self.connection.namespaces
        stored = store.everything()
        if NAMESPACE in stored or EVERY_NAMESPACE not in stored:
            return
        everything = Namespace.parse(
            {
                "namespace": NAMESPACE,
                "sources": ["*"],
                "environments": [self.environment],
                "dag_ids": [CANARY_DAG_ID],
            }
        )
        self.undo_later(f"allow-list of namespace {NAMESPACE}", self._disallow)
        store.put(everything, StoredNamespace(NAMESPACE), by=self._by, now=datetime.now(UTC))

    def _disallow(self) -> None:
        if (stored := self.connection.namespaces.everything().get(NAMESPACE)) is not None:
            self.connection.namespaces.delete(stored, by=self._by, now=datetime.now(UTC))

    @cached_property
    def _by(self) -> str:
        return self.connection.caller

    # ---------------------------------------------------------------------------------------------------- outcomes
    def follow(self, source: str, send: Callable[[], Sent], *, dies: bool = False) -> RowSeen:
        """Send an event, again if the function had no rule for it yet, and wait for its outcome."""
        begun = time.monotonic()
        end = begun + self.patience
        for tries in range(1, TRIES + 1):
            sent = send()
            if self._arrives(
                sent, end if tries == TRIES else min(end, time.monotonic() + self.again_seconds)
            ):
                break
            if time.monotonic() >= end:
                break
        return self.outcome(source, sent, begun, end, dies=dies)

    def _arrives(self, sent: Sent, end: float) -> bool:
        return self.wait_for(lambda: self.row(sent), end) is not None

    def outcome(self, source: str, sent: Sent, begun: float, end: float, *, dies: bool = False) -> RowSeen:
        """Wait for the outcome of an event; with `dies` its death is expected, and the caller removes the dead letter."""
        self.wait_for(lambda: (row := self.row(sent)) is not None and row.state in _SETTLED, end)
        row, seconds = self.row(sent), time.monotonic() - begun
        if row is None:
            return RowSeen(source, "", seconds=seconds)
        if row.state == "triggered":
            self.runs.append(row.run_id)
        elif row.state == "dead" and not dies:
            self.left_behind.append(f"a dead letter (`mwaa-gateway dlq purge --rule {sent.rule_id}`)")
        elif row.state == "held":
            self.left_behind.append(f"a held request (`mwaa-gateway held cancel --rule {sent.rule_id}`)")
        elif row.state == "open":
            self.left_behind.append(
                "an open request: the gateway retries it for 30 minutes, then it becomes a dead letter of its rule "
                f"(`mwaa-gateway dlq purge --rule {sent.rule_id}`)"
            )
        return RowSeen(source, row.state, row.reason, row.text, seconds)

    def row(self, sent: Sent) -> LedgerRow | None:
        """Return the ledger's row of an event; None if there is none yet."""
        found = self.ledger.of_event(event_hash(sent.identity))
        return next((row for row in found if row.rule_id == sent.rule_id), None)

    @cached_property
    def ledger(self) -> LedgerRows:
        """The ledger's rows."""
        return LedgerRows(self.connection.dynamodb, self.connection.stack_output("LedgerTableName"))

    def wait_for(self, probe: Callable[[], Answer | None], end: float) -> Answer | None:
        """Return the first truthy answer of a probe, or None once it is later than `end` by the monotonic clock."""
        while True:
            if answer := probe():
                return answer
            if time.monotonic() >= end:
                return None
            time.sleep(min(self.poll_seconds, max(0.05, end - time.monotonic())))

    # ------------------------------------------------------------------------------------------------------ the end
    def undo_later(self, what: str, undo: Callable[[], object]) -> tuple[str, Callable[[], object]]:
        """Register how to remove a resource, before creating it; a rule is registered once."""
        step = (what, undo)
        if not any(known == what and what.startswith("rule ") for known, _ in self._undo):
            self._undo.append(step)
        return step

    def undo_now(self, step: tuple[str, Callable[[], object]]) -> None:
        """Undo one step; if that fails, the cleanup tries it again."""
        step[1]()
        self.forget(step)

    def forget(self, step: tuple[str, Callable[[], object]]) -> None:
        """Drop a step whose resource does not exist (any more)."""
        self._undo.remove(step)

    def clean_up(self) -> None:
        """Undo everything, newest first; report a step that fails, and continue with the others."""
        while self._undo:
            what, undo = self._undo[-1]
            try:
                undo()
            except Exception as error:  # noqa: BLE001  whatever it is, the rest is removed
                self.left_behind.append(f"{what}: not removed ({type(error).__name__}): remove it by hand")
            self._undo.pop()  # only now: interrupted, it is undone by the next call
