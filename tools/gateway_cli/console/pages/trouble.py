"""Trouble: what is dead, held, broken or overdue, in at most five calls; and the dead events of the ingress queue."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from gateway_cli.answers.stopped import read_open_batches, read_stopped
from gateway_cli.connection import Connection
from gateway_cli.console.gateway import Gateway, Reading
from gateway_cli.console.pages.rules import read_rules
from gateway_cli.dlq.dead_letter import DeadLetter
from gateway_cli.dlq.queue_messages import dead_letter_of_ingress
from gateway_cli.dlq.received_messages import received_messages
from gateway_cli.dlq.remedies import remedy
from gateway_cli.ledger_rows import LedgerRow
from mwaa_gateway.feeds.batch import Batch

MOST: Final = 100  # of each list, and of one action


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A line of a list. `seen` is how it stood: an action leaves an item that has changed since."""

    id: str
    seen: str
    rule_id: str
    where: str
    since: float
    reason: str = ""
    text: str = ""
    remedy: str = ""

    @property
    def ticked(self) -> str:
        """What a ticked box sends: the item, and how it stood."""
        return f"{self.id}|{self.seen}"


def everything(gateway: Gateway) -> dict[str, Any]:
    """Return the four lists, each with how many there are, None if that is not known."""
    stopped = gateway.read("stopped", read_stopped)
    rules = gateway.read("rules", read_rules)
    batches = gateway.read("batches", read_open_batches)
    is_whole = stopped.value is not None and stopped.value.is_whole
    broken = None if rules.value is None else [rule for rule in rules.value if rule.broken]
    return {
        "dead": _listed(stopped, lambda found: [of_row(row, with_remedy=True) for row in found.dead]),
        "held": _listed(stopped, lambda found: [of_row(row) for row in found.held]),
        "broken": broken,
        "overdue": _listed(batches, lambda found: [of_batch(batch) for batch in found.overdue]),
        "more": "" if is_whole else "+",
        "more_overdue": "+" if batches.value and (batches.value.more or not batches.value.is_whole) else "",
        "most": MOST,
        "unread": list(dict.fromkeys(one.why for one in (stopped, rules, batches) if one.why)),
        "read_at": min(one.at for one in (stopped, rules, batches)),
    }


def dead_events(gateway: Gateway) -> dict[str, Any]:
    """Return the events of the ingress dead-letter queue; SQS shows a message only by handing it out."""
    reading = gateway.read("dead events", read_dead_events)
    return {
        "events": None if reading.value is None else [of_dead_event(one) for one in reading.value],
        "most": MOST,
        "unread": [reading.why] if reading.why else [],
        "read_at": reading.at,
    }


def read_dead_events(connection: Connection) -> list[DeadLetter]:
    """Receive the dead events and give them back; the newest first."""
    queue = connection.stack_output("IngressDlqUrl")
    with received_messages(connection.sqs, [queue]) as received:
        found = [dead_letter_of_ingress(message) for message in received]
    return sorted(found, key=lambda one: -one.died_at)


def of_row(row: LedgerRow, *, with_remedy: bool = False) -> Item:
    """Return the item of a dead or held request."""
    return Item(
        id=row.run_id,
        seen=repr(row.stopped_at),
        rule_id=row.rule_id,
        where=f"{row.environment}:{row.dag_id}",
        since=row.stopped_at,
        reason=row.reason,
        text=row.text,
        remedy=remedy(row.reason) if with_remedy else "",
    )


def of_dead_event(one: DeadLetter) -> Item:
    """Return the item of an event that never became a request."""
    return Item(
        id=one.id,
        seen=repr(one.died_at),
        rule_id=one.rule_id or "",
        where=one.event or "",
        since=one.died_at,
        reason=one.reason,
        text=one.text,
        remedy=remedy(one.reason),
    )


def of_batch(batch: Batch) -> Item:
    """Return the item of an open batch. More members may join it before it is released: they belong to it."""
    return Item(
        id=batch.id,
        seen=batch.state,
        rule_id=batch.rule_id,
        where=", ".join(f"{name}={value}" for name, value in batch.key),
        since=batch.first_at,
        reason="overdue" if batch.is_overdue else batch.state,
    )


def _listed(reading: Reading[Any], items: Callable[[Any], list[Item]]) -> list[Item] | None:
    return None if reading.value is None else items(reading.value)
