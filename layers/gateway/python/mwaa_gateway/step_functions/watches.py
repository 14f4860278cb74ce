"""A watch: somebody waits for a DAG run to end. What it is, how it can end, and where watches lie.

    waiting ──the run ended, or never will run──▶ decided ──told───────────▶ closed
       │ ▲                                                                     │
       │ └───────────── the state is retried with a new token ─────────────────┤
       └──the execution is over──▶ decided, if its run is to end ──it has──────┘

The ending is kept before anybody is told, so that a watcher that dies in between tells the same again. The token is
kept sealed, until the watch is closed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mwaa_gateway.outcomes import Reason
from mwaa_gateway.step_functions.call import TaskCall, Token, Wait
from mwaa_gateway.trigger_request import TriggerRequest

__all__ = [
    "Callbacks",
    "Ending",
    "ExecutionOver",
    "Failed",
    "IdentityTaken",
    "Opened",
    "RequestState",
    "Succeeded",
    "TaskResult",
    "TokenClosed",
    "UnreadableWatch",
    "Watch",
    "WatchStore",
]


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The run succeeded; `output` is what the state gets."""

    output: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """The run failed, or will never run; `error` and `cause` are what the state's Catch sees.

    Errors: DagRunFailed, DagRunDeleted, DagRunRejected (the request is dead), DagRunNotRunnable (held, paused, stale).
    """

    error: str
    cause: Mapping[str, Any]

    @property
    def may_be_rerun(self) -> bool:
        """Whether a retry of the state may ask for another run: there was one, and it is over."""
        return self.error in ("DagRunFailed", "DagRunDeleted")


@dataclass(frozen=True, slots=True)
class ExecutionOver:
    """The execution that waited is over, since this time in seconds since the epoch; its run is to end with it.

    Nobody is told: it is kept so that the run is ended although that may take several rounds.
    """

    since: float


TaskResult = Succeeded | Failed
Ending = TaskResult | ExecutionOver


@dataclass(frozen=True, slots=True)
class Watch:
    """One wait for one run.

    `ledger_key` is its trigger request's; `since` is when the watch was first opened, in seconds since the epoch;
    `waiting_since` when the token it has now began to wait. `ending` is None while the run goes on; `decided_at` is when it
    was recorded, where a version that notes this did so.
    """

    ledger_key: tuple[str, str]
    environment: str
    dag_id: str
    run_id: str
    execution_arn: str
    token_mark: str
    wait: Wait
    since: float
    waiting_since: float
    ending: Ending | None = None
    decided_at: float | None = None


@dataclass(frozen=True, slots=True)
class UnreadableWatch:
    """An item among the watches that this version cannot read: its `key` in the table, and what is wrong with it."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Opened:
    """The watch is there; its run is that of `generation`, which is above 0 where a failed run is followed by another.

    `environment` and `dag_id` say whose run it is: of one that was asked for before, not always where its rule leads now.
    """

    generation: int
    environment: str
    dag_id: str


@dataclass(frozen=True, slots=True)
class IdentityTaken:
    """Another state that still waits has the same identity: two items of nested Maps, most likely."""


@dataclass(frozen=True, slots=True)
class RequestState:
    """What the ledger says of a trigger request: `open`, `triggered`, `held` or `dead`, and why.

    `unreadable`: its row could not be read; `text` says why.
    """

    state: str
    reason: Reason | None = None
    text: str = ""
    not_runnable: str = ""


class WatchStore(Protocol):
    """Where watches lie. Every call but `requests` raises Unavailable when it cannot answer."""

    def open(self, call: TaskCall, request: TriggerRequest, now: float) -> Opened | IdentityTaken:
        """Begin to wait, or go on with a new token, for the run of this request or of a later generation of it."""
        ...

    def watched(self, environment: str) -> Sequence[Watch | UnreadableWatch]:
        """Return every watch that is not closed, oldest first; one that cannot be read hides no other."""
        ...

    def requests(self, watches: Sequence[Watch]) -> Mapping[tuple[str, str], RequestState]:
        """Return what the ledger says of the watches' requests, by ledger key; one that has no row yet is missing.

        Never raises: a row that could not be read is `unreadable`, and hides no other.
        """
        ...

    def decide(self, watch: Watch, ending: Ending) -> bool:
        """Keep how it ended, before anybody is told; False when the watch has a newer token or is closed."""
        ...

    def token(self, watch: Watch) -> Token:
        """Unseal the token."""
        ...

    def close(self, watch: Watch, said: str) -> None:
        """Forget the token and stop watching, unless the watch has a newer token; `said` is for whoever looks it up."""
        ...


class Callbacks(Protocol):
    """Step Functions' side. Every call raises TokenClosed or Unavailable."""

    def send(self, token: Token, ending: TaskResult) -> None:
        """Tell how it ended."""
        ...

    def heartbeat(self, token: Token) -> None:
        """Tell that it goes on."""
        ...


class TokenClosed(Exception):
    """Step Functions takes nothing for this token any more: it was answered before, timed out, or never was one."""
