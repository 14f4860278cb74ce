"""Builds the dispatcher of one environment."""

import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import boto3

from mwaa_gateway.aws.clients import CLIENT_CONFIG, late_client
from mwaa_gateway.aws.dynamodb.circuit_breakers import CircuitItems
from mwaa_gateway.aws.dynamodb.dag_catalogs import CatalogItem
from mwaa_gateway.aws.dynamodb.ledger_table import LedgerTable
from mwaa_gateway.aws.dynamodb.object_claims import LedgerClaims
from mwaa_gateway.aws.dynamodb.pauses import PauseItems
from mwaa_gateway.aws.sqs.queues import TriggerDeadLetterQueue
from mwaa_gateway.aws.sqs.trigger_messages import SqsTriggerMessages
from mwaa_gateway.dispatch.circuit_breaker import CircuitBreakers
from mwaa_gateway.dispatch.concurrency import Concurrency
from mwaa_gateway.dispatch.dag_catalog import LiveCatalog
from mwaa_gateway.dispatch.delivery import TriggerDeliveries
from mwaa_gateway.dispatch.dispatcher import Dispatcher
from mwaa_gateway.dispatch.pauses import Pauses
from mwaa_gateway.observability import logger
from mwaa_gateway.observability.dispatch import (
    report_bug,
    report_dispatch,
    report_not_listed,
    report_pauses_not_read,
)
from mwaa_gateway.settings.airflow import DispatcherSettings
from mwaa_gateway.wiring import once
from mwaa_gateway.wiring.transport import airflow_of, attempts_at_once


def side_by_side(work: Callable[[], None], number: int) -> None:
    """Run `work` in so many threads at once; return when all have ended."""
    if number == 1:
        work()
        return
    with ThreadPoolExecutor(number) as pool:
        for running in [pool.submit(work) for _ in range(number)]:
            running.result()


@once
def dispatcher() -> TriggerDeliveries:
    """Build the dispatcher and its queue, once per sandbox."""
    settings = DispatcherSettings.from_environ(os.environ)
    sqs = late_client("sqs")
    dynamodb = boto3.client("dynamodb", config=CLIENT_CONFIG)
    concurrency = Concurrency(attempts_at_once(settings))
    airflow = airflow_of(settings, on_load=lambda: concurrency.record_load(time.time()))
    return TriggerDeliveries(
        dispatcher=Dispatcher(
            ledger=LedgerTable(dynamodb, settings.ledger_table),
            claims=LedgerClaims(dynamodb, settings.ledger_table, time.time),
            airflow=airflow,
            dead_letters=TriggerDeadLetterQueue(sqs, settings.trigger_dlq_url),
            pauses=Pauses(
                settings.environment,
                PauseItems(dynamodb, settings.rules_table),
                refresh_seconds=settings.pause_refresh_seconds,
                report=lambda text: report_pauses_not_read(text, settings.environment),
            ),
            circuit_breakers=CircuitBreakers(
                settings.environment,
                CircuitItems(dynamodb, settings.ledger_table),
                dag_missing_grace_seconds=settings.dag_missing_grace_seconds,
            ),
            catalog=LiveCatalog(
                CatalogItem(dynamodb, settings.ledger_table, settings.environment),
                airflow,
                refresh_seconds=settings.dag_catalog_seconds,
                now=time.time,
                report=lambda text: report_not_listed(text, settings.environment),
            ),
            maximum_event_age_seconds=settings.maximum_event_age_seconds,
            now=time.time,
            jitter=random.random,
            sleep=time.sleep,
        ),
        messages=SqsTriggerMessages(sqs, settings.trigger_queue_url, time.time),
        concurrency=concurrency,
        side_by_side=side_by_side,
        close_connections=airflow.close,
        now=time.time,
        report=lambda dispatched: report_dispatch(dispatched, settings.environment, time.time()),
        report_bug=report_bug,
        warn=logger.warning,
    )
