"""One round of the watcher: the watches it began with, and its results so far."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mwaa_gateway.step_functions.watches import TaskResult, UnreadableWatch, Watch

__all__ = ["FailedStep", "Round", "Stopped"]


@dataclass(frozen=True, slots=True)
class Stopped:
    """A watch closed because its execution is over. `marked`: its run is marked failed; `not_marked`: why it is not."""

    watch: Watch
    marked: bool = False
    not_marked: str = ""


@dataclass(frozen=True, slots=True)
class FailedStep:
    """A step that failed for one watch, and why; `again_at` is when it may be tried again."""

    watch: Watch
    step: str
    text: str
    again_at: float


@dataclass(slots=True, kw_only=True)
class Round:
    """The state and the results of one round. All times are in seconds since the epoch.

    The round `began` with these `watches`. `waiting` are those whose run has not ended, `unanswered` those whose ending is
    recorded and not sent yet, both by token mark. `failures` are the failed steps of this round, `bugs` the queries about a
    whole DAG that raised, `unreadable` the items to report; `failing` counts the watches with a failed step, the unreadable
    items, and the DAGs whose last query raised. `unrecorded_ends` are executions that are over and could not be recorded as
    such. `next_at` is when the next query or heartbeat is due; 0 if a state still must be answered, or a run ended.
    """

    began: float
    watches: Sequence[Watch]
    waiting: dict[str, Watch] = field(default_factory=dict)
    unanswered: dict[str, Watch] = field(default_factory=dict)
    unreadable: list[UnreadableWatch] = field(default_factory=list)
    answered: list[tuple[Watch, TaskResult]] = field(default_factory=list)
    abandoned: list[Watch] = field(default_factory=list)
    stopped: list[Stopped] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    failures: list[FailedStep] = field(default_factory=list)
    unrecorded_ends: set[str] = field(default_factory=set)
    given_up: list[tuple[Watch, str]] = field(default_factory=list)
    bugs: list[str] = field(default_factory=list)
    failing: int = 0
    heartbeats: int = 0
    questions: int = 0  # commands or calls to Airflow, not counting further pages
    next_at: float = 0.0

    @property
    def found(self) -> int:
        """The number of watches at the start."""
        return len(self.watches)

    @property
    def watched(self) -> int:
        """The number of watches left: with none, no further round is needed."""
        ended = len(self.answered) + len(self.abandoned) + len(self.stopped) + len(self.given_up)
        return self.found - ended

    def remove_waiting(self, watch: Watch) -> None:
        """Note that no state waits with the watch's token any more."""
        self.waiting.pop(watch.token_mark, None)
        self.unanswered.pop(watch.token_mark, None)
