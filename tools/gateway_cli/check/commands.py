"""The command `environments check`."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import click

from gateway_cli.check.findings import (
    Expected,
    Failed,
    Finding,
    judge_answer,
    judge_environment,
    judge_invocation,
    judge_permissions,
    judge_rules,
    needed_permissions,
)
from gateway_cli.check.probe import EnvironmentProbe, answer_of
from gateway_cli.connection import Connection, gateway_options
from gateway_cli.dag_catalog import check_dags
from gateway_cli.filter_names import refuse_unknown_environment
from gateway_cli.output import Refused, output_option, print_json, print_marked, print_note, print_text
from gateway_cli.rules.stored import document_of
from mwaa_gateway.dispatch.dag_catalog import DagCatalog
from mwaa_gateway.errors import InvalidRule
from mwaa_gateway.rules import parse_rule

_NOT_KNOWN: Final = 3


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@output_option
@gateway_options
@click.pass_context
def check(context: click.Context, connection: Connection, names: tuple[str, ...], output: str) -> None:
    """Check what stands between an event and its DAG run.

    It checks the environment on MWAA and the dispatcher's permissions, and from the dispatchers' subnets the network, the
    web server and the DAGs. It changes nothing. Over CLI tokens it runs one Airflow command, which takes one of the web
    server's slots. Without NAME it checks every environment.

    \b
    Examples:
      mwaa-gateway environments check
      mwaa-gateway environments check analytics -o json

    \b
    Exit codes:
      0  every check passed
      1  a check failed: the lines with a cross
      2  the command line is wrong
      3  no check failed, but some could not be made: the lines with a question mark
    """
    probe = EnvironmentProbe(connection)
    account = probe.caller["Account"]
    known = connection.environments or frozenset()
    for name in names:
        refuse_unknown_environment(connection, name)
    findings = {name: _findings_or_failure(probe, name) for name in names or sorted(known)}
    if output == "json":
        print_json(
            {
                "account": account,
                "caller": probe.caller["Arn"],
                "environments": {name: [asdict(each) for each in found] for name, found in findings.items()},
            }
        )
    else:
        print_text(f"Account {account}, as {probe.caller['Arn']}")
        for name, found in findings.items():
            _print(name, found)
    statuses = {each.status for found in findings.values() for each in found}
    if "failed" in statuses:
        context.exit(1)
    if "unknown" in statuses:
        print_note("No check failed; the lines with a question mark could not be checked.")
        context.exit(_NOT_KNOWN)


def _findings_or_failure(probe: EnvironmentProbe, name: str) -> Sequence[Finding]:
    """Return an environment's findings; one that cannot be judged hides no other."""
    found = answer_of("check", lambda: list(_findings(probe, name)))
    if isinstance(found, Failed):
        return [Finding("check", "failed", str(found), "Use the command's and the stack's same version")]
    return found


def _findings(probe: EnvironmentProbe, name: str) -> Iterator[Finding]:
    expected = probe.expected(name)
    described = probe.describe(expected.mwaa_name)
    missing = isinstance(described, Failed) and described.code == "ResourceNotFoundException"
    yield from judge_environment(expected, described, probe.list_names() if missing else None)
    found = probe.examine(name)
    yield from _permissions(probe, expected)
    if isinstance(found, Failed):
        yield judge_invocation(found)
    else:
        for finding in judge_answer(expected, found):
            # MWAA gives no token for an environment that does not exist: the line `environment` already says so.
            consequence = missing and finding.check in ("token", "airflow") and finding.status == "failed"
            yield (
                Finding(finding.check, "unknown", "not tried, because environment failed")
                if consequence
                else finding
            )
    yield from _rules(probe.connection, name, {} if isinstance(found, Failed) else found)


def _permissions(probe: EnvironmentProbe, expected: Expected) -> Iterator[Finding]:
    connection = probe.connection
    needed = needed_permissions(
        expected,
        (connection.transports_by_name or {}).get(expected.environment, ()),
        partition=probe.caller["Arn"].split(":")[1],
        stack=connection.stack,
        outputs=connection.stack_outputs,
        rest_role=connection.stack_parameters.get("RestApiRole", "User"),
    )
    yield from judge_permissions(probe.simulate(expected.environment, needed))


def _rules(connection: Connection, name: str, found: Mapping[str, Any]) -> Iterator[Finding]:
    stored = answer_of("the rules", connection.store.list)
    if isinstance(stored, Failed):
        yield Finding("rules", "unknown", str(stored), "Attach OperatorPolicy, or RulesWriterPolicy")
        return
    rules, broken = [], []
    for item in stored:
        try:
            rule = parse_rule(document_of(item), environments=None, version=item.version)
        except (InvalidRule, Refused):
            broken.append(item.id)
            continue
        if item.state != "DISABLED" and any(target.environment == name for target in rule.targets):
            rules.append(rule)
    dags = found.get("dags")
    catalog = _catalog(dags)
    warnings = check_dags(rules, {name: catalog}, time.time()).warnings
    complete = dags is None or dags["count"] == sum(
        len(dags[kind]) for kind in ("runnable", "paused", "stale")
    )
    yield from judge_rules(len(rules), broken, warnings if catalog is not None else None, complete=complete)


def _catalog(dags: Mapping[str, Any] | None) -> DagCatalog | None:
    if dags is None:
        return None
    return DagCatalog(
        dags["taken_at"], frozenset(dags["runnable"]), frozenset(dags["paused"]), frozenset(dags["stale"])
    )


def _print(name: str, findings: Sequence[Finding]) -> None:
    width = max(len(each.check) for each in findings)
    print_text("")
    print_text((name, "bold"))
    for each in findings:
        print_marked(each.status, each.check, each.text, each.remedy, width)
