"""The answer about an event: its state, one sentence, the time line, and the command that puts it right.

`judge` is pure: the same evidence always gives the same answer, for a terminal, for JSON and for a web page.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway_cli.answers.evidence import BatchNow, Circuit, Evidence, QueueNow, RequestRow, RunNow
from gateway_cli.answers.nearest import RuleFit
from gateway_cli.answers.states import Ran, Remedy, State
from gateway_cli.answers.trail import TrailLine, iso
from gateway_cli.answers.words import count, cut, duration, listed, shown, when
from gateway_cli.dlq.remedies import remedy as advice_for_reason
from mwaa_gateway.outcomes import Reason
from mwaa_gateway.routing.resolve import DeadEventReason

_ATTEMPTS: Final = frozenset(
    {"Triggered", "AlreadyTriggered", "Retryable", "OutcomeUnknown", "Held", "Rejected"}
)
_ARRIVING_SECONDS: Final = 60.0  # an upload as new as this may still be on its way
_FRESH_SECONDS: Final = 15.0  # Logs Insights finds a line some seconds after it was written


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
            "ran": self.state.ran.name.lower(),
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


def judge(evidence: Evidence) -> Answer:
    """Return what became of the event, run or batch."""
    cases = [*_cases(evidence)]
    if not cases:
        cases = [_nothing_found(evidence)]
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
    lines = evidence.lines
    rows = {row.run_id: row for row in evidence.rows}
    run_ids = dict.fromkeys([*rows, *(line.run_id for line in lines if _is_about_a_run(line))])
    for run_id in run_ids:
        its_lines = [line for line in lines if line.run_id == run_id]
        if (row := rows.get(run_id) or _row_of(its_lines)) is not None:
            yield _request(evidence, row, its_lines)
        else:
            yield _not_attempted(evidence, its_lines[-1])
    if evidence.batch is not None and not set(evidence.batch.run_ids) & set(run_ids):
        yield _batch(evidence, evidence.batch)
    elif evidence.batch is None:
        for rule_id in dict.fromkeys(line.rule_id for line in lines if line.outcome == "Member"):
            yield _member(next(line for line in reversed(lines) if line.rule_id == rule_id))
    for line in {(line.rule_id, line.target_id): line for line in lines if line.outcome == "Dead"}.values():
        yield _dead_event(line, evidence)
    for line in {line.rule_id: line for line in lines if line.outcome == "Late"}.values():
        yield _late(line, evidence)
    for line in {line.rule_id: line for line in lines if line.outcome == "Shadow"}.values():
        yield _shadow(line, evidence)
    if all(line.outcome == "Unmatched" for line in lines) and lines:
        yield _unmatched(lines[-1], evidence)


def _is_about_a_run(line: TrailLine) -> bool:
    return bool(line.run_id) and (line.outcome == "Requested" or line.outcome in _ATTEMPTS)


# --- a trigger request


def _row_of(lines: Sequence[TrailLine]) -> RequestRow | None:
    """Return what the last attempt's line says, for a row that was not read; None without an attempt."""
    last = next((line for line in reversed(lines) if line.outcome in _ATTEMPTS), None)
    if last is None:
        return None
    states = {"Triggered": "triggered", "AlreadyTriggered": "triggered", "Held": "held", "Rejected": "dead"}
    return RequestRow(
        run_id=last.run_id,
        state=states.get(last.outcome, "open"),
        rule_id=last.rule_id,
        environment=last.environment,
        dag_id=last.dag_id,
        reason=last.reason,
        text=last.message,
        attempt=last.attempt or 0,
        not_runnable=last.reason if last.outcome in ("Triggered", "AlreadyTriggered") else "",
        last_attempt_at=last.at,
        finished_at=last.at if last.outcome == "Triggered" else None,
        stopped_at=last.at,
    )


def _request(evidence: Evidence, row: RequestRow, lines: Sequence[TrailLine]) -> Case:
    match row.state:
        case "dead":
            return _dead_request(row, evidence.now)
        case "held":
            return _held(row, evidence)
        case "triggered":
            return _accepted(row, lines, evidence)
        case _:
            return _under_way(row, lines, evidence)


def _case(row: RequestRow, state: State, sentence: str, remedy: Remedy | None = None) -> Case:
    return Case(
        state=state,
        sentence=sentence,
        remedy=remedy,
        rule_id=row.rule_id,
        environment=row.environment,
        dag_id=row.dag_id,
        run_id=row.run_id,
        reason=row.reason,
    )


