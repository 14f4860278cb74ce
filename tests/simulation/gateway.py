"""The gateway as template.yaml deploys it: real handlers, flows and adapters on simulated AWS."""

import gc
import importlib.util
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from greenlet import getcurrent

import mwaa_gateway
from mwaa_gateway.aws.claim_check_bucket import ClaimCheckBucket
from mwaa_gateway.aws.dynamodb.circuit_breakers import CircuitItems
from mwaa_gateway.aws.dynamodb.dag_catalogs import CatalogItem
from mwaa_gateway.aws.dynamodb.ledger_table import LedgerTable
from mwaa_gateway.aws.dynamodb.object_claims import LedgerClaims
from mwaa_gateway.aws.dynamodb.pauses import PauseItems
from mwaa_gateway.aws.dynamodb.rules_table import RulesTable
from mwaa_gateway.aws.dynamodb.shadow_records import ShadowRecords
from mwaa_gateway.aws.mwaa.cli import CliTransport
from mwaa_gateway.aws.mwaa.fallback import Choice, FallbackTransport
from mwaa_gateway.aws.mwaa.rest import Pace, RestTransport
from mwaa_gateway.aws.mwaa.web import START_SECONDS, WebTransport
from mwaa_gateway.aws.mwaa.web_server import WebServer
from mwaa_gateway.aws.mwaa.web_session import WebSession
from mwaa_gateway.aws.sqs.collect_queue import CollectQueue
from mwaa_gateway.aws.sqs.queues import (
    EventQueues,
    IngressDeadLetterQueue,
    TriggerDeadLetterQueue,
    TriggerQueues,
)
from mwaa_gateway.aws.sqs.trigger_messages import SqsTriggerMessages
from mwaa_gateway.dispatch.circuit_breaker import CircuitBreakers
from mwaa_gateway.dispatch.concurrency import Concurrency
from mwaa_gateway.dispatch.dag_catalog import LiveCatalog
from mwaa_gateway.dispatch.delivery import TriggerDeliveries
from mwaa_gateway.dispatch.dispatcher import Dispatcher
from mwaa_gateway.dispatch.pauses import Pauses
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.events import TrustedQueues
from mwaa_gateway.ingress.delivery import EventDeliveries
from mwaa_gateway.ingress.ingest import Ingress
from mwaa_gateway.observability import logger
from mwaa_gateway.observability.dispatch import report_bug, report_dispatch
from mwaa_gateway.observability.ingress import report_given_back, report_ingress
from mwaa_gateway.outcomes import AlreadyTriggered, Reason, Triggered
from mwaa_gateway.queue_message import QueueMessage
from mwaa_gateway.routing.live_rules import LiveRules
from mwaa_gateway.rules.partitions import document_partitions
from mwaa_gateway.settings.airflow import DispatcherSettings
from mwaa_gateway.settings.ingress import IngressSettings, QueuedEventsSettings
from mwaa_gateway.transports import CLI, REST, WEB, Transports, parts
from mwaa_gateway.wiring.transport import LARGEST_BATCH, attempts_at_once
from simulation.airflow import Airflow
from simulation.dynamodb import DynamoDB, Table
from simulation.feeds import Feeds
from simulation.invoke_rest_api import InvokeRestApi
from simulation.lambdas import AsyncInvocations, EventSourceMapping, Sandbox, Sandboxes, on_failure_record
from simulation.mwaa import Mwaa, Session
from simulation.mwaa import WebServer as SimulatedServer
from simulation.s3 import LARGE_CONFS, S3
from simulation.scheduler import Process, Scheduler
from simulation.sqs import Queue, Sqs, arn
from simulation.web_login import WebLogin
from simulation.world import World

gc.enable()  # `wiring` has disabled it for the start of a sandbox

__all__ = ["SOURCES", "Gateway", "MakeDispatcher", "cli_transport", "dispatcher_settings"]

FUNCTIONS = Path(mwaa_gateway.__file__).parents[4] / "functions"
INGRESS = ("s3_events", "sns_events", "eventbridge_events")
# As in template.yaml; tests/template checks them.
INGRESS_TIMEOUT = 30.0
DISPATCHER_TIMEOUT = 90.0
VISIBILITY_TIMEOUT = 540.0
MAXIMUM_RECEIVES = 1000
RETENTION = 4 * 86_400.0
RETRY_VISIBILITY_TIMEOUT = 180.0
RETRY_BATCH, RETRY_CONCURRENCY = 10, 5

