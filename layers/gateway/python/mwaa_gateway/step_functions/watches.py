"""A watch: a state waits for a DAG run to end. What a watch is, how it ends, and where it is stored.

    waiting ──the run ended, or never will run──▶ ending recorded ──state answered──▶ closed
       │ ▲                                                                              │
       │ └───────────── the state is retried with a new token ──────────────────────────┤
       └──the execution is over──▶ ending recorded, if its run must end ──it has ended──┘

The ending is recorded before the state is answered, so that a watcher that dies in between gives the same answer again.
The token is stored encrypted until the watch is closed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mwaa_gateway.outcomes import Reason
from mwaa_gateway.step_functions.task_call import TaskCall, Token, Wait
from mwaa_gateway.trigger_request import TriggerRequest
from mwaa_gateway.values import value


@value
class Succeeded:
    """The run succeeded; `output` becomes the state's output."""

    output: Mapping[str, Any]


@value
class Failed:
    """The run failed, or will never run; the state's Catch sees `error` and `cause`.

    Errors: DagRunFailed, DagRunDeleted, DagRunRejected (the request is dead), DagRunNotRunnable (held, paused, stale).
    """

    error: str
    cause: Mapping[str, Any]

    @property
    def may_be_rerun(self) -> bool:
        """Whether a retry of the state may request another run: this one existed, and is over."""
        return self.error in ("DagRunFailed", "DagRunDeleted")


@value
class ExecutionOver:
    """The execution that waited is over since this time, in seconds since the epoch; its run must end with it.

    No state is answered. The record lets the watcher end the run over several rounds.
    """

    since: float


TaskResult = Succeeded | Failed
Ending = TaskResult | ExecutionOver


@value
class Watch:
    """One wait for one run. Times are in seconds since the epoch.

    `ledger_key` is the key of its trigger request; `since` is when the watch was first opened, `waiting_since` when its
    current token began to wait. `ending` is None until the run ends; `decided_at` is when the ending was recorded, None if
    a version before this field recorded it.
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


@value
class UnreadableWatch:
    """A stored watch that this version cannot read: its `key` in the table, and the problem."""

    key: str
    text: str


@value
class Opened:
    """The watch is open; its run is that of `generation`, above 0 if another run follows a failed one.

    `environment` and `dag_id` are those of the run: for an earlier request they may differ from the rule's current target.
    """

    generation: int
    environment: str
    dag_id: str


@value
class IdentityTaken:
    """Another waiting state has the same identity, most likely another item of nested Maps."""


@value
class RequestState:
    """The ledger's state of a trigger request: `open`, `triggered`, `held` or `dead`, and why.

    `unreadable`: the row could not be read; `text` says why.
    """

    state: str
    reason: Reason | None = None
    text: str = ""
    not_runnable: str = ""


class WatchStore(Protocol):
    """Where watches are stored. Every call but `requests` raises Unavailable when it cannot answer."""

    def open(self, call: TaskCall, request: TriggerRequest, now: float) -> Opened | IdentityTaken:
        """Open a watch on the run of this request or of a later generation, or continue it with a new token."""

    def watched(self, environment: str) -> Sequence[Watch | UnreadableWatch]:
        """Return every open watch, oldest first; an unreadable one hides no other."""

    def requests(self, watches: Sequence[Watch]) -> Mapping[tuple[str, str], RequestState]:
        """Return the ledger's state of the watches' requests, by ledger key; a request without a row is left out.

        Never raises: a row that could not be read is `unreadable`, and hides no other.
        """

    def record_ending(self, watch: Watch, ending: Ending) -> bool:
        """Record how the wait ends, before the state is answered; False if the watch has a newer token or is closed."""

    def token(self, watch: Watch) -> Token:
        """Return the decrypted token."""

    def close(self, watch: Watch, note: str) -> None:
        """Delete the token and close the watch, unless it has a newer token; `note` tells a reader of the table why."""


class Callbacks(Protocol):
    """Step Functions' API. Every call raises TokenClosed or Unavailable."""

    def send(self, token: Token, ending: TaskResult) -> None:
        """Send the result to the state."""

    def heartbeat(self, token: Token) -> None:
        """Send a heartbeat."""


class TokenClosed(Exception):
    """Step Functions accepts nothing more for this token: it was answered, has timed out, or never existed."""
