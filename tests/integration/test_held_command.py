"""Pauses and `mwaa-gateway held` as operators use them: requests are held, then released or cancelled, each once."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from fakes.requests import a_request
from gateway_cli import ledger_rows
from gateway_cli.rules.store import RulesStore
from integration.operated import Gateway
from integration.shell import shell
from integration.test_drain_command import refuse
from integration.test_pause_items import NOW, RULE, a_rule
from mwaa_gateway.outcomes import AlreadyTriggered, Held, Reason, Rejected, Triggered
from mwaa_gateway.trigger_request import TriggerRequest

Run = Callable[..., Result]


@pytest.fixture
def gateway(operated: Gateway) -> Gateway:
    """The gateway that the command is for."""
    return operated


@pytest.fixture
def run(gateway: Gateway) -> Run:  # noqa: ARG001 - where the command runs
    """Run the command in that account, as a shell would."""
    return shell


@pytest.fixture
def waiting(gateway: Gateway) -> list[TriggerRequest]:
    """Twelve requests of one rule that wait in their queue, and the rule."""
    RulesStore(gateway.dynamodb, "rules").put(a_rule(), by="them", now=NOW)
    requests = [replace(a_request(f"event {n}"), rule_id=RULE) for n in range(12)]
    for request in requests:
        gateway.send("trigger-analytics", request.to_json())
    return requests


def listed(run: Run, *words: str) -> list[dict[str, Any]]:
    return json.loads(run("held", "list", *words, "-o", "json").stdout)


def held_by_the_rule(run: Run, gateway: Gateway) -> None:
    assert 0 == run("rules", "disable", RULE, "--stack-name", "mwaa-gateway", "--by", "me").exit_code
    outcomes = gateway.deliver_all()
    assert {Held} == {type(outcome) for outcome in outcomes}


def test_row_10_disabled_with_requests_waiting_and_enabled_again(
    run: Run,
    gateway: Gateway,
    waiting: list[TriggerRequest],
) -> None:
    """Row 10: all of them held without a command; enabled, each runs once, however often that is said."""
    held_by_the_rule(run, gateway)
    assert [] == gateway.airflow.commands
    found = listed(run, "--rule", RULE)
    assert {request.target.run_id for request in waiting} == {each["id"] for each in found}
    assert {("rule_disabled", 0)} == {(each["reason"], each["attempts"]) for each in found}
    assert "was disabled by me" in found[0]["reason_text"]

    enabled = run("rules", "enable", RULE, "--stack-name", "mwaa-gateway")
    assert (0, True) == (enabled.exit_code, "released: 12" in enabled.stderr)
    again = run("rules", "enable", RULE, "--stack-name", "mwaa-gateway")  # before any of them was dispatched
    assert "released: 12" in again.stderr
    outcomes = gateway.deliver_all()
    assert (12, 12) == (
        outcomes.count(Triggered()),
        sum(isinstance(outcome, AlreadyTriggered) for outcome in outcomes),
    )
    assert ["trigger"] * 12 == gateway.airflow.commands
    assert "released" not in run("rules", "enable", RULE, "--stack-name", "mwaa-gateway").stderr


def rule_file(folder: Path, state: str) -> str:
    """The rule as a file that names its state."""
    file = folder / "rules.yaml"
    file.write_text(
        f"id: {RULE}\nstate: {state}\npattern: {{source: [acme.orders]}}\n"
        "target: {environment: analytics, dag_id: ingest_orders}\n"
    )
    return str(file)


def test_stopped_and_started_by_apply_is_stopped_and_started(
    run: Run, gateway: Gateway, waiting: list[TriggerRequest], tmp_path: Path
) -> None:
    """`state: DISABLED` in a file pauses like `rules disable`, and ENABLED ends the pause: each request runs once."""
    stop = rule_file(tmp_path, "DISABLED")
    planned = run("rules", "plan", stop)
    assert (2, True) == (planned.exit_code, "its waiting requests are held" in planned.stderr)
    assert 0 == run("rules", "apply", stop).exit_code
    assert {Held} == {type(outcome) for outcome in gateway.deliver_all()}
    assert ([], len(waiting)) == (gateway.airflow.commands, len(listed(run)))

    start = rule_file(tmp_path, "ENABLED")
    planned = run("rules", "plan", start)
    assert "its held requests are released" in planned.stderr
    applied = run("rules", "apply", start, "-o", "json")
    assert (0, True, 1) == (
        applied.exit_code,
        "released: 12" in applied.stderr,
        len(json.loads(applied.stdout)["applied"]),
    )
    assert [Triggered()] * 12 == gateway.deliver_all()
    assert "released" not in run("rules", "apply", start).stderr


@pytest.mark.parametrize("state", ["SHADOW", "DISABLED"])
def test_a_rule_that_is_applied_and_not_enabled_releases_nothing(
    run: Run,
    gateway: Gateway,
    waiting: list[TriggerRequest],  # noqa: ARG001
    tmp_path: Path,
    state: str,
) -> None:
    """A rule on trial starts nothing, and neither does what it once matched."""
    held_by_the_rule(run, gateway)
    assert 0 == run("rules", "apply", rule_file(tmp_path, state)).exit_code
    assert (0, 12) == (gateway.visible("trigger-analytics"), len(listed(run)))


def test_a_deleted_rule_that_comes_back_enabled_releases_what_it_held(
    run: Run, gateway: Gateway, waiting: list[TriggerRequest]
) -> None:
    """By `rules rollback`, as by `rules enable`; one that comes back stopped stays stopped."""
    held_by_the_rule(run, gateway)
    run("rules", "delete", RULE, "--yes")
    assert "released" not in run("rules", "rollback", RULE, "v2").stderr
    assert len(waiting) == len(listed(run))
    run("rules", "delete", RULE, "--yes")
    back = run("rules", "rollback", RULE, "v1")
    assert (0, True) == (back.exit_code, "released: 12" in back.stderr)
    assert [Triggered()] * 12 == gateway.deliver_all()


def test_what_cannot_be_released_is_listed_with_what_remains_to_do(
    run: Run,
    gateway: Gateway,
    waiting: list[TriggerRequest],  # noqa: ARG001
    tmp_path: Path,
) -> None:
    """Who may write rules need not be allowed to touch the ledger: the rule is enabled, and exit code 1 says the rest."""
    held_by_the_rule(run, gateway)
    gateway.dynamodb.delete_table(TableName="ledger")
    applied = run("rules", "apply", rule_file(tmp_path, "ENABLED"))
    assert (1, True) == (applied.exit_code, f"`mwaa-gateway held release --rule {RULE}`" in applied.stderr)
    assert "ENABLED" in run("rules", "list").stdout
    by_table = run("rules", "enable", RULE, "--table", "rules", "--environment", "analytics", "--by", "me")
    assert (0, True) == (by_table.exit_code, "are not released: give --stack-name" in by_table.stderr)


@pytest.mark.parametrize(
    ("stop", "start"),
    [
        (
            f"rules disable {RULE} --stack-name mwaa-gateway --by me",
            f"rules enable {RULE} --stack-name mwaa-gateway",
        ),
        ("environments pause analytics", "environments resume analytics"),
    ],
)
def test_what_its_queue_does_not_take_is_not_called_released(
    run: Run,
    gateway: Gateway,
    waiting: list[TriggerRequest],
    stop: str,
    start: str,
) -> None:
    """One that fails stops no other, and the command fails with the number, the first and the reason."""
    run(*stop.split())
    assert {Held} == {type(outcome) for outcome in gateway.deliver_all()}
    gateway.sqs.delete_queue(QueueUrl=gateway.queue("trigger-analytics"))
    started = run(*start.split())
    assert (1, True) == (started.exit_code, "12 held requests were not released, 0 were" in started.stderr)
    assert len(waiting) == len(listed(run))


def test_a_misspelt_environment_in_transports_is_shown_from_both_sides(run: Run, gateway: Gateway) -> None:
    """Which name is none of the stack's, and which environment therefore stands still; a stack of v0.1.0 says nothing."""
    gateway.parameters["Transports"] = "analytics=cli,legcay=rest"
    listed = run("environments", "list", "-o", "json")
    assert [("analytics", "cli"), ("legacy", None)] == [
        (each["name"], each["transport"]) for each in json.loads(listed.stdout)
    ]
    [unknown, standing] = listed.stderr.splitlines()
    assert (
        "Warning: the stack's parameter Transports names 'legcay', which is not in its Environments"
        == unknown
    )
    assert standing.startswith("Warning: nothing starts in legacy: environment 'legacy' has no transport")
    assert "add legacy=rest or legacy=cli" in standing
    del gateway.parameters["Transports"]
    listed = run("environments", "list")
    assert "" == listed.stderr
    assert ["analytics  -", "legacy     -"] == [line[:12] for line in listed.stdout.splitlines()[2:]]