def _where(row: RequestRow) -> str:
    return f"DAG {row.dag_id} in {row.environment}"


def _dead_request(row: RequestRow, now: float) -> Case:
    sentence = (
        f"Dead since {when(row.stopped_at, now)}: rule {row.rule_id} matched, and {_where(row)} got no run "
        f"({row.reason}): {cut(row.text)}."
    )
    remedy = Remedy(advice_for_reason(row.reason), f"mwaa-gateway dlq redrive {row.run_id}")
    return _case(row, State.DEAD, sentence, remedy)


def _held(row: RequestRow, evidence: Evidence) -> Case:
    sentence = f"Held since {when(row.stopped_at, evidence.now)}, before {_where(row)}: {cut(row.text)}."
    match row.reason:
        case Reason.RULE_DISABLED:
            advice = "Enable the rule: its held requests are released."
            command = f"mwaa-gateway rules enable {row.rule_id}"
        case Reason.ENVIRONMENT_PAUSED:
            advice = "Resume the environment: its held requests are released."
            command = f"mwaa-gateway environments resume {row.environment}"
        case _:
            return _case(row, State.HELD, sentence, _unpause(row, evidence, "The gateway then releases it."))
    return _case(row, State.HELD, sentence, Remedy(advice, command))


def _unpause(row: RequestRow, evidence: Evidence, effect: str) -> Remedy:
    """Return how to unpause a DAG: in Airflow's UI, or with MWAA's call if the DAG's path is short enough for it."""
    name = evidence.mwaa_names.get(row.environment, "")
    path = f"/dags/{row.dag_id}"
    command = ""
    if name and len(path) <= 64:  # noqa: PLR2004  InvokeRestApi's limit of a path
        command = (
            f"aws mwaa invoke-rest-api --name {shlex.quote(name)} --method PATCH --path {shlex.quote(path)} "
            """--body '{"is_paused": false}'"""
        )
    return Remedy(f"Unpause DAG {row.dag_id} in Airflow. {effect}", command)


def _accepted(row: RequestRow, lines: Sequence[TrailLine], evidence: Evidence) -> Case:
    accepted = row.finished_at
    requested = next((line.at for line in lines if line.outcome == "Requested"), None)
    run = evidence.runs.get(row.run_id, RunNow())
    if (
        accepted is not None
        and requested is not None
        and accepted < requested
        and evidence.subject.field != "run_id"
    ):
        sentence = (
            f"A duplicate: the gateway received it {when(requested, evidence.now)}, and its run {row.run_id} of "
            f"{_where(row)} had started {when(accepted, evidence.now)}. One event starts one run."
        )
        remedy = Remedy(
            "Nothing to do. To run it once more on purpose, rerun it.",
            f"mwaa-gateway rerun --event {row.run_id}",
        )
        return _case(row, State.DUPLICATE, sentence, remedy)
    since = f"Airflow accepted the run of {_where(row)} {when(accepted, evidence.now)}"
    match run.state:
        case "success":
            return _case(
                row, State.ENDED_SUCCESS, f"It ran and succeeded: {since}; it ended at {run.end_date}."
            )
        case "failed":
            advice = (
                "The gateway did its part: read the failed task's log in Airflow, and clear the run there after the fix. "
                "Or start a new run of the same event."
            )
            remedy = Remedy(advice, f"mwaa-gateway rerun --event {row.run_id}")
            sentence = f"It ran and failed: {since}; it ended at {run.end_date} as failed."
            return _case(row, State.ENDED_FAILED, sentence, remedy)
        case "missing":
            remedy = Remedy(
                "Find out who deleted the run in Airflow. To start another, rerun the event.",
                f"mwaa-gateway rerun --event {row.run_id}",
            )
            return _case(row, State.RUN_MISSING, f"{since}, and Airflow has no such run now.", remedy)
        case "running":
            return _case(row, State.RUNNING, f"It is running: {since}; it started at {run.start_date}.")
    if row.not_runnable:
        return _not_runnable(row, since, evidence)
    if run.state == "queued":
        return _case(row, State.QUEUED, f"{since}; it is queued there and has not started yet.")
    why_not = f" Its state is not known: {cut(run.why_not)}." if run.why_not else ""
    return _case(row, State.ACCEPTED, f"{since}.{why_not}")


