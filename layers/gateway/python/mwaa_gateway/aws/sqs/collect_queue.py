"""The collect queue of the feeds: members, and the flushes behind them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mwaa_gateway.aws.sqs.queues import Message, Queue, send_all

if TYPE_CHECKING:
    from mwaa_gateway.routing.members import MemberMessage


class CollectQueue(Queue):
    """Implements `mwaa_gateway.routing.members.CollectQueue` and `mwaa_gateway.feeds.batch.Flushes`."""

    def collect(self, messages: "Sequence[MemberMessage]") -> None:
        """Send every member, in batches of ten; its rule is the message group."""
        send_all(self._client, self._url, [Message(each.to_json(), each.rule_id) for each in messages])

    def flush(self, batch_id: str, rule_id: str) -> None:
        """Send a flush behind the rule's members."""
        from mwaa_gateway.routing.members import flush_message  # noqa: PLC0415  ingress sends members alone

        send_all(self._client, self._url, [Message(flush_message(batch_id), rule_id)])
