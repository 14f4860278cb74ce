"""What an operator sees of a batch: what it has, what it lacks, and when and why the releaser releases it.

The verdict is the one of `mwaa_gateway.feeds.condition.judge` on the releaser's own summary: no second opinion.
"""

import math
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway_cli.aws_errors import errors_as_refusals
from gateway_cli.choice import timestamp
from gateway_cli.connection import Connection
from gateway_cli.output import Refused
from mwaa_gateway.aws.claim_check_bucket import ClaimCheckBucket
from mwaa_gateway.aws.dynamodb.batches import EVER, BatchesTable
from mwaa_gateway.aws.event_bus import GatewayBus
from mwaa_gateway.aws.manifests import ManifestBucket
from mwaa_gateway.aws.sqs.collect_queue import CollectQueue
from mwaa_gateway.aws.sqs.queues import TriggerQueues
from mwaa_gateway.feeds.batch import Batch, Decision, collect_of
from mwaa_gateway.feeds.condition import Summary, missing_of, next_release
from mwaa_gateway.feeds.release import Releaser, summary_of
from mwaa_gateway.rules.collect import Collect, Parts
from mwaa_gateway.trigger_request import TriggerRequest

_WHY: Final = {
    "complete": "the batch is complete",
    "quiet_period": "no member arrives for the quiet period",
    "max_wait": "it has waited for max_wait",
    "max_items": "it has max_items members",
    "due": "it is due",
    "cancelled": "it is due and not complete: the rule cancels it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A batch as an operator sees it. `decision` is None until the batch is released or cancelled."""

    batch: Batch
    collect: Collect
    summary: Summary
    decision: Decision | None
    now: float

    @property
    def missing(self) -> tuple[str, ...]:
        """What the batch lacks, or lacked when it was decided."""
        return self.decision.missing if self.decision else missing_of(self.collect, self.summary)

    def row(self) -> dict[str, Any]:
        """Return what `list` shows, as JSON."""
        batch, decision = self.batch, self.decision
        return {
            "id": batch.id,
            "rule_id": batch.rule_id,
            "rule_version": batch.rule_version,
            "key": dict(batch.key),
            "number": batch.number,
            "state": batch.state,
            "late": batch.is_late,
            "expected": batch.is_expected,
            "members": decision.count if decision else self.summary.members,
            "first_at": timestamp(batch.first_at),
            "due_at": None if self.summary.due_at is None else timestamp(self.summary.due_at),
            "when_due": self.collect.when_due if self.summary.due_at is not None else None,
            "overdue": batch.is_overdue or (decision is not None and decision.is_overdue),
            "next_look_at": None if batch.due_at is None else timestamp(batch.due_at),
            "missing": list(self.missing),
        }

    def document(self) -> dict[str, Any]:
        """Return everything, as JSON."""
        return self.row() | (self._decided(self.decision) if self.decision else self._expected())

    def _expected(self) -> dict[str, Any]:
        """Return what an open batch waits for: the release that comes next if no member arrives, and the latest one."""
        expected = {
            "different": len(self.summary.distinct),
            "last_at": timestamp(self.summary.last_at),
        }
        if self.batch.state != "open":
            return expected | {"reason": self.batch.reason, "by": self.batch.by or None}
        at, reason = next_release(self.collect, self.summary, self.now)
        # If members never stop arriving, only a due time or the longest wait releases the batch.
        latest, _ = next_release(self.collect, replace(self.summary, last_at=math.inf), self.now)
        return expected | {
            "parts": self._parts(),
            "late_members": self.collect.late,
            "releases_at": timestamp(at),
            "releases_because": _WHY.get(reason, reason),
            "releases_at_the_latest": None if math.isinf(latest) else timestamp(latest),
        }

    def _parts(self) -> dict[str, str]:
        """Return how many different members each part has, of how many."""
        condition = self.collect.complete_when
        parts = condition.parts if isinstance(condition, Parts) else {}
        return {name: f"{self.summary.parts.get(name, 0)} of {part.at_least}" for name, part in parts.items()}

    def _decided(self, decision: Decision) -> dict[str, Any]:
        targets = [TriggerRequest.from_json(request).target for request in decision.requests]
        return {
            "reason": decision.reason,
            "by": self.batch.by or None,
            "complete": decision.is_complete,
            "manifest": decision.manifest or None,
            "superseded": decision.superseded or None,
            "runs": [
                {"environment": target.environment, "dag_id": target.dag_id, "run_id": target.run_id}
                for target in targets
            ],
            "refused": list(decision.refused),
        }


@dataclass(frozen=True, slots=True)
class Batches:
    """The gateway's batches, and the releaser that the functions use."""

    table: BatchesTable
    releaser: Releaser

    @classmethod
    def of(cls, connection: Connection) -> "Batches":
        """Return the batches of a gateway."""
        bucket, s3 = connection.stack_output("ClaimCheckBucketName"), connection.s3
        table = BatchesTable(connection.dynamodb, connection.stack_output("BatchesTableName"), now=time.time)
        return cls(
            table,
            Releaser(
                store=table,
                manifests=ManifestBucket(lambda: s3, bucket),
                flushes=CollectQueue(connection.sqs, connection.stack_output("CollectQueueUrl")),
                bus=GatewayBus(lambda: connection.eventbridge, connection.stack_output("EventBusName")),
                claim_checks=ClaimCheckBucket(lambda: s3),
                queue=TriggerQueues(connection.sqs, connection.stack_output("TriggerQueueUrlTemplate")),
                new_id=lambda: uuid.uuid4().hex,
                now=time.time,
                claim_check_bucket=bucket,
            ),
        )

    def open_ids(self) -> list[str]:
        """Return the ids of the batches whose requests are not sent yet; eventually consistent."""
        return [batch_id for batch_id, _ in self.table.due(EVER)]

    def batch(self, batch_id: str) -> Batch:
        """Return a batch.

        Raises:
            Refused: there is none, or this version cannot read it.
        """
        with _refusing_what_is_unreadable(), errors_as_refusals():
            batch = self.table.batch(batch_id)
        if batch is None:
            raise Refused(
                "there is no such batch: `mwaa-gateway batches list` lists the open ones, and a released one is kept for "
                "120 days"
            )
        return batch

    def view(self, batch: Batch) -> View:
        """Return what an operator sees of a batch.

        Raises:
            Refused: this version cannot read its rule or its members.
        """
        with _refusing_what_is_unreadable(), errors_as_refusals():
            summary = summary_of(batch, self.releaser.counted(batch))
            decision = None if batch.state == "open" else self.table.decision(batch.id)
            return View(
                batch=batch,
                collect=collect_of(batch.document),
                summary=summary,
                decision=decision,
                now=time.time(),
            )


@contextmanager
def _refusing_what_is_unreadable() -> Iterator[None]:
    """Turn the errors of an item that another version wrote, or a person, into Refused."""
    try:
        yield
    except (KeyError, ValueError, TypeError, AttributeError, zlib.error) as error:
        raise Refused(
            f"this version cannot read the batch ({type(error).__name__}: {error}): use the version that is deployed"
        ) from error
