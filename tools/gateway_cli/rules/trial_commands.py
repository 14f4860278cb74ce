# ruff: noqa: D301 - click's own mark for lines to keep as they are is a backslash b
"""`mwaa-gateway rules test | explain`: what rules do with events, before any event is sent."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from gateway_cli.connection import Connection, connection_options
from gateway_cli.output import Refused, output_option, print_json, print_note
from gateway_cli.rules.event_files import NamedEvent, read_events
from gateway_cli.rules.expectations import Case, Failure, failures, read_cases
from gateway_cli.rules.explanation import Explanation, explain
from gateway_cli.rules.files import check_rules
from gateway_cli.rules.options import count, paths_argument, rule_id_argument, tell_mistakes, vars_option
from gateway_cli.rules.rendering import print_case, print_explanation, print_trial
from gateway_cli.rules.stored import document_of, why_broken
from gateway_cli.rules.trial import Trial, try_events
from mwaa_gateway.errors import InvalidRule, MalformedEvent
from mwaa_gateway.rules import Rule, parse_rule
from mwaa_gateway.rules.fields import nearest

__all__ = ["explain_rule", "test"]

_unwrap_option = click.option(
    "--unwrap-topic",
    "unwrap_topics",
    metavar="ARN",
    multiple=True,
    help="A topic whose messages may be S3 or EventBridge events, as in UnwrapTopicArns; may be repeated.",
)


@click.command(short_help="Try rule files on events; a test suite, too.")
@paths_argument
@click.option(
    "--event",
    "event_files",
    metavar="FILE|DIR",
    multiple=True,
    type=click.Path(path_type=Path),
    help="An event to show what becomes of; may be repeated.",
)
@click.option(
    "--expect",
    "expect_files",
    metavar="FILE|DIR",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Cases of an event and what it is expected to come to; may be repeated.",
)
@vars_option
@_unwrap_option
@output_option
@connection_options
def test(
    connection: Connection,
    paths: Sequence[Path],
    *,
    event_files: Sequence[Path],
    expect_files: Sequence[Path],
    variable_files: Sequence[Path],
    unwrap_topics: Sequence[str],
    output: str,
) -> None:
    """Try rule files on events: which rules match, and the run_id, dag_id and conf of each run.

    It is the code of the functions that decides, from the event as its source sends it to the request on the queue. An
    event file is what a source sends: an EventBridge event, an S3 notification, an SNS notification, SQS messages
    that hold these, or what lies in the ingress DLQ. Needs no AWS account.

    With --expect it is a test suite: exit code 1 when an event comes to anything else than the case says.

    \b
    Examples:
      mwaa-gateway rules test rules/ --event events/order.json
      mwaa-gateway rules test rules/ --vars stages/prod.yaml --expect rule-tests/
    """
    if not event_files and not expect_files:
        raise click.UsageError("give events with --event, or cases with --expect")
    environments = connection.named_environments
    checked, mistakes = check_rules(paths, environments=environments, variable_files=variable_files)
    topics = frozenset(unwrap_topics)
    cases, wrong = read_cases(expect_files, unwrap_topics=topics)
    if mistakes or wrong:
        if output == "json":
            print_json({"problems": [asdict(mistake) for mistake in (*mistakes, *wrong)]})
        tell_mistakes([*mistakes, *wrong], output)
        raise Refused(f"{count(len(mistakes) + len(wrong), 'mistake')}: nothing was tried")
    rules = [checked_rule.rule for checked_rule in checked]
    trials = try_events(rules, read_events(event_files, unwrap_topics=topics), environments=environments)
    tried = [(case, _failures(case, rules, environments)) for case in cases]
    if output == "json":
        print_json(_document(trials, tried))
    else:
        for trial in trials:
            print_trial(trial)
        if any(not trial.results and not trial.disabled for trial in trials):
            print_note("`mwaa-gateway rules explain ID --event FILE` says why a rule does not match")
        for case, found in tried:
            print_case(case.name, case.place, found)
    failed = sum(bool(found) for _, found in tried)
    if failed:
        raise Refused(f"{failed} of {count(len(cases), 'case')} failed")
    if cases:
        print_note(f"{count(len(cases), 'case')} passed")


@click.command("explain", short_help="Say why an event matches a rule, or does not.")
@rule_id_argument
@click.option(
    "--event",
    "event_files",
    metavar="FILE|DIR",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="The event; may be repeated.",
)
@click.option(
    "--file",
    "paths",
    metavar="FILE|DIR",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Rule files to take the rule from, instead of the table; may be repeated.",
)
@vars_option
@_unwrap_option
@output_option
@connection_options
def explain_rule(
    connection: Connection,
    rule_id: str,
    *,
    event_files: Sequence[Path],
    paths: Sequence[Path],
    variable_files: Sequence[Path],
    unwrap_topics: Sequence[str],
    output: str,
) -> None:
    """Say why an event matches a rule or does not, field by field, with the value seen.

    The rule is the one in the table, or in the files of --file. Where the pattern has alternatives ($or), the one is
    shown that matches or comes closest.

    \b
    Examples:
      mwaa-gateway rules explain finance.orders-landing --event events/order.json
      mwaa-gateway rules explain finance.orders-landing --event events/order.json --file rules/
    """
    rule, broken = _rule(connection, rule_id, paths, variable_files)
    events = read_events(event_files, unwrap_topics=frozenset(unwrap_topics))
    told = [(named, _explained(rule, named)) for named in events]
    trials = try_events(
        [replace(rule, state="ENABLED")], events, environments=None
    )  # what it would do, if it may
    if output == "json":
        print_json(
            [
                _explanation_document(rule, named, explanation)
                | {"broken": broken or None}
                | {"results": [one.document() for one in trial.results]}
                for (named, explanation), trial in zip(told, trials, strict=True)
            ]
        )
        return
    for (named, explanation), trial in zip(told, trials, strict=True):
        print_explanation(rule, named, explanation, broken)
        if explanation is not None and explanation.matches:
            print_trial(trial, indent="  ")


def _rule(
    connection: Connection, rule_id: str, paths: Sequence[Path], variable_files: Sequence[Path]
) -> tuple[Rule, str]:
    """Return the rule, and why the gateway cannot use it where its pattern at least can be explained."""
    if not paths:
        item = connection.store.get(rule_id)
        try:
            rule = parse_rule(document_of(item), environments=None, version=item.version)
        except InvalidRule as error:
            raise Refused(
                f"rule {rule_id} is broken: {error}: correct its file and apply it again"
            ) from error
        return rule, why_broken(connection, item)
    checked, mistakes = check_rules(paths, environments=None, variable_files=variable_files)
    for checked_rule in checked:
        if checked_rule.rule.id == rule_id:
            return checked_rule.rule, ""
    tell_mistakes(mistakes, "table")
    near = nearest(rule_id, [checked_rule.rule.id for checked_rule in checked])
    where = ", ".join(map(str, paths))
    raise Refused(f"there is no rule {rule_id!r} that can be used in {where}{near and ': '}{near}")


def _explained(rule: Rule, named: NamedEvent) -> Explanation | None:
    """Explain one event; None where it is malformed, so that no rule is asked at all."""
    return None if isinstance(named.event, MalformedEvent) else explain(rule.pattern, named.event.envelope)


def _failures(case: Case, rules: Sequence[Rule], environments: Any) -> list[Failure]:
    trials = try_events(rules, case.events, environments=environments)
    return failures(case, [result for trial in trials for result in trial.results])


def _document(trials: Sequence[Trial], tried: Sequence[tuple[Case, Sequence[Failure]]]) -> dict[str, Any]:
    return {
        "events": [
            {
                "event": trial.event.name,
                "results": [result.document() for result in trial.results],
                "disabled": list(trial.disabled),
            }
            for trial in trials
        ],
        "cases": [
            {
                "name": case.name,
                "place": case.place,
                "passed": not found,
                "failures": [failure.document() for failure in found],
            }
            for case, found in tried
        ],
        "problems": [],
    }


def _explanation_document(rule: Rule, named: NamedEvent, explanation: Explanation | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "event": named.name,
        "rule_id": rule.id,
        "version": rule.version,
        "state": rule.state,
    }
    if explanation is None:
        return told | {"matches": False, "reason": str(named.event), "fields": []}
    return told | {
        "matches": explanation.matches,
        "alternative": explanation.way,
        "alternatives": explanation.ways,
        "reason": explanation.reason or None,
        "fields": [asdict(field) for field in explanation.fields],
    }