def _not_runnable(row: RequestRow, since: str, evidence: Evidence) -> Case:
    if row.not_runnable == "paused":
        sentence = f"{since}, and will not start it: the DAG is paused."
        return _case(
            row, State.ACCEPTED_NOT_RUNNABLE, sentence, _unpause(row, evidence, "The run then starts.")
        )
    sentence = f"{since}, and will not start it: the DAG's file is gone or broken."
    remedy = Remedy(
        f"Deploy a working file of DAG {row.dag_id}: the run then starts. The check shows Airflow's import errors.",
        f"mwaa-gateway environments check {row.environment}",
    )
    return _case(row, State.ACCEPTED_NOT_RUNNABLE, sentence, remedy)


def _under_way(row: RequestRow, lines: Sequence[TrailLine], evidence: Evidence) -> Case:
    last = next((line for line in reversed(lines) if line.outcome in _ATTEMPTS), None)
    why = cut(last.message) if last else ""
    if (circuit := _circuit(evidence, row.environment, row.dag_id)) is not None:
        return _behind_circuit(row, circuit, why, evidence)
    tried = f"attempt {row.attempt} was {when(row.last_attempt_at, evidence.now)}"
    if last is None or last.outcome not in ("Retryable", "OutcomeUnknown"):
        sentence = f"It has not started yet: {tried}, for {_where(row)}; no outcome is logged yet."
        return _case(row, State.BACKING_OFF, sentence, _patience(row))
    again = None if last.redeliver_after is None else last.at + last.redeliver_after
    if again is None:
        next_try = "the next try follows by itself"
    elif again <= evidence.now:
        next_try = f"the next try is due since {when(again, evidence.now)}"
    else:
        next_try = f"the next try is at {when(again, evidence.now)}"
    sentence = f"It has not started yet, and waits in back-off: {tried}, for {_where(row)} ({last.reason}: {why}); {next_try}."
    return _case(row, State.BACKING_OFF, sentence, _patience(row))


def _patience(row: RequestRow) -> Remedy:
    return Remedy(
        "Nothing to do if it passes: the gateway tries again until the event is too old. If it lasts, check the environment.",
        f"mwaa-gateway environments check {row.environment}",
    )


def _circuit(evidence: Evidence, environment: str, dag_id: str) -> Circuit | None:
    """Return the open breaker that the request waits behind: its environment's, else its DAG's."""
    behind = [
        one for one in evidence.circuits if one.environment == environment and one.dag_id in ("", dag_id)
    ]
    return min(behind, key=lambda one: one.dag_id, default=None)


def _behind_circuit(row: RequestRow, circuit: Circuit, why: str, evidence: Evidence) -> Case:
    because = f" ({why})" if why else ""
    if circuit.dag_id:
        what, advice = (
            f"Airflow in {row.environment} has not known DAG {row.dag_id} since",
            f"Deploy DAG {row.dag_id}, or correct its file: the requests then start by themselves. The check shows "
            "Airflow's import errors.",
        )
    else:
        what, advice = (
            f"{row.environment} has been unavailable since",
            "Restore the environment: the requests then start by themselves. The check shows what is wrong.",
        )
    sentence = (
        f"It waits behind an open circuit breaker: {what} {when(circuit.open_since, evidence.now)}{because}; the next probe "
        f"is due {when(circuit.probe_at, evidence.now)}."
    )
    return _case(
        row,
        State.CIRCUIT_OPEN,
        sentence,
        Remedy(advice, f"mwaa-gateway environments check {row.environment}"),
    )


def _not_attempted(evidence: Evidence, line: TrailLine) -> Case:
    """Return the case of a request that no dispatcher has recorded: it is in its queue."""
    row = RequestRow(
        run_id=line.run_id,
        state="",
        rule_id=line.rule_id,
        environment=line.environment,
        dag_id=line.dag_id,
    )
    if (circuit := _circuit(evidence, row.environment, row.dag_id)) is not None:
        return _behind_circuit(row, circuit, "", evidence)
    waits = f"It waits for a slot of {row.environment} since {when(line.at, evidence.now)}"
    sentence = f"{waits}: {_queue(evidence.queues.get(row.environment, QueueNow()))}."
    remedy = Remedy(
        "Nothing to do if the queue drains. If it does not, the status shows what blocks it.",
        f"mwaa-gateway status --environment {row.environment}",
    )
    return _case(row, State.WAITING_FOR_SLOT, sentence, remedy)


