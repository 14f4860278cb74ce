"""The executions that wait in each environment, and the watch queues, for ended_executions."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from mwaa_gateway.aws.dynamodb.values import Table, attributes, text
from mwaa_gateway.aws.errors import require, unavailable_unless_answered

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_INDEX: Final = "watches"  # its partition key, watched_in, is written by `WatchItems`


class WatchesIndex(Table):
    """Implements `mwaa_gateway.step_functions.ended_executions.OpenWatches`: the index contains only open watches."""

    def executions(self, environment: str, among: Collection[str]) -> frozenset[str]:
        """Return which of these executions wait for a run of the environment."""
        found: set[str] = set()
        with unavailable_unless_answered("cannot list the watches"):
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                IndexName=_INDEX,
                KeyConditionExpression="watched_in = :watched_in",
                ProjectionExpression="execution_arn",
                ExpressionAttributeValues=attributes({":watched_in": f"watch#{environment}"}),
            )
            for page in pages:
                # An item that somebody edited hides no other.
                found |= {text(item, "execution_arn") for item in page["Items"]}
        return frozenset(among) & found


class ForwardingQueues:
    """Implements `mwaa_gateway.step_functions.ended_executions.WatchQueues`; `url` contains `{environment}`."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def forward(self, environment: str, notice: str, message_id: str) -> None:
        """Forward a notice unchanged, in the queue's one message group."""
        with unavailable_unless_answered("the watch queue did not accept the notice"):
            answer = self._client.send_message(
                QueueUrl=self._url.replace("{environment}", environment),
                MessageBody=notice,
                MessageGroupId="watch",
                MessageDeduplicationId=message_id,
            )
        require(answer, "MessageId", "the watch queue did not accept the notice")
