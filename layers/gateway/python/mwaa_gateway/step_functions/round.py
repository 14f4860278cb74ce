"""One round of the watcher, while it is made and when it is: who waits in it, and what it came to."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mwaa_gateway.step_functions.watches import TaskResult, UnreadableWatch, Watch

__all__ = ["FailedStep", "Round", "Stopped"]


@dataclass(frozen=True, slots=True)
class Stopped:
    """A watch that is closed, as its execution is over. `marked`: its run was marked failed; `goes_on`: why it was not."""

    watch: Watch
    marked: bool = False
    goes_on: str = ""


@dataclass(frozen=True, slots=True)
class FailedStep:
    """What could not be done for one watch, and why; `again_at` is when it may be tried again."""

    watch: Watch
    step: str
    text: str
    again_at: float


@dataclass(slots=True, kw_only=True)
class Round:
    """What one round came to.

    It `began` with these `watches`, in seconds since the epoch; `waiting` are those of them whose end is not known yet, and
    `untold` those whose end is recorded and not answered yet, by token mark. `failures` are the steps that failed in this
    round, `mistakes` the questions about a whole DAG that did, `unreadable` the items to report; `unanswered` counts the
    watches that something fails for. `next_at` is when the next question or heartbeat is due, in seconds since the epoch; 0
    where a state is still to be answered, or a run to be ended.
    """

    began: float
    watches: Sequence[Watch]
    waiting: dict[str, Watch] = field(default_factory=dict)
    untold: dict[str, Watch] = field(default_factory=dict)
    unreadable: list[UnreadableWatch] = field(default_factory=list)
    told: list[tuple[Watch, TaskResult]] = field(default_factory=list)
    abandoned: list[Watch] = field(default_factory=list)
    stopped: list[Stopped] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    failures: list[FailedStep] = field(default_factory=list)
    unstopped: set[str] = field(
        default_factory=set
    )  # executions that are over, and of which that could not be recorded
    given_up: list[tuple[Watch, str]] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    unanswered: int = 0
    heartbeats: int = 0
    questions: int = 0  # to Airflow: commands or calls, but for further pages
    next_at: float = 0.0

    @property
    def found(self) -> int:
        """How many watches there were."""
        return len(self.watches)

    @property
    def watched(self) -> int:
        """How many watches are left: with none, no further round is needed."""
        ended = len(self.told) + len(self.abandoned) + len(self.stopped) + len(self.given_up)
        return self.found - ended

    def waits_no_more(self, watch: Watch) -> None:
        """Nobody waits with the watch's token any more."""
        self.waiting.pop(watch.token_mark, None)
        self.untold.pop(watch.token_mark, None)