def _queue(queue: QueueNow) -> str:
    if queue.waiting is None:
        return "how many wait with it is not known"
    parts = [f"about {count(queue.waiting, 'request')} in its queue (SQS knows no place)"]
    if queue.oldest_seconds is not None:
        parts.append(f"the oldest for {duration(queue.oldest_seconds)}")
    if queue.drained_in is not None:
        parts.append(
            f"drained in about {duration(queue.drained_in)} at {queue.starts_per_minute:.0f} starts a minute"
        )
    return ", ".join(parts)


# --- batches


def _member(line: TrailLine) -> Case:
    sentence = f"Rule {line.rule_id} collects it into the batch of {line.batch_key or 'its key'}; which batch has it is not known."
    remedy = Remedy(
        "List the open batches of the rule.", f"mwaa-gateway batches list --rule {line.rule_id.split('~')[0]}"
    )
    return Case(state=State.COLLECTING, sentence=sentence, remedy=remedy, rule_id=line.rule_id)


def _batch(evidence: Evidence, batch: BatchNow) -> Case:
    name = f"batch {batch.id} of rule {batch.rule_id}" + (f" ({batch.key})" if batch.key else "")
    if batch.state == "cancelled" or batch.reason == "cancelled":
        by = {"": "", "when_due": ": it was due and not complete"}.get(batch.by, f" by {batch.by}")
        remedy = Remedy(
            "Its members start no run. Send an event again to begin another batch.",
            f"mwaa-gateway batches show {batch.id}",
        )
        return _of_batch(
            batch, State.BATCH_CANCELLED, f"Collected in {name}, which was cancelled{by}.", remedy
        )
    if batch.is_shadow:
        sentence = f"Collected in {name}: the rule is in SHADOW, so its batches start no run."
        return _of_batch(batch, State.RULE_SHADOW, sentence, _enable(batch.rule_id.partition("~")[0]))
    if batch.state in ("released", "releasing"):
        complete = {True: "complete", False: "not complete", None: "its completeness is not known"}[
            batch.is_complete
        ]
        if not batch.run_ids:
            why = listed(batch.refused) or "its requests are not written yet"
            state = State.DEAD if batch.refused else State.COLLECTING
            return _of_batch(
                batch, state, f"Collected in {name}, which is {batch.state} and starts no run: {why}."
            )
        sentence = f"Collected in {name}, which was released ({batch.reason}, {complete}) as {listed(batch.run_ids)}."
        remedy = Remedy("The run has its own answer.", f"mwaa-gateway why {batch.run_ids[0]}")
        return _of_batch(batch, State.ACCEPTED, sentence, remedy)
    return _of_batch(batch, State.COLLECTING, _collecting(batch, name, evidence.now), _release(batch))


def _collecting(batch: BatchNow, name: str, now: float) -> str:
    has = "" if batch.members is None else f" It has {count(batch.members, 'member')}."
    if batch.missing is None:
        lacks = " What it lacks was not counted."
    else:
        lacks = f" It lacks {listed(batch.missing)}." if batch.missing else " It lacks nothing."
    overdue = " It is overdue." if batch.is_overdue else ""
    due = f" It is due {when(batch.due_at, now)}." if batch.due_at is not None and not overdue else overdue
    soon = (
        f" It is released {when(batch.releases_at, now)} if nothing else arrives."
        if batch.releases_at
        else ""
    )
    return f"Collected in {name}, which is open.{has}{lacks}{due}{soon}"


def _release(batch: BatchNow) -> Remedy:
    if batch.missing:
        return Remedy(
            "Let the sender deliver what is missing. To start the run without it, release the batch.",
            f"mwaa-gateway batches release {batch.id}",
        )
    return Remedy("The batch shows what it waits for.", f"mwaa-gateway batches show {batch.id}")


def _of_batch(batch: BatchNow, state: State, sentence: str, remedy: Remedy | None = None) -> Case:
    return Case(
        state=state,
        sentence=sentence,
        remedy=remedy,
        rule_id=batch.rule_id,
        batch_id=batch.id,
        reason=batch.reason,
        run_id=batch.run_ids[0] if batch.run_ids else "",
    )


# --- an event without a request


