"""The cases of an event that a rule collects into a batch."""

from gateway_cli.answers.case import Case
from gateway_cli.answers.events import enable, send
from gateway_cli.answers.evidence import BatchNow, Evidence
from gateway_cli.answers.states import Remedy, State
from gateway_cli.answers.trail import TrailLine
from gateway_cli.answers.words import count, listed, when


def member_case(line: TrailLine) -> Case:
    """Return the case of a member whose batch was not found."""
    sentence = f"Rule {line.rule_id} collects it into the batch of {line.batch_key or 'its key'}; which one is not known."
    remedy = Remedy(
        "List the open batches of the rule.", f"mwaa-gateway batches list --rule {line.rule_id.split('~')[0]}"
    )
    return Case(state=State.COLLECTING, sentence=sentence, remedy=remedy, rule_id=line.rule_id)


def cancelled_member_case(line: TrailLine) -> Case:
    """Return the case of a member that came after its batch was cancelled."""
    sentence = f"It came after batch {line.batch_id} of rule {line.rule_id} was cancelled, and no run has it."
    remedy = Remedy(
        "To run it all the same, send the event to the rule by hand: it opens another batch."
        if send(line)
        else "The batch shows who cancelled it.",
        send(line, line.rule_id) or f"mwaa-gateway batches show {line.batch_id}",
    )
    return Case(
        state=State.BATCH_CANCELLED,
        sentence=sentence,
        remedy=remedy,
        rule_id=line.rule_id,
        batch_id=line.batch_id,
    )


def batch_case(evidence: Evidence, batch: BatchNow) -> Case:
    """Return the case of a batch, or of an event that is its member."""
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
        return _of_batch(batch, State.RULE_SHADOW, sentence, enable(batch.rule_id.partition("~")[0]))
    if batch.state in ("released", "releasing"):
        complete = {True: "complete", False: "not complete", None: "its completeness is not known"}[
            batch.is_complete
        ]
        if not batch.run_ids:
            why = listed(batch.refused) or "its requests are not written yet"
            state = State.DEAD if batch.refused else State.COLLECTING
            sentence = f"Collected in {name}, which is {batch.state} and starts no run: {why}."
            show = Remedy("The batch shows its targets.", f"mwaa-gateway batches show {batch.id}")
            return _of_batch(batch, state, sentence, show)
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
