"""The cases of an event that a rule matched and that became no request: dead, late, or of a SHADOW rule."""

import shlex

from gateway_cli.answers.case import Case
from gateway_cli.answers.evidence import Evidence
from gateway_cli.answers.states import Remedy, State
from gateway_cli.answers.trail import TrailLine
from gateway_cli.answers.words import cut, when
from gateway_cli.dlq.remedies import remedy as advice_for_reason
from mwaa_gateway.dead_events import DeadEventReason


def dead_event_case(line: TrailLine, evidence: Evidence) -> Case:
    """Return the case of an event in the ingress dead-letter queue."""
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
            "Correct the rule, or let the namespace allow it: this shows what it allows; `namespaces apply` changes it. "
            "Then redrive the event."
        )
        command, then = f"mwaa-gateway namespaces show {namespace}", redrive
    return Case(
        state=state,
        sentence=sentence,
        remedy=Remedy(
            f"{advice} That redrives every dead letter of this reason{of and ' and rule'}.", command, then
        ),
        rule_id=line.rule_id,
        environment=line.environment,
        dag_id=line.dag_id,
        reason=line.reason,
    )


def late_case(line: TrailLine, evidence: Evidence) -> Case:
    """Return the case of a member that came after its batch was released; only its rule says whether it is a dead letter."""
    sentence = (
        f"It came {when(line.at, evidence.now)}, after the batch of {line.batch_key or 'its key'} of rule {line.rule_id} "
        "was released, and no run has it."
    )
    remedy = Remedy(
        "With late: dead_letter, redrive the rule's late members: they open a late batch. With late: ignore, send the event "
        "to the rule by hand: it opens one, too.",
        f"mwaa-gateway dlq redrive --rule {line.rule_id} --reason late_member",
        send(line, line.rule_id),
    )
    return Case(
        state=State.DEAD,
        sentence=sentence,
        remedy=remedy,
        rule_id=line.rule_id,
        batch_id=line.batch_id,
        reason="late_member",
    )


def refused_case(line: TrailLine, evidence: Evidence) -> Case:
    """Return the case of a state machine's call that the gateway refused; the state has the same error."""
    text = cut(line.message.partition("no run is requested: ")[2] or line.message)
    sentence = f"The gateway refused the state's call {when(line.at, evidence.now)}: {text}."
    remedy = Remedy("Correct the state's input or the rule it names, then start the execution again.")
    return Case(state=State.DEAD, sentence=sentence, remedy=remedy, reason=line.reason)


def shadow_case(line: TrailLine, evidence: Evidence) -> Case:
    """Return the case of a match of a SHADOW rule."""
    rule_id = line.rule_id.partition("~")[0]
    would = f" Enabled, it would start DAG {line.dag_id} in {line.environment}." if line.dag_id else ""
    sentence = (
        f"Rule {rule_id} matched {when(line.at, evidence.now)}; it is in SHADOW and starts no run.{would}"
    )
    return Case(
        state=State.RULE_SHADOW,
        sentence=sentence,
        remedy=enable(rule_id, send(line, rule_id)),
        rule_id=rule_id,
    )


def enable(rule_id: str, then: str = "") -> Remedy:
    """Return how to enable a rule, and what to do then."""
    advice = "If the rule is ready, enable it for the events to come"
    advice += "; then send this one." if then else "."
    return Remedy(advice, f"mwaa-gateway rules enable {rule_id}", then)


def send(line: TrailLine, rule_id: str = "") -> str:
    """Return the command that sends an upload's event by hand; "" for an event that only its source can send again."""
    return send_upload(line.resource, rule_id) if line.resource.startswith("s3://") else ""


def send_upload(uri: str, rule_id: str = "") -> str:
    """Return the command that sends an upload's event by hand."""
    return f"mwaa-gateway events send {shlex.quote(uri)}" + (f" --rule {rule_id}" if rule_id else "")
