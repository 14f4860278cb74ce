"""The composition root: settings and clients are read and built here, at the first event, and nowhere else."""

import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3

from mwaa_gateway.aws.brake_items import BrakeItems
from mwaa_gateway.aws.catalog_item import CatalogItem
from mwaa_gateway.aws.claim_checks import ClaimCheckBucket
from mwaa_gateway.aws.clients import CLIENT_CONFIG
from mwaa_gateway.aws.gate_items import GateItems
from mwaa_gateway.aws.ledger_table import LedgerTable
from mwaa_gateway.aws.mwaa_rest import REST_CLIENT_CONFIG, Pace, RestTransport
from mwaa_gateway.aws.mwaa_rest_runs import RestRuns
from mwaa_gateway.aws.queues import (
    EventQueues,
    IngressDeadLetterQueue,
    TriggerDeadLetterQueue,
    TriggerQueues,
    VisibilityTimeout,
    WatchQueues,
)
from mwaa_gateway.aws.rules_table import RulesTable
from mwaa_gateway.aws.shadow_records import ShadowRecords
from mwaa_gateway.aws.task_tokens import Seal, TaskCallbacks
from mwaa_gateway.aws.trigger_messages import TriggerMessages
from mwaa_gateway.aws.watch_items import WatchItems
from mwaa_gateway.brake import Brake
from mwaa_gateway.catalog import LiveCatalog
from mwaa_gateway.dispatch import Dispatcher
from mwaa_gateway.errors import MalformedEvent, Unavailable
from mwaa_gateway.events import BelievedQueues, Event
from mwaa_gateway.gates import Gates
from mwaa_gateway.ingest import IngressReport, ingest
from mwaa_gateway.live_rules import LiveRules
from mwaa_gateway.observability import report_not_listed
from mwaa_gateway.settings import (
    AirflowSettings,
    DispatcherSettings,
    IngressSettings,
    QueuedEventsSettings,
    RunWatcherSettings,
    TaskSettings,
)
from mwaa_gateway.task import TaskStarter
from mwaa_gateway.watch import Watcher

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from mwaa_gateway.aws.mwaa import CliTransport
    from mwaa_gateway.aws.mwaa_cli_runs import CliRuns

__all__ = [
    "DispatcherFunction",
    "Ingress",
    "QueuedEventsFunction",
    "RunWatcherFunction",
    "dispatcher",
    "ingress",
    "queued_events",
    "run_watcher",
    "step_functions_task",
]


@dataclass(frozen=True, slots=True)
class Ingress:
    """An ingress function with everything it needs."""

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
    """The function queued_events: an ingress, whom it believes, and the queues its messages are given back to."""

    ingress: Ingress
    believed: BelievedQueues
    queues: EventQueues
    jitter: Callable[[], float]


@dataclass(frozen=True, slots=True)
class DispatcherFunction:
    """A dispatcher function: the flow, and the messages it works on."""

    settings: DispatcherSettings
    dispatcher: Dispatcher
    messages: TriggerMessages


@cache
def ingress() -> Ingress:
    """Build the ingress of this sandbox, once."""
    return _ingress(IngressSettings.from_environ(os.environ), boto3.client("sqs", config=CLIENT_CONFIG))


@cache
def queued_events() -> QueuedEventsFunction:
    """Build queued_events of this sandbox, once."""
    settings = QueuedEventsSettings.from_environ(os.environ)
    sqs = boto3.client("sqs", config=CLIENT_CONFIG)
    return QueuedEventsFunction(
        ingress=_ingress(settings, sqs),
        believed=BelievedQueues(
            settings.ingress_retry_queue_arn, settings.event_queue_arns, settings.unwrap_topic_arns
        ),
        queues=EventQueues(sqs),
        jitter=random.random,
    )


def _ingress(settings: IngressSettings, sqs: "SQSClient") -> Ingress:
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


