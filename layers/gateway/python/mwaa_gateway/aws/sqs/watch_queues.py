"""The watch queues, which start the rounds of the run watchers."""

import json
import uuid

from mwaa_gateway.aws.sqs.queues import Queue
from mwaa_gateway.step_functions.notices import WAKE


class WatchQueues(Queue):
    """Implements `mwaa_gateway.step_functions.starter.WatchQueue`: one FIFO queue per environment, in one message group.

    SQS delivers one batch of a message group at a time, so that watching takes one slot. The queue delays each message by
    five seconds, by when DynamoDB's index normally shows the new watch.
    """

    def wake(self, environment: str, now: float) -> None:
        """Start a round of the environment's watcher soon; each call sends a message."""
        self._send_one(
            "the watch queue",
            environment=environment,
            MessageBody=json.dumps({"round": WAKE, "sent_at": round(now, 3)}),
            MessageGroupId="watch",
            MessageDeduplicationId=uuid.uuid4().hex,
        )