def _dead_event(line: TrailLine, evidence: Evidence) -> Case:
    is_outside = line.reason == DeadEventReason.BROKEN_RULE and "namespace '" in line.message
    is_broken = line.reason == DeadEventReason.BROKEN_RULE and not is_outside
    state = State.OUTSIDE_NAMESPACE if is_outside else State.RULE_BROKEN if is_broken else State.DEAD
    of_rule = f"rule {line.rule_id}" if line.rule_id else "the event"
    what = {
        State.OUTSIDE_NAMESPACE: f"{of_rule} is outside its namespace, so it starts nothing",
        State.RULE_BROKEN: f"the gateway cannot use {of_rule}",
        State.DEAD: f"{of_rule} starts no run ({line.reason})",
    }[state]
    text = cut(line.message.partition("dead-letter queue: ")[2] or line.message)
    sentence = f"Dead since {when(line.at, evidence.now)}: {what}: {text}."
    of = f" --rule {line.rule_id}" if line.rule_id else ""
    redrive = f"mwaa-gateway dlq redrive{of} --reason {line.reason}"
    advice, command, then = advice_for_reason(line.reason), redrive, ""
    if state is State.OUTSIDE_NAMESPACE:
        namespace = line.rule_id.partition(".")[0]
        advice = (
            "Correct the rule, or let the namespace allow it: this shows what it allows; `namespaces apply` changes it. Then "
            "redrive the event."
        )
        command, then = f"mwaa-gateway namespaces show {namespace}", redrive
    return Case(
        state=state,
        sentence=sentence,
        remedy=Remedy(advice, command, then),
        rule_id=line.rule_id,
        environment=line.environment,
        dag_id=line.dag_id,
        reason=line.reason,
    )


def _late(line: TrailLine, evidence: Evidence) -> Case:
    sentence = (
        f"Dead since {when(line.at, evidence.now)}: it came after batch {line.batch_id} ({line.batch_key}) of rule "
        f"{line.rule_id} was released."
    )
    remedy = Remedy(
        advice_for_reason("late_member"),
        f"mwaa-gateway dlq redrive --rule {line.rule_id} --reason late_member",
    )
    return Case(
        state=State.DEAD,
        sentence=sentence,
        remedy=remedy,
        rule_id=line.rule_id,
        batch_id=line.batch_id,
        reason="late_member",
    )


def _shadow(line: TrailLine, evidence: Evidence) -> Case:
    rule_id = line.rule_id.partition("~")[0]
    would = f" Enabled, it would start DAG {line.dag_id} in {line.environment}." if line.dag_id else ""
    sentence = (
        f"Rule {rule_id} matched {when(line.at, evidence.now)}; it is in SHADOW and starts no run.{would}"
    )
    return Case(
        state=State.RULE_SHADOW,
        sentence=sentence,
        remedy=_enable(rule_id, _send(line, rule_id)),
        rule_id=rule_id,
    )


def _enable(rule_id: str, then: str = "") -> Remedy:
    advice = "If the rule is ready, enable it for the events to come"
    advice += "; then send this one." if then else "."
    return Remedy(advice, f"mwaa-gateway rules enable {rule_id}", then)


def _send(line: TrailLine, rule_id: str = "") -> str:
    """Return the command that sends an upload's event by hand; "" for an event that only its source can send again."""
    return _send_upload(line.resource, rule_id) if line.resource.startswith("s3://") else ""


def _send_upload(uri: str, rule_id: str = "") -> str:
    return f"mwaa-gateway events send {shlex.quote(uri)}" + (f" --rule {rule_id}" if rule_id else "")


