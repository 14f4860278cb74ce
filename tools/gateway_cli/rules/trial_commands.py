"""`mwaa-gateway rules test | explain`: what rules do with events, before a real event arrives."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from gateway_cli.connection import Connection, connection_options
from gateway_cli.output import Refused, output_option, print_json, print_note
from gateway_cli.rules.event_files import NamedEvent, read_events
from gateway_cli.rules.expectations import Case, Failure, failures, read_cases
from gateway_cli.rules.explanation import Explanation
from gateway_cli.rules.explanation import explain_rule as explain_rule_on
from gateway_cli.rules.files import check_rules
from gateway_cli.rules.options import (
    count,
    files_option,
    paths_argument,
    print_mistakes,
    rule_id_argument,
    vars_option,
)
from gateway_cli.rules.rendering import print_case, print_explanation, print_trial
from gateway_cli.rules.stored import document_of, why_broken
from gateway_cli.rules.trial import Trial, try_events
from mwaa_gateway.errors import InvalidRule, MalformedEvent, nearest
from mwaa_gateway.rules import Rule, parse_rule

_unwrap_option = click.option(
    "--unwrap-topic",
    "unwrap_topics",
    metavar="ARN",
    multiple=True,
    help="A topic whose messages may be S3 or EventBridge events, as in UnwrapTopicArns; repeatable.",
)


@click.command(short_help="Try rule files on events, or run a test suite.")
@paths_argument
@files_option("--event", "event_files", "Event file to try; repeatable.")
@files_option("--expect", "expect_files", "Cases, each an event with its expected results; repeatable.")
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
    """Try rule files on events: which rules match, and the run_id, dag_id and conf of each run, or the batch.

    The functions' own code decides, from the event as its source sends it to the request for the queue. An event file
    contains a source's payload: an EventBridge event, an S3 notification, an SNS notification, SQS messages with any of
    these, or a message of the ingress DLQ. The command needs no AWS account.

    With --expect it is a test suite: the exit code is 1 if an event has another result than its case expects.

    \b
    Examples:
      mwaa-gateway rules test rules/ --event events/order.json
      mwaa-gateway rules test rules/ --vars stages/prod.yaml --expect rule-tests/
    """
    if not event_files and not expect_files:
        raise click.UsageError("name events with --event, or cases with --expect")
    environments = connection.named_environments
    checked, mistakes = check_rules(paths, environments=environments, variable_files=variable_files)
    topics = frozenset(unwrap_topics)
    cases, wrong = read_cases(expect_files, unwrap_topics=topics)
    if mistakes or wrong:
        if output == "json":
            print_json({"problems": [asdict(mistake) for mistake in (*mistakes, *wrong)]})
        print_mistakes([*mistakes, *wrong], output)
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
            print_note("`mwaa-gateway rules explain ID --event FILE` shows why a rule does not match")
        for case, found in tried:
            print_case(case.name, case.place, found)
    failed = sum(bool(found) for _, found in tried)
    if failed:
        raise Refused(f"{failed} of {count(len(cases), 'case')} failed")
    if cases:
        print_note(f"{count(len(cases), 'case')} passed")


@click.command("explain", short_help="Show why an event matches a rule or not.")
@rule_id_argument
@files_option("--event", "event_files", "The event; repeatable.", required=True)
@files_option("--file", "paths", "Rule files with the rule, instead of the table; repeatable.")
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
    """Show why an event matches a rule or not, field by field, with the event's values.

    The rule is the one in the table, or in the files of --file. If the pattern has alternatives ($or), the command
    shows the one that matches, or the closest one.

    \b
    Examples:
      mwaa-gateway rules explain finance.orders-landing --event events/order.json
      mwaa-gateway rules explain finance.orders-landing --event events/order.json --file rules/
    """
    rule, broken = _rule(connection, rule_id, paths, variable_files)
    events = read_events(event_files, unwrap_topics=frozenset(unwrap_topics))
    explained = [(named, _explained(rule, named)) for named in events]
    # What the rule would do if it were enabled.
    trials = try_events([replace(rule, state="ENABLED")], events, environments=None)
    if output == "json":
        print_json(
            [
                _explanation_document(rule, named, explanation)
                | {"broken": broken or None}
                | {"results": [one.document() for one in trial.results]}
                for (named, explanation), trial in zip(explained, trials, strict=True)
            ]
        )
        return
    for (named, explanation), trial in zip(explained, trials, strict=True):
        print_explanation(rule, named, explanation, broken)
        if explanation is not None and explanation.matches:
            print_trial(trial, indent="  ")


def _rule(
    connection: Connection, rule_id: str, paths: Sequence[Path], variable_files: Sequence[Path]
) -> tuple[Rule, str]:
    """Return the rule, and why the gateway cannot use it, if only its pattern is valid."""
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
    print_mistakes(mistakes, "table")
    near = nearest(rule_id, [checked_rule.rule.id for checked_rule in checked])
    where = ", ".join(map(str, paths))
    raise Refused(f"there is no valid rule {rule_id!r} in {where}{near and ': '}{near}")


def _explained(rule: Rule, named: NamedEvent) -> Explanation | None:
    """Explain one event; None if it is malformed, because then no rule sees it."""
    return None if isinstance(named.event, MalformedEvent) else explain_rule_on(rule, named.event.envelope)


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
    document: dict[str, Any] = {
        "event": named.name,
        "rule_id": rule.id,
        "version": rule.version,
        "state": rule.state,
    }
    if explanation is None:
        return document | {"matches": False, "reason": str(named.event), "fields": []}
    return document | {
        "matches": explanation.matches,
        "alternative": explanation.way,
        "alternatives": explanation.ways,
        "pattern_field": explanation.field,
        "reason": explanation.reason or None,
        "fields": [asdict(field) for field in explanation.fields],
    }
