"""Rules that start the same DAG for the same event: often a mistake, so `rules plan` warns."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from gateway_cli.rules.event_files import NamedEvent
from gateway_cli.rules.samples import sample_events
from gateway_cli.rules.trial import try_events
from mwaa_gateway.events import Event
from mwaa_gateway.rules import Rule


@dataclass(frozen=True, slots=True)
class Overlap:
    """Rules that start the same DAG for one event, and that event's name."""

    rules: tuple[str, ...]
    environment: str
    dag_id: str
    event: str


def overlaps(
    rules: Sequence[Rule], events: Iterable[NamedEvent], *, concerning: Collection[str]
) -> list[Overlap]:
    """Return where one event would start a DAG through more than one rule, at least one of them in `concerning`.

    The function tries the given events, and one made from each alternative of each rule's pattern. It returns each
    combination once, and finds only what one of these events shows.
    """
    samples = [
        NamedEvent(f"an event made for {rule.id}", Event(event, str(position)))
        for rule in rules
        if rule.state == "ENABLED"
        for position, event in enumerate(
            event for pattern in rule.patterns for event in sample_events(pattern)
        )
    ]
    found: dict[tuple[tuple[str, ...], str, str], Overlap] = {}
    for trial in try_events(rules, [*events, *samples], environments=None):
        by_dag: dict[tuple[str, str], set[str]] = {}
        for result in trial.results:
            if result.outcome == "run" and result.environment and result.dag_id and result.rule_id:
                by_dag.setdefault((result.environment, result.dag_id), set()).add(result.rule_id)
        for (environment, dag_id), ids in by_dag.items():
            if len(ids) > 1 and not ids.isdisjoint(concerning):
                together = tuple(sorted(ids))
                overlap = Overlap(together, environment, dag_id, trial.event.name)
                found.setdefault((together, environment, dag_id), overlap)
    return list(found.values())