def _unmatched(line: TrailLine, evidence: Evidence) -> Case:
    received = f"The gateway received it {when(line.at, evidence.now)}, and"
    matching = [fit for fit in evidence.fits if fit.matches]
    for fit in matching:
        if fit.state == "DISABLED" and not _changed_since(fit, line):
            return _disabled(fit, received, line, evidence.now)
    changed = [fit for fit in matching if _changed_since(fit, line)]
    if changed:
        return _matches_now(changed[0], received, line, evidence)
    tried = "" if line.rules_tried is None else f" of {count(line.rules_tried, 'rule')}"
    near = next((fit for fit in evidence.fits if fit.wrong), None)
    if matching:
        fit = matching[0]
        fields = listed(fit.unknown) or "another field"
        sentence = f"{received} no rule matched. Rule {fit.name} fits as far as the log knows the event: {fields} must have differed."
        remedy = Remedy(
            "Hold the whole event against the rule: `rules explain --event FILE` shows each field. To start it all the same, "
            "send it to the rule.",
            _send(line, fit.rule_id) or f"mwaa-gateway rules show {fit.rule_id}",
        )
        return _no_match(sentence, remedy, fit.rule_id)
    if near is None:
        sentence = f"{received} none{tried} of its partitions matches; no rule of the gateway is near."
        remedy = Remedy("Write a rule for it, or find the rule that should match.", "mwaa-gateway rules list")
        return _no_match(sentence, remedy)
    first = near.wrong[0]
    seen = " or ".join(map(shown, first.seen)) or "absent"
    hint = f": {first.hint}" if first.hint else ""
    and_more = f" ({count(len(near.wrong), 'field')} differ)" if len(near.wrong) > 1 else ""
    sentence = (
        f"{received} no rule matched. The nearest is {near.name}: {first.field} is {seen}, and the rule wants "
        f"{listed(map(shown, first.wanted))}{hint}{and_more}."
    )
    advice = (
        f"If the event is right, correct {first.field} in the rule's file and apply it. To start rule {near.rule_id} for this "
        "event now, send it to the rule."
    )
    command = _send(line, near.rule_id) or f"mwaa-gateway rules show {near.rule_id}"
    return _no_match(sentence, Remedy(advice, command), near.rule_id)


def _changed_since(fit: RuleFit, line: TrailLine) -> bool:
    return fit.changed_at is not None and fit.changed_at > line.at


def _no_match(sentence: str, remedy: Remedy, rule_id: str = "") -> Case:
    return Case(state=State.NO_RULE_MATCHES, sentence=sentence, remedy=remedy, rule_id=rule_id)


def _disabled(fit: RuleFit, received: str, line: TrailLine, now: float) -> Case:
    by = f" by {fit.changed_by}" if fit.changed_by else ""
    possibly = f" (as far as the log knows: {listed(fit.unknown)} is not in it)" if fit.unknown else ""
    sentence = (
        f"{received} rule {fit.rule_id} (v{fit.version}) fits{possibly}, but was disabled "
        f"{when(fit.changed_at, now)}{by}; a disabled rule misses events."
    )
    remedy = Remedy(
        "Enable the rule; then send this event again."
        if _send(line)
        else "Enable the rule, and let the source send the event again.",
        f"mwaa-gateway rules enable {fit.rule_id}",
        _send(line, fit.rule_id),
    )
    return Case(state=State.RULE_DISABLED, sentence=sentence, remedy=remedy, rule_id=fit.rule_id)


def _matches_now(fit: RuleFit, received: str, line: TrailLine, evidence: Evidence) -> Case:
    by = f" by {fit.changed_by}" if fit.changed_by else ""
    then = evidence.fit_then
    if then is None or then.rule_id != fit.rule_id:
        before = "it did not exist then"
    elif then.wrong:
        first = then.wrong[0]
        before = f"as v{then.version} it wanted {first.field} {listed(map(shown, first.wanted))}"
    elif then.state != "ENABLED":
        before = f"as v{then.version} it was {then.state}"
    else:
        before = f"v{then.version} was in force then"
    sentence = (
        f"{received} no rule matched then. Rule {fit.name} fits now: it changed after the event, "
        f"{when(fit.changed_at, evidence.now)}{by}; {before}."
    )
    if fit.state == "ENABLED":
        send = _send(line, fit.rule_id)
        advice = "Send the event again." if send else "Let the source send the event again."
        return _no_match(sentence, Remedy(advice, send), fit.rule_id)
    return _no_match(sentence, _enable(fit.rule_id, _send(line, fit.rule_id)), fit.rule_id)


# --- nothing found


