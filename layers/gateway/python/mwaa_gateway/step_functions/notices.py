"""The messages of a watch queue.

    {"round": "wake"}                                     a state began to wait: run rounds until its watch is visible
    Scheduled Event (aws.events)                          once a minute: run a round, even if the last one failed
    Step Functions Execution Status Change (aws.states)   an execution is over: none of its states waits any more
    DAG Run Ended (mwaa-gateway.callbacks)                a DAG's callback reports the end of its run: ask Airflow now
    {"round": "next"}                                     from version 0.1.0, whose watcher sent itself the next round

A notice only makes the watcher ask Airflow sooner; how a run ended, Airflow says. Any other message is reported, and
starts a round too.
"""

import json
from collections.abc import Sequence
from typing import Final

from mwaa_gateway.json_values import dig
from mwaa_gateway.queue_message import QueueMessage
from mwaa_gateway.values import value

WAKE: Final = "wake"
CALLBACK_SOURCE: Final = "mwaa-gateway.callbacks"
CALLBACK_DETAIL_TYPE: Final = "DAG Run Ended"
_STATUS_CHANGE: Final = ("aws.states", "Step Functions Execution Status Change")
_CALLBACK: Final = (CALLBACK_SOURCE, CALLBACK_DETAIL_TYPE)
_TICK: Final = ("aws.events", "Scheduled Event")
_NEXT: Final = "next"
_OVER: Final = ("ABORTED", "FAILED", "SUCCEEDED", "TIMED_OUT")


@value
class ExecutionEnd:
    """An execution is over, according to this message."""

    message: QueueMessage
    execution_arn: str


@value
class Notices:
    """One batch: its messages, ended executions, run_ids of runs that may have ended, and the newest wake.

    `unreadable` lists (message id, problem) for each message that is not a notice.
    """

    messages: Sequence[QueueMessage]
    ends: tuple[ExecutionEnd, ...] = ()
    ended_runs: tuple[str, ...] = ()
    wake: QueueMessage | None = None
    unreadable: tuple[tuple[str, str], ...] = ()

    @property
    def ended_executions(self) -> tuple[str, ...]:
        """ARNs of the executions that are over."""
        return tuple(end.execution_arn for end in self.ends)


def read_notices(messages: Sequence[QueueMessage]) -> Notices:
    """Read one batch."""
    ends: list[ExecutionEnd] = []
    runs: list[str] = []
    wake: QueueMessage | None = None
    unreadable: list[tuple[str, str]] = []
    for message in messages:
        try:
            document = json.loads(message.body)
        except (ValueError, RecursionError):
            unreadable.append((message.id, "it is not JSON"))
            continue
        kind = (dig(document, ("source",)), dig(document, ("detail-type",)))
        round_ = dig(document, ("round",))
        arn, run_id = dig(document, ("detail", "executionArn")), dig(document, ("detail", "run_id"))
        if kind == _STATUS_CHANGE and isinstance(arn, str):
            if dig(document, ("detail", "status")) in _OVER:
                ends.append(ExecutionEnd(message, arn))
        elif kind == _CALLBACK and isinstance(run_id, str):
            runs.append(run_id)
        elif round_ == WAKE:
            wake = message
        elif kind in (_STATUS_CHANGE, _CALLBACK):
            unreadable.append((message.id, f"{kind[1]}: it does not name what ended"))
        elif kind != _TICK and round_ != _NEXT:
            unreadable.append((message.id, "it is no notice that this version of the watcher knows"))
    return Notices(messages, tuple(ends), tuple(runs), wake, tuple(unreadable))