MakeDispatcher = Callable[["Gateway", str], Any]


@dataclass
class Gateway:
    """Every function, queue and table of one deployment, with an Airflow for each environment.

    `transports` are those of the environments; one without is reached by CLI tokens.
    `make_dispatcher` builds what `wiring.dispatcher` builds: the one place where its ports are put together.
    """

    world: World
    airflows: dict[str, Airflow]
    unwrap_topics: frozenset[str] = frozenset()
    transports: Mapping[str, str] = field(default_factory=dict)
    slots: int = 3
    dispatcher_settings: Mapping[str, Any] = field(default_factory=dict)
    make_dispatcher: MakeDispatcher | None = None
    logged: bool = False
    recursive_loop: str = "Allow"  # of the dispatchers, as the template's default is
    untold: int = 0  # messages of finished runs that came again for the catalog
    not_runnable: Counter[tuple[str, str]] = field(
        default_factory=Counter
    )  # (run_id, why): how often it was reported
    memory: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)  # of a baseline's table

    def __post_init__(self) -> None:
        world = self.world
        self.rules = Table("partition", "sort", world.scheduler.time)
        self.ledger = Table("event", "request", world.scheduler.time)
        self.ledger.watches.append(lambda _key, old, new: world.crashes.written(old, new))
        self.feeds = Feeds(self)
        tables = {"rules": self.rules, "ledger": self.ledger, "batches": self.feeds.table}
        self.dynamodb = DynamoDB(world, tables)
        self.queues: dict[str, Queue] = {
            "ingress-dlq": Queue(world, "ingress-dlq"),
            "collect": self.feeds.collect_queue,
            "look": self.feeds.look_queue,
        }
        self.feeds.collect_queue.dead = self.queues["ingress-dlq"]
        self.servers: dict[str, SimulatedServer] = {}
        self.mappings: dict[str, EventSourceMapping] = {}
        self.counted: list[tuple[float, str]] = []  # what the dispatchers' metrics count, and when
        self.texts: list[str] = []  # whatever leaves a function: messages, and what is logged
        self._modules: defaultdict[str, list[ModuleType]] = defaultdict(list)
        for name, airflow in self.airflows.items():
            self.servers[name] = SimulatedServer(world, airflow)
            dead = self.queues[f"trigger-dlq-{name}"] = Queue(world, f"trigger-dlq-{name}")
            queue = self.queues[f"trigger-{name}"] = Queue(
                world,
                f"trigger-{name}",
                visibility_timeout=VISIBILITY_TIMEOUT,
                maximum_receives=MAXIMUM_RECEIVES,
                retention=RETENTION,
            )
            queue.dead = dead
            sandboxes = Sandboxes(
                world,
                f"dispatcher-{name}",
                DISPATCHER_TIMEOUT,
                lambda name=name: self._dispatcher_sandbox(name),
                may_loop=self.recursive_loop == "Allow",
            )
            self.mappings[name] = EventSourceMapping(
                world,
                queue,
                sandboxes,
                self.slots,
                _run_named_in,
                batch_size=1 if CLI in parts(self.transports.get(name, CLI)) else LARGEST_BATCH,
            )
        retry = self.queues["ingress-retry"] = Queue(
            world,
            "ingress-retry",
            visibility_timeout=RETRY_VISIBILITY_TIMEOUT,
            maximum_receives=MAXIMUM_RECEIVES,
            retention=RETENTION,
        )
        retry.dead = self.queues["ingress-dlq"]
        queued = Sandboxes(world, "queued_events", INGRESS_TIMEOUT, self._queued_events_sandbox)
        self.retries = EventSourceMapping(
            world, retry, queued, RETRY_CONCURRENCY, batch_size=RETRY_BATCH, subject=lambda _: ""
        )
        for queue in self.queues.values():
            queue.sent_bodies = self.texts
        self.sqs, self.s3 = Sqs(world, self.queues), S3(world)
        self.rest_apis = {name: InvokeRestApi(world, server) for name, server in self.servers.items()}
        self.mwaa = Mwaa(world, self.servers, {name: api.invoke for name, api in self.rest_apis.items()})
        self.logins = {name: WebLogin(world, server) for name, server in self.servers.items()}
        self.session = Session(
            {server.host: server for server in self.servers.values()},
            {self.servers[name].host: login for name, login in self.logins.items()},
        )
        self.fallbacks: list[tuple[str, str]] = []  # (environment, why the login was refused)
        self.ingress = {
            name: AsyncInvocations(
                world,
                Sandboxes(world, name, INGRESS_TIMEOUT, lambda name=name: self._ingress_sandbox(name)),
                self._given_up,
            )
            for name in INGRESS
        }

    # --- rules -----------------------------------------------------------------------------------------------------

    def put_rule(self, document: dict[str, Any], version: int = 1) -> None:
        """Store a rule as the operator's command does, in one transaction."""
        text = json.dumps(document)
        for partition in _partitions(text):
            key, head = (partition, f"rule#{document['id']}"), (partition, "head")
            named = {"partition": {"S": partition}}
            self.rules.put(
                key, named | {"sort": {"S": key[1]}, "version": {"N": str(version)}, "document": {"S": text}}
            )
            generation = int(self.rules.items.get(head, {}).get("generation", {"N": "0"})["N"]) + 1
            self.rules.put(head, named | {"sort": {"S": "head"}, "generation": {"N": str(generation)}})

    # --- functions -------------------------------------------------------------------------------------------------

    def _ingress(self, settings: IngressSettings) -> Ingress:
        return Ingress(
            rules=LiveRules(
                RulesTable(self.dynamodb, "rules", pause=self.world.scheduler.wait),
                environments=settings.environments,
                refresh_seconds=settings.rules_refresh_seconds,
                claim_check_bucket=settings.claim_check_bucket,
            ),
            queue=TriggerQueues(self.sqs, settings.trigger_queue_url),
            collect_queue=CollectQueue(self.sqs, settings.collect_queue_url),
            dead_letters=IngressDeadLetterQueue(self.sqs, settings.ingress_dlq_url),
            shadows=ShadowRecords(self.dynamodb, settings.ledger_table),
            claim_checks=ClaimCheckBucket(lambda: self.s3),
            now=self.world.clock(),
            claim_check_bucket=settings.claim_check_bucket,
        )

    def _ingress_settings(self) -> dict[str, Any]:
        return {
            "rules_table": "rules",
            "trigger_queue_url": "trigger-{environment}",
            "ingress_dlq_url": "ingress-dlq",
            "collect_queue_url": "collect",
            "ledger_table": "ledger",
            "claim_check_bucket": LARGE_CONFS,
            "environments": frozenset(self.airflows),
            "unwrap_topic_arns": self.unwrap_topics,
        }

    def _ingress_sandbox(self, name: str) -> Sandbox:
        ingress = self._ingress(IngressSettings(**self._ingress_settings()))
        return self.sandbox(
            name, SimpleNamespace(ingress=lambda: ingress, unwrap_topics=lambda: self.unwrap_topics)
        )

    def _queued_events_sandbox(self) -> Sandbox:
        settings = QueuedEventsSettings(
            **self._ingress_settings(), ingress_retry_queue_arn=arn("ingress-retry")
        )
        function = EventDeliveries(
            ingress=self._ingress(settings),
            trusted=TrustedQueues(
                settings.ingress_retry_queue_arn, settings.event_queue_arns, settings.unwrap_topic_arns
            ),
            queues=EventQueues(self.sqs),
            report=report_ingress if self.logged else _unreported,
            report_given_back=report_given_back if self.logged else self._given_back,
            warn=self.warn,
            jitter=self.world.random.random,
        )
        return self.sandbox("queued_events", SimpleNamespace(queued_events=lambda: function))

    def _dispatcher_sandbox(self, environment: str) -> Sandbox:
        make = self.make_dispatcher or production_dispatcher
        dispatcher = make(self, environment)
        return self.sandbox("dispatcher", SimpleNamespace(dispatcher=lambda: dispatcher))

    def sandbox(self, name: str, wired: SimpleNamespace) -> Sandbox:
        """Make a sandbox of functions/<name>, wired with these ports."""
        module = self._modules[name].pop() if self._modules[name] else _load(name)
        vars(module).update(vars(wired))  # in the place of what `mwaa_gateway.wiring` builds
        if self.logged:
            return Sandbox(module.handler, lambda: None)
        # Log lines and metrics prove nothing here and cost as much as everything else together.
        module.report_ingress = module.report_task = module.report_refused_task = _unreported
        return Sandbox(module.handler.__wrapped__, lambda: self._modules[name].append(module))

    def dispatched(self, dispatched: Any) -> None:
        """In the place of `report_dispatch`: what was logged, and when which outcome was counted."""
        if self.logged:
            environment = dispatched.request and dispatched.request.target.environment
            report_dispatch(dispatched, environment, self.world.scheduler.now)
            return
        outcome = dispatched.outcome
        self.texts.append(getattr(outcome, "text", ""))
        if getattr(outcome, "reason", None) is not Reason.CIRCUIT_OPEN:
            self.counted.append((self.world.scheduler.now, type(outcome).__name__))
        if isinstance(outcome, Triggered | AlreadyTriggered):
            self.untold += dispatched.redeliver_after is not None
            if outcome.not_runnable is not None:
                self.not_runnable[dispatched.request.target.run_id, outcome.not_runnable] += 1

    def bug(self, error: Exception) -> None:
        """In the place of `report_bug`."""
        if self.logged:
            report_bug(error)
        self.world.surprises.append(f"a flow raised {error!r}")

    def warn(self, text: str) -> None:
        """In the place of `logger.warning`."""
        self.texts.append(text)
        if self.logged:
            logger.warning(text)

    def _given_back(self, error: Exception, _attempt: int, _seconds: float) -> None:
        self.texts.append(str(error))
        if not isinstance(error, Unavailable):
            self.world.surprises.append(f"queued_events gave back for {error!r}")

    def _given_up(self, function: str, payload: dict[str, Any]) -> None:
        """Lambda's on-failure destination."""
        self.queues["ingress-retry"].send(on_failure_record(function, payload))