def test_a_paused_environment_holds_everything_in_it_and_nothing_else(
    run: Run,
    gateway: Gateway,
    waiting: list[TriggerRequest],
) -> None:
    """With the reason that was given; the other environment runs on."""
    assert 0 == run("environments", "pause", "analytics", "--reason", "moving", "--by", "me").exit_code
    assert {Held} == {type(outcome) for outcome in gateway.deliver_all()}
    elsewhere = a_request("elsewhere", environment="legacy")
    assert Triggered() == gateway.dispatch(elsewhere.to_json(), "legacy")
    (paused, running) = json.loads(run("environments", "list", "-o", "json").stdout)
    assert (True, "moving", "me", False) == (
        paused["paused"],
        paused["reason"],
        paused["updated_by"],
        running["paused"],
    )
    assert ("rest", "rest") == (paused["transport"], running["transport"])
    assert "PAUSED" in run("environments", "list").stdout
    resumed = run("environments", "resume", "analytics")
    assert (0, True) == (resumed.exit_code, f"released: {len(waiting)}" in resumed.stderr)
    assert [Triggered()] * 12 == gateway.deliver_all()


def test_a_request_released_during_a_pause_is_held_again(
    run: Run,
    gateway: Gateway,
    waiting: list[TriggerRequest],  # noqa: ARG001
) -> None:
    """Nothing runs, nothing is lost, and the next release counts."""
    held_by_the_rule(run, gateway)
    assert 0 == run("held", "release", "--rule", RULE).exit_code
    assert {Held} == {type(outcome) for outcome in gateway.deliver_all()}
    assert {1} == {each["redrives"] for each in listed(run)}
    run("rules", "enable", RULE, "--stack-name", "mwaa-gateway")
    assert [Triggered()] * 12 == gateway.deliver_all()


