"""Isolation: a failure for one watch delays only that watch. It is retried with a growing pause, and given up after a day.

    a step for one watch fails ─────▶ reported and counted; the round continues with the others
    the same step, later ───────────▶ after 5 s, then twice as long each time, at most 10 minutes
    a heartbeat ────────────────────▶ at least as often as heartbeats are due
    a read of the ledger ───────────▶ at least once a minute: it is cheap, and may fail for all watches at once
    an answer refused for 24 hours ─▶ given up with its reason, and closed: the state's own timeouts end it

A sandbox remembers only its own failures; a new one tries everything at once. The watch itself records since when its
answer is due.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mwaa_gateway.backoff import growing_pause
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.step_functions.round_report import GRACE_SECONDS, FailedStep, Found, Reporting, RoundReport
from mwaa_gateway.step_functions.watches import UnreadableWatch, Watch

FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 600.0
LONGEST_LOOK_UP_PAUSE_SECONDS: Final = 60.0
GIVEN_UP_SECONDS: Final = 86_400.0  # after the run's end was recorded


class Step(StrEnum):
    """A step for one watch. The text completes "could not …", and is the log field `reason`."""

    HEARTBEAT = "send the heartbeat"
    LOOK_UP = "read the state of the request"
    RECORD = "find out and record how the run ended"
    ANSWER = "answer the state"
    STOP = "stop the wait of an execution that is over"
    END_RUN = "end the run of an execution that is over"


@dataclass(slots=True)
class _Failure:
    since: float
    tries: int
    again_at: float


@dataclass(slots=True)
class WatchFailures:
    """The failed steps of one environment's watches; `now` returns seconds since the epoch."""

    now: Callable[[], float]
    _failures: dict[tuple[str, Step], _Failure] = field(default_factory=dict)  # by token mark
    _reported: dict[str, float] = field(default_factory=dict)  # unreadable items: by key, when reported

    def begin(self, watches: Sequence[Watch]) -> None:
        """Start a round: forget the watches that are gone."""
        marks = {watch.token_mark for watch in watches}
        self._failures = {key: failure for key, failure in self._failures.items() if key[0] in marks}

    def isolate(self, watch: Watch, step: Step, work: Reporting[Found]) -> Reporting[Found | FailedStep]:
        """Run one step for one watch, and return what it found; report and return its failure instead of raising it."""
        try:
            found = yield from work
        except Exception as error:  # noqa: BLE001  the boundary: a bug that concerns one watch costs no other its answer
            failed = self._record(watch, step, describe(error))
            yield RoundReport(failures=(failed,))
            return failed
        self._failures.pop((watch.token_mark, step), None)
        return found

    def is_due(self, watch: Watch, step: Step) -> bool:
        """Whether the step may be tried now."""
        return self.now() >= self.again_at(watch, step) - GRACE_SECONDS

    def again_at(self, watch: Watch, step: Step) -> float:
        """Return when the step may be tried again, in seconds since the epoch; 0 if it has not failed."""
        failure = self._failures.get((watch.token_mark, step))
        return failure.again_at if failure else 0.0

    def since(self, watch: Watch, step: Step) -> float:
        """Return since when the step has failed in this sandbox."""
        failure = self._failures.get((watch.token_mark, step))
        return failure.since if failure else self.now()

    def take_unreported(self, unreadable: Sequence[UnreadableWatch]) -> tuple[UnreadableWatch, ...]:
        """Take the unreadable items to report: those that were not taken in the last ten minutes."""
        now = self.now()
        old = {key: at for key, at in self._reported.items() if now - at < LONGEST_PAUSE_SECONDS}
        self._reported = {item.key: old.get(item.key, now) for item in unreadable}
        return tuple(item for item in unreadable if item.key not in old)

    def next_due(self) -> float:
        """Return when the first failed step may be tried again; infinity if none has failed."""
        return min((failure.again_at for failure in self._failures.values()), default=float("inf"))

    def count(self) -> int:
        """Return the number of watches with a failed step."""
        return len({mark for mark, _ in self._failures})

    def _record(self, watch: Watch, step: Step, text: str) -> FailedStep:
        now = self.now()
        failure = self._failures.setdefault((watch.token_mark, step), _Failure(now, 0, now))
        failure.tries += 1
        longest = LONGEST_PAUSE_SECONDS
        if step is Step.HEARTBEAT:
            longest = min(longest, watch.wait.heartbeat_seconds / 3)
        elif step is Step.LOOK_UP:
            longest = LONGEST_LOOK_UP_PAUSE_SECONDS
        failure.again_at = now + growing_pause(failure.tries, FIRST_PAUSE_SECONDS, longest)
        return FailedStep(watch, step, text, failure.again_at)


def describe(error: Exception) -> str:
    """Describe the error. Only the gateway's own texts are quoted: another library's text may contain a token."""
    if isinstance(error, Unavailable):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"bug in the gateway: {type(error).__name__} in {frame.name}, line {frame.lineno} of {frame.filename}"
    )
