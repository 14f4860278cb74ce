"""The gateway's own event bus, for events about batches."""

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from mwaa_gateway.aws.errors import unavailable_unless_answered
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.trigger_request import OWN_SOURCE

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

ENTRIES_PER_CALL: Final = 10


class GatewayBus:
    """Implements `mwaa_gateway.feeds.batch.EventBus`."""

    def __init__(self, make_client: "Callable[[], EventBridgeClient]", bus: str) -> None:
        self._make_client = make_client
        self._bus = bus

    def publish(self, notices: Sequence[str]) -> None:
        """Put at most ten events on the bus.

        Raises:
            Unavailable: EventBridge did not accept them all.
        """
        documents = [json.loads(notice) for notice in notices[:ENTRIES_PER_CALL]]
        with unavailable_unless_answered("the event bus did not accept the events"):
            answer = self._client.put_events(
                Entries=[
                    {
                        "EventBusName": self._bus,
                        "Source": OWN_SOURCE,
                        "DetailType": document["detail-type"],
                        "Detail": json.dumps(document["detail"], separators=(",", ":")),
                    }
                    for document in documents
                ]
            )
        # An event counts only if EventBridge names it: botocore reads a body that is not JSON as an empty answer.
        entries = answer.get("Entries", [])
        if len([entry for entry in entries if entry.get("EventId")]) < len(documents):
            codes = sorted({entry["ErrorCode"] for entry in entries if "ErrorCode" in entry})
            raise Unavailable(f"the event bus did not accept the events: {', '.join(codes) or 'no answer'}")

    @cached_property
    def _client(self) -> "EventBridgeClient":
        return self._make_client()