class Messages(SqsTriggerMessages):
    """The trigger queue; it notes which run the running thread works on."""

    def rejoin(self, message: QueueMessage) -> bool:
        process = getcurrent()
        process.subject, process.claimed = _run_named_in(message.body), False
        return super().rejoin(message)


def production_dispatcher(gateway: Gateway, environment: str) -> Any:
    """What `wiring.dispatcher` builds, on simulated clients."""
    world = gateway.world
    settings = dispatcher_settings(gateway, environment)
    airflow, now, scheduler = _transport(gateway, settings), world.clock(), world.scheduler
    return TriggerDeliveries(
        dispatcher=Dispatcher(
            ledger=LedgerTable(
                gateway.dynamodb, settings.ledger_table, monotonic=scheduler.time, pause=scheduler.wait
            ),
            claims=LedgerClaims(gateway.dynamodb, settings.ledger_table, now),
            airflow=airflow,
            dead_letters=TriggerDeadLetterQueue(gateway.sqs, settings.trigger_dlq_url),
            pauses=Pauses(
                environment,
                PauseItems(gateway.dynamodb, settings.rules_table),
                refresh_seconds=settings.pause_refresh_seconds,
            ),
            circuit_breakers=CircuitBreakers(
                environment,
                CircuitItems(gateway.dynamodb, settings.ledger_table),
                dag_missing_grace_seconds=settings.dag_missing_grace_seconds,
            ),
            catalog=LiveCatalog(
                CatalogItem(gateway.dynamodb, settings.ledger_table, environment),
                airflow,
                refresh_seconds=settings.dag_catalog_seconds,
                now=now,
                report=lambda _: None,
            ),
            maximum_event_age_seconds=settings.maximum_event_age_seconds,
            now=now,
            jitter=world.random.random,
            sleep=scheduler.wait,
        ),
        messages=Messages(gateway.sqs, settings.trigger_queue_url, world.clock()),
        concurrency=Concurrency(attempts_at_once(settings)),
        side_by_side=scheduler.side_by_side,
        close_connections=airflow.close,
        now=now,
        report=gateway.dispatched,
        report_bug=gateway.bug,
        warn=gateway.warn,
    )


