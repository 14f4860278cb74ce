"""Pauses: the requests of a disabled rule, and those of a paused environment, are held instead of started.

The dispatcher asks before every attempt and reads the pauses anew every few seconds. They are no safeguard of exactly
once: while they cannot be read, the last known state counts, and a new sandbox that knows none goes ahead.

The same read says whether objects may be claimed (`dispatch.object_claims`). That is a safeguard: while it cannot be read,
they may be.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import Held, HeldReason, Reason
from mwaa_gateway.values import value


@value
class PausesRead:
    """Why requests of an environment and rule must be held, by reason; and whether objects may be claimed.

    The reasons are RULE_DISABLED and ENVIRONMENT_PAUSED; none if the requests need not be held.
    """

    holds: Mapping[HeldReason, str]
    may_be_claimed: bool = False


class PauseStore(Protocol):
    """Where the pauses of rules and environments are stored."""

    def read(self, environment: str, rule_id: str) -> PausesRead:
        """Return the pauses of this environment and rule; raises Unavailable when it cannot answer."""


@dataclass(slots=True)
class _Known:
    checked_at: float
    holds: Mapping[HeldReason, str] = field(default_factory=dict)
    may_be_claimed: bool = True


class Pauses:
    """The pauses of one environment and its rules as one sandbox knows them, at most `refresh_seconds` old."""

    def __init__(
        self,
        environment: str,
        store: PauseStore,
        *,
        refresh_seconds: float,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._environment = environment
        self._report = report
        self._store = store
        self._refresh_seconds = refresh_seconds
        self._known: dict[str, _Known] = {}

    def holds(self, rule_id: str, now: float) -> Held | None:
        """Return why the rule's requests must be held, or None; mostly without I/O."""
        known = self._known.get(rule_id)
        if known is None or not 0 <= now - known.checked_at < self._refresh_seconds:
            self._read(rule_id, now)
        return next((Held(reason, text) for reason, text in self._known[rule_id].holds.items()), None)

    def may_be_claimed(self, rule_id: str) -> bool:
        """Return whether a command may have claimed objects, as of the last `holds`; True if that is unknown."""
        return rule_id not in self._known or self._known[rule_id].may_be_claimed

    def is_over(self, held: Held, rule_id: str, now: float) -> bool:
        """Read whether the pause that a request is held for has ended; False also if that cannot be read.

        The dispatcher asks after each hold: the command that ends a pause releases the requests held by then, and a
        sandbox that learns of the end only now would otherwise hold one more, which nothing releases.
        """
        if held.reason not in (Reason.RULE_DISABLED, Reason.ENVIRONMENT_PAUSED):
            return False
        return self._read(rule_id, now) and held.reason not in self._known[rule_id].holds

    def _read(self, rule_id: str, now: float) -> bool:
        """Read and remember the pauses; False without an answer, which counts as a reading until the next refresh."""
        known = self._known.setdefault(rule_id, _Known(now))
        known.checked_at = now
        try:
            found = self._store.read(self._environment, rule_id)
        except Unavailable as error:
            known.may_be_claimed = True
            self._report(str(error))
            return False
        known.holds, known.may_be_claimed = found.holds, found.may_be_claimed
        return True
