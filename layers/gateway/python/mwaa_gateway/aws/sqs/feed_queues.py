"""The SQS queues of the feeds beside the collect queue: looks, and late members."""

import json
import math
from collections.abc import Sequence

from mwaa_gateway.aws.sqs.queues import MESSAGES_PER_BATCH, Message, Queue, send_all
from mwaa_gateway.dead_events import LATE_MEMBER
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.routing.members import CHECKS, MemberMessage


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
