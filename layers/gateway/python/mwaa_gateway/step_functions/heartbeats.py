"""Heartbeats: they keep each waiting state alive within its HeartbeatSeconds.

Step Functions counts from the state's entry, and again from each heartbeat. The watcher sends three in that time, so that
one late or lost heartbeat fails no state. A refused heartbeat means that the state no longer waits. A state whose run has
ended and that cannot be answered yet gets heartbeats too.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from mwaa_gateway.step_functions.aborts import EVENT_SECONDS
from mwaa_gateway.step_functions.failed_steps import Step, WatchFailures
from mwaa_gateway.step_functions.round_report import Reporting, RoundReport
from mwaa_gateway.step_functions.watches import Callbacks, TokenClosed, Watch, WatchStore

HEARTBEATS_PER_TIMEOUT: Final = 3
BREAK_EVERY_SECONDS: Final = 5.0  # a long round pauses this often to send the heartbeats that are due,
BREAK_SECONDS: Final = 2.0  # for this long


@dataclass(slots=True, kw_only=True)
class Heartbeats:
    """The heartbeats that one sandbox sent; `now` returns seconds since the epoch."""

    store: WatchStore
    callbacks: Callbacks
    failures: WatchFailures
    now: Callable[[], float]
    # By token mark: the last heartbeat, and the first refusal.
    _last_sent_at: dict[str, float] = field(default_factory=dict)
    _refused_since: dict[str, float] = field(default_factory=dict)
    _break_at: float = 0.0

    def begin(self, watches: Sequence[Watch], waiting: Collection[Watch]) -> None:
        """Start a round of these watches: note whose states wait now, and forget the others."""
        now = self.now()
        # A wait that has just begun is not due yet. For an older one that this sandbox does not know, an earlier sandbox
        # sent the last heartbeat, at an unknown time: it is due at once.
        self._last_sent_at = {
            watch.token_mark: self._last_sent_at.get(
                watch.token_mark, max(watch.waiting_since, now - _interval(watch))
            )
            for watch in waiting
        }
        marks = {watch.token_mark for watch in watches}
        self._refused_since = {mark: since for mark, since in self._refused_since.items() if mark in marks}

    def send(self, waiting: Collection[Watch], *, until: float) -> Reporting[None]:
        """Send the heartbeats that are due until `until`; in a new sandbox all may be due."""
        for watch in self._due(waiting):
            if self.now() >= until:
                break  # the others come first the next time
            yield from self.failures.isolate(watch, Step.HEARTBEAT, self._send(watch))
        self._break_at = self.now() + BREAK_EVERY_SECONDS

    def interrupt(self, waiting: Collection[Watch]) -> Reporting[None]:
        """Interrupt a long round to send the heartbeats that are due by now."""
        if self.now() >= self._break_at:
            yield from self.send(waiting, until=self.now() + BREAK_SECONDS)

    def is_refused(self, watch: Watch) -> bool:
        """Whether Step Functions refused a heartbeat for the watch's token."""
        return watch.token_mark in self._refused_since

    def next_due(self, waiting: Collection[Watch]) -> float:
        """Return when the next heartbeat is due, in seconds since the epoch; infinity if no state waits."""
        return min(map(self._due_at, waiting), default=float("inf"))

    def _due_at(self, watch: Watch) -> float:
        due_at = self._last_sent_at[watch.token_mark] + _interval(watch)
        return max(due_at, self.failures.again_at(watch, Step.HEARTBEAT))

    def _due(self, waiting: Collection[Watch]) -> list[Watch]:
        """Return the watches whose heartbeat is due, most urgent first, and last those whose last heartbeat failed."""
        now = self.now()
        return sorted(
            (watch for watch in waiting if now >= self._due_at(watch)),
            key=lambda watch: (
                self.failures.again_at(watch, Step.HEARTBEAT) > 0,
                self._last_sent_at[watch.token_mark] + watch.wait.heartbeat_seconds,
            ),
        )

    def _send(self, watch: Watch) -> Reporting[None]:
        """Send one heartbeat; close the watch if the state no longer waits."""
        try:
            self.callbacks.heartbeat(self.store.token(watch))
        except TokenClosed as closed:
            refused = self._refused_since.setdefault(watch.token_mark, self.now())
            # With `fail_run` it matters whether the whole execution is over or only the state: wait for the event.
            if watch.wait.on_abort != "fail_run" or self.now() - refused >= EVENT_SECONDS:
                self.store.close(watch, f"no state waits any more: {closed}")
                yield RoundReport(abandoned=(watch,))
            return
        self._last_sent_at[watch.token_mark] = self.now()
        yield RoundReport(heartbeats=1)


def _interval(watch: Watch) -> float:
    return watch.wait.heartbeat_seconds / HEARTBEATS_PER_TIMEOUT
