"""What remains in an environment before it is removed: waiting, held and dead requests, and rules that send more."""

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
    """The number of items of one kind. `passes`: the gateway works them off by itself; `kept`: nothing deletes them."""

    environment: str
    what: str
    count: int
    remedy: str
    passes: bool = False
    kept: bool = False


def remainders(connection: Connection, environments: Sequence[str], *, ingress: bool) -> list[Remainder]:
    """Return what remains in these environments and, with `ingress`, in ingress; kinds without items are left out."""
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
    """Count the Step Functions states that wait for a run in an environment."""
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
        "their runs have not ended; stop their executions, or allow more time with --timeout",
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
        "their runs have not started; allow more time with --timeout, or hold them in the ledger with "
        f"`mwaa-gateway environments pause {name}`",
        passes=True,
    )
    yield Remainder(
        name,
        "held requests",
        sum(row.environment == name for row in held),
        f"run them with `mwaa-gateway held release --environment {name}`, or cancel them with `held cancel`",
        kept=True,
    )
    # A dead request has a row and a message in the queue; an event that never became a request has only a message.
    messages = _messages(connection, connection.stack_output("TriggerDlqUrlTemplate").replace(_PLACE, name))
    yield Remainder(
        name,
        "dead letters",
        max(messages, sum(row.environment == name for row in dead)),
        f"run them with `mwaa-gateway dlq redrive --environment {name}`, or remove them with `dlq purge`",
        kept=True,
    )


def _environments(rule: StoredRuleItem) -> list[object]:
    """Return the environments of a rule's targets; none for a document that cannot be read, as it starts no run."""
    targets = (read_document(rule) or {}).get("targets")
    return [dig(target, ("environment",)) for target in targets] if isinstance(targets, list) else []


def _of_ingress(connection: Connection) -> Iterator[Remainder]:
    yield Remainder(
        INGRESS,
        "events to retry",
        _messages(connection, connection.stack_output("IngressRetryQueueUrl")),
        "the gateway retries them until AWS answers; allow more time with --timeout",
        passes=True,
    )
    yield Remainder(
        INGRESS,
        "dead letters",
        _messages(connection, connection.stack_output("IngressDlqUrl")),
        "match them again with `mwaa-gateway dlq redrive --all`, or remove them with `dlq purge`",
        kept=True,
    )


def _messages(connection: Connection, queue: str) -> int:
    """Return the number of messages in a queue: visible, in flight and delayed."""
    answer = connection.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[*_COUNTS])
    return sum(int(answer["Attributes"][name]) for name in _COUNTS)
