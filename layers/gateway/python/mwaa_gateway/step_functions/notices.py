"""What comes over a watch queue: that there is something to watch, that something has ended, or that a minute has passed.

    {"round": "wake"}                                     a state has begun to wait: make rounds until its watch is seen
    Scheduled Event (aws.events)                          once a minute: make a round, whatever became of the one before
    Step Functions Execution Status Change (aws.states)   an execution is over: nobody waits there any more
    DAG Run Ended (mwaa-gateway.callbacks)                a DAG's callback says that its run has ended: look at once
    {"round": "next"}                                     of version 0.1.0, whose watcher asked itself for the next round

A notice only makes the watcher ask Airflow sooner; how a run ended, Airflow says. A message that is none of these is
reported, and starts a round like any other.
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
    """A state has begun to wait; `message` is the notice's place in the batch, `deliveries` how often SQS delivered it."""

    message: int
    deliveries: int


@dataclass(frozen=True, slots=True)
class ExecutionEnd:
    """An execution is over; `message` and `deliveries` as of a wake."""

    message: int
    deliveries: int
    execution_arn: str


@dataclass(frozen=True, slots=True)
class Notices:
    """One batch: ends of executions, run_ids of runs that may have ended, and the newest wake.

    `unreadable` says of each message that is no notice what is wrong with it, by its message id.
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
            unreadable.append((record["messageId"], f"{kind[1]}: it does not name what has ended"))
        elif kind != _TICK and round_ != _NEXT:
            unreadable.append((record["messageId"], "it is no kind of notice that the watcher knows"))
    return Notices(len(records), tuple(ends), tuple(runs), wake, tuple(unreadable))
