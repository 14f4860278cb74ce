"""The state of a gateway at one moment: pure figures, for a terminal, JSON or a web page. Unknown is None, never 0."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gateway_cli.answers.addressing import with_options
from gateway_cli.answers.evidence import Circuit, QueueNow
from gateway_cli.answers.mwaa_status import MwaaStatus
from gateway_cli.answers.trail import iso
from gateway_cli.answers.words import duration, when


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentNow:
    """One environment. `circuit` is None for a closed breaker, `paused` "" if it is not paused; both only if `is_read`."""

    name: str
    queue: QueueNow = field(default_factory=QueueNow)
    busy: int | None = None
    slots: int | None = None
    held: int | None = None
    dead: int | None = None
    watched: int | None = None
    circuit: Circuit | None = None
    mwaa: MwaaStatus | None = None  # asked only while the circuit breaker is open
    paused: str = ""
    is_read: bool = True

    @property
    def state(self) -> str:
        """Its state in a word."""
        if not self.is_read:
            return "?"
        if self.paused:
            return "PAUSED"
        if self.mwaa and self.mwaa.passes:
            return self.mwaa.status
        return "CIRCUIT OPEN" if self.circuit else "RUNNING"

    def row(self) -> list[str]:
        """Return the cells of its line, in the order of `COLUMNS`."""
        queue = self.queue
        is_empty = queue.waiting == 0 and queue.in_flight == 0
        return [
            self.name,
            self.state,
            f"{_shown(self.busy)} of {_shown(self.slots)}",
            _shown(queue.waiting),
            _shown(queue.in_flight),
            "-" if is_empty else _duration(queue.oldest_seconds),
            "?" if queue.starts_per_minute is None else f"{queue.starts_per_minute:.1f}",
            "-" if is_empty else _duration(queue.drained_in),
            _shown(self.held),
            _shown(self.dead),
            _shown(self.watched),
        ]

    def document(self) -> dict[str, Any]:
        """Return it as JSON; null is not known."""
        circuit = self.circuit
        return {
            "name": self.name,
            "state": None if not self.is_read else self.state.lower().replace(" ", "_"),
            "paused": self.paused or None,
            "circuit_open_since": iso(circuit.open_since) if circuit else None,
            "mwaa_status": self.mwaa.status if self.mwaa else None,
            "slots_busy": self.busy,
            "slots": self.slots,
            **asdict(self.queue),
            "drained_in_seconds": self.queue.drained_in,
            "held": self.held,
            "dead": self.dead,
            "watched_runs": self.watched,
        }


COLUMNS = (
    "ENVIRONMENT",
    "STATE",
    "SLOTS",
    "WAITING",
    "TRIED",
    "OLDEST",
    "STARTS/MIN",
    "DRAINED",
    "HELD",
    "DEAD",
    "WATCHED",
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that needs a person, and the subject that `why` explains."""

    at: float
    what: str
    subject: str

    @property
    def command(self) -> str:
        """The command that explains it."""
        return f"mwaa-gateway why {self.subject}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """A gateway at the time `at`. `ages` says how old the figures of each source are, `unread` what is not known and why."""

    at: float
    environments: tuple[EnvironmentNow, ...]
    open_batches: int | None = None
    overdue_batches: int | None = None
    members: int | None = None
    retries: int | None = None
    dead_events: int | None = None
    matched: int | None = None
    unmatched: int | None = None
    troubles: tuple[Trouble, ...] | None = None
    unread: tuple[str, ...] = ()

    def lines(self) -> list[tuple[str, str]]:
        """Return the lines below the environments: a heading, and what is known."""
        feeds = (
            f"batches: {_shown(self.open_batches)} open, {_shown(self.overdue_batches)} overdue; members to collect: "
            f"{_shown(self.members)}"
        )
        events = (
            f"in the last 10 min {_shown(self.matched)} matched, {_shown(self.unmatched)} unmatched; to retry: "
            f"{_shown(self.retries)}; dead: {_shown(self.dead_events)}"
        )
        found = [("feeds", feeds), ("events", events)]
        for one in self.environments:
            if one.circuit is not None:
                since, probe = when(one.circuit.open_since, self.at), when(one.circuit.probe_at, self.at)
                mwaa = f"; {one.mwaa.words(self.at)}" if one.mwaa else ""
                found.append((one.name, f"unavailable since {since}{mwaa}; the next probe is due {probe}"))
            if one.paused:
                found.append((one.name, one.paused))
        return found

    def document(self, options: str = "") -> dict[str, Any]:
        """Return it as JSON; null is not known. `options` name the gateway in the commands."""
        names = (
            "open_batches",
            "overdue_batches",
            "members",
            "retries",
            "dead_events",
            "matched",
            "unmatched",
        )
        return {
            "at": iso(self.at),
            "environments": [one.document() for one in self.environments],
            **{name: getattr(self, name) for name in names},
            "troubles": None if self.troubles is None else [_trouble(one, options) for one in self.troubles],
            "unread": list(self.unread),
        }


def newest(troubles: Sequence[Trouble], most: int) -> tuple[Trouble, ...]:
    """Return the newest troubles, one for each subject."""
    found: dict[str, Trouble] = {}
    for one in sorted(troubles, key=lambda trouble: -trouble.at):
        found.setdefault(one.subject, one)
    return tuple(found.values())[:most]


def _trouble(one: Trouble, options: str) -> dict[str, Any]:
    command = with_options(one.command, options)
    return {"at": iso(one.at), "what": one.what, "subject": one.subject, "command": command}


def _shown(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _duration(seconds: float | None) -> str:
    return "?" if seconds is None else duration(seconds)
