"""State machines: the states that wait for a run, by environment: one call for each environment."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway_cli.connection import Connection
from gateway_cli.console.gateway import Gateway
from mwaa_gateway.aws.dynamodb.values import attributes, text
from mwaa_gateway.aws.dynamodb.watch_items import WATCHES_INDEX

AT_ONCE: Final = 4  # environments of one page; others are a click away
_MOST: Final = 200  # waiting states of an environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A state of an execution that waits for a run. `is_decided`: the run has ended, and the state has no answer yet."""

    execution: str
    machine: str
    environment: str
    dag_id: str
    run_id: str
    since: float
    is_decided: bool


def listed(gateway: Gateway, environment: str = "") -> dict[str, Any]:
    """Return the waiting states of one environment, or of the first few, the longest wait first."""
    stack = gateway.stack()
    names = stack.value.environments if stack.value else ()
    tasks = None if stack.value is None else stack.value.parameters.get("StepFunctionsTasks") == "true"
    shown = [environment] if environment in names else list(names[:AT_ONCE])
    reading = gateway.read(f"waiting {' '.join(shown)}", lambda of: read_waiting(of, shown))
    waiting, is_whole = reading.value or (None, True)
    return {
        "waiting": waiting,
        "is_whole": is_whole,
        "tasks": tasks,
        "shown": shown,
        "names": names,
        "unread": list(dict.fromkeys(one.why for one in (stack, reading) if one.why)),
        "read_at": reading.at,
    }


def read_waiting(connection: Connection, environments: Sequence[str]) -> tuple[list[Waiting], bool]:
    """Read the waiting states, and whether those are all."""
    found: list[Waiting] = []
    is_whole = True
    for name in environments:
        answer: Any = connection.dynamodb.query(
            TableName=connection.stack_output("LedgerTableName"),
            IndexName=WATCHES_INDEX,
            KeyConditionExpression="watched_in = :watched_in",
            ExpressionAttributeValues=attributes({":watched_in": f"watch#{name}"}),
            Limit=_MOST,
        )
        is_whole = is_whole and "LastEvaluatedKey" not in answer
        found += map(_waiting, answer["Items"])
    return sorted(found, key=lambda one: one.since), is_whole


def _waiting(item: Any) -> Waiting:
    arn = text(item, "execution_arn")
    since = item.get("since", {}).get("N")
    return Waiting(
        execution=arn,
        machine=arn.split(":")[6] if arn.count(":") >= 7 else "",  # noqa: PLR2004  …:execution:MACHINE:NAME
        environment=text(item, "environment"),
        dag_id=text(item, "dag_id"),
        run_id=text(item, "run_id"),
        since=time.time() if since is None else float(since),
        is_decided="ending" in item,
    )
