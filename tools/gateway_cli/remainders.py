"""What remains in an environment before it is removed: waiting, held and dead requests, open batches, and rules."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Final

from gateway_cli.aws_errors import errors_as_refusals
from gateway_cli.connection import Connection
from gateway_cli.documents.json_documents import json_object
from gateway_cli.ledger_rows import LedgerRow, LedgerRows
from gateway_cli.output import Refused
from gateway_cli.rules.items import StoredRuleItem
from mwaa_gateway.aws.dynamodb.batches import EVER, BatchesTable
from mwaa_gateway.aws.dynamodb.values import attributes
from mwaa_gateway.aws.dynamodb.watch_items import WATCHES_INDEX
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.json_values import dig

INGRESS: Final = "(ingress)"
_PLACE: Final = "{environment}"
_AT_ONCE: Final = 10  # the limit of a client's connections
_COUNTS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


@dataclass(frozen=True, slots=True)
class Remainder:
    """The number of items of one kind; None, with the error as `remedy`, if AWS did not answer.

    `passes`: the gateway works them off by itself; `kept`: nothing deletes them.
    """

    environment: str
    what: str
    count: int | None
    remedy: str
    passes: bool = False
    kept: bool = False

    def __str__(self) -> str:
        """Return it for people."""
        what = f"unread {self.what}" if self.count is None else f"{self.count:,} {self.what}"
        return f"{what} ({self.environment})"


def remainders(connection: Connection, environments: Sequence[str], *, ingress: bool) -> list[Remainder]:
    """Return what remains in these environments and, with `ingress`, in ingress.

    Kinds without items are left out. A kind that AWS does not answer for is in the result, and hides no other.
    """
    batches = OpenBatches(connection)
    ledger = LedgerRows(connection.dynamodb, connection.stack_output("LedgerTableName"))
    rules, held, dead = (
        cache(connection.store.list),
        cache(lambda: [*ledger.held()]),
        cache(lambda: [*ledger.dead()]),
    )
    found: list[Remainder] = []
    for name in environments:
        found += _of_environment(connection, name, rules, held, dead)
        found.append(waiting_states(connection, name))
        found.append(batches.remainder(name))
    # Members of every rule pass the one queue: of interest if they may come to these environments.
    if ingress or _may_collect(rules, environments):
        found.append(_members(connection))
    if ingress:
        found += _of_ingress(connection)
    return [one for one in found if one.count != 0]


def waiting_states(connection: Connection, environment: str) -> Remainder:
    """Count the Step Functions states that wait for a run in an environment."""
    pages = connection.dynamodb.get_paginator("query").paginate(
        TableName=connection.stack_output("LedgerTableName"),
        IndexName=WATCHES_INDEX,
        KeyConditionExpression="watched_in = :watched_in",
        ExpressionAttributeValues=attributes({":watched_in": f"watch#{environment}"}),
        Select="COUNT",
    )
    return _counted(
        environment,
        "waiting states",
        lambda: sum(page["Count"] for page in pages),
        "their runs have not ended; stop their executions, or allow more time with --timeout",
        passes=True,
    )


def _counted(
    environment: str,
    what: str,
    count: Callable[[], int],
    remedy: str,
    *,
    passes: bool = False,
    kept: bool = False,
) -> Remainder:
    try:
        with errors_as_refusals():
            return Remainder(environment, what, count(), remedy, passes, kept)
    except Refused as error:
        why = error.message
    except (Unavailable, ValueError) as error:  # a batch that another version wrote, or a person
        why = str(error)
    except KeyError as error:  # botocore reads a body that is not JSON as an empty answer
        why = f"AWS's answer has no {error}"
    return Remainder(environment, what, None, f"could not be read: {why}", passes)


def _of_environment(
    connection: Connection,
    name: str,
    rules: Callable[[], Sequence[StoredRuleItem]],
    held: Callable[[], Sequence[LedgerRow]],
    dead: Callable[[], Sequence[LedgerRow]],
) -> Iterator[Remainder]:
    def enabled() -> list[str]:
        return [rule.id for rule in rules() if rule.state == "ENABLED" and name in _environments(rule)]

    def of_this(rows: Sequence[LedgerRow]) -> int:
        return sum(row.environment == name for row in rows)

    sending = _counted(
        name, "enabled rules", lambda: len(enabled()), "they keep sending requests here; change or disable "
    )
    yield replace(sending, remedy=sending.remedy + ", ".join(enabled())) if sending.count else sending
    queue, dlq = (
        connection.stack_output(output).replace(_PLACE, name)
        for output in ("TriggerQueueUrlTemplate", "TriggerDlqUrlTemplate")
    )
    yield _counted(
        name,
        "waiting requests",
        lambda: _messages(connection, queue),
        "their runs have not started; allow more time with --timeout, or hold them in the ledger with "
        f"`mwaa-gateway environments pause {name}`",
        passes=True,
    )
    yield _counted(
        name,
        "held requests",
        lambda: of_this(held()),
        f"run them with `mwaa-gateway held release --environment {name}`, or cancel them with `held cancel`",
        kept=True,
    )
    yield _counted(
        name,
        "dead letters",
        # A dead request has a row and a message in the queue; an event that never became a request has only a message.
        lambda: max(_messages(connection, dlq), of_this(dead())),
        f"run them with `mwaa-gateway dlq redrive --environment {name}`, or remove them with `dlq purge`",
        kept=True,
    )


def _environments(rule: StoredRuleItem) -> list[object]:
    """Return the environments of a rule's targets; none for a document that cannot be read, as it starts no run."""
    return _environments_of(rule.document)


