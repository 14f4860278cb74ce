"""Builds the ingress functions: s3_events, sns_events, eventbridge_events and queued_events."""

import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3

from mwaa_gateway.aws.claim_check_bucket import ClaimCheckBucket
from mwaa_gateway.aws.clients import CLIENT_CONFIG
from mwaa_gateway.aws.dynamodb.rules_table import RulesTable
from mwaa_gateway.aws.dynamodb.shadow_records import ShadowRecords
from mwaa_gateway.aws.sqs.queues import EventQueues, IngressDeadLetterQueue, TriggerQueues
from mwaa_gateway.errors import MalformedEvent
from mwaa_gateway.events import Event, TrustedQueues
from mwaa_gateway.ingress.ingest import IngressReport, ingest
from mwaa_gateway.routing.live_rules import LiveRules
from mwaa_gateway.settings import IngressSettings, QueuedEventsSettings

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

__all__ = ["Ingress", "QueuedEventsFunction", "build_ingress", "ingress", "queued_events"]


@dataclass(frozen=True, slots=True)
class Ingress:
    """An ingress function with its collaborators."""

    settings: IngressSettings
    rules: LiveRules
    queues: TriggerQueues
    dead_letters: IngressDeadLetterQueue
    shadows: ShadowRecords
    claim_checks: ClaimCheckBucket
    now: Callable[[], float]

    def ingest(self, parsed: Iterable[Event | MalformedEvent], payload: Mapping[str, Any]) -> IngressReport:
        """Turn one invocation's events into trigger requests."""
        return ingest(
            parsed,
            payload=payload,
            rules=self.rules,
            queue=self.queues,
            dead_letters=self.dead_letters,
            shadows=self.shadows,
            claim_checks=self.claim_checks,
            now=self.now,
            claim_check_bucket=self.settings.claim_check_bucket,
        )


@dataclass(frozen=True, slots=True)
class QueuedEventsFunction:
    """The function queued_events: an ingress, the queues it trusts, and the queues that get messages back."""

    ingress: Ingress
    trusted: TrustedQueues
    queues: EventQueues
    jitter: Callable[[], float]


@cache
def ingress() -> Ingress:
    """Build the ingress, once per sandbox."""
    return build_ingress(IngressSettings.from_environ(os.environ), boto3.client("sqs", config=CLIENT_CONFIG))


@cache
def queued_events() -> QueuedEventsFunction:
    """Build queued_events, once per sandbox."""
    settings = QueuedEventsSettings.from_environ(os.environ)
    sqs = boto3.client("sqs", config=CLIENT_CONFIG)
    return QueuedEventsFunction(
        ingress=build_ingress(settings, sqs),
        trusted=TrustedQueues(
            settings.ingress_retry_queue_arn, settings.event_queue_arns, settings.unwrap_topic_arns
        ),
        queues=EventQueues(sqs),
        jitter=random.random,
    )


def build_ingress(settings: IngressSettings, sqs: "SQSClient") -> Ingress:
    """Build an ingress with this SQS client."""
    dynamodb = boto3.client("dynamodb", config=CLIENT_CONFIG)
    rules = RulesTable(dynamodb, settings.rules_table)
    return Ingress(
        settings=settings,
        rules=LiveRules(
            rules,
            environments=settings.environments,
            refresh_seconds=settings.rules_refresh_seconds,
            claim_check_bucket=settings.claim_check_bucket,
        ),
        queues=TriggerQueues(sqs, settings.trigger_queue_url),
        dead_letters=IngressDeadLetterQueue(sqs, settings.ingress_dlq_url),
        shadows=ShadowRecords(dynamodb, settings.ledger_table),
        claim_checks=ClaimCheckBucket(lambda: boto3.client("s3", config=CLIENT_CONFIG)),
        now=time.time,
    )
