"""A deployed gateway in moto, for the tests of the operator's commands."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from moto import mock_aws

from fakes.airflow import FakeAirflow
from fakes.batches_table import BATCHES_TABLE, create_batches_table
from fakes.catalog import FakeCatalogStore
from fakes.circuit_breakers import FakeCircuitStore
from fakes.ledger_table import LEDGER_TABLE, create_ledger_table
from fakes.requests import a_request
from fakes.rules_table import RULES_TABLE, create_rules_table
from gateway_cli.dlq import received_messages
from mwaa_gateway.aws.dynamodb.ledger_table import LedgerTable
from mwaa_gateway.aws.dynamodb.object_claims import LedgerClaims
from mwaa_gateway.aws.dynamodb.pauses import PauseItems
from mwaa_gateway.aws.sqs.queues import IngressDeadLetterQueue, TriggerDeadLetterQueue
from mwaa_gateway.dead_events import DeadEventReason
from mwaa_gateway.dispatch.circuit_breaker import CircuitBreakers
from mwaa_gateway.dispatch.dag_catalog import LiveCatalog
from mwaa_gateway.dispatch.dispatcher import Dispatcher
from mwaa_gateway.dispatch.pauses import Pauses
from mwaa_gateway.events import Event
from mwaa_gateway.ingress.ingest import DeadEvent
from mwaa_gateway.outcomes import Outcome, Reason, Rejected
from mwaa_gateway.trigger_request import TriggerRequest

NO = Rejected(Reason.CONF_REFUSED, "Airflow said ParamValidationError: 'key' is a required property")
QUEUES = (
    "trigger-analytics",
    "trigger-dlq-analytics",
    "trigger-legacy",
    "trigger-dlq-legacy",
    "ingress-dlq",
    "ingress-retry",
    "collect",
)


@dataclass
class Gateway:
    """A deployed gateway's queues and ledger, with the dispatchers' part played by the test."""

    sqs: Any
    dynamodb: Any
    url: str
    parameters: dict[str, str]  # of the stack; a test may change them
    outputs: dict[str, str]
    airflow: FakeAirflow = field(default_factory=FakeAirflow)
    described: dict[str, dict[str, Any]] = field(default_factory=dict)  # environments, as GetEnvironment does
    asked_of_mwaa: int = 0
    time: float = field(default_factory=time.time)

    @property
    def ledger(self) -> LedgerTable:
        return LedgerTable(self.dynamodb, LEDGER_TABLE)

    def queue(self, name: str) -> str:
        return self.url + name

    def dispatch(self, body: str, environment: str = "analytics") -> Outcome:
        """Deliver one message to the environment's dispatcher."""
        dispatcher = Dispatcher(
            ledger=self.ledger,
            claims=LedgerClaims(self.dynamodb, LEDGER_TABLE, lambda: self.time),
            airflow=self.airflow,
            dead_letters=TriggerDeadLetterQueue(self.sqs, self.queue(f"trigger-dlq-{environment}")),
            pauses=Pauses(environment, PauseItems(self.dynamodb, RULES_TABLE), refresh_seconds=0),
            circuit_breakers=CircuitBreakers(environment, FakeCircuitStore(), dag_missing_grace_seconds=0),
            catalog=LiveCatalog(
                FakeCatalogStore(), self.airflow, refresh_seconds=0, now=lambda: self.time, report=print
            ),
            maximum_event_age_seconds=86_400,
            now=lambda: self.time,
            jitter=lambda: 0.0,
            sleep=time.sleep,
        )
        return dispatcher.dispatch(body, 1).outcome

    def die(
        self, identity: str = "one", rejected: Rejected = NO, *, ago: float = 0.0, **changes: Any
    ) -> TriggerRequest:
        """Let a request die, as it would."""
        request = a_request(identity, **changes)
        self.airflow.answers = [rejected]
        self.time = time.time() - ago
        assert isinstance(self.dispatch(request.to_json(), request.target.environment), Rejected)
        self.time = time.time()
        return request

    def deliver_all(self, environment: str = "analytics") -> list[Outcome]:
        """Deliver everything that waits in an environment's trigger queue, once."""
        return [self.dispatch(body, environment) for body in self.bodies(f"trigger-{environment}")]

    def publish(self, reason: DeadEventReason = DeadEventReason.BROKEN_RULE, **changes: Any) -> DeadEvent:
        """Put an event aside, as the ingress functions do."""
        payload = {"id": "e-1", "detail-type": "x"}
        dead = DeadEvent(reason, "the reason", payload, Event(payload, "i"), "finance.orders", 3)
        IngressDeadLetterQueue(self.sqs, self.queue("ingress-dlq")).publish([replace(dead, **changes)])
        return replace(dead, **changes)

    def send(self, queue: str, body: str, **attributes: str) -> None:
        self.sqs.send_message(
            QueueUrl=self.queue(queue),
            MessageBody=body,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )

    def bodies(self, queue: str) -> list[str]:
        """Every message of a queue that anybody can see now, taken out of it."""
        found: list[str] = []
        while messages := self.sqs.receive_message(QueueUrl=self.queue(queue), MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in messages:
                found.append(message["Body"])
                self.sqs.delete_message(QueueUrl=self.queue(queue), ReceiptHandle=message["ReceiptHandle"])
        return found

    def visible(self, queue: str) -> int:
        attributes = self.sqs.get_queue_attributes(
            QueueUrl=self.queue(queue), AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(attributes["Attributes"]["ApproximateNumberOfMessages"])


@pytest.fixture
def operated(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """An AWS account with the gateway in it."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setattr(received_messages, "WAIT_SECONDS", 0)  # moto has no servers that one could miss
    with mock_aws():
        sqs, dynamodb = boto3.client("sqs"), boto3.client("dynamodb")
        create_ledger_table(dynamodb)
        create_rules_table(dynamodb)
        create_batches_table(dynamodb)
        urls = [
            sqs.create_queue(QueueName=name, Attributes={"MaximumMessageSize": "1048576"})["QueueUrl"]
            for name in QUEUES
        ]
        url = urls[0].removesuffix(QUEUES[0])
        parameters = {"Transports": "rest"}
        outputs = {
            "EnvironmentNames": "analytics,legacy",
            "LedgerTableName": LEDGER_TABLE,
            "RulesTableName": RULES_TABLE,
            "TriggerQueueUrlTemplate": url + "trigger-{environment}",
            "TriggerDlqUrlTemplate": url + "trigger-dlq-{environment}",
            "IngressDlqUrl": url + "ingress-dlq",
            "IngressRetryQueueUrl": url + "ingress-retry",
            "CollectQueueUrl": url + "collect",
            "BatchesTableName": BATCHES_TABLE,
        }
        gateway = Gateway(sqs, dynamodb, url, parameters, outputs)
        ask_aws = BaseClient._make_api_call

        def call(client: Any, operation: str, params: Any) -> Any:
            match operation:
                case "DescribeStacks":
                    stack = {
                        "Outputs": _listed("Output", outputs),
                        "Parameters": _listed("Parameter", parameters),
                    }
                    return {"Stacks": [stack]}
                case "GetEnvironment":  # moto has no MWAA
                    gateway.asked_of_mwaa += 1
                    return {"Environment": gateway.described[params["Name"]]}
                case _:
                    return ask_aws(client, operation, params)

        monkeypatch.setattr(BaseClient, "_make_api_call", call)
        yield gateway


def _listed(kind: str, values: dict[str, str]) -> list[dict[str, str]]:
    return [{f"{kind}Key": key, f"{kind}Value": value} for key, value in values.items()]