def test_cancelled_requests_are_dead_without_a_message(
    run: Run,
    gateway: Gateway,
    waiting: list[TriggerRequest],
) -> None:
    """Asked first; a release that was on its way opens none of them; redriven, one runs after all."""
    held_by_the_rule(run, gateway)
    run("held", "release", "--all")
    on_the_way = gateway.bodies("trigger-analytics")
    run("rules", "enable", RULE)  # by a person who cancels before anything is delivered
    gateway.bodies("trigger-analytics")
    refused = run("held", "cancel", "--rule", RULE, typed="n\n")
    assert (1, 12) == (refused.exit_code, len(listed(run)))
    cancelled = json.loads(run("held", "cancel", "--rule", RULE, "--yes", "--by", "me", "-o", "json").stdout)
    assert (12, []) == (len(cancelled["cancelled"]), cancelled["left"])
    for body in (*on_the_way, waiting[0].to_json()):
        outcome = gateway.dispatch(body)
        assert isinstance(outcome, Rejected)
        assert Reason.CANCELLED is outcome.reason
    assert ([], 0) == (gateway.airflow.commands, gateway.visible("trigger-dlq-analytics"))
    dead = json.loads(run("dlq", "list", "--reason", "cancelled", "-o", "json").stdout)
    assert 12 == len(dead)
    assert "cancelled by me" in dead[0]["reason_text"]
    assert 0 == run("dlq", "redrive", waiting[0].target.run_id).exit_code
    assert [Triggered()] == gateway.deliver_all()


def test_only_what_is_named_is_released(
    run: Run,
    gateway: Gateway,
    waiting: list[TriggerRequest],
) -> None:
    """By id, by a limit, by nothing at all; a dry run does nothing."""
    held_by_the_rule(run, gateway)
    dry = run("held", "release", "--rule", RULE, "--dry-run")
    assert ("12 held requests would be released" in dry.stderr, 0) == (
        True,
        gateway.visible("trigger-analytics"),
    )
    assert 2 == run("held", "release").exit_code
    assert 2 == run("held", "release", "--all", "--rule", RULE).exit_code
    one = waiting[3].target.run_id
    assert {"released": [one], "left": []} == json.loads(run("held", "release", one, "-o", "json").stdout)
    run("held", "release", "--all", "--limit", "2")
    assert 3 == gateway.visible("trigger-analytics")
    missing = run("held", "cancel", "evt__nobody", "--yes")
    assert (1, True) == (missing.exit_code, "held list" in missing.stderr)
    assert [] == listed(run, "--older-than", "1h")
    assert "12 held requests would be cancelled" in run("held", "cancel", "--all", "--dry-run").stderr


