"""The cases of a trigger request: it waits, is held or dead, or Airflow has its run."""

import shlex
from collections.abc import Sequence
from typing import Final

from gateway_cli.answers.case import Case
from gateway_cli.answers.evidence import Circuit, Evidence, QueueNow, RequestRow, RunNow
from gateway_cli.answers.states import Remedy, State
from gateway_cli.answers.trail import TrailLine, seconds
from gateway_cli.answers.words import count, cut, duration, when
from gateway_cli.dlq.remedies import remedy as advice_for_reason
from mwaa_gateway.outcomes import Reason

ATTEMPTS: Final = frozenset(
    {"Triggered", "AlreadyTriggered", "Retryable", "OutcomeUnknown", "Held", "Rejected"}
)


def taken_over(lines: Sequence[TrailLine]) -> frozenset[str]:
    """Return the run_ids that no run ever gets: `reconcile` had started a run for the same object, under another run_id."""
    requested = {line.run_id: line for line in lines if line.outcome == "Requested"}
    attempted = [line for line in lines if line.outcome in ATTEMPTS]
    of_commands = {(line.rule_id, line.target_id) for line in attempted if line.run_id not in requested}
    return frozenset(
        run_id
        for run_id, line in requested.items()
        if (line.rule_id, line.target_id) in of_commands and all(one.run_id != run_id for one in attempted)
    )


def row_of(lines: Sequence[TrailLine]) -> RequestRow | None:
    """Return what the last attempt's line says, for a row that was not read; None without an attempt."""
    last = next((line for line in reversed(lines) if line.outcome in ATTEMPTS), None)
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


def request_case(evidence: Evidence, row: RequestRow, lines: Sequence[TrailLine]) -> Case:
    """Return the case of a trigger request that the ledger has."""
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
    run = evidence.runs.get(row.run_id, RunNow())
    requested = next((line for line in lines if line.outcome == "Requested"), None)
    if requested is not None and evidence.subject.field != "run_id" and _is_duplicate(row, lines):
        sentence = (
            f"A duplicate: the gateway received it {when(requested.at, evidence.now)}, and an earlier one started its run "
            f"{row.run_id} of {_where(row)} {when(accepted, evidence.now)}. One event starts one run."
        )
        remedy = Remedy(
            "Nothing to do. To run it once more on purpose, rerun it.",
            f"mwaa-gateway rerun --event {row.run_id}",
        )
        return _case(row, State.DUPLICATE, sentence, remedy)
    since = f"Airflow accepted the run of {_where(row)} {when(accepted, evidence.now)}"
    ended_at = seconds(run.end_date)
    ended = "" if ended_at is None else f"; it ended {when(ended_at, evidence.now)}"
    match run.state:
        case "success":
            return _case(row, State.ENDED_SUCCESS, f"It ran and succeeded: {since}{ended}.")
        case "failed":
            advice = (
                "The gateway did its part: read the failed task's log in Airflow, and clear the run there after the fix. "
                "Or start a new run of the same event."
            )
            remedy = Remedy(advice, f"mwaa-gateway rerun --event {row.run_id}")
            sentence = f"It ran and failed: {since}{ended}."
            return _case(row, State.ENDED_FAILED, sentence, remedy)
        case "missing":
            remedy = Remedy(
                "Find out who deleted the run in Airflow. To start another, rerun the event.",
                f"mwaa-gateway rerun --event {row.run_id}",
            )
            return _case(row, State.RUN_MISSING, f"{since}, and Airflow has no such run now.", remedy)
        case "running":
            return _case(
                row,
                State.RUNNING,
                f"It is running: {since}; it started {when(seconds(run.start_date), evidence.now)}.",
            )
    if row.not_runnable:
        return _not_runnable(row, since, run, evidence)
    if run.state == "queued":
        return _case(row, State.QUEUED, f"{since}; it is queued there and has not started yet.")
    why_not = f" Its state is not known: {cut(run.why_not)}." if run.why_not else ""
    return _case(row, State.ACCEPTED, f"{since}.{why_not}")


def _is_duplicate(row: RequestRow, lines: Sequence[TrailLine]) -> bool:
    """Return whether the run is of another event than the lines: it was accepted before, or its row has another event.

    An upload's two routes are one event with two ids, and times that differ by less than a second.
    """
    requests = [line for line in lines if line.outcome == "Requested"]
    if row.finished_at is not None and row.finished_at < requests[0].at:
        return True
    if not row.event_id or any(line.event_id == row.event_id for line in requests):
        return False
    times = [at for line in requests if (at := seconds(line.event_time)) is not None]
    same_time = row.event_at is not None and any(abs(at - row.event_at) <= 1 for at in times)
    return not (same_time and any(line.resource == row.resource != "" for line in requests))