def dispatcher_settings(gateway: Gateway, environment: str) -> DispatcherSettings:
    return DispatcherSettings(
        environment=environment,
        rules_table="rules",
        ledger_table="ledger",
        trigger_queue_url=f"trigger-{environment}",
        trigger_dlq_url=f"trigger-dlq-{environment}",
        mwaa_environment_name=environment,
        transports=Transports(None, {name: gateway.transports.get(name, CLI) for name in gateway.servers}),
        slots_per_environment=gateway.slots,
        **gateway.dispatcher_settings,
    )


def _transport(gateway: Gateway, settings: DispatcherSettings) -> Any:
    name, *fallback = parts(settings.transport)
    if name != WEB:
        return _direct(gateway, settings, name)
    web = web_transport(gateway, settings)
    if not fallback:
        return web

    def report(text: str) -> None:
        gateway.fallbacks.append((settings.environment, text))
        gateway.texts.append(text)

    instead = _direct(gateway, settings, fallback[0])
    return FallbackTransport(
        Choice(web.session, web, instead, report, monotonic=gateway.world.scheduler.time)
    )


def _direct(gateway: Gateway, settings: DispatcherSettings, name: str) -> Any:
    if name != REST:
        return cli_transport(gateway, settings)
    scheduler = gateway.world.scheduler
    pace = Pace(
        settings.rest_share, settings.slots_per_environment, monotonic=scheduler.time, sleep=scheduler.wait
    )
    return RestTransport(gateway.mwaa, settings.mwaa_environment_name, pace, monotonic=scheduler.time)


