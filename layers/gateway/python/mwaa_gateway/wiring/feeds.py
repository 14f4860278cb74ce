"""Builds the functions of the feeds: batch_collector, batch_releaser and batch_timers."""

import os
import random
import time
import uuid
from collections.abc import Callable
from functools import cache

import boto3

from mwaa_gateway.aws.claim_check_bucket import ClaimCheckBucket
from mwaa_gateway.aws.clients import CLIENT_CONFIG
from mwaa_gateway.aws.dynamodb.batches import BatchesTable
from mwaa_gateway.aws.dynamodb.object_claims import BatchClaims
from mwaa_gateway.aws.dynamodb.rules_table import RulesTable
from mwaa_gateway.aws.event_bus import GatewayBus
from mwaa_gateway.aws.manifests import ManifestBucket
from mwaa_gateway.aws.sqs.collect_queue import CollectQueue
from mwaa_gateway.aws.sqs.feed_queues import LateMemberQueue, LookQueue
from mwaa_gateway.aws.sqs.queues import TriggerQueues, VisibilityTimeout
from mwaa_gateway.feeds.collect import TICK_AHEAD_SECONDS, Collector
from mwaa_gateway.feeds.delivery import LookDeliveries, MemberDeliveries, Started, start_timers
from mwaa_gateway.feeds.expected import ExpectedBatches
from mwaa_gateway.feeds.release import Releaser
from mwaa_gateway.observability import logger
from mwaa_gateway.observability.feeds import report_collected, report_failed, report_looked
from mwaa_gateway.settings.feeds import CollectorSettings, ReleaserSettings, TimersSettings
from mwaa_gateway.values import value
from mwaa_gateway.wiring import once


@once
def batch_collector() -> MemberDeliveries:
    """Build the collector and its queue, once per sandbox."""
    settings = CollectorSettings.from_environ(os.environ)
    sqs = boto3.client("sqs", config=CLIENT_CONFIG)
    return MemberDeliveries(
        collector=Collector(
            store=_batches(settings.batches_table),
            claims=BatchClaims(
                boto3.client("dynamodb", config=CLIENT_CONFIG), settings.batches_table, time.time
            ),
            manifests=ManifestBucket(
                lambda: boto3.client("s3", config=CLIENT_CONFIG), settings.claim_check_bucket
            ),
            timers=LookQueue(sqs, settings.look_queue_url),
            late_members=LateMemberQueue(sqs, settings.ingress_dlq_url),
            new_id=_new_id,
            now=time.time,
        ),
        queue=VisibilityTimeout(sqs, settings.collect_queue_url),
        report=report_collected,
        warn=logger.warning,
        jitter=random.random,
    )


@once
def batch_releaser() -> LookDeliveries:
    """Build the releaser and its queue, once per sandbox."""
    settings = ReleaserSettings.from_environ(os.environ)
    sqs = boto3.client("sqs", config=CLIENT_CONFIG)
    s3 = cache(lambda: boto3.client("s3", config=CLIENT_CONFIG))
    return LookDeliveries(
        releaser=Releaser(
            store=_batches(settings.batches_table),
            manifests=ManifestBucket(s3, settings.claim_check_bucket),
            flushes=CollectQueue(sqs, settings.collect_queue_url),
            bus=GatewayBus(lambda: boto3.client("events", config=CLIENT_CONFIG), settings.event_bus),
            claim_checks=ClaimCheckBucket(s3),
            queue=TriggerQueues(sqs, settings.trigger_queue_url),
            new_id=_new_id,
            now=time.time,
            claim_check_bucket=settings.claim_check_bucket,
        ),
        queue=VisibilityTimeout(sqs, settings.look_queue_url),
        report=report_looked,
        report_failed=report_failed,
        warn=logger.warning,
        now=time.time,
        jitter=random.random,
    )


@value
class BatchTimers:
    """The minute's tick: every batch that is due soon gets a look, also that of a day on which nothing has arrived."""

    batches: BatchesTable
    expected: ExpectedBatches
    looks: LookQueue
    now: Callable[[], float]

    def start(self) -> Started:
        """Open the batches of expected days, and send the looks of the next minutes."""
        now = self.now()
        opened = self.expected.open(now)
        # The due index shows a new batch a moment later: these come from here, too.
        due = dict(opened.batches) | dict(self.batches.due(now + TICK_AHEAD_SECONDS))
        return start_timers(due.items(), self.looks, now, opened)


@once
def batch_timers() -> BatchTimers:
    """Build the timers, once per sandbox."""
    settings = TimersSettings.from_environ(os.environ)
    dynamodb = boto3.client("dynamodb", config=CLIENT_CONFIG)
    batches = BatchesTable(dynamodb, settings.batches_table, now=time.time)
    return BatchTimers(
        batches,
        ExpectedBatches(rules=RulesTable(dynamodb, settings.rules_table), store=batches, new_id=_new_id),
        LookQueue(boto3.client("sqs", config=CLIENT_CONFIG), settings.look_queue_url),
        time.time,
    )


def _batches(table: str) -> BatchesTable:
    return BatchesTable(boto3.client("dynamodb", config=CLIENT_CONFIG), table, now=time.time)


def _new_id() -> str:
    return uuid.uuid4().hex
