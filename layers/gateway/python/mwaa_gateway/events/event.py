"""One event of any source: its envelope, and the identity that its deliveries share."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from mwaa_gateway.errors import MalformedEvent, kind_of
from mwaa_gateway.json_values import object_in
from mwaa_gateway.values import value


@value
class Event:
    """One event: its EventBridge `envelope`, and the `identity` that its deliveries share on every route."""

    envelope: Mapping[str, Any]
    identity: str

    @property
    def id(self) -> str:
        """The id in the envelope."""
        return str(self.envelope["id"])


def each_record(
    payload: Mapping[str, Any], what: str, normalise: Callable[[Mapping[str, Any]], Event]
) -> list[Event | MalformedEvent]:
    """Normalise each record of the payload; a malformed one becomes an error in its place and stops no other."""
    records = payload.get("Records") if isinstance(payload, Mapping) else None
    if not isinstance(records, list):
        return [MalformedEvent(f"Records is {kind_of(records)}; expected the list that {what} has")]
    events: list[Event | MalformedEvent] = []
    for position, record in enumerate(records):
        try:
            events.append(normalise(object_in(record, "the record")))
        except MalformedEvent as malformed:
            events.append(MalformedEvent(f"Records[{position}]: {malformed}"))
    return events


def derived_id(identity: str) -> str:
    """Return a UUID-shaped id, the same for every delivery of the event."""
    digits = sha256(identity.encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:32]}"