def _nothing_found(evidence: Evidence) -> Case:
    subject, now = evidence.subject, evidence.now
    since = f"since {when(evidence.searched_since, now)}"
    if any("log" in text for text in evidence.unread):
        return Case(
            state=State.NOT_KNOWN,
            sentence=f"Not known: the log could not be searched for {subject.value}.",
            remedy=Remedy("See what could not be read, and ask again."),
        )
    if subject.field in ("run_id", "batch_id", "identity"):
        return _search_longer(
            f"Not known: neither the log {since} nor the tables have {subject.value}.", subject.value
        )
    upload = evidence.upload
    if upload is not None and upload.uploaded_at is not None and upload.uploaded_at < evidence.searched_since:
        return _search_longer(
            f"Not known: the object was uploaded {when(upload.uploaded_at, now)}, before the search began.",
            subject.value,
        )
    if evidence.log_unmatched != "all":
        sentence = (
            f"Not known: the log {since} has no event {subject.value}, and events that no rule matches leave "
            f"{'no line' if evidence.log_unmatched == 'none' else 'a line only sometimes'} (LogUnmatched is "
            f"{evidence.log_unmatched})."
        )
        remedy = Remedy(
            "Set the parameter LogUnmatched to all for the next time; try the event on the rules now."
            if subject.is_upload
            else "Set the parameter LogUnmatched to all for the next time.",
            f"{_send_upload(subject.value)} --dry-run" if subject.is_upload else "",
        )
        return Case(state=State.NOT_KNOWN, sentence=sentence, remedy=remedy)
    sentence = f"Never received: the log {since} has no event {subject.value}."
    if not subject.is_upload:
        advice = (
            "Check that the sender sends to this gateway's bus, topic or queue, in this region and account, and that the id "
            "is the sender's: ids are case-sensitive. The status shows whether the gateway receives anything."
        )
        return Case(
            state=State.NEVER_RECEIVED, sentence=sentence, remedy=Remedy(advice, "mwaa-gateway status")
        )
    found, advice, may_send = _upload_checks(evidence)
    return Case(
        state=State.NEVER_RECEIVED,
        sentence=f"{sentence}{found}",
        remedy=Remedy(advice, _send_upload(subject.value) if may_send else "mwaa-gateway status"),
    )


def _search_longer(sentence: str, value: str) -> Case:
    remedy = Remedy(
        "Search a longer time. The log keeps lines for the parameter LogRetentionDays.",
        f"mwaa-gateway why {shlex.quote(value)} --since 30d",
    )
    return Case(state=State.NOT_KNOWN, sentence=sentence, remedy=remedy)


def _upload_checks(evidence: Evidence) -> tuple[str, str, bool]:
    """Return what S3 says, what to check, and whether the object can be sent by hand."""
    upload, bucket = evidence.upload, evidence.subject.value.removeprefix("s3://").partition("/")[0]
    sends_now = "To start its run now, send its event by hand."
    if upload is None:
        checks = (
            f"Check that the key is exact (keys are case-sensitive), that bucket {bucket} sends to EventBridge or has a "
            "notification to this gateway, that the notification's prefix and suffix admit the key, and that the bucket is "
            "in this region."
        )
        return "", f"{checks} {sends_now}", True
    if upload.region:
        return (
            f" Bucket {bucket} is in {upload.region}, and the gateway in {evidence.region}.",
            f"S3 notifies only within its region: forward the bucket's events with an EventBridge rule. {sends_now}",
            True,
        )
    if upload.exists is False:
        return (
            " S3 has no such object either.",
            "Check the key: keys are case-sensitive. If the object was deleted since, its upload was never received.",
            False,
        )
    if upload.uploaded_at is not None and evidence.now - upload.uploaded_at < _ARRIVING_SECONDS:
        return f" It was uploaded {when(upload.uploaded_at, evidence.now)}.", "Ask again in a minute.", False
    if upload.sends_to_eventbridge is False and not upload.notifies:
        return (
            f" Bucket {bucket} sends no events: neither to EventBridge nor by notification.",
            f"Switch EventBridge on for the bucket, or add a notification (docs/sources.md). {sends_now}",
            True,
        )
    if upload.sends_to_eventbridge is False:
        return (
            f" Bucket {bucket} does not send to EventBridge; it has {count(upload.notifies or 0, 'notification')}.",
            "Check that one of them goes to this gateway, and that its prefix, suffix and event types admit the object. "
            f"{sends_now}",
            True,
        )
    if upload.sends_to_eventbridge:
        return (
            f" Bucket {bucket} sends to EventBridge.",
            "Check the bus rule that forwards to the gateway: it must be enabled and its pattern admit the object; and that "
            f"EventBridge was on before the upload. {sends_now}",
            True,
        )
    return (
        "",
        f"Check that bucket {bucket} sends to EventBridge or has a notification to this gateway that admits the key. {sends_now}",
        True,
    )
