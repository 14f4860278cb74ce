"""Tests the paths into the dead-letter queues that need no broken function, and deletes the test messages."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from gateway_cli.certify.gateway_probe import (
    DETAIL_TYPE,
    NAMESPACE,
    SOURCE,
    TRIES,
    CannotAsk,
    GatewayProbe,
    Sent,
)
from gateway_cli.certify.judging import RowSeen
from gateway_cli.certify.sources import Sources
from gateway_cli.connection import Connection
from gateway_cli.dlq.queue_messages import dead_letter_of_ingress, key_of_dead_request
from gateway_cli.dlq.received_messages import ReceivedMessage, received_messages


@dataclass
class DeadLetterPaths:
    """The dead-letter queues of one environment and of ingress. Reading hides messages from others for some seconds."""

    gateway: GatewayProbe
    sources: Sources

    @property
    def _connection(self) -> Connection:
        return self.gateway.connection

    def dead_request(self) -> tuple[RowSeen, bool]:
        """Let Airflow refuse a request; return its row, and whether its message arrived. Then remove both."""
        sent: list[Sent] = []

        def send() -> Sent:
            sent.append(self.sources.put_event(seconds="no number"))
            return sent[-1]

        seen = self.gateway.follow("the bus", send, dies=True)
        row = self.gateway.row(sent[-1])
        if row is None or row.state != "dead":
            return seen, False
        template = self._connection.stack_output("TriggerDlqUrlTemplate")
        url = template.replace("{environment}", self.gateway.environment)
        found = self._take(
            url, lambda message: key_of_dead_request(message) == row.key, self.gateway.patience
        )
        self.gateway.ledger.remove_from_index(row)
        return seen, bool(found)

    def unusable_event(self) -> bool:
        """Return whether an event that its rule cannot use reaches the ingress DLQ."""
        ids: set[str] = set()

        def there(message: ReceivedMessage) -> bool:
            dead_letter = dead_letter_of_ingress(message)
            return dead_letter.died_in == "ingress" and dead_letter.event in ids

        def send() -> None:
            ids.add(self.sources.put_unusable_event())

        return bool(self._send_until(send, there))

    def undelivered_by_eventbridge(self) -> RowSeen | None:
        """Let EventBridge fail to deliver an event, and redrive it; None if it never reached the ingress DLQ.

        The stack's rule gets a second target, which EventBridge may not invoke; the first stays unchanged. Copies of other
        events that fail meanwhile are deleted, because the events themselves were delivered.
        """
        ids: set[str] = set()

        def send() -> None:
            # No rule matches it yet, so the event that is delivered to the function is unmatched.
            ids.add(self.sources.put(SOURCE, DETAIL_TYPE, {"undelivered": self.gateway.stamp, "seconds": 0}))

        def ours(message: ReceivedMessage) -> bool:
            return dead_letter_of_ingress(message).event in ids

        undo = self._add_target()
        try:
            found = self._send_until(send, ours)
        finally:
            self.gateway.undo_now(undo)
        self._take(self._ingress_dlq, lambda each: each.attributes.get("TARGET_ARN") == self._doctor_arn, 0)
        return self._redrive(found[0]) if found else None

    def _add_target(self) -> tuple[str, Callable[[], object]]:
        """Add the second target; return the step that removes it."""
        bus, events = self._connection.stack_output("EventBusName"), self._connection.eventbridge
        rule, target_id = self._bus_rule(bus), f"{NAMESPACE}-{self.gateway.stamp}"
        target: Any = {
            "Id": target_id,
            "Arn": self._doctor_arn,
            "DeadLetterConfig": {"Arn": self._arn("sqs", self._ingress_dlq.rpartition("/")[2])},
        }
        undo = self.gateway.undo_later(
            "target of the bus's rule",
            lambda: events.remove_targets(Rule=rule, EventBusName=bus, Ids=[target_id]),
        )
        try:
            events.put_targets(Rule=rule, EventBusName=bus, Targets=[target])
        except ClientError:
            self.gateway.forget(undo)  # the target was not added
            raise
        return undo

    def _bus_rule(self, bus: str) -> str:
        """Return the name of the stack's rule on its bus."""
        pages = self._connection.eventbridge.get_paginator("list_rules").paginate(EventBusName=bus)
        names = [rule["Name"] for page in pages for rule in page["Rules"]]
        ours = [name for name in names if "EventBusRule" in name]
        if not ours:
            raise CannotAsk("the stack's rule on its bus was not found")
        return ours[0]

    def _redrive(self, message: ReceivedMessage) -> RowSeen:
        """Send a dead letter back to ingress, as `dlq redrive` does, after writing a rule for it; return its row."""
        rule_id = self.gateway.write_rule("undelivered", self.gateway.own_events("undelivered"))
        sent = Sent.of_event(str(dead_letter_of_ingress(message).event), rule_id)

        def send() -> Sent:
            queue = self._connection.stack_output("IngressRetryQueueUrl")
            self._connection.sqs.send_message(QueueUrl=queue, MessageBody=message.body)
            return sent

        return self.gateway.follow("the redriven event", send)

    def undelivered_by_sns(self) -> bool:
        """Return whether a message that SNS cannot deliver reaches the ingress DLQ; the subscription is for our own."""
        topic, sns = self._connection.stack_output("TopicArn"), self._connection.client("sns")
        redrive = {"deadLetterTargetArn": self._arn("sqs", self._ingress_dlq.rpartition("/")[2])}
        arn: str = sns.subscribe(
            TopicArn=topic,
            Protocol="lambda",
            Endpoint=self._doctor_arn,  # which SNS may not invoke
            Attributes={
                "FilterPolicy": json.dumps({NAMESPACE: [self.gateway.stamp]}),
                "RedrivePolicy": json.dumps(redrive),
            },
            ReturnSubscriptionArn=True,
        )["SubscriptionArn"]
        undo = self.gateway.undo_later("subscription", lambda: sns.unsubscribe(SubscriptionArn=arn))
        ids: set[str] = set()

        def send() -> None:
            answer = sns.publish(
                TopicArn=topic,
                Message=json.dumps({NAMESPACE: self.gateway.stamp}),
                MessageAttributes={NAMESPACE: {"DataType": "String", "StringValue": self.gateway.stamp}},
            )
            ids.add(str(answer["MessageId"]))

        def there(message: ReceivedMessage) -> bool:
            dead_letter = dead_letter_of_ingress(message)
            return dead_letter.died_in == "SNS" and dead_letter.event in ids

        try:
            return bool(self._send_until(send, there))
        finally:
            self.gateway.undo_now(undo)

    def _send_until(
        self, send: Callable[[], None], wanted: Callable[[ReceivedMessage], bool]
    ) -> list[ReceivedMessage]:
        """Send, and again if nothing reaches the ingress DLQ: rules, targets and subscriptions need a moment to take effect.

        Return the dead letters, which are deleted.
        """
        patience = self.gateway.patience
        for each in (*[min(self.gateway.again_seconds, patience)] * (TRIES - 1), patience):
            send()
            if found := self._take(self._ingress_dlq, wanted, each):
                return found
        return []

    @cached_property
    def _ingress_dlq(self) -> str:
        return self._connection.stack_output("IngressDlqUrl")

    @cached_property
    def _doctor_arn(self) -> str:
        return self._arn("lambda", f"function:{self._connection.stack_output('DoctorFunctionName')}")

    def _arn(self, service: str, resource: str) -> str:
        _, partition, _, region, account, *_ = self._connection.stack_output("EventBusArn").split(":")
        return f"arn:{partition}:{service}:{region}:{account}:{resource}"

    def _take(
        self, queue: str, wanted: Callable[[ReceivedMessage], bool], patience: float
    ) -> list[ReceivedMessage]:
        """Wait for messages in a queue, and delete them; return none if none arrive."""

        def take() -> list[ReceivedMessage]:
            with received_messages(self._connection.sqs, [queue]) as received:
                found = [message for message in received if wanted(message)]
                received.delete(found)
                return found

        return self.gateway.wait_for(take, time.monotonic() + patience) or []
