"""Builds the ingress functions: s3_events, sns_events and eventbridge_events."""

import os
import time
from functools import cache
from typing import TYPE_CHECKING

import boto3

from mwaa_gateway.aws.claim_check_bucket import ClaimCheckBucket
from mwaa_gateway.aws.clients import CLIENT_CONFIG, late_client
from mwaa_gateway.aws.dynamodb.rules_table import RulesTable
from mwaa_gateway.aws.dynamodb.shadow_records import ShadowRecords
from mwaa_gateway.aws.sqs.collect_queue import CollectQueue
from mwaa_gateway.aws.sqs.queues import IngressDeadLetterQueue, TriggerQueues
from mwaa_gateway.ingress.ingest import Ingress
from mwaa_gateway.routing.live_rules import LiveRules
from mwaa_gateway.settings.ingress import IngressSettings
from mwaa_gateway.wiring import once

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@once
def ingress() -> Ingress:
    """Build the ingress, once per sandbox."""
    return build_ingress(IngressSettings.from_environ(os.environ), late_client("sqs"))


@cache
def unwrap_topics() -> frozenset[str]:
    """Return the topics whose notifications sns_events unwraps, read once per sandbox."""
    return IngressSettings.from_environ(os.environ).unwrap_topic_arns


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
