"""Sends what reconcile starts: trigger requests to their queues, members to the queue that collects them."""

from collections.abc import Iterator, Sequence
from functools import partial

from gateway_cli.choice import Summary
from gateway_cli.connection import Connection
from gateway_cli.one_by_one import OneByOne
from gateway_cli.reconcile.state import Row
from gateway_cli.reconcile.wants import Rules
from mwaa_gateway.aws.claim_check_bucket import ClaimCheckBucket
from mwaa_gateway.aws.sqs.queues import TriggerQueues
from mwaa_gateway.routing.members import Member, MemberMessage
from mwaa_gateway.routing.resolve import Refused, Resolved
from mwaa_gateway.trigger_request import TriggerRequest


class Sender:
    """Sends the requests and members of wants; what cannot be sent stops no other."""

    def __init__(self, connection: Connection, rules: Rules) -> None:
        self._connection = connection
        self._rules = rules
        self._queues = TriggerQueues(connection.sqs, connection.stack_output("TriggerQueueUrlTemplate"))
        self._retry_queue = connection.stack_output("IngressRetryQueueUrl")
        self._claim_checks = ClaimCheckBucket(lambda: connection.s3)
        self._summary = Summary()
        self._one_by_one = OneByOne(self._summary)

    def __call__(self, wants: Sequence[Row]) -> dict[int, str]:
        """Send them; return why some were not sent, by the want's number."""
        self._summary.left.clear()
        requests: dict[str, TriggerRequest] = {}
        for want in wants:
            name = str(want.id)
            match self._made(want):
                case str() as why:
                    self._one_by_one.leave(name, why)
                case MemberMessage() as message:
                    send = partial(
                        self._connection.sqs.send_message,
                        QueueUrl=self._retry_queue,
                        MessageBody=message.to_json(),
                    )
                    self._one_by_one.do("queue for members", name, send)
                case Resolved(request, check):
                    if check is None or self._one_by_one.do(
                        "bucket for large confs", name, partial(self._claim_checks.put, [check])
                    ):
                        requests[name] = request
        self._one_by_one.enqueue(self._queues, requests)
        return {int(left.id): left.why for left in self._summary.left}

    def _made(self, want: Row) -> Resolved | MemberMessage | str:
        """Return what is sent for a want, or why nothing is."""
        rule = self._rules.rules.get(want.rule_id)
        if rule is None or rule.state != "ENABLED" or (rule.collect is None) != bool(want.target_id):
            return f"rule {want.rule_id} has changed meanwhile"
        event = self._rules.event(want.listed)
        if rule.collect is not None:
            message = self._rules.message(rule, event)
            return message if isinstance(message, MemberMessage) else message.text
        return next(self._of_target(want, self._rules.resolved(rule, event)), "the rule's target is gone")

    @staticmethod
    def _of_target(
        want: Row, found: Iterator[tuple[str, Resolved | Member | Refused]]
    ) -> Iterator[Resolved | str]:
        for target_id, one in found:
            if target_id == want.target_id and not isinstance(one, Member):
                yield one.text if isinstance(one, Refused) else one
