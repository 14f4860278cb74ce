"""One round of the watcher, while it is made and when it is: who waits in it, and what it came to."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mwaa_gateway.watches import Told, Watch

__all__ = ["Round", "Stopped"]


@dataclass(frozen=True, slots=True)
class Stopped:
    """A watch that is closed, as its execution is over. `marked`: its run was marked failed; `goes_on`: why it was not."""

    watch: Watch
    marked: bool = False
    goes_on: str = ""


@dataclass(slots=True, kw_only=True)
class Round:
    """What one round came to.

    It `began` with these `watches`, in seconds since the epoch; `waiting` are those of them whose end is not known yet, by
    token mark. `next_at` is when the next question or heartbeat is due, in seconds since the epoch; 0 where somebody is left
    to be told, or a run to be ended.
    """

    began: float
    watches: Sequence[Watch]
    waiting: dict[str, Watch] = field(default_factory=dict)
    told: list[tuple[Watch, Told]] = field(default_factory=list)
    abandoned: list[Watch] = field(default_factory=list)
    stopped: list[Stopped] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
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
        return self.found - len(self.told) - len(self.abandoned) - len(self.stopped)
