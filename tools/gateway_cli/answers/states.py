"""The states of an answer: what became of an event, and whether it ran."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final


class Ran(IntEnum):
    """Whether it ran, as the exit code of `why`. 2 is a wrong command line."""

    YES = 0
    NO = 1
    NOT_YET = 3
    NOT_KNOWN = 4


class State(StrEnum):
    """What became of the event; docs/why.md describes each. The order is that of severity: the first is the headline."""

    DEAD = "dead"
    RULE_BROKEN = "rule_broken"
    OUTSIDE_NAMESPACE = "outside_namespace"
    HELD = "held"
    BATCH_CANCELLED = "batch_cancelled"
    CIRCUIT_OPEN = "circuit_open"
    BACKING_OFF = "backing_off"
    WAITING_FOR_SLOT = "waiting_for_slot"
    ACCEPTED_NOT_RUNNABLE = "accepted_not_runnable"
    COLLECTING = "collecting"
    RUN_MISSING = "run_missing"
    ENDED_FAILED = "ended_failed"
    QUEUED = "queued"
    RUNNING = "running"
    ACCEPTED = "accepted"
    ENDED_SUCCESS = "ended_success"
    DUPLICATE = "duplicate"
    RULE_SHADOW = "rule_shadow"
    RULE_DISABLED = "rule_disabled"
    NO_RULE_MATCHES = "no_rule_matches"
    NOT_KNOWN = "not_known"
    NEVER_RECEIVED = "never_received"

    @property
    def ran(self) -> Ran:
        """Whether an event in this state ran."""
        return _RAN[self]

    @property
    def severity(self) -> int:
        """Its place in the order, 0 for the worst."""
        return _ORDER[self]


_ORDER: Final = {state: place for place, state in enumerate(State)}
_RAN: Final = {
    State.DEAD: Ran.NO,
    State.RULE_BROKEN: Ran.NO,
    State.OUTSIDE_NAMESPACE: Ran.NO,
    State.HELD: Ran.NO,
    State.BATCH_CANCELLED: Ran.NO,
    State.CIRCUIT_OPEN: Ran.NOT_YET,
    State.BACKING_OFF: Ran.NOT_YET,
    State.WAITING_FOR_SLOT: Ran.NOT_YET,
    State.ACCEPTED_NOT_RUNNABLE: Ran.NOT_YET,
    State.COLLECTING: Ran.NOT_YET,
    State.RUN_MISSING: Ran.NO,
    State.ENDED_FAILED: Ran.NO,
    State.QUEUED: Ran.NOT_YET,
    State.RUNNING: Ran.YES,
    State.ACCEPTED: Ran.YES,
    State.ENDED_SUCCESS: Ran.YES,
    State.DUPLICATE: Ran.YES,
    State.RULE_SHADOW: Ran.NO,
    State.RULE_DISABLED: Ran.NO,
    State.NO_RULE_MATCHES: Ran.NO,
    State.NOT_KNOWN: Ran.NOT_KNOWN,
    State.NEVER_RECEIVED: Ran.NO,
}


@dataclass(frozen=True, slots=True)
class Remedy:
    """What puts it right: the advice, the command to run, and the command after it, if one is needed ("" for none)."""

    advice: str
    command: str = ""
    then: str = ""
