"""Every path into a dead-letter queue that can be tested without breaking anything; test messages are removed again."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from gateway_cli.certify.gateway_asked import (
    DETAIL_TYPE,
    NAMESPACE,
    SOURCE,
    TRIES,
    Answer,
    CannotAsk,
    GatewayAsked,
    Sent,
)
from gateway_cli.certify.judging import RowSeen
from gateway_cli.certify.sources_asked import Sources
from gateway_cli.connection import Connection
from gateway_cli.dlq.queue_messages import dead_letter_of_ingress, key_of_dead_request
from gateway_cli.dlq.received_messages import ReceivedMessage, ReceivedMessages, received_messages

__all__ = ["DeadLetterPaths"]


@dataclass
class DeadLetterPaths:
    """The dead-letter queues of one environment and of ingress. Reading hides their messages from others for moments."""

    gateway: GatewayAsked
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

        seen = self.gateway.followed("the bus", send, dies=True)
        row = self.gateway.row(sent[-1])
        if row is None or row.state != "dead":
            return seen, False
        template = self._connection.stack_output("TriggerDlqUrlTemplate")
        url = template.replace("{environment}", self.gateway.environment)
        found = self._taken(
            url, lambda message: key_of_dead_request(message) == row.key, self.gateway.patience
        )
        self.gateway.ledger.remove_from_index(row)
        return seen, found

    def unusable_event(self) -> bool:
        """Return whether an event that its rule cannot use reaches the ingress DLQ."""
        ids: set[str] = set()

        def there(message: ReceivedMessage) -> bool:
            dead_letter = dead_letter_of_ingress(message)
            return dead_letter.died_in == "ingress" and dead_letter.event in ids

        def send() -> None:
            ids.add(self.sources.put_unusable_event())

        return self._sent_until(send, lambda patience: self._taken(self._ingress_dlq, there, patience))

    def undelivered_by_eventbridge(self) -> RowSeen | None:
        """Let EventBridge fail to deliver an event, and redrive it; None if it never reached the ingress DLQ.

        The stack's rule gets a second target, which EventBridge may not invoke; the first stays unchanged. Copies of other
        events that fail meanwhile are deleted, because the events themselves were delivered.
        """
        kept: list[ReceivedMessage] = []
        ids: set[str] = set()

        def send() -> None:
            # No rule matches it yet, so the event that is delivered to the function is unmatched.
            ids.add(self.sources.put(SOURCE, DETAIL_TYPE, {"undelivered": self.gateway.stamp, "seconds": 0}))

        def there(patience: float) -> bool:
            found = self._first(
                self._ingress_dlq, lambda each: dead_letter_of_ingress(each).event in ids, patience
            )
            kept.extend([found] if found is not None else [])
            return found is not None

        undo = self._add_target()
        try:
            found = self._sent_until(send, there)
        finally:
            self.gateway.undo_now(undo)
        self._taken(self._ingress_dlq, lambda each: each.attributes.get("TARGET_ARN") == self._doctor_arn, 0)
        return self._redriven(kept[0]) if found else None

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

    def _redriven(self, message: ReceivedMessage) -> RowSeen:
        """Send a dead letter back to ingress, as `dlq redrive` does, after writing a rule for it; return its row."""
        pattern: Mapping[str, Any] = {
            "source": [SOURCE],
            "detail-type": [DETAIL_TYPE],
            "detail": {"undelivered": [self.gateway.stamp]},
        }
        rule_id = self.gateway.write_rule("undelivered", pattern)
        sent = Sent.of_event(str(dead_letter_of_ingress(message).event), rule_id)

        def send() -> Sent:
            queue = self._connection.stack_output("IngressRetryQueueUrl")
            self._connection.sqs.send_message(QueueUrl=queue, MessageBody=message.body)
            return sent

        return self.gateway.followed("the redriven event", send)

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
            return self._sent_until(send, lambda patience: self._taken(self._ingress_dlq, there, patience))
        finally:
            self.gateway.undo_now(undo)

    def _sent_until(self, send: Callable[[], None], found: Callable[[float], bool]) -> bool:
        """Send, and again if nothing is found: rules, targets and subscriptions take a moment to become effective."""
        for tries in range(1, TRIES + 1):
            send()
            last = tries == TRIES
            if found(
                self.gateway.patience if last else min(self.gateway.again_seconds, self.gateway.patience)
            ):
                return True
        return False

    @cached_property
    def _ingress_dlq(self) -> str:
        return self._connection.stack_output("IngressDlqUrl")

    @cached_property
    def _doctor_arn(self) -> str:
        return self._arn("lambda", f"function:{self._connection.stack_output('DoctorFunctionName')}")

    def _arn(self, service: str, resource: str) -> str:
        _, partition, _, region, account, *_ = self._connection.stack_output("EventBusArn").split(":")
        return f"arn:{partition}:{service}:{region}:{account}:{resource}"

    def _taken(self, queue: str, wanted: Callable[[ReceivedMessage], bool], patience: float) -> bool:
        """Wait for messages in a queue, and delete them; return False if none arrive."""

        def take(received: ReceivedMessages) -> bool:
            found = [message for message in received if wanted(message)]
            received.delete(found)
            return bool(found)

        return self._looked(queue, take, patience) is not None

    def _first(
        self, queue: str, wanted: Callable[[ReceivedMessage], bool], patience: float
    ) -> ReceivedMessage | None:
        """Wait for a message in a queue, and delete it; return None if none arrives."""

        def take(received: ReceivedMessages) -> ReceivedMessage | None:
            found = next(filter(wanted, received), None)
            received.delete([found] if found is not None else [])
            return found

        return self._looked(queue, take, patience)

    def _looked(
        self, queue: str, take: Callable[[ReceivedMessages], Answer | None], patience: float
    ) -> Answer | None:
        def look() -> Answer | None:
            with received_messages(self._connection.sqs, [queue]) as received:
                return take(received)

        return self.gateway.waited(look, time.monotonic() + patience)
