"""What is left to do in an environment, before it is removed: what waits, what has stopped, and which rules send more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gateway_cli.connection import Connection
from gateway_cli.ledger_rows import LedgerRow, LedgerRows
from gateway_cli.rules.items import StoredRuleItem
from gateway_cli.rules.store import read_document
from mwaa_gateway.aws.dynamodb.watch_items import WATCHES_INDEX
from mwaa_gateway.json_values import dig

__all__ = ["Remainder", "remainders", "waiting_states"]

INGRESS: Final = "(ingress)"
_PLACE: Final = "{environment}"
_COUNTS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


@dataclass(frozen=True, slots=True)
class Remainder:
    """So many of one kind are left. `passes`: the gateway works them off by itself; `kept`: nothing deletes them."""

    environment: str
    what: str
    count: int
    remedy: str
    passes: bool = False
    kept: bool = False


def remainders(connection: Connection, environments: Sequence[str], *, ingress: bool) -> list[Remainder]:
    """Return what is left in these environments and, if asked, in ingress; nothing where all counts are 0."""
    ledger = LedgerRows(connection.dynamodb, connection.stack_output("LedgerTableName"))
    held, dead = list(ledger.held()), list(ledger.dead())
    found = [
        one
        for name in environments
        for one in (*_of_environment(connection, name, held, dead), waiting_states(connection, name))
    ]
    if ingress:
        found += _of_ingress(connection)
    return [one for one in found if one.count]


def waiting_states(connection: Connection, environment: str) -> Remainder:
    """Count the states of state machines that wait for a run in an environment."""
    pages = connection.dynamodb.get_paginator("query").paginate(
        TableName=connection.stack_output("LedgerTableName"),
        IndexName=WATCHES_INDEX,
        KeyConditionExpression="watched_in = :watched_in",
        ExpressionAttributeValues={":watched_in": {"S": f"watch#{environment}"}},
        Select="COUNT",
    )
    return Remainder(
        environment,
        "waiting states",
        sum(page["Count"] for page in pages),
        "they wait for runs that have not ended; stop their executions, or wait for longer with --timeout",
        passes=True,
    )


def _of_environment(
    connection: Connection, name: str, held: Sequence[LedgerRow], dead: Sequence[LedgerRow]
) -> Iterator[Remainder]:
    rules = [
        rule.id for rule in connection.store.list() if rule.state == "ENABLED" and name in _environments(rule)
    ]
    yield Remainder(
        name,
        "enabled rules",
        len(rules),
        f"they keep sending requests here; change or disable {', '.join(rules)}",
    )
    yield Remainder(
        name,
        "waiting requests",
        _messages(connection, connection.stack_output("TriggerQueueUrlTemplate").replace(_PLACE, name)),
        "their runs have not been started; wait for longer with --timeout, or hold them in the ledger with "
        f"`mwaa-gateway environments pause {name}`",
        passes=True,
    )
    yield Remainder(
        name,
        "held requests",
        sum(row.environment == name for row in held),
        f"run them with `mwaa-gateway held release --environment {name}`, or give them up with `held cancel`",
        kept=True,
    )
    # A dead request has a row, and a message in the queue; what never became a request has a message only.
    messages = _messages(connection, connection.stack_output("TriggerDlqUrlTemplate").replace(_PLACE, name))
    yield Remainder(
        name,
        "dead letters",
        max(messages, sum(row.environment == name for row in dead)),
        f"run them with `mwaa-gateway dlq redrive --environment {name}`, or put them away with `dlq purge`",
        kept=True,
    )


def _environments(rule: StoredRuleItem) -> list[object]:
    """Return where a rule's targets run, as far as its document can be read: a broken rule starts no run."""
    targets = (read_document(rule) or {}).get("targets")
    return [dig(target, ("environment",)) for target in targets] if isinstance(targets, list) else []


def _of_ingress(connection: Connection) -> Iterator[Remainder]:
    yield Remainder(
        INGRESS,
        "events to retry",
        _messages(connection, connection.stack_output("IngressRetryQueueUrl")),
        "they are retried until AWS answers; wait for longer with --timeout",
        passes=True,
    )
    yield Remainder(
        INGRESS,
        "dead letters",
        _messages(connection, connection.stack_output("IngressDlqUrl")),
        "match them again with `mwaa-gateway dlq redrive --all`, or put them away with `dlq purge`",
        kept=True,
    )


def _messages(connection: Connection, queue: str) -> int:
    """Return how many messages a queue has: visible, in flight and delayed."""
    answer = connection.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[*_COUNTS])
    return sum(int(answer["Attributes"][name]) for name in _COUNTS)