def cli_transport(gateway: Gateway, settings: DispatcherSettings) -> CliTransport:
    transport = CliTransport(
        gateway.mwaa,
        settings.mwaa_environment_name,
        _web_server(settings),
        monotonic=gateway.world.scheduler.time,
    )
    _connect(gateway, transport)
    return transport


def web_transport(gateway: Gateway, settings: DispatcherSettings) -> WebTransport:
    monotonic = gateway.world.scheduler.time
    web_server = replace(_web_server(settings), read_timeout_seconds=START_SECONDS)
    session = WebSession(
        gateway.mwaa, settings.mwaa_environment_name, web_server, "RestApiRole", monotonic=monotonic
    )
    _connect(gateway, session)
    session._lock = OneThread(gateway.world.scheduler)  # type: ignore[assignment]
    return WebTransport(session, monotonic=monotonic)


def _web_server(settings: DispatcherSettings) -> WebServer:
    return WebServer(
        host=settings.web_server_host,
        ca_bundle=settings.web_server_ca_bundle,
        connect_timeout_seconds=settings.cli_connect_timeout_seconds,
        read_timeout_seconds=settings.cli_read_timeout_seconds,
    )


class OneThread:
    """A lock whose owner may wait, in the place of `threading.Lock`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._owner: Process | None = None

    def __enter__(self) -> None:
        while self._owner is not None and not self._owner.dead:
            self._scheduler.wait(0.01)
        self._owner = getcurrent()

    def __exit__(self, *_: object) -> None:
        self._owner = None


def _connect(gateway: Gateway, user: CliTransport | WebSession) -> None:
    """End the requests at the simulated web servers."""
    user._way._connections = lambda: gateway.session  # type: ignore[method-assign,assignment,return-value]


FEEDS = ("batch_collector", "batch_releaser", "batch_timers")
SOURCES = {
    name: compile((FUNCTIONS / name / "app.py").read_text(), str(FUNCTIONS / name / "app.py"), "exec")
    for name in (*INGRESS, "queued_events", "dispatcher", "step_functions_task", "run_watcher", *FEEDS)
}


def _load(name: str) -> ModuleType:
    """Import functions/<name>/app.py anew: each sandbox has module globals of its own, or those of one that is gone."""
    spec = importlib.util.spec_from_loader(f"simulated_{name}", loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    exec(SOURCES[name], module.__dict__)  # noqa: S102  our own file
    return module


def _unreported(*_: object) -> None:
    """In the place of the functions that only log and count."""


@cache
def _partitions(rule: str) -> tuple[str, ...]:
    return document_partitions(json.loads(rule))


def _run_named_in(body: str) -> str:
    return body.partition('"run_id":"')[2].partition('"')[0] or body