def _not_runnable(row: RequestRow, since: str, run: RunNow, evidence: Evidence) -> Case:
    """Return why the run stays queued, by the list of DAGs of then; Airflow may have been asked since."""
    not_asked = f" {cut(run.why_not)}." if run.why_not else ""
    if row.not_runnable == "paused":
        why = "the DAG was paused: the run starts once somebody unpauses it"
        remedy = _unpause(row, evidence, "The run then starts.")
    else:
        why = "the DAG's file was gone or broken: the run starts once Airflow reads a working file"
        remedy = Remedy(
            f"Deploy a working file of DAG {row.dag_id}: the run then starts. The check shows Airflow's import errors.",
            f"mwaa-gateway environments check {row.environment}",
        )
    return _case(row, State.ACCEPTED_NOT_RUNNABLE, f"{since}, and {why}.{not_asked}", remedy)


def _under_way(row: RequestRow, lines: Sequence[TrailLine], evidence: Evidence) -> Case:
    last = next((line for line in reversed(lines) if line.outcome in ATTEMPTS), None)
    why = cut(last.message) if last else ""
    if (circuit := _circuit(evidence, row.environment, row.dag_id)) is not None:
        return _behind_circuit(row, circuit, why, evidence)
    tried = f"attempt {row.attempt} was {when(row.last_attempt_at, evidence.now)}"
    if last is None or last.outcome not in ("Retryable", "OutcomeUnknown"):
        sentence = f"It has not started yet: {tried}, for {_where(row)}; no outcome is logged yet."
        return _case(row, State.BACKING_OFF, sentence, _patience(row))
    outcome = ": ".join(filter(None, (last.reason, why)))
    again = None if last.redeliver_after is None else last.at + last.redeliver_after
    if again is None:
        next_try = "the next try follows by itself"
    elif again <= evidence.now:
        next_try = f"the next try is due since {when(again, evidence.now)}"
    else:
        next_try = f"the next try is at {when(again, evidence.now)}"
    sentence = f"It waits in back-off: {tried}, for {_where(row)} ({outcome}); {next_try}."
    return _case(row, State.BACKING_OFF, sentence, _patience(row))


def _patience(row: RequestRow) -> Remedy:
    return Remedy(
        "Nothing to do if it passes: the gateway tries again until the event is too old. If it lasts, check "
        "the environment.",
        f"mwaa-gateway environments check {row.environment}",
    )


def _circuit(evidence: Evidence, environment: str, dag_id: str) -> Circuit | None:
    """Return the open breaker that the request waits behind: its environment's, else its DAG's."""
    behind = [
        one for one in evidence.circuits if one.environment == environment and one.dag_id in ("", dag_id)
    ]
    return min(behind, key=lambda one: one.dag_id, default=None)


def _behind_circuit(row: RequestRow, circuit: Circuit, why: str, evidence: Evidence) -> Case:
    because = f": {why}" if why else ""
    if circuit.dag_id:
        what = f"Airflow in {row.environment} has not known DAG {row.dag_id} since"
        advice = (
            f"Deploy DAG {row.dag_id}, or correct its file: the requests then start by themselves. The check shows "
            "Airflow's import errors. If the rule names the wrong DAG, correct and apply it; once these requests are dead, "
            f"`rerun --rule {row.rule_id} --state dead --with-current-rule` runs their events."
        )
    else:
        what = f"{row.environment} has been unavailable since"
        advice = (
            "Restore the environment: the requests then start by themselves. The check shows what is wrong."
        )
        mwaa = evidence.mwaa.get(row.environment)
        if mwaa is not None:
            because = f"{because}; {mwaa.words(evidence.now)}"
            if mwaa.passes:
                advice = "Wait until MWAA reports AVAILABLE: the requests then start by themselves, and none is lost."
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


def not_attempted_case(evidence: Evidence, line: TrailLine) -> Case:
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
    tried = f" and {queue.in_flight:,} tried or in back-off" if queue.in_flight else ""
    parts = [f"about {count(queue.waiting, 'request')} in its queue{tried} (SQS knows no place)"]
    if queue.oldest_seconds is not None:
        parts.append(f"the oldest for {duration(queue.oldest_seconds)}")
    if queue.drained_in is not None:
        parts.append(
            f"drained in about {duration(queue.drained_in)} at {queue.starts_per_minute:.0f} starts a minute"
        )
    return ", ".join(parts)
