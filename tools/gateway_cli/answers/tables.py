"""The items of the ledger that an answer reads."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from gateway_cli.answers.evidence import Circuit, RequestRow
from gateway_cli.answers.trail import TrailLine, seconds
from gateway_cli.connection import Connection
from gateway_cli.ledger_rows import request_of
from mwaa_gateway.aws.dynamodb.batch_get import batch_get
from mwaa_gateway.aws.dynamodb.values import Item, attributes, ledger_key, text
from mwaa_gateway.observability.trail import resource_of

_GATE: Final = "gate"
_GENERATION: Final = re.compile(r"__r(\d{1,4})$")


def request_key(line: TrailLine) -> Item:
    """Return the ledger's key of the request that a line is about; a rerun's generation ends its run_id."""
    rerun = _GENERATION.search(line.run_id)
    generation = rerun[1] if rerun else "0"
    return ledger_key(line.identity, f"{line.rule_id}#{line.target_id}#{generation}")


def circuit_keys(places: Iterable[tuple[str, str]]) -> list[Item]:
    """Return the keys of the circuit breakers of environments and DAGs; those of `dag_id` "" are the environments' only."""
    names: dict[str, None] = {}
    for environment, dag_id in places:
        names[f"gate|environment|{environment}"] = None
        if dag_id:
            names[f"gate|dag|{environment}|{dag_id}"] = None
    return [ledger_key(name, _GATE) for name in names]


def rows_by_key(connection: Connection, table: str, keys: Sequence[Item]) -> list[Item]:
    """Read items of the ledger by their keys, consistently."""
    return [
        *batch_get(connection.dynamodb, table, keys, "cannot read the ledger", time.sleep, consistent=True)
    ]


def rows_of_event(connection: Connection, table: str, identity: str) -> list[Item]:
    """Read every item of one event, by the hash of its identity."""
    pages = connection.dynamodb.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="event = :event",
        ExpressionAttributeValues=attributes({":event": identity}),
        ConsistentRead=True,
    )
    return [item for page in pages for item in page["Items"]]


def request_row(item: Mapping[str, Any]) -> RequestRow | None:
    """Read a request's row; None for an item of another kind."""
    if text(item, "request").count("#") < 2 or not text(item, "run_id"):  # noqa: PLR2004  rule#target#generation
        return None
    request = request_of(item)
    event = {} if request is None else request.event
    return RequestRow(
        run_id=text(item, "run_id"),
        state=text(item, "state"),
        rule_id=text(item, "rule_id") or text(item, "request").partition("#")[0],
        environment=text(item, "environment"),
        dag_id=text(item, "dag_id"),
        reason=text(item, "reason"),
        text=text(item, "reason_text"),
        attempt=int(number(item, "attempt") or 0),
        redrives=int(number(item, "redrives") or 0),
        not_runnable=text(item, "not_runnable"),
        last_attempt_at=number(item, "last_attempt_at"),
        finished_at=number(item, "finished_at"),
        stopped_at=number(item, "stopped_at"),
        event_id=str(event.get("id", "")),
        resource=resource_of(event),
        event_at=seconds(event.get("time")),
    )


def circuit_of(item: Mapping[str, Any]) -> Circuit | None:
    """Read an open circuit breaker; None for a closed one, and for an item of another kind."""
    kind, _, rest = text(item, "event").removeprefix("gate|").partition("|")
    open_since, probe_at = number(item, "shut_since"), number(item, "probe_at")
    if open_since is None or probe_at is None:
        return None
    environment, _, dag_id = rest.partition("|") if kind == "dag" else (rest, "", "")
    return Circuit(environment, dag_id, open_since, probe_at, int(number(item, "failures") or 0))


def number(item: Mapping[str, Any], name: str) -> float | None:
    """Return a number of an item; None if it has none."""
    value = item.get(name, {}).get("N")
    return None if value is None else float(value)
