"""Messages of a queue, as Lambda passes them on."""

import json
from typing import Any

from mwaa_gateway.queue_message import QueueMessage


def messages(*bodies: Any, receive_count: int = 1, queue: str = "") -> list[QueueMessage]:
    """A batch; a body that is no text is sent as JSON."""
    return [
        QueueMessage(
            id=f"message-{n}",
            body=body if isinstance(body, str) else json.dumps(body),
            receipt_handle=f"handle-{n}",
            receive_count=receive_count,
            sent_at=1_000.0,
            first_sent_at=1_000.0,
            queue=queue,
        )
        for n, body in enumerate(bodies)
    ]
