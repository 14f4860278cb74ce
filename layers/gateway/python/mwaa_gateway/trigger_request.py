"""The trigger request: one event and the resolved target it is to become a run of."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from mwaa_gateway.errors import GatewayError

__all__ = ["FORMAT", "ResolvedTarget", "TriggerQueue", "TriggerRequest", "UnreadableRequest", "derive_run_id"]

FORMAT = 1
# A change that an earlier reader could misread raises FORMAT and keeps the previous one here: both are in flight meanwhile.
READABLE_FORMATS = frozenset({FORMAT})


class UnreadableRequest(GatewayError):
    """A message on the trigger queue is not a trigger request that this version can read."""


def derive_run_id(identity: str, rule_id: str, target_id: str, generation: int = 0) -> str:
    """Name the run after what it stands for, so that Airflow's unique run_id decides between two attempts.

    At most 5 + 80 + 2 + 32 + 6 characters of `[A-Za-z0-9_.-]`: inside Airflow's 250 and its allowed pattern
    `^[A-Za-z0-9_.~:+-]+$`, and never one of its reserved beginnings (`manual__`, `scheduled__`, …).
    """
    digest = hashlib.sha256(f"{identity}\n{rule_id}\n{target_id}".encode()).hexdigest()[:32]
    rerun = f"__r{generation}" if generation else ""
    return f"evt__{rule_id}__{digest}{rerun}"


@dataclass(frozen=True, slots=True)
class ResolvedTarget:
    """What is to run, with nothing left to decide: pinned in the ledger by the first attempt.

    `watched`: somebody waits for the run to end, so that it has to be found by a date as well as by its run_id.
    """

    environment: str
    dag_id: str
    run_id: str
    conf: Mapping[str, Any]
    watched: bool = False


@dataclass(frozen=True, slots=True)
class TriggerRequest:
    """One (event, rule target): the body of a message on the trigger queue and the contents of a ledger row.

    `identity` says which event it is, whichever way it came; `requested_at` is in seconds since the epoch; a rule without a
    maximum event age leaves it to the dispatcher. `redrive` is 0 for what ingress sends, and n for the n-th time that an
    operator sends a dead request again: the same request of the same generation, for the same run. `when_paused` is what its
    rule wants done while the DAG is paused: queue, hold or reject.
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
    # What it was read from, up to 250 KB that the ledger stores as it is. Not an argument, so that `replace` drops it.
    _text: str | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def ledger_key(self) -> tuple[str, str]:
        """(partition, sort) of its ledger row: the event's hash, and rule, target and generation."""
        event = hashlib.sha256(self.identity.encode()).hexdigest()
        return event, f"{self.rule_id}#{self.target_id}#{self.generation}"

    def to_json(self) -> str:
        """Write as one line of ASCII JSON, the message body; what was read from one is written as it was."""
        return self._text or json.dumps(
            {
                "format": FORMAT,
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
            },
            separators=(",", ":"),
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote.

        Raises:
            UnreadableRequest: the text is no trigger request, or one of a format this version does not know.
        """
        try:
            document = json.loads(text)
            if document["format"] not in READABLE_FORMATS:
                raise UnreadableRequest(
                    f"trigger request of format {document['format']!r}; this version reads format {FORMAT}: "
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
                    watched=bool(
                        document.get("watched", False)
                    ),  # not in messages of the version before this field
                ),
                maximum_event_age_seconds=document["maximum_event_age_seconds"],
                requested_at=document["requested_at"],
                generation=document["generation"],
                # Not in messages and rows of the version before this field. That version ignores it, and finds a row that
                # this one would reopen dead: the bell rings once more, and nothing runs.
                redrive=int(document.get("redrive", 0)),
                when_paused=str(document.get("when_paused", "queue")),  # nor this one; that version queues
            )
            if isinstance(text, str):
                object.__setattr__(request, "_text", text)
        except (ValueError, TypeError, KeyError) as error:
            raise UnreadableRequest(f"not a trigger request: {type(error).__name__}: {error}") from error
        return request


class TriggerQueue(Protocol):
    """The trigger queues of all environments."""

    def enqueue(self, requests: Sequence[TriggerRequest]) -> None:
        """Put every request on its environment's queue; raise Unavailable unless all of them are there."""
        ...