def _environments_of(document: str) -> list[object]:
    targets = (json_object(document) or {}).get("targets")
    return [dig(target, ("environment",)) for target in targets] if isinstance(targets, list) else []


def _may_collect(rules: Callable[[], Sequence[StoredRuleItem]], environments: Sequence[str]) -> bool:
    """Return whether a rule that collects has a target in these environments; also if the rules cannot be read."""
    try:
        with errors_as_refusals():
            collecting = [rule for rule in rules() if (json_object(rule.document) or {}).get("collect")]
    except Refused:
        return True
    return any(name in environments for rule in collecting for name in _environments(rule))


def _members(connection: Connection) -> Remainder:
    return _counted(
        INGRESS,
        "members to collect",
        lambda: _messages(connection, connection.stack_output("CollectQueueUrl")),
        "they join their batches within seconds; allow more time with --timeout",
        passes=True,
    )


class OpenBatches:
    """The batches that have not become requests yet."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def remainder(self, environment: str) -> Remainder:
        """Count the open batches of rules with a target in an environment."""
        return _counted(
            environment,
            "open batches",
            lambda: sum(environment in environments for environments in self._environments),
            "see `mwaa-gateway batches list`; release or cancel each, or wait until its rule releases it",
        )

    @cached_property
    def _environments(self) -> list[list[object]]:
        """The environments of each open batch's targets."""
        table = BatchesTable(
            self._connection.dynamodb, self._connection.stack_output("BatchesTableName"), now=time.time
        )
        ids = [batch_id for batch_id, _ in table.due(EVER)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = [*pool.map(table.batch, ids)]
        return [_environments_of(batch.document) for batch in found if batch and not batch.is_shadow]


def _of_ingress(connection: Connection) -> Iterator[Remainder]:
    yield _counted(
        INGRESS,
        "events to retry",
        lambda: _messages(connection, connection.stack_output("IngressRetryQueueUrl")),
        "the gateway retries them until AWS answers; allow more time with --timeout",
        passes=True,
    )
    yield _counted(
        INGRESS,
        "dead letters",
        lambda: _messages(connection, connection.stack_output("IngressDlqUrl")),
        "match them again with `mwaa-gateway dlq redrive --all`, or remove them with `dlq purge`",
        kept=True,
    )


def _messages(connection: Connection, queue: str) -> int:
    """Return the number of messages in a queue: visible, in flight and delayed."""
    answer = connection.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[*_COUNTS])
    return sum(int(answer["Attributes"][name]) for name in _COUNTS)
