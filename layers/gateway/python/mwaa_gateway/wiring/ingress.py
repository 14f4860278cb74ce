"""Builds the ingress functions: s3_events, sns_events, eventbridge_events and queued_events."""

import os
import random
import time
from functools import cache
from typing import TYPE_CHECKING

import boto3

from mwaa_gateway.aws.claim_check_bucket import ClaimCheckBucket
from mwaa_gateway.aws.clients import CLIENT_CONFIG
from mwaa_gateway.aws.dynamodb.rules_table import RulesTable
from mwaa_gateway.aws.dynamodb.shadow_records import ShadowRecords
from mwaa_gateway.aws.sqs.feed_queues import CollectQueue
from mwaa_gateway.aws.sqs.queues import EventQueues, IngressDeadLetterQueue, TriggerQueues
from mwaa_gateway.events import TrustedQueues
from mwaa_gateway.ingress.delivery import EventDeliveries
from mwaa_gateway.ingress.ingest import Ingress
from mwaa_gateway.observability import logger
from mwaa_gateway.observability.ingress import report_given_back, report_ingress
from mwaa_gateway.routing.live_rules import LiveRules
from mwaa_gateway.settings import IngressSettings, QueuedEventsSettings

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@cache
def ingress() -> Ingress:
    """Build the ingress, once per sandbox."""
    return build_ingress(IngressSettings.from_environ(os.environ), boto3.client("sqs", config=CLIENT_CONFIG))


@cache
def unwrap_topics() -> frozenset[str]:
    """Return the topics whose notifications sns_events unwraps, read once per sandbox."""
    return IngressSettings.from_environ(os.environ).unwrap_topic_arns


@cache
def queued_events() -> EventDeliveries:
    """Build queued_events, once per sandbox."""
    settings = QueuedEventsSettings.from_environ(os.environ)
    sqs = boto3.client("sqs", config=CLIENT_CONFIG)
    return EventDeliveries(
        ingress=build_ingress(settings, sqs),
        trusted=TrustedQueues(
            settings.ingress_retry_queue_arn, settings.event_queue_arns, settings.unwrap_topic_arns
        ),
        queues=EventQueues(sqs),
        report=report_ingress,
        report_given_back=report_given_back,
        warn=logger.warning,
        jitter=random.random,
    )


def build_ingress(settings: IngressSettings, sqs: "SQSClient") -> Ingress:
    """Build an ingress with this SQS client."""
    dynamodb = boto3.client("dynamodb", config=CLIENT_CONFIG)
    rules = RulesTable(dynamodb, settings.rules_table)
    return Ingress(
        rules=LiveRules(
            rules,
            environments=settings.environments,
            refresh_seconds=settings.rules_refresh_seconds,
            claim_check_bucket=settings.claim_check_bucket,
        ),
        queue=TriggerQueues(sqs, settings.trigger_queue_url),
        collect_queue=CollectQueue(sqs, settings.collect_queue_url),
        dead_letters=IngressDeadLetterQueue(sqs, settings.ingress_dlq_url),
        shadows=ShadowRecords(dynamodb, settings.ledger_table),
        claim_checks=ClaimCheckBucket(lambda: boto3.client("s3", config=CLIENT_CONFIG)),
        now=time.time,
        claim_check_bucket=settings.claim_check_bucket,
        log_unmatched=settings.log_unmatched,
    )
