"""The operator's brake: a rule that is disabled, or an environment that is paused, starts no run; its requests are held.

It is asked before every attempt, and looked at anew every few seconds. Nothing rests on it: while it cannot be looked at,
what was known last counts, and a new sandbox that knows nothing goes ahead.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import Held, Reason

__all__ = ["PauseStore", "Pauses"]


class PauseStore(Protocol):
    """Where it is written who pulled which brake."""

    def holds(self, environment: str, rule_id: str) -> Mapping[Reason, str]:
        """Return why the environment's and the rule's requests are to be held, as they are now; empty where they are not.

        The keys are RULE_DISABLED and ENVIRONMENT_PAUSED; raises Unavailable when it cannot answer.
        """
        ...


@dataclass(slots=True)
class _Known:
    checked_at: float
    holds: Mapping[Reason, str] = field(default_factory=dict)


class Pauses:
    """One environment's brake and those of its rules, as one sandbox knows them: at most `refresh_seconds` old."""

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
        """Say whether the rule's requests are to be held, and why; mostly without I/O."""
        known = self._known.get(rule_id)
        if known is None or not 0 <= now - known.checked_at < self._refresh_seconds:
            self._look(rule_id, now)
        return next((Held(reason, text) for reason, text in self._known[rule_id].holds.items()), None)

    def is_over(self, held: Held, rule_id: str, now: float) -> bool:
        """Look whether the brake that held a request of the rule is pulled no more; False also where nobody can tell.

        Asked after each hold: whoever lifts a brake releases what is held by then, and a sandbox that learns of it only
        now would hold one request more, which nobody releases.
        """
        if held.reason not in (Reason.RULE_DISABLED, Reason.ENVIRONMENT_PAUSED):
            return False
        return self._look(rule_id, now) and held.reason not in self._known[rule_id].holds

    def _look(self, rule_id: str, now: float) -> bool:
        """Look, and remember it; False when there was no answer, which is not asked for again before the next refresh."""
        known = self._known.setdefault(rule_id, _Known(now))
        known.checked_at = now
        try:
            known.holds = self._store.holds(self._environment, rule_id)
        except Unavailable as error:
            self._report(str(error))
            return False
        return True
