"""Events of each source, sent as its users send them, and the rules for them."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from gateway_cli.certify.gateway_probe import (
    DETAIL_TYPE,
    NAMESPACE,
    SOURCE,
    CannotAsk,
    GatewayProbe,
    Sent,
)
from gateway_cli.connection import Connection
from mwaa_gateway.trigger_request import identity_of


@dataclass
class Sources:
    """Sends events that start the canary."""

    gateway: GatewayProbe

    @property
    def _connection(self) -> Connection:
        return self.gateway.connection

    @cached_property
    def _events_rule(self) -> str:
        """The rule for events of this certification, from any source; written on first use."""
        return self.gateway.write_rule("events", self.gateway.own_events("stamp"))

    def put_event(self, seconds: object = 0) -> Sent:
        """Put an event on the stack's bus."""
        rule_id = self._events_rule
        event_id = self.put(SOURCE, DETAIL_TYPE, {"stamp": self.gateway.stamp, "seconds": seconds})
        return Sent.of_event(event_id, rule_id)

    def put_unusable_event(self) -> str:
        """Put an event on the bus that lacks what its rule takes from it; its id."""
        missing = {"key": "<$.detail.there-is-no-such-field>"}
        self.gateway.write_rule("unusable", self.gateway.own_events("unusable"), dedupe_key=missing)
        return self.put(SOURCE, DETAIL_TYPE, {"unusable": self.gateway.stamp})

    def put(self, source: str, detail_type: str, detail: Mapping[str, Any]) -> str:
        """Put one event on the stack's bus; its id."""
        answer = self._connection.eventbridge.put_events(
            Entries=[
                {
                    "EventBusName": self._connection.stack_output("EventBusName"),
                    "Source": source,
                    "DetailType": detail_type,
                    "Detail": json.dumps(detail),
                }
            ]
        )
        entry = answer["Entries"][0]
        if "EventId" not in entry:
            said = f"{entry.get('ErrorCode')}: {entry.get('ErrorMessage')}"
            raise CannotAsk(f"EventBridge did not take the event: {said}")
        return entry["EventId"]

    def publish(self) -> Sent:
        """Publish a notification on the stack's topic."""
        topic = self._connection.stack_output("TopicArn")
        detail = {"topic-arn": [topic], "message": {"stamp": [self.gateway.stamp]}}
        rule_id = self.gateway.write_rule(
            "sns",
            {"source": ["aws.sns"], "detail-type": ["Notification"], "detail": detail},
            paths={"seconds": "$.detail.message.seconds"},
        )
        message = json.dumps({"stamp": self.gateway.stamp, "seconds": 0})
        answer = self._connection.client("sns").publish(TopicArn=topic, Message=message)
        message_id = str(answer["MessageId"])
        return Sent(message_id, identity_of("sns", topic, message_id), rule_id)

    def upload(self, bucket: str) -> tuple[Sent, str]:
        """Upload an empty object whose key shows whether it was decoded: the event, and the key."""
        prefix = f"{NAMESPACE}/{self.gateway.stamp}/"
        key = f"{prefix}{uuid.uuid4().hex[:8]} a+b%20c.csv"
        detail = {"bucket": {"name": [bucket]}, "object": {"key": [{"prefix": prefix}]}}
        # Its own identity has the sequencer, which only the event contains, so the key identifies the row.
        rule_id = self.gateway.write_rule(
            "s3",
            {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": detail},
            paths={"seconds": "$.detail.object.size", "key": "$.detail.object.key"},
            dedupe_key={"key": "<$.detail.object.key>"},
        )
        s3 = self._connection.s3
        self.gateway.undo_later(
            f"object in the bucket under {NAMESPACE}/", lambda: s3.delete_object(Bucket=bucket, Key=key)
        )
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
        return Sent(key, identity_of("key", rule_id, "", key), rule_id), key

    def send(self, queue_arn: str) -> Sent:
        """Send an EventBridge event to a queue that the gateway reads."""
        rule_id = self._events_rule
        _, _, _, region, account, name = queue_arn.split(":")
        event_id = str(uuid.uuid4())
        event = {
            "version": "0",
            "id": event_id,
            "source": SOURCE,
            "detail-type": DETAIL_TYPE,
            "account": account,
            "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "region": region,
            "resources": [],
            "detail": {"stamp": self.gateway.stamp, "seconds": 0},
        }
        sqs = self._connection.sqs
        url = sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
        fifo: Any = {"MessageGroupId": NAMESPACE, "MessageDeduplicationId": event_id}
        sqs.send_message(
            QueueUrl=url, MessageBody=json.dumps(event), **(fifo if name.endswith(".fifo") else {})
        )
        return Sent.of_event(event_id, rule_id)
