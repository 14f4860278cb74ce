"""The deployed functions in this process: their real handlers, wiring and adapters, over moto and fakes of MWAA's API."""

import io
import json
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
import requests
from moto import mock_aws
from moto.sqs.models import sqs_backends

from fakes.batches_table import BATCHES_TABLE, create_batches_table
from fakes.ledger_table import create_ledger_table
from fakes.rules_table import create_rules_table
from integration.functions import Context, CurrentStdout, load, record_of
from mwaa_gateway.rules.partitions import EXPECTED_PARTITION
from mwaa_gateway.trigger_request import identity_of
from simulation.airflow import Airflow
from simulation.mwaa import Response
from sweep.airflow import CANARY, Environment, StepFunctions
from sweep.wire import Wire

__all__ = ["ENDED_QUEUE", "ENVIRONMENTS", "STARTS_AT", "Deployed", "Outcome", "today"]

ACCOUNT, REGION = "123456789012", "eu-west-1"
ENVIRONMENTS = {"analytics": "3.3.1", "legacy": "2.11.2"}  # over CLI tokens, and over InvokeRestApi
DAGS = {"load"}
RETRY_QUEUE, OWN_QUEUE = "mwaa-gateway-ingress-retry", "uploads"
ENDED_QUEUE = "ended-executions"
COLLECT_QUEUE, LOOK_QUEUE = "collect", "look"
EVENT_BUS = "mwaa-gateway"
STEP_SECONDS = 300.0
STARTS_AT = 5 * 3600.0 + 50 * 60  # a scene's first moment, in seconds after midnight UTC

# What a handler calls to have its sandbox built; an ingress function's is `ingress`.
_BUILDERS = {
    name: name
    for name in (
        "dispatcher",
        "queued_events",
        "run_watcher",
        "step_functions_task",
        "ended_executions",
        "batch_collector",
        "batch_releaser",
        "batch_timers",
    )
}


@cache
def _module_of(function: str) -> ModuleType:
    return load(function.partition(" ")[0])


@dataclass
class Clock:
    """Time for the functions; it passes when the test says so, and when they sleep."""

    now: float

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True)
class Outcome:
    """What became of everything: runs, dead letters by reason and what is in them, answers to waiting states, and notices.

    Notices are the events on the gateway's bus, by rule and type.
    """

    runs: Counter[str]
    dead: frozenset[tuple[str, str]]
    reported: frozenset[tuple[str, str]]
    notices: frozenset[tuple[str, str]] = frozenset()

    def without(self, texts: frozenset[str]) -> "Outcome":
        """The part that is not about these."""

        def other(text: str) -> bool:
            return not any(each in text for each in texts)

        return Outcome(
            Counter({run: count for run, count in self.runs.items() if other(run)}),
            frozenset(each for each in self.dead if other(each[1])),
            frozenset(each for each in self.reported if other(each[0])),
            frozenset(each for each in self.notices if other(each[0])),
        )


