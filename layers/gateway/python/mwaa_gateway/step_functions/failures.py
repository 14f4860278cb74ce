"""One bad watch stops nobody: what fails for a watch is kept with it, tried again ever more seldom, and at last given up.

    a step for one watch fails ─────▶ reported and counted; the round goes on with the others
    the same step, later ───────────▶ after 5 s, then twice as long each time, 10 minutes at the longest
    a heartbeat ────────────────────▶ at least as often as heartbeats are due
    a read of the ledger ───────────▶ at least once a minute: it is cheap, and may fail for all watches at once
    an answer refused for 24 hours ─▶ given up with its reason, and closed: the state's own timeouts end it

What is known of failures is this sandbox's: a new one tries everything at once. Since when an answer is due is in the watch.
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mwaa_gateway.errors import Unavailable
from mwaa_gateway.step_functions.round import FailedStep, Round
from mwaa_gateway.step_functions.watches import UnreadableWatch, Watch

__all__ = ["GIVEN_UP_SECONDS", "Step", "WatchFailures", "described"]

FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 600.0
LONGEST_LOOK_UP_PAUSE_SECONDS: Final = 60.0
GIVEN_UP_SECONDS: Final = 86_400.0  # after the run's end was recorded
GRACE_SECONDS: Final = 0.5  # a little early is better than a whole round late


class Step(StrEnum):
    """What is done for one watch; the text completes "could not …"."""

    HEARTBEAT = "send the heartbeat"
    LOOK_UP = "read what became of the request"
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
    """One environment's watches that something failed for; `now` gives seconds since the epoch."""

    now: Callable[[], float]
    _failures: dict[tuple[str, Step], _Failure] = field(default_factory=dict)  # by token mark
    _reported: dict[str, float] = field(default_factory=dict)  # items that cannot be read, by key

    def begin(self, made: Round) -> None:
        """A round begins: forget what is not watched any more."""
        marks = {watch.token_mark for watch in made.watches}
        self._failures = {key: failure for key, failure in self._failures.items() if key[0] in marks}

    @contextmanager
    def apart(self, watch: Watch, step: Step, made: Round) -> Iterator[None]:
        """Do one step for one watch; whatever it raises is recorded, and ends here."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  the boundary: a mistake that concerns one watch costs no other its answer
            self._record(watch, step, described(error), made)
        else:
            self._failures.pop((watch.token_mark, step), None)

    def is_due(self, watch: Watch, step: Step) -> bool:
        """Whether the step may be tried now."""
        return self.now() >= self.again_at(watch, step) - GRACE_SECONDS

    def again_at(self, watch: Watch, step: Step) -> float:
        """Return when the step may be tried again, in seconds since the epoch; 0 if it has not failed."""
        failure = self._failures.get((watch.token_mark, step))
        return failure.again_at if failure else 0.0

    def since(self, watch: Watch, step: Step) -> float:
        """Return since when the step fails in this sandbox."""
        failure = self._failures.get((watch.token_mark, step))
        return failure.since if failure else self.now()

    def to_report(self, unreadable: Sequence[UnreadableWatch]) -> list[UnreadableWatch]:
        """Return those of the items that cannot be read which were not reported in the last ten minutes."""
        now = self.now()
        old = {key: at for key, at in self._reported.items() if now - at < LONGEST_PAUSE_SECONDS}
        self._reported = {item.key: old.get(item.key, now) for item in unreadable}
        return [item for item in unreadable if item.key not in old]

    def next_due(self) -> float:
        """Return when the first of the failed steps may be tried again; infinity if none has failed."""
        return min((failure.again_at for failure in self._failures.values()), default=float("inf"))

    def count(self) -> int:
        """Return how many watches something fails for."""
        return len({mark for mark, _ in self._failures})

    def _record(self, watch: Watch, step: Step, text: str, made: Round) -> None:
        now = self.now()
        failure = self._failures.setdefault((watch.token_mark, step), _Failure(now, 0, now))
        failure.tries += 1
        longest = LONGEST_PAUSE_SECONDS
        if step is Step.HEARTBEAT:
            longest = min(longest, watch.wait.heartbeat_seconds / 3)
        elif step is Step.LOOK_UP:
            longest = LONGEST_LOOK_UP_PAUSE_SECONDS
        failure.again_at = now + min(longest, FIRST_PAUSE_SECONDS * 2 ** min(failure.tries - 1, 10))
        made.failures.append(FailedStep(watch, step, text, failure.again_at))


def described(error: Exception) -> str:
    """Say what went wrong. Only our own errors are quoted: another's text may hold a token."""
    if isinstance(error, Unavailable):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"a mistake in the gateway: {type(error).__name__} in {frame.name}, line {frame.lineno} of {frame.filename}"
