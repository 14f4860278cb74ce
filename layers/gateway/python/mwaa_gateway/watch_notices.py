"""What comes over a watch queue: word that there is something to watch, or that something has ended.

    {"round": "wake", "tries": …}                         a state has begun to wait: make a round, until its watch is seen
    {"round": "next"}                                     the watcher's own: make a round, and another after that
    Step Functions Execution Status Change (aws.states)   an execution is over: nobody waits there any more
    DAG Run Ended (mwaa-gateway.callbacks)                a DAG's callback says that its run has ended: look at once

Nothing here is believed of a run: a notice has the watcher ask sooner, and Airflow says how it ended.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mwaa_gateway.payloads import dig

__all__ = ["CALLBACK_DETAIL_TYPE", "CALLBACK_SOURCE", "NEXT_ROUND", "WAKE", "Notices", "read_notices"]

NEXT_ROUND: Final = "next"
WAKE: Final = "wake"
CALLBACK_SOURCE: Final = "mwaa-gateway.callbacks"
CALLBACK_DETAIL_TYPE: Final = "DAG Run Ended"
_OVER: Final = ("ABORTED", "FAILED", "SUCCEEDED", "TIMED_OUT")


@dataclass(frozen=True, slots=True)
class Notices:
    """ARNs of executions that are over, and run_ids of runs that are said to have ended.

    `wakes` is how often word of a state that has begun to wait came before, where it came: 0 the first time, else None.
    `alone_since` is when the watcher's own message was sent, in seconds since the epoch, where there is no other; else None.
    """

    ended_executions: tuple[str, ...] = ()
    ended_runs: tuple[str, ...] = ()
    wakes: int | None = None
    alone_since: float | None = None


def read_notices(bodies: Sequence[str]) -> Notices:
    """Read the messages of one batch; what cannot be read is a round like any other."""
    executions: list[str] = []
    runs: list[str] = []
    wakes: int | None = None
    alone_since: float | None = None
    for body in bodies:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            continue
        if dig(document, ("round",)) == WAKE:
            tries = dig(document, ("tries",))
            tries = tries if isinstance(tries, int) else 0
            wakes = tries if wakes is None else min(wakes, tries)
        elif len(bodies) == 1 and dig(document, ("round",)) == NEXT_ROUND:
            sent_at = dig(document, ("sent_at",))
            alone_since = float(sent_at) if isinstance(sent_at, int | float) else None
        kind = (dig(document, ("source",)), dig(document, ("detail-type",)))
        if kind == ("aws.states", "Step Functions Execution Status Change"):
            arn = dig(document, ("detail", "executionArn"))
            if isinstance(arn, str) and dig(document, ("detail", "status")) in _OVER:
                executions.append(arn)
        elif kind == (CALLBACK_SOURCE, CALLBACK_DETAIL_TYPE):
            run_id = dig(document, ("detail", "run_id"))
            if isinstance(run_id, str):
                runs.append(run_id)
    return Notices(tuple(executions), tuple(runs), wakes, alone_since)
