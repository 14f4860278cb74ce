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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mwaa_gateway.json_values import dig

__all__ = [
    "CALLBACK_DETAIL_TYPE",
    "CALLBACK_SOURCE",
    "WAKE",
    "ExecutionEnd",
    "Notices",
    "Wake",
    "read_notices",
]

WAKE: Final = "wake"
CALLBACK_SOURCE: Final = "mwaa-gateway.callbacks"
CALLBACK_DETAIL_TYPE: Final = "DAG Run Ended"
_STATUS_CHANGE: Final = ("aws.states", "Step Functions Execution Status Change")
_CALLBACK: Final = (CALLBACK_SOURCE, CALLBACK_DETAIL_TYPE)
_TICK: Final = ("aws.events", "Scheduled Event")
_NEXT: Final = "next"
_OVER: Final = ("ABORTED", "FAILED", "SUCCEEDED", "TIMED_OUT")


@dataclass(frozen=True, slots=True)
class Wake:
    """A state began to wait; `message` is the notice's place in the batch, `deliveries` its receive count."""

    message: int
    deliveries: int


@dataclass(frozen=True, slots=True)
class ExecutionEnd:
    """An execution is over; `message` and `deliveries` as in `Wake`."""

    message: int
    deliveries: int
    execution_arn: str


@dataclass(frozen=True, slots=True)
class Notices:
    """One batch: ended executions, run_ids of runs that may have ended, and the newest wake.

    `unreadable` lists (message id, problem) for each message that is not a notice.
    """

    messages: int
    ends: tuple[ExecutionEnd, ...] = ()
    ended_runs: tuple[str, ...] = ()
    wake: Wake | None = None
    unreadable: tuple[tuple[str, str], ...] = ()

    @property
    def ended_executions(self) -> tuple[str, ...]:
        """ARNs of the executions that are over."""
        return tuple(end.execution_arn for end in self.ends)


def read_notices(records: Sequence[Mapping[str, Any]]) -> Notices:
    """Read the records of one SQS event."""
    ends: list[ExecutionEnd] = []
    runs: list[str] = []
    wake: Wake | None = None
    unreadable: list[tuple[str, str]] = []
    for place, record in enumerate(records):
        try:
            document = json.loads(record["body"])
        except (ValueError, RecursionError):
            unreadable.append((record["messageId"], "it is not JSON"))
            continue
        deliveries = int(record["attributes"]["ApproximateReceiveCount"])
        kind, round_ = (
            (dig(document, ("source",)), dig(document, ("detail-type",))),
            dig(document, ("round",)),
        )
        arn, run_id = dig(document, ("detail", "executionArn")), dig(document, ("detail", "run_id"))
        if kind == _STATUS_CHANGE and isinstance(arn, str):
            if dig(document, ("detail", "status")) in _OVER:
                ends.append(ExecutionEnd(place, deliveries, arn))
        elif kind == _CALLBACK and isinstance(run_id, str):
            runs.append(run_id)
        elif round_ == WAKE:
            wake = Wake(place, deliveries)
        elif kind in (_STATUS_CHANGE, _CALLBACK):
            unreadable.append((record["messageId"], f"{kind[1]}: it does not name what ended"))
        elif kind != _TICK and round_ != _NEXT:
            unreadable.append((record["messageId"], "it is no notice that this version of the watcher knows"))
    return Notices(len(records), tuple(ends), tuple(runs), wake, tuple(unreadable))
