"""The composition root: settings and clients are read and built here, at the first event, and nowhere else."""

import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3

from mwaa_gateway.aws.calls import CLIENT_CONFIG
from mwaa_gateway.aws.gate_items import GateItems
from mwaa_gateway.aws.ledger_table import LedgerTable
from mwaa_gateway.aws.queues import (
    IngressDeadLetterQueue,
    TriggerDeadLetterQueue,
    TriggerQueues,
    VisibilityTimeout,
)
from mwaa_gateway.aws.rules_table import RulesTable
from mwaa_gateway.dispatch import Dispatcher
from mwaa_gateway.errors import MalformedEvent
from mwaa_gateway.events import Event
from mwaa_gateway.gates import Gates
from mwaa_gateway.ingest import IngressReport, ingest
from mwaa_gateway.live_rules import LiveRules
from mwaa_gateway.settings import DispatcherSettings, IngressSettings

__all__ = ["DispatcherFunction", "Ingress", "dispatcher", "ingress"]


@dataclass(frozen=True, slots=True)
class Ingress:
    """An ingress function with everything it needs."""

    settings: IngressSettings
    rules: LiveRules
    queues: TriggerQueues
    dead_letters: IngressDeadLetterQueue
    now: Callable[[], float]

    def ingest(self, parsed: Iterable[Event | MalformedEvent], payload: Mapping[str, Any]) -> IngressReport:
        """Turn one invocation's events into trigger requests."""
        return ingest(
            parsed,
            payload=payload,
            rules=self.rules,
            queue=self.queues,
            dead_letters=self.dead_letters,
            now=self.now,
        )


@dataclass(frozen=True, slots=True)
class DispatcherFunction:
    """A dispatcher function: the flow, and the queue its messages are given back to."""

    settings: DispatcherSettings
    dispatcher: Dispatcher
    visibility: VisibilityTimeout


@cache
def ingress() -> Ingress:
    """Build the ingress of this sandbox, once."""
    settings = IngressSettings.from_environ(os.environ)
    sqs = boto3.client("sqs", config=CLIENT_CONFIG)
    rules = RulesTable(boto3.client("dynamodb", config=CLIENT_CONFIG), settings.rules_table)
    return Ingress(
        settings=settings,
        rules=LiveRules(
            rules, environments=settings.environments, refresh_seconds=settings.rules_refresh_seconds
        ),
        queues=TriggerQueues(sqs, settings.trigger_queue_url),
        dead_letters=IngressDeadLetterQueue(sqs, settings.ingress_dlq_url),
        now=time.time,
    )


@cache
def dispatcher() -> DispatcherFunction:
    """Build the dispatcher of this sandbox, once."""
    # requests costs an ingress function some 90 ms of cold start, and only dispatchers talk to the web server.
    from mwaa_gateway.aws.mwaa import CliTransport, WebServer  # noqa: PLC0415

    settings = DispatcherSettings.from_environ(os.environ)
    sqs = boto3.client("sqs", config=CLIENT_CONFIG)
    dynamodb = boto3.client("dynamodb", config=CLIENT_CONFIG)
    web_server = WebServer(
        host=settings.web_server_host,
        ca_bundle=settings.web_server_ca_bundle,
        connect_timeout_seconds=settings.cli_connect_timeout_seconds,
        read_timeout_seconds=settings.cli_read_timeout_seconds,
    )
    mwaa = boto3.client("mwaa", config=CLIENT_CONFIG)
    return DispatcherFunction(
        settings=settings,
        dispatcher=Dispatcher(
            ledger=LedgerTable(dynamodb, settings.ledger_table),
            airflow=CliTransport(mwaa, settings.mwaa_environment_name, web_server),
            dead_letters=TriggerDeadLetterQueue(sqs, settings.trigger_dlq_url),
            gates=Gates(
                settings.environment,
                GateItems(dynamodb, settings.ledger_table),
                dag_missing_grace_seconds=settings.dag_missing_grace_seconds,
            ),
            maximum_event_age_seconds=settings.maximum_event_age_seconds,
            now=time.time,
            jitter=random.random,
        ),
        visibility=VisibilityTimeout(sqs, settings.trigger_queue_url),
    )