@cache
def dispatcher() -> DispatcherFunction:
    """Build the dispatcher of this sandbox, once."""
    settings = DispatcherSettings.from_environ(os.environ)
    sqs = boto3.client("sqs", config=CLIENT_CONFIG)
    dynamodb = boto3.client("dynamodb", config=CLIENT_CONFIG)
    airflow = _airflow(settings)
    return DispatcherFunction(
        settings=settings,
        dispatcher=Dispatcher(
            ledger=LedgerTable(dynamodb, settings.ledger_table),
            airflow=airflow,
            dead_letters=TriggerDeadLetterQueue(sqs, settings.trigger_dlq_url),
            brake=Brake(
                settings.environment,
                BrakeItems(dynamodb, settings.rules_table),
                refresh_seconds=settings.brake_refresh_seconds,
            ),
            gates=Gates(
                settings.environment,
                GateItems(dynamodb, settings.ledger_table),
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
        ),
        messages=TriggerMessages(sqs, settings.trigger_queue_url, time.time),
    )


@cache
def step_functions_task() -> TaskStarter:
    """Build step_functions_task of this sandbox, once."""
    settings = TaskSettings.from_environ(os.environ)
    sqs = boto3.client("sqs", config=CLIENT_CONFIG)
    ingress = _ingress(settings, sqs)
    return TaskStarter(
        rules=ingress.rules,
        allowed=settings.task_dags,
        environments=settings.environments,
        queue=ingress.queues,
        watches=_watches(settings.ledger_table, settings.task_token_key),
        watch_queue=WatchQueues(sqs, settings.watch_queue_url),
        now=time.time,
    )


@dataclass(frozen=True, slots=True)
class RunWatcherFunction:
    """A run watcher: the flow, and its queue."""

    settings: RunWatcherSettings
    watcher: Watcher
    queue: WatchQueues
    visibility: VisibilityTimeout
    now: Callable[[], float]

    def give_back(self, receipt_handle: str, seconds: float) -> None:
        """Have the message delivered again soon; if that cannot be said, it comes when its visibility timeout ends."""
        with suppress(Unavailable):
            self.visibility.give_back(receipt_handle, seconds)


@cache
def run_watcher() -> RunWatcherFunction:
    """Build the run watcher of this sandbox, once."""
    settings = RunWatcherSettings.from_environ(os.environ)
    sqs = boto3.client("sqs", config=CLIENT_CONFIG)
    return RunWatcherFunction(
        settings=settings,
        watcher=Watcher(
            environment=settings.environment,
            store=_watches(settings.ledger_table, settings.task_token_key),
            airflow=_runs(settings),
            callbacks=TaskCallbacks(boto3.client("stepfunctions", config=CLIENT_CONFIG)),
            now=time.time,
        ),
        queue=WatchQueues(sqs, settings.watch_queue_url),
        visibility=VisibilityTimeout(sqs, settings.watch_queue_url),
        now=time.time,
    )


def _watches(ledger_table: str, key: str) -> WatchItems:
    seal = Seal(boto3.client("kms", config=CLIENT_CONFIG), key)
    return WatchItems(boto3.client("dynamodb", config=CLIENT_CONFIG), ledger_table, seal, now=time.time)


def _runs(settings: AirflowSettings) -> "CliRuns | RestRuns":
    """Build what asks the function's environment about its runs."""
    transport = _airflow(settings)
    if isinstance(transport, RestTransport):
        return RestRuns(transport)
    from mwaa_gateway.aws.mwaa_cli_runs import CliRuns  # noqa: PLC0415  as below

    return CliRuns(transport)


def _airflow(settings: AirflowSettings) -> "CliTransport | RestTransport":
    """Build the transport of the function's environment."""
    if settings.transport == "rest":
        return RestTransport(
            boto3.client("mwaa", config=REST_CLIENT_CONFIG),
            settings.mwaa_environment_name,
            Pace(settings.slots_per_environment),
        )
    # requests costs some 90 ms of cold start, and only this transport talks to the web server itself.
    from mwaa_gateway.aws.mwaa import CliTransport, WebServer  # noqa: PLC0415

    web_server = WebServer(
        host=settings.web_server_host,
        ca_bundle=settings.web_server_ca_bundle,
        connect_timeout_seconds=settings.cli_connect_timeout_seconds,
        read_timeout_seconds=settings.cli_read_timeout_seconds,
    )
    mwaa = boto3.client("mwaa", config=CLIENT_CONFIG)
    return CliTransport(mwaa, settings.mwaa_environment_name, web_server)
