"""The SQS queues of the feeds: members and flushes to the collect queue, looks to the look queue."""

import json
import math
from collections.abc import Sequence

from mwaa_gateway.aws.sqs.queues import MESSAGES_PER_BATCH, Message, Queue, send_all
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import LATE_MEMBER
from mwaa_gateway.routing.members import CHECKS, MemberMessage, flush_message


class CollectQueue(Queue):
    """Implements `mwaa_gateway.routing.members.CollectQueue` and `mwaa_gateway.feeds.batch.Flushes`."""

    def collect(self, messages: Sequence[MemberMessage]) -> None:
        """Send every member, in batches of ten; its rule is the message group."""
        send_all(self._client, self._url, [Message(each.to_json(), each.rule_id) for each in messages])

    def flush(self, batch_id: str, rule_id: str) -> None:
        """Send a flush behind the rule's members."""
        send_all(self._client, self._url, [Message(flush_message(batch_id), rule_id)])


class LateMemberQueue(Queue):
    """Implements `mwaa_gateway.feeds.batch.LateMembers`: the ingress dead-letter queue."""

    def publish(self, messages: Sequence[MemberMessage]) -> None:
        """Publish every member as it was on the collect queue, with the reason."""
        bodies = [json.dumps(json.loads(each.to_json()) | {"reason": LATE_MEMBER}) for each in messages]
        send_all(self._client, self._url, [Message(body) for body in bodies])


class LookQueue(Queue):
    """Implements `mwaa_gateway.feeds.batch.Timers`: a message is the id of a batch, delayed."""

    def look(self, batches: Sequence[tuple[str, float]]) -> dict[str, str]:
        """Let the releaser look at each batch in so many seconds; return why some get no look, by batch."""
        failed: dict[str, str] = {}
        for start in range(0, len(batches), MESSAGES_PER_BATCH):
            some = batches[start : start + MESSAGES_PER_BATCH]
            looks = [Message(batch_id, delay=min(900, math.ceil(seconds))) for batch_id, seconds in some]
            try:
                send_all(self._client, self._url, looks)
            except Unavailable as error:
                failed |= dict.fromkeys((batch_id for batch_id, _ in some), str(error))
        return failed

    def check(self, batch_id: str) -> None:
        """Let the releaser look at the batch now, and again until it has."""
        send_all(self._client, self._url, [Message(batch_id, CHECKS)])
