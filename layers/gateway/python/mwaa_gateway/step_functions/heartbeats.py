"""Heartbeats: word to each state that waits that somebody looks after its run, in time for its HeartbeatSeconds.

Step Functions counts from the state's entry, and from each heartbeat anew. Three are sent in that time, so that one that
is late or lost fails no state. One that is refused says that nobody waits any more. A state whose run has ended, and that
cannot be answered for now, gets them too.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from mwaa_gateway.step_functions.aborts import EVENT_SECONDS
from mwaa_gateway.step_functions.failures import Step, WatchFailures
from mwaa_gateway.step_functions.round import Round
from mwaa_gateway.step_functions.watches import Callbacks, TokenClosed, Watch, WatchStore

__all__ = ["Heartbeats"]

HEARTBEATS_PER_TIMEOUT: Final = 3
BREAK_EVERY_SECONDS: Final = 5.0  # of asking and telling: then what has become due of heartbeats,
BREAK_SECONDS: Final = 2.0  # for so long


@dataclass(slots=True, kw_only=True)
class Heartbeats:
    """What a sandbox knows of the heartbeats of its watches; `now` gives seconds since the epoch."""

    store: WatchStore
    callbacks: Callbacks
    failures: WatchFailures
    now: Callable[[], float]
    # By token mark: when Step Functions last heard of it, and since when it refuses to.
    _heard: dict[str, float] = field(default_factory=dict)
    _refused: dict[str, float] = field(default_factory=dict)
    _break_at: float = 0.0

    def begin(self, made: Round) -> None:
        """A round begins: these are waited for now, and no others."""
        now = self.now()
        # Who has just begun is owed none yet. Of others that are new here a sandbox before this one sent the last, when is
        # not known: they are due at once.
        self._heard = {
            watch.token_mark: self._heard.get(
                watch.token_mark, max(watch.waiting_since, now - _interval(watch))
            )
            for watch in (*made.waiting.values(), *made.untold.values())
        }
        marks = {watch.token_mark for watch in made.watches}
        self._refused = {mark: since for mark, since in self._refused.items() if mark in marks}

    def send(self, made: Round, *, until: float) -> None:
        """Send those that are due, as long as there is time; a new sandbox may owe one to everybody."""
        for watch in self._due([*made.waiting.values(), *made.untold.values()]):
            if self.now() >= until:
                break  # the others are more urgent the next time
            self._send(watch, made)
        self._break_at = self.now() + BREAK_EVERY_SECONDS

    def interrupt(self, made: Round) -> None:
        """Interrupt a long round for those that have become due in it."""
        if self.now() >= self._break_at:
            self.send(made, until=self.now() + BREAK_SECONDS)

    def next_due(self, waiting: Collection[Watch]) -> float:
        """Return when the next of them will be owed one, in seconds since the epoch; infinity where nobody waits."""
        return min(map(self._due_at, waiting), default=float("inf"))

    def _due_at(self, watch: Watch) -> float:
        owed_at = self._heard[watch.token_mark] + _interval(watch)
        return max(owed_at, self.failures.again_at(watch, Step.HEARTBEAT))

    def _due(self, waiting: Collection[Watch]) -> list[Watch]:
        """Return those of them that are owed one now, the most urgent first; after them those whose last one failed."""
        now = self.now()
        return sorted(
            (watch for watch in waiting if now >= self._due_at(watch)),
            key=lambda watch: (
                self.failures.again_at(watch, Step.HEARTBEAT) > 0,
                self._heard[watch.token_mark] + watch.wait.heartbeat_seconds,
            ),
        )

    def _send(self, watch: Watch, made: Round) -> None:
        """Send one; where nobody waits for the run any more, the watch ends."""
        with self.failures.apart(watch, Step.HEARTBEAT, made):
            try:
                self.callbacks.heartbeat(self.store.token(watch))
            except TokenClosed as closed:
                self._refused_by(closed, watch, made)
            else:
                self._heard[watch.token_mark] = self.now()
                made.heartbeats += 1

    def _refused_by(self, closed: TokenClosed, watch: Watch, made: Round) -> None:
        made.waits_no_more(watch)
        refused = self._refused.setdefault(watch.token_mark, self.now())
        # Of a run that is to end with its execution it has to be known whether that is over, or the state alone.
        if watch.wait.on_abort != "fail_run" or self.now() - refused >= EVENT_SECONDS:
            self.store.close(watch, f"nobody waits any more: {closed}")
            made.abandoned.append(watch)


def _interval(watch: Watch) -> float:
    return watch.wait.heartbeat_seconds / HEARTBEATS_PER_TIMEOUT
