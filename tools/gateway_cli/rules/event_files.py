"""Events from files: any payload of a source, read by the parsers of the functions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway_cli.documents.json_documents import read_json
from gateway_cli.output import Refused
from mwaa_gateway.errors import MalformedEvent
from mwaa_gateway.events import Event, TrustedQueues, from_queue

# The parser of the ingress retry queue reads the payload of every source, with what Lambda or the gateway wrapped around
# it, so read files as messages of that queue. Its ARN has no account here; S3's notifications have none either.
_FILES: Final = "event-files"


@dataclass(frozen=True, slots=True)
class NamedEvent:
    """One event and its source: `orders.json`, or `orders.json[1]` for the second of several."""

    name: str
    event: Event | MalformedEvent


def read_events(files: Sequence[Path], *, unwrap_topics: frozenset[str] = frozenset()) -> list[NamedEvent]:
    """Read event files: each contains a JSON document, or a list of them; raises Refused for a file that is not JSON.

    A folder stands for all *.json files below it.
    A document is an EventBridge event, an S3 notification, an SNS notification as Lambda or SQS receives it, a batch of SQS
    messages with any of these, or a message of the ingress DLQ.
    """
    named: list[NamedEvent] = []
    for file in (file for path in files for file in _below(path)):
        try:
            documents, flaws = read_json(file.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise Refused(f"cannot read {file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise Refused(f"{file} is not UTF-8 text: save it as UTF-8") from error
        if flaws:
            raise Refused(f"{file}:{flaws[0].line}: {flaws[0].message}")
        named.extend(events_of(documents[0].value, str(file), unwrap_topics=unwrap_topics))
    return named


def _below(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*.json") if file.is_file())
    if not found:
        raise Refused(f"{path}: this folder contains no *.json file")
    return found


def events_of(document: Any, name: str, *, unwrap_topics: frozenset[str] = frozenset()) -> list[NamedEvent]:
    """Return the events of a payload; a malformed event is among them, with its problem."""
    trusted = TrustedQueues(_FILES, frozenset(), unwrap_topics)
    events = [event for body in _bodies(document) for event in from_queue(body, _FILES, trusted).events]
    if len(events) == 1:
        return [NamedEvent(name, events[0])]
    return [NamedEvent(f"{name}[{position}]", event) for position, event in enumerate(events)]


def _bodies(document: Any) -> Iterator[str]:
    for payload in document if isinstance(document, list) else [document]:
        records = payload.get("Records") if isinstance(payload, Mapping) else None
        if isinstance(records, list) and all(
            isinstance(record, Mapping) and record.get("eventSource") == "aws:sqs" for record in records
        ):
            yield from (str(record.get("body", "")) for record in records)
        else:
            yield json.dumps(payload)