def test_what_is_not_held_any_more_is_left(
    run: Run,
    gateway: Gateway,
    waiting: list[TriggerRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ran between the look at the index and the release; the others are released, and the exit code says so."""
    held_by_the_rule(run, gateway)
    run("rules", "enable", RULE)
    read = ledger_rows.LedgerRows.held
    stale = list(read(ledger_rows.LedgerRows(gateway.dynamodb, "ledger")))
    gateway.dispatch(replace(waiting[0], redrive=1).to_json())
    monkeypatch.setattr(ledger_rows.LedgerRows, "held", lambda _: iter(stale))
    result = run("held", "release", "--all", "-o", "json")
    summary = json.loads(result.stdout)
    assert (1, 11) == (result.exit_code, len(summary["released"]))
    assert [waiting[0].target.run_id] == [left["id"] for left in summary["left"]]


def test_a_name_that_does_not_exist_is_refused(
    run: Run, gateway: Gateway, waiting: list[TriggerRequest]
) -> None:
    """A typing error is not an empty list, and nothing is released or cancelled by one."""
    held_by_the_rule(run, gateway)
    for command in (["list"], ["release"], ["cancel", "--yes"]):
        for option, name, said in (
            ("--rule", "finance.ordres", "there is no such rule; did you mean 'finance.orders'?"),
            ("--environment", "analytic", "has no environment 'analytic'; did you mean 'analytics'?"),
            ("--reason", "rule_disable", "there is no such reason; did you mean 'rule_disabled'?"),
        ):
            result = run("held", *command, option, name)
            assert (1, True) == (result.exit_code, said in result.stderr), result.stderr
    assert len(waiting) == len(listed(run))


def test_nothing_matches(run: Run) -> None:
    """Said, and no error."""
    result = run("held", "list", "--reason", "dag_paused")
    assert (0, "nothing matches: there are no held requests of this reason\n") == (
        result.exit_code,
        result.stderr,
    )
    assert "there are no held requests\n" == run("held", "list").stderr


def test_all_environments_are_paused_and_resumed_together(
    run: Run,
    gateway: Gateway,
    waiting: list[TriggerRequest],
) -> None:
    """The command says what a pause does not stop; each environment then runs what it held."""
    elsewhere = a_request("elsewhere", environment="legacy").to_json()
    paused = run("environments", "pause", "--all", "--reason", "wrong files", "--by", "me")
    assert (0, 2) == (paused.exit_code, paused.stdout.count("paused;"))
    assert "Not stopped: batches" in paused.stderr
    assert {Held} == {type(outcome) for outcome in gateway.deliver_all()}
    assert isinstance(gateway.dispatch(elsewhere, "legacy"), Held)
    assert len(waiting) + 1 == len(listed(run, "--reason", "environment_paused"))
    resumed = run("environments", "resume", "--all")
    assert (0, 2) == (resumed.exit_code, resumed.stdout.count(": running"))
    assert (f"released: {len(waiting)}\n", "released: 1\n") == tuple(resumed.stderr.splitlines(keepends=True))
    assert [Triggered()] * len(waiting) == gateway.deliver_all()


@pytest.mark.parametrize(("verb", "operation"), [("pause", "PutItem"), ("resume", "DeleteItem")])
def test_an_environment_that_fails_stops_no_other(
    run: Run, monkeypatch: pytest.MonkeyPatch, verb: str, operation: str
) -> None:
    """The command pauses or resumes the others, names the one that failed, and fails."""
    if verb == "resume":
        assert 0 == run("environments", "pause", "--all", "--by", "me").exit_code
    refuse(
        monkeypatch,
        lambda called, params: called == operation and "analytics" in str(params),
    )
    result = run("environments", verb, "--all", *(["--by", "me"] if verb == "pause" else []))
    assert 1 == result.exit_code
    assert f"analytics was not {verb}d: " in result.stderr
    states = {
        one["name"]: one["paused"] for one in json.loads(run("environments", "list", "-o", "json").stdout)
    }
    assert {"analytics": verb == "resume", "legacy": verb == "pause"} == states


def test_a_name_or_all(run: Run) -> None:
    """Neither and both are refused."""
    for verb in ("pause", "resume"):
        for words in ([], ["analytics", "--all"]):
            assert 2 == run("environments", verb, *words).exit_code


def test_unknown_environments_are_refused(run: Run) -> None:
    """With those there are."""
    for words in (("pause", "nowhere"), ("resume", "nowhere")):
        result = run("environments", *words)
        assert (1, True) == (result.exit_code, "analytics, legacy" in result.stderr)


@pytest.mark.parametrize(
    "words",
    [
        ["held", "list"],
        ["held", "release"],
        ["held", "cancel"],
        ["environments", "pause"],
        ["environments", "drain"],
    ],
)
def test_every_command_has_help_with_an_example(run: Run, words: list[str]) -> None:
    """And it names itself."""
    text = run(*words, "--help").stdout
    assert "mwaa-gateway " + " ".join(words) in text
    assert "Example" in text
