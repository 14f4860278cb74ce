"""The cases of an event that no rule matched: the rule that is disabled or near, and the field that differs."""

from typing import TYPE_CHECKING

from gateway_cli.answers.case import Case
from gateway_cli.answers.events import enable, send
from gateway_cli.answers.evidence import Evidence
from gateway_cli.answers.states import Remedy, State
from gateway_cli.answers.trail import TrailLine
from gateway_cli.answers.words import count, listed, shown, when
from gateway_cli.output import who

if TYPE_CHECKING:
    from gateway_cli.answers.nearest import RuleFit


def unmatched_case(line: TrailLine, evidence: Evidence) -> Case:
    """Return why no rule matched: a disabled rule, one that changed since, or the nearest and its field."""
    received = f"The gateway received it {when(line.at, evidence.now)}, and"
    matching = [fit for fit in evidence.fits if fit.matches]
    for fit in matching:
        if fit.state == "DISABLED" and not fit.is_later:
            return _disabled(fit, received, line, evidence.now)
    changed = [fit for fit in matching if fit.is_later]
    if changed:
        return _matches_now(changed[0], received, line, evidence)
    if matching:
        return _fits_so_far(matching[0], received, line)
    near = next((fit for fit in evidence.fits if fit.wrong), None)
    if near is not None:
        return _nearest(near, received, line, evidence)
    tried = "" if line.rules_tried is None else f" of {count(line.rules_tried, 'rule')}"
    sentence = f"{received} none{tried} of its partitions matches; no rule of the gateway is near."
    remedy = Remedy("Write a rule for it, or find the rule that should match.", "mwaa-gateway rules list")
    return _no_match(sentence, remedy)


def _fits_so_far(fit: "RuleFit", received: str, line: TrailLine) -> Case:
    fields = listed(fit.unknown) or "another field"
    sentence = (
        f"{received} no rule matched. Rule {fit.name} fits by what the log knows; {fields} must differ."
    )
    remedy = Remedy(
        "Hold the whole event against the rule: `rules explain --event FILE` shows each field. To start the rule for it all "
        "the same, send it to the rule.",
        send(line, fit.rule_id) or f"mwaa-gateway rules show {fit.rule_id}",
    )
    return _no_match(sentence, remedy, fit.rule_id)


def _nearest(near: "RuleFit", received: str, line: TrailLine, evidence: Evidence) -> Case:
    first = near.wrong[0]
    seen = " or ".join(map(shown, first.seen)) or "absent"
    hint = f"; {first.hint}" if first.hint else ""
    and_more = f" ({len(near.wrong)} fields differ)" if len(near.wrong) > 1 else ""
    sentence = (
        f"{received} no rule matched. The nearest is {near.name}: {first.field} is {seen}, and the rule wants "
        f"{listed(map(shown, first.wanted))}{hint}{and_more}."
    )
    if near.is_later:
        sentence += f" It {_change(near, line, evidence)}."
    by_hand = send(line, near.rule_id)
    again = (
        f"To start rule {near.rule_id} for this event now, send it to the rule."
        if by_hand
        else "Then let the source send the event again."
    )
    advice = f"If the event is right, correct {first.field} in the rule's file and apply it. {again}"
    command = by_hand or f"mwaa-gateway rules show {near.rule_id}"
    return _no_match(sentence, Remedy(advice, command), near.rule_id)


def _no_match(sentence: str, remedy: Remedy, rule_id: str = "") -> Case:
    return Case(state=State.NO_RULE_MATCHES, sentence=sentence, remedy=remedy, rule_id=rule_id)


def _disabled(fit: "RuleFit", received: str, line: TrailLine, now: float) -> Case:
    by = f" by {who(fit.changed_by)}" if fit.changed_by else ""
    possibly = f" (as far as the log knows: {listed(fit.unknown)} is not in it)" if fit.unknown else ""
    sentence = (
        f"{received} rule {fit.rule_id} (v{fit.version}) fits{possibly}, but was DISABLED, last changed "
        f"{when(fit.changed_at, now)}{by}; a disabled rule misses events."
    )
    remedy = Remedy(
        "Enable the rule; then send this event again."
        if send(line)
        else "Enable the rule, and let the source send the event again.",
        f"mwaa-gateway rules enable {fit.rule_id}",
        send(line, fit.rule_id),
    )
    return Case(state=State.RULE_DISABLED, sentence=sentence, remedy=remedy, rule_id=fit.rule_id)


def _matches_now(fit: "RuleFit", received: str, line: TrailLine, evidence: Evidence) -> Case:
    sentence = (
        f"{received} no rule matched then. Rule {fit.name} fits now: it {_change(fit, line, evidence)}."
    )
    if fit.state == "ENABLED":
        command = send(line, fit.rule_id)
        advice = "Send the event again." if command else "Let the source send the event again."
        return _no_match(sentence, Remedy(advice, command), fit.rule_id)
    return _no_match(sentence, enable(fit.rule_id, send(line, fit.rule_id)), fit.rule_id)


def _change(fit: "RuleFit", line: TrailLine, evidence: Evidence) -> str:
    """Return when the rule changed, who changed it, and what it was when the event came."""
    by = f" by {who(fit.changed_by)}" if fit.changed_by else ""
    changed = f"{when(fit.changed_at, evidence.now)}{by}"
    if fit.changed_at is not None and fit.changed_at <= line.at:
        changed = f"changed {changed}, and the function that received the event had not read this yet"
    else:
        changed = f"changed after the event, {changed}"
    return f"{changed}; {_as_it_was(fit, evidence.fit_then)}"


def _as_it_was(fit: "RuleFit", then: "RuleFit | None") -> str:
    if then is None or then.rule_id != fit.rule_id:
        return "it did not exist then"
    if then.wrong:
        first = then.wrong[0]
        return f"as v{then.version} it wanted {first.field} {listed(map(shown, first.wanted))}"
    if then.state != "ENABLED":
        return f"as v{then.version} it was {then.state}"
    return f"v{then.version} was in force then"
