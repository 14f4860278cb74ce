"""Heartbeats: who is owed word that somebody looks after its run, in time for the state's HeartbeatSeconds.

Step Functions counts from the state's entry, and from each heartbeat anew. Three are sent in that time, so that one that
is late or lost fails no state.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from mwaa_gateway.watches import Watch

__all__ = ["Heartbeats"]

HEARTBEATS_PER_TIMEOUT: Final = 3


@dataclass(slots=True)
class Heartbeats:
    """What a sandbox knows of the heartbeats of its watches; `now` gives seconds since the epoch."""

    now: Callable[[], float]
    _heard: dict[str, float] = field(
        default_factory=dict
    )  # by token mark: when Step Functions last heard of it

    def watch_over(self, waiting: Collection[Watch]) -> None:
        """These are waited for now, and no others."""
        now = self.now()
        # Who has just begun is owed none yet. Of others that are new here a sandbox before this one sent the last, when is
        # not known: they are due at once.
        self._heard = {
            watch.token_mark: self._heard.get(
                watch.token_mark, max(watch.waiting_since, now - _interval(watch))
            )
            for watch in waiting
        }

    def due(self, waiting: Collection[Watch]) -> list[Watch]:
        """Return those of them that are owed one now, the most urgent first."""
        now = self.now()
        due = [watch for watch in waiting if now >= self._heard[watch.token_mark] + _interval(watch)]
        return sorted(due, key=lambda watch: self._heard[watch.token_mark] + watch.wait.heartbeat_seconds)

    def next_due(self, waiting: Collection[Watch]) -> float:
        """Return when the next of them will be owed one, in seconds since the epoch; infinity where nobody waits."""
        return min(
            (self._heard[watch.token_mark] + _interval(watch) for watch in waiting), default=float("inf")
        )

    def sent(self, watch: Watch) -> None:
        """Step Functions took one now."""
        self._heard[watch.token_mark] = self.now()


def _interval(watch: Watch) -> float:
    return watch.wait.heartbeat_seconds / HEARTBEATS_PER_TIMEOUT
