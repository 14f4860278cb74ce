"""The answer about an event: its cases, each with a state, one sentence and the command that puts it right."""

from dataclasses import dataclass, field
from typing import Any

from gateway_cli.answers.states import Ran, Remedy, State
from gateway_cli.answers.trail import TrailLine, iso


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What became of the event for one rule and target, or as a whole."""

    state: State
    sentence: str
    remedy: Remedy | None = None
    rule_id: str = ""
    environment: str = ""
    dag_id: str = ""
    run_id: str = ""
    batch_id: str = ""
    reason: str = ""

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        remedy = self.remedy
        return {
            "state": str(self.state),
            "ran": "failed" if self.state is State.ENDED_FAILED else self.state.ran.name.lower(),
            "exit_code": int(self.state.ran),
            "sentence": self.sentence,
            "advice": remedy.advice if remedy else None,
            "command": (remedy.command or None) if remedy else None,
            "then": (remedy.then or None) if remedy else None,
            **{
                name: getattr(self, name) or None
                for name in ("rule_id", "environment", "dag_id", "run_id", "batch_id", "reason")
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The cases, the worst first, and the trail. `notes` say how fresh and how complete the answer is."""

    cases: tuple[Case, ...]
    lines: tuple[TrailLine, ...] = ()
    notes: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    searched_since: float = 0.0
    asked_at: float = 0.0
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def headline(self) -> Case:
        """The worst case."""
        return self.cases[0]

    @property
    def ran(self) -> Ran:
        """Whether it ran: the headline's."""
        return self.headline.state.ran

    def document(self) -> dict[str, Any]:
        """Return it as JSON: the headline's fields, the other cases, the time line."""
        return {
            **self.headline.document(),
            "others": [case.document() for case in self.cases[1:]],
            "event": self.facts,
            "timeline": [line.document() for line in self.lines],
            "earlier_events": list(self.earlier),
            "searched_since": iso(self.searched_since),
            "asked_at": iso(self.asked_at),
            "notes": list(self.notes),
        }
