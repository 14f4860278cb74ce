"""The trigger request: one event, and the resolved target that runs for it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Final, Protocol, Self

from mwaa_gateway.errors import GatewayError
from mwaa_gateway.values import value

FORMAT = 1
# A change that an older reader could misread raises the format. The previous one stays readable: its messages are in flight.
# Format 2 has a logical_date or a partition_key, which a reader of format 1 would drop; other requests keep format 1.
FORMAT_OF_DATES = 2
READABLE_FORMATS = (FORMAT, FORMAT_OF_DATES)

# The source of the gateway's own events; a rule that matches them could trigger itself.
OWN_SOURCE: Final = "mwaa-gateway"


class UnreadableRequest(GatewayError):
    """This version cannot read a message of the trigger queue."""


def identity_of(*parts: str) -> str:
    """Join the parts to an identity; different lists of parts give different texts."""
    return "|".join(part.replace("%", "%25").replace("|", "%7C") for part in parts)


def event_hash(identity: str) -> str:
    """Return the partition of the event's ledger rows, from the event's identity."""
    return hashlib.sha256(identity.encode()).hexdigest()


def derive_run_id(identity: str, rule_id: str, target_id: str, generation: int = 0) -> str:
    """Derive the run_id from the request, so that Airflow's unique run_id lets only one of two attempts create the run.

    It has at most 5 + 80 + 2 + 32 + 6 characters of `[A-Za-z0-9_.-]`. Airflow allows 250 of `[A-Za-z0-9_.~:+-]`, and
    reserves prefixes that this one never has (`manual__`, `scheduled__`, …).
    """
    digest = hashlib.sha256(f"{identity}\n{rule_id}\n{target_id}".encode()).hexdigest()[:32]
    rerun = f"__r{generation}" if generation else ""
    return f"evt__{rule_id}__{digest}{rerun}"


@value
class ResolvedTarget:
    """What to run, with no decision left; the first attempt pins it in the ledger.

    `watched`: a Step Functions state waits for the end of the run, so the run watcher must find it by date, too.
    `logical_date` is an ISO date and time with an offset; no two runs of a DAG share one. None leaves it to Airflow.
    """

    environment: str
    dag_id: str
    run_id: str
    conf: Mapping[str, Any]
    watched: bool = False
    logical_date: str | None = None
    partition_key: str | None = None


@value
class TriggerRequest:
    """One event and one rule target: the body of a message on the trigger queue, and the content of a ledger row.

    `identity` names the event, the same on every route. `requested_at` is in seconds since the epoch. Where
    `maximum_event_age_seconds` is None, the dispatcher's default applies. `redrive` is 0 for requests from ingress, and n
    for the n-th redrive of a dead request: same request, same generation, same run. `when_paused` says what to do while
    the DAG is paused: queue, hold or reject.
    """

    identity: str
    event: Mapping[str, Any]
    rule_id: str
    rule_version: int
    target_id: str
    target: ResolvedTarget
    maximum_event_age_seconds: int | None
    requested_at: float
    generation: int = 0
    redrive: int = 0
    when_paused: str = "queue"
    # The JSON it was parsed from, up to 250 KB, which the ledger stores unchanged. Not an argument, so `replace` drops it.
    _text: str | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def ledger_key(self) -> tuple[str, str]:
        """The (partition, sort) key of its ledger row: the event's hash, and rule, target and generation."""
        return event_hash(self.identity), f"{self.rule_id}#{self.target_id}#{self.generation}"

    def to_json(self) -> str:
        """Return the message body, one line of ASCII JSON; a request parsed from JSON returns that same text."""
        if self._text is not None:
            return self._text
        dates = {"logical_date": self.target.logical_date, "partition_key": self.target.partition_key}
        dates = {name: value for name, value in dates.items() if value is not None}
        return json.dumps(
            {
                "format": FORMAT_OF_DATES if dates else FORMAT,
                "identity": self.identity,
                "event": self.event,
                "rule_id": self.rule_id,
                "rule_version": self.rule_version,
                "target_id": self.target_id,
                "generation": self.generation,
                "redrive": self.redrive,
                "when_paused": self.when_paused,
                "environment": self.target.environment,
                "dag_id": self.target.dag_id,
                "run_id": self.target.run_id,
                "conf": self.target.conf,
                "maximum_event_age_seconds": self.maximum_event_age_seconds,
                "requested_at": self.requested_at,
                "watched": self.target.watched,
                **dates,
            },
            separators=(",", ":"),
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Parse the output of `to_json`.

        Raises:
            UnreadableRequest: the text is no trigger request, or has a format that this version does not know.
        """
        try:
            document = json.loads(text)
            if document["format"] not in READABLE_FORMATS:
                raise UnreadableRequest(
                    f"trigger request of format {document['format']!r}; this version reads formats 1 and 2: "
                    "deploy the version that wrote it, then redrive the message"
                )
            request = cls(
                identity=document["identity"],
                event=document["event"],
                rule_id=document["rule_id"],
                rule_version=document["rule_version"],
                target_id=document["target_id"],
                target=ResolvedTarget(
                    environment=document["environment"],
                    dag_id=document["dag_id"],
                    run_id=document["run_id"],
                    conf=document["conf"],
                    watched=bool(document.get("watched", False)),  # absent from messages older than the field
                    logical_date=document.get("logical_date"),
                    partition_key=document.get("partition_key"),
                ),
                maximum_event_age_seconds=document["maximum_event_age_seconds"],
                requested_at=document["requested_at"],
                generation=document["generation"],
                # Both are absent from messages and rows older than the fields. A version without `redrive` ignores it: it
                # finds the row dead, publishes the dead-letter message again, and starts nothing.
                redrive=int(document.get("redrive", 0)),
                when_paused=str(document.get("when_paused", "queue")),
            )
            if isinstance(text, str):
                object.__setattr__(request, "_text", text)
        except (ValueError, TypeError, KeyError) as error:
            raise UnreadableRequest(f"not a trigger request: {type(error).__name__}: {error}") from error
        return request


class TriggerQueue(Protocol):
    """The trigger queues of all environments."""

    def enqueue(self, requests: Sequence[TriggerRequest]) -> None:
        """Send each request to its environment's queue; raise Unavailable if any was not sent."""