@dataclass
class Deployed:
    """A gateway with two environments. `minute` lets everything happen that can happen now."""

    patch: pytest.MonkeyPatch
    clock: Clock
    wire: Wire
    environments: dict[str, Environment]
    states: StepFunctions
    sqs: Any
    dynamodb: Any
    urls: dict[str, str]
    key: str
    tries: int = 3  # Lambda's, of an asynchronous invocation
    invocations: deque[tuple[str, Any, int]] = field(default_factory=deque)
    calls: list[Any] = field(default_factory=list)  # of states, until they are answered
    built: set[str] = field(default_factory=set)
    errors: Counter[str] = field(default_factory=Counter)
    printed: list[tuple[str, str]] = field(default_factory=list)  # (function, what it wrote)
    refusals: list[str] = field(default_factory=list)  # errors that states got
    ticks: bool = False  # whether batch_timers is invoked; only where there are batches
    notices: list[dict[str, Any]] = field(default_factory=list)  # entries that the gateway's bus took

    # --- what happens -------------------------------------------------------------------------------------------

    def invoke_later(self, function: str, event: Any) -> None:
        """As S3, SNS and EventBridge do."""
        self.invocations.append((function, event, 1))

    def step(self) -> None:
        """Deliver once what can be delivered, then let time pass."""
        for _ in range(len(self.invocations)):
            function, event, tries = self.invocations.popleft()
            if not self._invoke(function, event):
                if tries < self.tries:
                    self.invocations.append((function, event, tries + 1))
                else:
                    self._give_up(function, event)
        for _ in range(len(self.calls)):
            call = self.calls.pop(0)
            if not self._invoke("step_functions_task", call):
                self.calls.append(call)
        for queue in (RETRY_QUEUE, OWN_QUEUE):
            self._poll(queue, "queued_events", 10)
        self._poll(ENDED_QUEUE, "ended_executions", 10)
        self._step_feeds()
        for environment in ENVIRONMENTS:
            self._poll(
                f"trigger-{environment}", f"dispatcher {environment}", 1 if environment == "analytics" else 10
            )
            # Once: the queue's delay keeps what a round sends away for five seconds.
            self._poll(f"watch-{environment}.fifo", f"run_watcher {environment}", 10, times=1)
        self.clock.now += STEP_SECONDS
        for queue in sqs_backends[ACCOUNT][REGION].queues.values():
            queue._pending_messages.clear()
            for message in queue._messages:
                message.visible_at = message.delayed_until = 0

    def _step_feeds(self) -> None:
        self._poll(COLLECT_QUEUE, "batch_collector", 10)
        if self.ticks:
            self._invoke("batch_timers", {})
        self._poll(LOOK_QUEUE, "batch_releaser", 10)
        self._poll(COLLECT_QUEUE, "batch_collector", 10)  # the flushes that the releaser sent

    @property
    def waiting(self) -> set[str]:
        """The queues with work that is not done yet, the pending invocations, and open batches."""
        queues = {name for name in self.urls if "dlq" not in name and self.messages(name)}
        return (
            queues
            | {function for function, *_ in self.invocations}
            | ({"states"} if self.calls else set())
            | ({"batches"} if self.ticks and self._has_open_batches() else set())
        )

    def _has_open_batches(self) -> bool:
        open_ones = self.dynamodb.scan(
            TableName=BATCHES_TABLE, FilterExpression="attribute_exists(due_at)", Select="COUNT"
        )
        return bool(open_ones["Count"])

    def messages(self, queue: str) -> list[str]:
        """The bodies of all messages of a queue."""
        found = sqs_backends[ACCOUNT][REGION].queues[queue]._messages
        return [message.body for message in found]

    def outcome(self) -> Outcome:
        runs = Counter(run.run_id for each in self.environments.values() for run in each.airflow.history)
        reported = {(token, word) for token, words in self.states.words.items() for word in words}
        details = [(json.loads(entry["Detail"]), entry["DetailType"]) for entry in self.notices]
        notices = {(detail["rule_id"], detail_type) for detail, detail_type in details}
        return Outcome(runs, frozenset(self._dead()), frozenset(reported), frozenset(notices))

    def _dead(self) -> Iterator[tuple[str, str]]:
        for queue in ("ingress-dlq", "trigger-dlq-analytics", "trigger-dlq-legacy"):
            for body in self.messages(queue):
                document = json.loads(body)
                if "member" in document:
                    yield document["reason"], f"{document['rule_id']} {document['member']['id']}"
                    continue
                yield document["reason"], document.get("request", {}).get("run_id") or document["reason_text"]

    # --- Lambda ---------------------------------------------------------------------------------------------------

    def _poll(self, queue: str, function: str, batch: int, times: int = 50) -> None:
        """Deliver what can be received of a queue now, also what is sent there meanwhile."""
        for _ in range(times):
            answer = self.sqs.receive_message(
                QueueUrl=self.urls[queue],
                MaxNumberOfMessages=batch,
                VisibilityTimeout=600,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
            if not (messages := answer.get("Messages", [])):
                return
            event = {"Records": [record_of(message, queue) for message in messages]}
            answered = self._invoke(function, event)
            failed = (
                {each["itemIdentifier"] for each in answered[0]["batchItemFailures"]} if answered else None
            )
            for message in messages:
                if failed is not None and message["MessageId"] not in failed:
                    self.sqs.delete_message(QueueUrl=self.urls[queue], ReceiptHandle=message["ReceiptHandle"])

    def _invoke(self, function: str, event: Any) -> tuple[Any] | None:
        """Call a handler as Lambda does; its answer, or None where it raises."""
        for setting, value in self._settings(function.partition(" ")[2]).items():
            self.patch.setenv(setting, value)
        module, text = self._sandbox(function), io.StringIO()
        self.wire.function = function
        try:
            with redirect_stdout(text), redirect_stderr(text):
                return (
                    module.handler(
                        event, Context(invoked_function_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:f")
                    ),
                )
        except Exception as error:  # noqa: BLE001  as Lambda does
            self.errors[function] += 1
            self.refusals.append(f"{type(error).__name__}: {error}")
            return None
        finally:
            self.wire.function = ""
            self.printed.append((function, text.getvalue()))

    def _sandbox(self, function: str) -> ModuleType:
        """Return the handler's module, with the sandbox that its own wiring built for its first event."""
        module = _module_of(function)
        if function not in self.built:
            builder = _BUILDERS.get(function.partition(" ")[0], "ingress")
            wiring = getattr(module, builder)
            wiring.cache_clear()
            sandbox = wiring()
            wiring.cache_clear()
            self.patch.setattr(module, builder, lambda: sandbox)
            self.built.add(function)
        return module

    def _settings(self, environment: str) -> dict[str, str]:
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:"
        per_environment = {
            setting: self.urls[queue].replace("analytics", environment or "{environment}")
            for setting, queue in (
                ("TRIGGER_QUEUE_URL", "trigger-analytics"),
                ("TRIGGER_DLQ_URL", "trigger-dlq-analytics"),
                ("WATCH_QUEUE_URL", "watch-analytics.fifo"),
            )
        }
        return per_environment | {
            "RULES_TABLE": "rules",
            "LEDGER_TABLE": "ledger",
            "INGRESS_DLQ_URL": self.urls["ingress-dlq"],
            "CLAIM_CHECK_BUCKET": "large-confs",
            "ENVIRONMENTS": ",".join(ENVIRONMENTS),
            "BATCHES_TABLE": BATCHES_TABLE,
            "COLLECT_QUEUE_URL": self.urls[COLLECT_QUEUE],
            "LOOK_QUEUE_URL": self.urls[LOOK_QUEUE],
            "EVENT_BUS": EVENT_BUS,
            "INGRESS_RETRY_QUEUE_ARN": arn + RETRY_QUEUE,
            "EVENT_QUEUE_ARNS": arn + OWN_QUEUE,
            "TASK_TOKEN_KEY": self.key,
            "TASK_DAGS": "*",
            "ENVIRONMENT": environment,
            "MWAA_ENVIRONMENT_NAME": environment,
            "TRANSPORTS": "analytics=cli,legacy=rest",
            "DAG_MISSING_GRACE_SECONDS": "0",
            "WEB_LOGIN_ROLE": "Viewer",
        }

    def _give_up(self, function: str, event: Any) -> None:
        """Lambda's on-failure destination."""
        record = {
            "version": "1.0",
            "requestContext": {
                "functionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}:$LATEST",
                "condition": "RetriesExhausted",
                "approximateInvokeCount": self.tries,
            },
            "requestPayload": event,
            "responsePayload": {"errorMessage": self.refusals[-1], "errorType": "Unavailable"},
        }
        self.sqs.send_message(QueueUrl=self.urls[RETRY_QUEUE], MessageBody=json.dumps(record))

    # --- Airflow --------------------------------------------------------------------------------------------------

    def post(self, method: str, url: str, data: bytes | None, headers: dict[str, str]) -> Response:
        """What `requests` is asked for."""
        host, _, path = url.removeprefix("https://").partition("/")
        environment = self.environments[host.partition(".")[0]]
        if (method, path) != ("POST", "aws_mwaa/cli"):
            return Response(500, b"no web login in the sweep")
        assert headers["Authorization"].startswith(f"Bearer {CANARY}")
        assert data is not None
        return environment.post(data.decode("ascii"), self.clock.now)

    def mwaa(self, operation: str, call: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """MWAA's own API."""
        name = call["url"].split("/")[4]
        environment = self.environments[name]
        match operation:
            case "CreateCliToken":
                return 200, {"CliToken": f"{CANARY}-{name}", "WebServerHostname": environment.host}
            case "CreateWebLoginToken":
                return 200, {"WebToken": f"{CANARY}-{name}", "WebServerHostname": environment.host}
            case _:
                return environment.invoke(call, self.clock.now)

    def bus(self, operation: str, call: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """EventBridge's PutEvents."""
        assert operation == "PutEvents"
        for entry in call["Entries"]:
            assert entry["EventBusName"] == EVENT_BUS
            self.notices.append(entry)
        answers = [{"EventId": f"event-{number}"} for number, _ in enumerate(call["Entries"])]
        return 200, {"FailedEntryCount": 0, "Entries": answers}


_QUEUES = (
    *(f"{kind}-{name}" for kind in ("trigger", "trigger-dlq") for name in ENVIRONMENTS),
    "ingress-dlq",
    RETRY_QUEUE,
    OWN_QUEUE,
    ENDED_QUEUE,
    COLLECT_QUEUE,
    LOOK_QUEUE,
)


@contextmanager
def deployed(rules: list[dict[str, Any]]) -> Iterator[Deployed]:
    """Deploy it, with these rules, each in the partition of events of any source."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        sqs, dynamodb, s3 = (boto3.client(name) for name in ("sqs", "dynamodb", "s3"))
        create_ledger_table(dynamodb)
        create_rules_table(dynamodb)
        create_batches_table(dynamodb)
        s3.create_bucket(Bucket="large-confs", CreateBucketConfiguration={"LocationConstraint": REGION})
        clock = Clock(today() + STARTS_AT)
        for rule in rules:
            partitions = ["*"] + ([EXPECTED_PARTITION] if "expected" in rule.get("collect", {}) else [])
            for partition in partitions:
                copy = {
                    "partition": {"S": partition},
                    "sort": {"S": f"rule#{rule['id']}"},
                    "version": {"N": "1"},
                }
                copy["updated_at"] = {"S": datetime.fromtimestamp(clock.now, UTC).isoformat()}
                dynamodb.put_item(TableName="rules", Item=copy | {"document": {"S": json.dumps(rule)}})
        for partition in ("*", EXPECTED_PARTITION):
            head = {"partition": {"S": partition}, "sort": {"S": "head"}, "generation": {"N": "1"}}
            dynamodb.put_item(TableName="rules", Item=head)
        attributes = {"MaximumMessageSize": "1048576"}
        urls = {name: sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"] for name in _QUEUES}
        for name in ENVIRONMENTS:
            queue = f"watch-{name}.fifo"
            urls[queue] = sqs.create_queue(QueueName=queue, Attributes={"FifoQueue": "true"})["QueueUrl"]
        key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
        environments = {
            name: Environment(Airflow(name, version, set(DAGS))) for name, version in ENVIRONMENTS.items()
        }
        states = StepFunctions()
        wire = Wire({"stepfunctions": states.answer})
        gateway = Deployed(patch, clock, wire, environments, states, sqs, dynamodb, urls, key)
        wire.answers["mwaa"] = gateway.mwaa
        wire.answers["events"] = gateway.bus
        _control_time(patch, clock)
        patch.setattr("mwaa_gateway.feeds.requests.identity_of", _without_the_random_id)
        patch.setattr(
            requests.Session,
            "request",
            lambda _, method, url, *, data=None, headers=None, **__: gateway.post(method, url, data, headers),
        )
        # Nobody connects, so no certificates are read: 17 ms for each sandbox
        patch.setattr("ssl.SSLContext.load_verify_locations", lambda *_: None)
        with wire.laid():
            yield gateway


def _without_the_random_id(*parts: str) -> str:
    """The identity of a batch: rule and key, as each key has one batch here. A second one would have a run of its own."""
    return identity_of(*parts[:-1])


def today() -> float:
    """Return this day's midnight, UTC, in seconds since the epoch."""
    import time  # noqa: PLC0415  the only clock of the machine that is read here

    return time.time() // 86_400 * 86_400


def _control_time(patch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Have the functions, and botocore's pauses between tries, go by this clock."""
    from mwaa_gateway.aws.dynamodb.batches import BatchesTable  # noqa: PLC0415
    from mwaa_gateway.aws.dynamodb.ledger_table import LedgerTable  # noqa: PLC0415
    from mwaa_gateway.aws.dynamodb.rules_table import RulesTable  # noqa: PLC0415
    from mwaa_gateway.aws.mwaa.cli import CliTransport  # noqa: PLC0415
    from mwaa_gateway.aws.mwaa.rest import Pace, RestTransport  # noqa: PLC0415
    from mwaa_gateway.observability import logger  # noqa: PLC0415

    fake = SimpleNamespace(time=clock.time, sleep=clock.sleep, monotonic=clock.time)
    # The messages of a batch come one after the other, as moto's tables know no atomic update; so none of them is late.
    patch.setattr("mwaa_gateway.wiring.dispatcher.side_by_side", lambda work, _number: work())
    patch.setattr("mwaa_gateway.dispatch.delivery.LATEST_START_SECONDS", float("inf"))
    for module in ("dispatcher", "feeds", "ingress", "run_watcher", "step_functions_task", "watches"):
        patch.setattr(f"mwaa_gateway.wiring.{module}.time", fake)
    for wired in ("dispatcher", "feeds", "queued_events"):
        patch.setattr(f"mwaa_gateway.wiring.{wired}.random", SimpleNamespace(random=lambda: 0.5))
    patch.setattr("botocore.endpoint.time", fake)
    patch.setattr("moto.sqs.models.unix_time", clock.time)
    patch.setattr("moto.sqs.models.unix_time_millis", lambda: clock.now * 1000)
    for handler in logger.handlers:
        patch.setattr(handler, "stream", CurrentStdout())
    given: Callable[..., Any]
    for given in (BatchesTable, LedgerTable, CliTransport, Pace, RestTransport, RulesTable):
        defaults = given.__init__.__kwdefaults__  # type: ignore[misc]
        for name, value in {"monotonic": clock.time, "pause": clock.sleep, "sleep": clock.sleep}.items():
            if name in defaults:
                patch.setitem(defaults, name, value)
