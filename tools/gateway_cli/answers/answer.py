"""Judges what became of an event. Pure: the same evidence gives the same answer, for a terminal, JSON or a web page."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from gateway_cli.answers.absent import nothing_found_case
from gateway_cli.answers.batches import batch_case, cancelled_member_case, member_case
from gateway_cli.answers.case import Answer, Case
from gateway_cli.answers.events import dead_event_case, late_case, refused_case, shadow_case
from gateway_cli.answers.evidence import Evidence
from gateway_cli.answers.requests import ATTEMPTS, not_attempted_case, request_case, row_of, taken_over
from gateway_cli.answers.trail import TrailLine
from gateway_cli.answers.unmatched import unmatched_case
from gateway_cli.answers.words import count

_FRESH_SECONDS: Final = 15.0  # Logs Insights finds a line some seconds after it was written


def judge(evidence: Evidence) -> Answer:
    """Return what became of the event, run or batch."""
    cases = [*_cases(evidence)]
    if not cases:
        cases = [nothing_found_case(evidence)]
    cases.sort(key=lambda case: (case.state.severity, case.rule_id, case.run_id))
    return Answer(
        cases=tuple(cases),
        lines=evidence.lines,
        notes=tuple(_notes(evidence)),
        earlier=evidence.earlier,
        searched_since=evidence.searched_since,
        asked_at=evidence.now,
        facts=_facts(evidence.lines),
    )


def _facts(lines: Sequence[TrailLine]) -> dict[str, str]:
    """Return what names the event, from the first line that has it."""
    names = ("resource", "event_id", "identity", "source", "detail_type", "event_time")
    found = {name: next((value for line in lines if (value := getattr(line, name))), "") for name in names}
    return {name: value for name, value in found.items() if value}


def _notes(evidence: Evidence) -> Iterator[str]:
    if evidence.earlier:
        yield (
            f"{count(len(evidence.earlier), 'earlier event')} of the same name: this answer is about the newest. "
            f"`mwaa-gateway why {shlex.quote(evidence.earlier[0])}` explains the one before"
        )
    if evidence.lines and evidence.now - evidence.lines[-1].at < _FRESH_SECONDS:
        yield "the log lags some seconds: ask again for what happened in the last moments"
    yield from evidence.unread


def _cases(evidence: Evidence) -> Iterator[Case]:
    """Yield what became of the event: as requests, as a member of a batch, and otherwise."""
    rows = {row.run_id: row for row in evidence.rows}
    run_ids = dict.fromkeys([*rows, *(line.run_id for line in evidence.lines if _is_about_a_run(line))])
    for run_id in taken_over(evidence.lines):
        run_ids.pop(run_id, None)
    for run_id in run_ids:
        lines = [line for line in evidence.lines if line.run_id == run_id]
        if (row := rows.get(run_id) or row_of(lines)) is not None:
            yield request_case(evidence, row, lines)
        else:
            yield not_attempted_case(evidence, lines[-1])
    if evidence.batch is None:
        yield from _members(evidence.lines)
    elif not set(evidence.batch.run_ids) & set(run_ids):
        yield batch_case(evidence, evidence.batch)
    yield from _without_request(evidence)


def _members(lines: Sequence[TrailLine]) -> Iterator[Case]:
    """Yield the cases of a member whose batch was not found."""
    dropped = _last_of_each_rule(lines, "Cancelled")
    for line in dropped:
        yield cancelled_member_case(line)
    others = {line.rule_id for line in (*dropped, *_last_of_each_rule(lines, "Late"))}
    for line in _last_of_each_rule(lines, "Member"):
        if line.rule_id not in others:
            yield member_case(line)


def _without_request(evidence: Evidence) -> Iterator[Case]:
    lines = evidence.lines
    for line in {(line.rule_id, line.target_id): line for line in lines if line.outcome == "Dead"}.values():
        yield dead_event_case(line, evidence)
    for line in _last_of_each_rule(lines, "Late"):
        yield late_case(line, evidence)
    for line in _last_of_each_rule(lines, "Refused"):
        if not line.batch_id:  # a refused target of a batch is in the batch's own case
            yield refused_case(line, evidence)
    for line in _last_of_each_rule(lines, "Shadow"):
        yield shadow_case(line, evidence)
    if lines and all(line.outcome == "Unmatched" for line in lines):
        yield unmatched_case(lines[-1], evidence)


def _last_of_each_rule(lines: Sequence[TrailLine], outcome: str) -> list[TrailLine]:
    return [*{line.rule_id: line for line in lines if line.outcome == outcome}.values()]


def _is_about_a_run(line: TrailLine) -> bool:
    return bool(line.run_id) and (line.outcome == "Requested" or line.outcome in ATTEMPTS)
