"""`mwaa-gateway rules` as it is used: files in, the table changed, tables and JSON out, plain errors."""

import inspect
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from botocore.client import BaseClient
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    NoCredentialsError,
    SSOTokenLoadError,
    UnknownServiceError,
)
from click.testing import CliRunner, Result

from fakes.rules_table import RULES_TABLE, rules_table_items
from gateway_cli.aws_errors import errors_as_refusals
from gateway_cli.main import cli, main
from gateway_cli.output import Refused, print_table
from gateway_cli.rules.commands import rules
from gateway_cli.rules.files import RulesRefused
from gateway_cli.rules.store import Applied, RulesStore
from integration.shell import shell
from local_stack.apply_rules import apply_folder

ORDERS = "finance.orders"
RULE = f"""\
id: {ORDERS}
description: Each order as it lands
s3: s3://acme-landing/orders/*
target: {{environment: analytics, dag_id: ingest_orders}}
"""
# The outputs of the stacks in the account, as far as the command asks for them.
STACKS = {
    "mwaa-gateway": {"RulesTableName": RULES_TABLE, "EnvironmentNames": "analytics,reporting"},
    "other": {"Website": "example.org"},
}
PARAMETERS: dict[str, str] = {"Transports": "cli"}
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ROOT = Path(__file__).parent.parent.parent
Run = Callable[..., Result]


@pytest.fixture
def client(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An AWS account with the gateway's stack in it."""
    for name in ("AWS_PROFILE", "AWS_REGION", "RULES_TABLE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    ask_aws = BaseClient._make_api_call
    monkeypatch.setattr(
        BaseClient,
        "_make_api_call",
        lambda self, operation, params: (
            describe_stacks(**params) if operation == "DescribeStacks" else ask_aws(self, operation, params)
        ),
    )
    return dynamodb


def describe_stacks(StackName: str) -> dict[str, Any]:  # noqa: N803 - CloudFormation's own name
    """Answer as CloudFormation does; moto's needs packages that nothing else here does."""
    if StackName not in STACKS:
        error = {"Code": "ValidationError", "Message": f"Stack with id {StackName} does not exist"}
        raise ClientError({"Error": error}, "DescribeStacks")
    outputs = [{"OutputKey": key, "OutputValue": value} for key, value in STACKS[StackName].items()]
    parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in PARAMETERS.items()]
    return {"Stacks": [{"StackName": StackName, "Outputs": outputs, "Parameters": parameters}]}


@pytest.fixture
def over_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stack reaches its environment by InvokeRestApi."""
    monkeypatch.setitem(PARAMETERS, "Transports", "reporting=cli,analytics=rest")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder a person stands in, with one rule file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "orders.yaml").write_text(RULE, encoding="utf-8")
    return tmp_path


@pytest.fixture
def run(client: Any, files: Path) -> Run:  # noqa: ARG001 - both are where the command runs
    """Run the command in that account and folder, as a shell would."""
    return partial(shell, "rules")


def document(result: Result) -> Any:
    return json.loads(result.stdout)


class TestValidate:
    """Every mistake at once, without an AWS account."""

    def test_valid_files(self, run: Run) -> None:
        """Says what it could not check."""
        result = run("validate", "rules")
        assert (result.exit_code, result.stdout) == (0, "1 rule in 1 file: valid\n")
        assert "environment names were not checked" in result.stderr

    def test_every_mistake_on_a_line_of_its_own(self, run: Run, files: Path) -> None:
        """`file:line: rule: field: what is wrong`, then how many."""
        (files / "rules" / "more.yaml").write_text("id: X\ns3: a\ntarget: {environment: e, dag_id: d}\n")
        result = run("validate", "rules")
        *mistakes, summary = result.stderr.splitlines()
        assert (result.exit_code, result.stdout, summary) == (1, "", "Error: 2 mistakes")
        assert [
            mistakes[0][:29],
            mistakes[1][:32],
        ] == ["rules/more.yaml:1: X: id: is ", "rules/more.yaml:2: X: s3: is 'a'"]

    @pytest.mark.parametrize("valid", [True, False])
    def test_as_json(self, run: Run, files: Path, *, valid: bool) -> None:
        """For a pipeline: the same, as one document on stdout, and the same exit code."""
        if not valid:
            (files / "rules" / "more.yaml").write_text("id: finance.more\n")
        result = run("validate", "rules", "-o", "json")
        answer = document(result)
        assert (0 if valid else 1, valid, [ORDERS], False) == (
            result.exit_code,
            answer["valid"],
            answer["rules"],
            answer["environments_checked"],
        )
        assert {(problem["file"], problem["rule_id"]) for problem in answer["problems"]} == (
            set() if valid else {("rules/more.yaml", "finance.more")}
        )

    @pytest.mark.parametrize("words", [("validate", "rules"), ("plan", "rules"), ("apply", "rules")])
    def test_a_pattern_that_can_never_match_is_a_warning(
        self, run: Run, files: Path, words: tuple[str, ...]
    ) -> None:
        """By every command that reads the file; it may be meant, so that nothing is refused."""
        pattern = "pattern: {source: [aws.s3], detail: {bucket: {name: [acme]}, object: {key: ['in/*']}}}"
        (files / "rules" / "orders.yaml").write_text(RULE.replace("s3: s3://acme-landing/orders/*", pattern))
        result = run(*words)
        assert result.exit_code in {0, 2}
        assert (
            f"Warning: rules/orders.yaml:3: {ORDERS}: pattern.detail.object.key: 'in/*' matches"
            in result.stderr
        )
        if words[0] != "apply":
            [warning] = document(run(*words, "-o", "json"))["never_matches"]
            assert "wildcard" in warning["message"]

    @pytest.mark.parametrize(
        ("options", "exit_code"),
        [
            (["--environment", "analytics"], 0),
            (["--environment", "reporting"], 1),
            (["--stack-name", "mwaa-gateway"], 0),
        ],
    )
    def test_environment_names_are_checked_where_they_are_known(
        self, run: Run, options: list[str], exit_code: int
    ) -> None:
        """By name, or as the stack has them."""
        result = run("validate", "rules", *options)
        assert (exit_code, False) == (result.exit_code, "names were not checked" in result.stderr)

    def test_no_file_is_a_wrong_command_line(self, run: Run) -> None:
        """Exit code 2, and how it is used."""
        result = run("validate")
        assert (result.exit_code, "Usage: mwaa-gateway rules validate" in result.stderr) == (2, True)


class TestApply:
    """Files become the table's rules, all of them or none."""

    @pytest.mark.parametrize("words", [("apply", "rules"), ("plan", "rules"), ("enable", ORDERS)])
    def test_an_environment_that_the_stack_lacks_is_no_permission(
        self, run: Run, files: Path, words: tuple[str, ...]
    ) -> None:
        """`--environment` narrows what the stack has, and adds nothing to it: no event of such a rule would run."""
        run("apply", "rules")
        run("disable", ORDERS)
        (files / "rules" / "orders.yaml").write_text(RULE.replace("analytics", "analytic"))
        result = run(*words, "--environment", "analytic")
        assert result.exit_code == 1
        assert "stack 'mwaa-gateway' has no such environment; did you mean 'analytics'?" in result.stderr
        assert (
            document(run("show", ORDERS, "-o", "json"))["document"]["targets"][0]["environment"]
            == "analytics"
        )

    @pytest.mark.usefixtures("over_rest")
    def test_a_dag_id_too_long_for_the_environments_transport(self, run: Run, files: Path) -> None:
        """A rule whose runs the gateway could never ask for is not written, whichever command would."""
        long = RULE.replace("ingest_orders", "d" * 51)
        run("apply", "rules")
        (files / "rules" / "orders.yaml").write_text(long)
        for words in (
            ("validate", "rules", "--stack-name", "mwaa-gateway"),
            ("apply", "rules"),
            ("plan", "rules"),
        ):
            result = run(*words)
            assert (result.exit_code, "has 51 characters" in result.stderr) == (1, True), words
        assert (
            run("validate", "rules", "--environment", "analytics").exit_code == 0
        )  # nobody said which transport

    @pytest.mark.parametrize(
        ("parameters", "refused"),
        [
            ({"Transports": "web/rest"}, True),
            ({"Transports": "web"}, False),
            ({"Transports": "reporting=rest,analytics=web/cli"}, False),
            ({"RestEnvironments": "reporting,analytics"}, True),
            ({"RestEnvironments": "reporting"}, False),
        ],
        ids=str,
    )
    def test_the_length_of_a_dag_id_depends_on_transport_and_fallback(
        self,
        run: Run,
        files: Path,
        monkeypatch: pytest.MonkeyPatch,
        parameters: dict[str, str],
        refused: bool,  # noqa: FBT001
    ) -> None:
        """`RestEnvironments` is how a stack of v0.1.0 says it."""
        monkeypatch.delitem(PARAMETERS, "Transports")
        for name, value in parameters.items():
            monkeypatch.setitem(PARAMETERS, name, value)
        (files / "rules" / "orders.yaml").write_text(RULE.replace("ingest_orders", "d" * 51))
        result = run("validate", "rules", "--stack-name", "mwaa-gateway")
        assert (result.exit_code == 1) is refused, result.stderr

    def test_a_saved_plan_and_an_old_version_too(
        self, run: Run, files: Path, request: pytest.FixtureRequest
    ) -> None:
        """What was made while the environment had CLI tokens is checked again before it is written."""
        long = RULE.replace("ingest_orders", "d" * 51)
        (files / "rules" / "orders.yaml").write_text(long)
        assert run("apply", "rules").exit_code == 0
        (files / "rules" / "orders.yaml").write_text(long.replace("Each", "Every"))
        assert run("plan", "rules", "--save", "plan.json").exit_code == 2
        run("disable", ORDERS)
        request.getfixturevalue("over_rest")
        for words in (("apply", "--plan", "plan.json"), ("enable", ORDERS), ("rollback", ORDERS, "v1")):
            result = run(*words)
            assert (result.exit_code, "has 51 characters" in result.stderr) == (1, True), words

    def test_created_unchanged_updated(self, run: Run, files: Path) -> None:
        """One line for each rule, with its version now."""
        *_, row, _, counts = run("apply", "rules").stdout.splitlines()
        assert (row.split(), counts) == ([ORDERS, "created", "1", "ENABLED"], "1 created, 0 unchanged")
        assert run("apply", "rules").stdout == "nothing to change, 1 unchanged\n"
        (files / "rules" / "orders.yaml").write_text(RULE.replace("ingest_orders", "other"))
        assert document(run("apply", "rules", "-o", "json")) == {
            "applied": [{"rule_id": ORDERS, "outcome": "updated", "version": 2, "state": "ENABLED"}],
            "problems": [],
        }

    def test_a_row_is_read_on_a_narrow_terminal(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """Dates are not broken in two, and people stand without the account's number."""
        run("apply", "rules")
        for name, value in {"FORCE_COLOR": "1", "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}.items():
            monkeypatch.setenv(name, value)
        shown = run("history", ORDERS).stdout
        assert all(len(line) <= 80 for line in shown.splitlines())
        assert re.search(r" \d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", shown)
        assert "arn:" not in shown
        assert re.search(r" \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", run("list").stdout)

    def test_no_identifier_is_broken_in_two(self, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """At 100 columns: what does not fit word by word is blocks, whichever column it is."""
        for name, value in {"FORCE_COLOR": "1", "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}.items():
            monkeypatch.setenv(name, value)
        target = "analytics:ingest_orders_of_the_north"
        columns = ["ID", "PARTITIONS", "TARGETS", "REASON"]
        for rule_id in ("sales.orders", "sales." + "orders" * 8):
            print_table(
                columns, [(rule_id, "aws.s3#acme-landing-bucket", target, "words that may be folded " * 3)]
            )
            shown = capsys.readouterr().out
            assert all(len(line) <= 100 for line in shown.splitlines())
            assert {rule_id, "aws.s3#acme-landing-bucket", target} <= set(shown.split())

    def test_a_table_that_no_terminal_holds_is_blocks(
        self, capsys: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing is left out of it: every field on a line of its own."""
        for name, value in {"FORCE_COLOR": "1", "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}.items():
            monkeypatch.setenv(name, value)
        rows = [("evt__" + "a" * 50, "2026-11-22 12:00:00", "rule_disabled", "one\ntwo")]
        print_table(["ID", "HELD (UTC)", "REASON", "TARGETS"], rows)
        assert capsys.readouterr().out.splitlines() == [
            f"ID          {rows[0][0]}",
            "HELD (UTC)  2026-11-22 12:00:00",
            "REASON      rule_disabled",
            "TARGETS     one",
            "TARGETS     two",
            "",
        ]

    def test_who_made_the_change_is_kept(self, run: Run, client: Any) -> None:
        """The caller's ARN, or the name that was given."""
        run("apply", "rules")
        assert rules_table_items(client)["rules", ORDERS]["updated_by"].startswith("arn:aws:sts::")
        run("disable", ORDERS, "--by", "alice, commit 1a2b")
        assert rules_table_items(client)["rules", ORDERS]["updated_by"] == "alice, commit 1a2b"

    @pytest.mark.parametrize("output", ["table", "json"])
    def test_one_mistake_and_nothing_is_written(
        self, run: Run, files: Path, client: Any, output: str
    ) -> None:
        """Here an environment that the stack does not have; the valid rule beside it stays out, too."""
        (files / "rules" / "more.yaml").write_text(
            RULE.replace(ORDERS, "finance.more").replace("analytics", "analytic")
        )
        result = run("apply", "rules", "-o", output)
        assert (result.exit_code, rules_table_items(client)) == (1, {})
        answer = result.stdout if output == "json" else result.stderr
        assert "did you mean 'analytics'?" in answer
        if output == "json":
            assert document(result)["applied"] == []

    def test_a_table_by_name_leaves_environments_unchecked(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """RULES_TABLE alone names no environments, and the command says so."""
        monkeypatch.setenv("RULES_TABLE", RULES_TABLE)
        result = run("apply", "rules")
        assert (result.exit_code, "environment names were not checked" in result.stderr) == (0, True)

    def test_a_stack_that_is_typed_outweighs_the_environment(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """RULES_TABLE may be a left-over of another session."""
        monkeypatch.setenv("RULES_TABLE", "elsewhere")
        assert run("apply", "rules", "--stack-name", "mwaa-gateway").exit_code == 0

    def test_a_disabled_rule_stays_disabled(self, run: Run) -> None:
        """A file without a state does not enable a rule that somebody disabled; the command says so."""
        run("apply", "rules")
        run("disable", ORDERS)
        result = run("apply", "rules")
        assert result.stdout == "nothing to change, 1 unchanged\n"
        assert f"{ORDERS} stays DISABLED" in result.stderr

    def test_what_was_applied_before_an_error_is_listed(
        self, run: Run, files: Path, client: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second rule meets somebody else's change: the first is written, and said to be."""
        (files / "rules" / "refunds.yaml").write_text(RULE.replace("orders", "refunds"))
        run("apply", "rules")
        for name in ("orders", "refunds"):
            text = RULE.replace("orders", name).replace("Each", "Every")
            (files / "rules" / f"{name}.yaml").write_text(text)

        ask_aws = BaseClient._make_api_call
        bobs = iter([lambda: RulesStore(client, RULES_TABLE).delete("finance.refunds", by="bob", now=NOW)])

        def bob_interferes(self: Any, operation: str, params: Any) -> Any:
            if operation == "TransactWriteItems" and "finance.refunds" in str(params):
                next(bobs, lambda: None)()
            return ask_aws(self, operation, params)

        monkeypatch.setattr(BaseClient, "_make_api_call", bob_interferes)
        result = run("apply", "rules", "-o", "json")
        assert (result.exit_code, [rule["rule_id"] for rule in document(result)["applied"]]) == (1, [ORDERS])
        assert "Error: bob changed rule 'finance.refunds'" in result.stderr

    def test_a_folder_applied_by_a_program(self, client: Any, files: Path) -> None:
        """The local stack's demo does it without a command: the same checks, every mistake in one error."""
        store = RulesStore(client, RULES_TABLE)
        with pytest.raises(RulesRefused, match=r"orders\.yaml:4: finance\.orders: target\.environment"):
            apply_folder(store, files / "rules", {"reporting"}, "demo", NOW)
        assert store.list() == []
        applied = apply_folder(store, files / "rules", {"analytics"}, "demo", NOW)
        assert applied == [Applied(ORDERS, "created", 1, "ENABLED")]


class TestLookingAndStopping:
    """What is in the table, and the pause."""

    def test_list(self, run: Run) -> None:
        """One line per rule where nobody folds it: id, state, version, partitions, targets, time."""
        run("apply", "rules")
        header, _, line = run("list").stdout.splitlines()
        assert header.split() == ["ID", "STATE", "VERSION", "PARTITIONS", "TARGETS", "UPDATED", "(UTC)"]
        assert line.split()[:5] == [ORDERS, "ENABLED", "1", "aws.s3#acme-landing", "analytics:ingest_orders"]

    def test_list_as_json(self, run: Run) -> None:
        """The same for programs."""
        run("apply", "rules", "--by", "alice")
        [rule] = document(run("list", "-o", "json"))
        assert rule.pop("updated_at").startswith("20")
        assert rule == {
            "id": ORDERS,
            "state": "ENABLED",
            "version": 1,
            "partitions": ["aws.s3#acme-landing"],
            "targets": [{"id": "default", "environment": "analytics", "dag_id": "ingest_orders"}],
            "updated_by": "alice",
            "broken": None,
        }

    def test_a_broken_rule_is_listed_and_can_be_disabled_repaired_and_deleted(
        self, run: Run, client: Any
    ) -> None:
        """It hides no other rule; enabling and showing it is refused."""
        run("apply", "rules")
        key = {"partition": {"S": "rules"}, "sort": {"S": "broken"}}
        client.put_item(TableName=RULES_TABLE, Item={**key, "version": {"N": "7"}, "document": {"S": "{"}})
        assert "broken" in run("list").stdout
        assert "(unreadable: apply its file again)" in run("list").stdout
        for command in ("show", "enable"):
            refused = run(command, "broken")
            assert (refused.exit_code, "is unreadable in the table" in refused.stderr) == (1, True)
        assert run("disable", "broken").exit_code == 0
        assert run("delete", "broken", "--yes").exit_code == 0
        assert [rule["id"] for rule in document(run("list", "-o", "json"))] == [ORDERS]

    def test_show_is_a_rule_file(self, run: Run, files: Path) -> None:
        """Resolved; applied again it changes nothing."""
        run("apply", "rules", "--by", "alice")
        shown = run("show", ORDERS).stdout
        assert shown.startswith("# version 1, updated 20")
        assert {"source": ["aws.s3"], "detail-type": ["Object Created"]}.items() <= yaml.safe_load(shown)[
            "pattern"
        ].items()
        (files / "shown.yaml").write_text(shown)
        assert "unchanged" in run("apply", "shown.yaml").stdout
        assert yaml.safe_load(shown) == document(run("show", ORDERS, "-o", "json"))["document"]

    def test_disable_and_enable(self, run: Run) -> None:
        """Each is a version of its own; doing it again is nothing."""
        run("apply", "rules")
        assert f"{ORDERS}: updated, version 2, DISABLED\n" == run("disable", ORDERS).stdout
        assert f"{ORDERS}: unchanged, version 2, DISABLED\n" == run("disable", ORDERS).stdout
        assert document(run("enable", ORDERS, "-o", "json")) == {
            "rule_id": ORDERS,
            "outcome": "updated",
            "version": 3,
            "state": "ENABLED",
        }

    def test_a_rule_whose_environment_is_gone_is_not_enabled(self, run: Run) -> None:
        """It is checked again before it can fire."""
        run("apply", "rules")
        run("disable", ORDERS)
        result = run("enable", ORDERS, "--table", RULES_TABLE, "--environment", "reporting")
        assert (result.exit_code, "'analytics' is not an environment" in result.stderr) == (1, True)

    @pytest.mark.parametrize("command", ["show", "enable", "disable", "delete"])
    def test_a_rule_that_is_not_there(self, run: Run, command: str) -> None:
        """The command refuses before it asks a question."""
        result = run(command, "finance.nothing")
        assert (
            result.stderr
            == "Error: there is no rule 'finance.nothing': `mwaa-gateway rules list` lists the rules\n"
        )
        assert result.exit_code == 1

    @pytest.mark.parametrize(
        ("options", "typed", "exit_code", "left"),
        [(["--yes"], None, 0, []), ([], "y\n", 0, []), ([], "n\n", 1, [ORDERS]), ([], "\n", 1, [ORDERS])],
        ids=["yes", "asked-yes", "asked-no", "asked-enter"],
    )
    def test_delete_asks(
        self, run: Run, options: list[str], typed: str | None, exit_code: int, left: list[str]
    ) -> None:
        """Unless --yes is given; the question is no part of the output."""
        run("apply", "rules")
        result = run("delete", ORDERS, *options, typed=typed)
        assert (exit_code, "Delete rule" in result.stdout) == (result.exit_code, False)
        assert left == [rule["id"] for rule in document(run("list", "-o", "json"))]

    def test_delete_where_nobody_can_be_asked(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a pipeline, whose stdin is at its end: refused, with the option that helps."""
        run("apply", "rules")
        monkeypatch.setattr("sys.stdin", io.StringIO())
        with pytest.raises(Refused, match="use --yes to delete without a question"):
            cli(["rules", "delete", ORDERS], standalone_mode=False)
        assert run("show", ORDERS).exit_code == 0


class TestConnection:
    """Which gateway is meant, and what is said when it cannot be reached."""

    @pytest.fixture
    def state(self, files: Path) -> dict[str, Any]:
        """The file in which the local stack says what it is made of."""
        state = {
            "aws_endpoint_url": "https://dynamodb.eu-west-1.amazonaws.com",  # moto answers for it
            "region": "eu-west-1",
            "credentials": {"access_key_id": "test", "secret_access_key": "test"},
            "rules_table": RULES_TABLE,
            "environments": {"analytics": {"airflow_version": "3.3.1"}},
        }
        (files / ".local").mkdir()
        (files / ".local" / "state.json").write_text(json.dumps(state))
        return state

    def test_the_local_stack(
        self, run: Run, state: dict[str, Any], files: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All that is needed comes from its state file, from any folder below it, and from nowhere else."""
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.chdir(files / "rules")
        assert state["rules_table"] == RULES_TABLE
        assert run("apply", ".", "--local", "--by", "alice").exit_code == 0
        refused = run("validate", ".", "--local", "--environment", "x")
        assert "--environment x: stack 'mwaa-gateway' has no such environment" in refused.stderr

    def test_no_local_stack(self, run: Run) -> None:
        """What to do is said."""
        result = run("list", "--local")
        assert (result.exit_code, "start it with `make run`" in result.stderr) == (1, True)

    @pytest.mark.parametrize("text", ["{", '{"region": "eu-west-1"}'])
    def test_a_state_file_of_another_kind(
        self, run: Run, state: dict[str, Any], files: Path, text: str
    ) -> None:
        """Cut off, or of another version."""
        assert state
        (files / ".local" / "state.json").write_text(text)
        result = run("list", "--local")
        assert (result.exit_code, "start the local stack again" in result.stderr) == (1, True)

    @pytest.mark.parametrize(
        "option",
        [
            ["--table", "x"],
            ["--stack-name", "x"],
            ["--profile", "x"],
            ["--region", "x"],
            ["--endpoint-url", "http://x"],
        ],
    )
    def test_the_local_stack_and_another_one_exclude_each_other(self, run: Run, option: list[str]) -> None:
        """Better than a guess about which one was meant."""
        result = run("list", "--local", *option)
        assert (result.exit_code, f"--local and {option[0]} exclude each other" in result.stderr) == (2, True)

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (
                ["list", "--stack-name", "nothing"],
                "Stack with id nothing does not exist: name the gateway's stack",
            ),
            (["list", "--table", "nothing"], "there is no such table: check --table or --stack-name"),
            (["list", "--profile", "nothing"], "(nothing) could not be found: `aws configure list-profiles`"),
            (["list", "--endpoint-url", "nothing"], "Invalid endpoint: nothing: write --endpoint-url"),
            (["list", "--region", "no region"], "give another --region"),
        ],
    )
    def test_what_does_not_exist_is_refused_with_a_remedy(
        self, run: Run, words: list[str], expected: str
    ) -> None:
        """One sentence each."""
        result = run(*words)
        assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
        assert expected in result.stderr

    def test_a_stack_of_another_kind(self, run: Run) -> None:
        """It has no rules table."""
        assert "has no output RulesTableName" in run("list", "--stack-name", "other").stderr

    def test_no_region(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """AWS_REGION is read as well as AWS_DEFAULT_REGION."""
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
        assert run("list").stderr == "Error: no AWS region is set: give --region, or set AWS_REGION\n"
        monkeypatch.setenv("AWS_REGION", "eu-west-1")
        assert run("list").exit_code == 0


def refusal(code: str, operation: str = "Query") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "a reason"}}, operation)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NoCredentialsError(), "Unable to locate credentials: log in (`aws configure sso`)"),
        (SSOTokenLoadError(error_msg="expired"), "log in again with `aws sso login`"),
        (ConnectTimeoutError(endpoint_url="http://127.0.0.1:4566"), "still runs if you mean that"),
        (UnknownServiceError(service_name="x", known_service_names="y"), "nothing was sent to AWS"),
        (refusal("AccessDeniedException"), "Query was denied: a reason: use a profile with this permission"),
        (refusal("ExpiredTokenException"), "Query: the AWS credentials have expired: log in again"),
        (refusal("UnrecognizedClientException"), "AWS does not accept these credentials"),
        (refusal("ValidationError"), "Query failed with ValidationError: a reason"),
        (RulesRefused([]), ""),
    ],
)
def test_errors_are_sentences(error: Exception, expected: str) -> None:
    """What happened, and what to do."""
    with pytest.raises(Refused) as refused, errors_as_refusals():
        raise error
    assert (refused.value.exit_code, expected in refused.value.message) == (1, True)


def test_a_bug_looks_like_one() -> None:
    """What nobody raises on purpose keeps its traceback."""
    with pytest.raises(ValueError, match="not ours"), errors_as_refusals():
        raise ValueError("not ours")


def commands(
    command: click.Command, context: click.Context, *path: str
) -> Iterator[tuple[str, click.Command]]:
    """Every command of the tree, by its words."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                yield from commands(child, context, *path, name)


class TestHelp:
    """The command explains itself."""

    def test_every_command_and_option_has_help(self) -> None:
        """And every command of `rules` an example that is a command."""
        tree = dict(commands(cli, click.Context(cli), "mwaa-gateway"))
        assert {"mwaa-gateway rules validate", "mwaa-gateway rules delete"} <= tree.keys()
        silent = [name for name, command in tree.items() if not command.help]
        silent += [
            f"{name} {parameter.name}"
            for name, command in tree.items()
            for parameter in command.params
            if isinstance(parameter, click.Option) and not parameter.help
        ]
        assert silent == []
        assert [
            name
            for name, command in tree.items()
            if name.startswith("mwaa-gateway rules ")
            and f"\n  {name}" not in inspect.cleandoc(command.help or "")
        ] == []

    def test_help_is_printed_for_every_command(self) -> None:
        """Exit code 0, the command's usage first."""
        for name in dict(commands(cli, click.Context(cli), "mwaa-gateway")):
            result = CliRunner(mix_stderr=False).invoke(
                cli, [*name.split()[1:], "--help"], prog_name="mwaa-gateway"
            )
            assert (result.exit_code, result.stdout.startswith(f"Usage: {name} ")) == (0, True), name

    def test_every_rules_command_takes_the_output_option(self) -> None:
        """`-o json` everywhere, so that a program never parses a table."""
        assert [
            name
            for name, command in rules.commands.items()
            if not any("-o" in p.opts for p in command.params)
        ] == []

    def test_the_version(self) -> None:
        """Of the package that is installed."""
        assert (
            f"mwaa-gateway, version {version('mwaa-trigger-gateway')}\n"
            == CliRunner(mix_stderr=False).invoke(cli, ["--version"]).stdout
        )

    def test_the_console_script_is_this_command(self) -> None:
        """What pip installs."""
        [script] = entry_points(group="console_scripts", name="mwaa-gateway")
        assert script.load() is main

    @pytest.mark.parametrize(
        ("words", "never"),
        [
            (
                ["--help"],
                {"gateway_cli.rules", "boto3", "botocore", "rich", "yaml", "local_stack", "requests"},
            ),
            (["rules", "--help"], {"boto3", "botocore.session", "rich", "local_stack", "requests"}),
            (["rules", "validate", "examples/rules"], {"boto3", "botocore.session", "rich", "local_stack"}),
            (["rules", "list", "--help"], {"boto3", "botocore.session", "rich", "local_stack"}),
        ],
    )
    def test_a_command_imports_what_it_needs(self, words: list[str], never: set[str]) -> None:
        """To list the groups takes none of them; without an AWS account no AWS client, without a table no tables."""
        code = (
            "import sys; from gateway_cli.main import cli\n"
            f"cli({words!r}, standalone_mode=False)\n"
            f"print(sorted({never!r} & sys.modules.keys()))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
        )
        assert "[]" == done.stdout.splitlines()[-1]

    def test_the_list_of_groups_is_kept(self) -> None:
        """The list says of each group that it is there; every one of them can be run."""
        listed = CliRunner(mix_stderr=False).invoke(cli, ["--help"]).stdout
        groups = cli.list_commands(click.Context(cli))
        assert {"rules", "local"} <= set(groups)
        assert [name for name in groups if f"\n  {name} " not in listed] == []

    def test_what_a_list_of_commands_says_is_said_to_the_end(self) -> None:
        """On a terminal of 80 columns, of which click uses 78; it cuts what is longer."""
        groups = [
            name
            for name, command in commands(cli, click.Context(cli), "mwaa-gateway")
            if isinstance(command, click.Group)
        ]
        cut = [
            line
            for name in groups
            for line in CliRunner(mix_stderr=False)
            .invoke(cli, [*name.split()[1:], "--help"], terminal_width=78)
            .stdout.partition("Commands:")[2]
            .splitlines()
            if "..." in line
        ]
        assert cut == []

    def test_a_group_whose_packages_are_missing_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Left out of the list, and one sentence to whom asks for it."""
        monkeypatch.setitem(sys.modules, "ministack", None)
        assert "  local" not in CliRunner(mix_stderr=False).invoke(cli, ["--help"]).stdout
        result = CliRunner(mix_stderr=False).invoke(cli, ["local", "up"])
        assert (
            result.exit_code,
            "`local` needs packages that are not installed" in result.stderr,
        ) == (2, True)

    def test_an_unknown_command(self) -> None:
        """Exit code 2."""
        result = CliRunner(mix_stderr=False).invoke(cli, ["rule"])
        assert (result.exit_code, "No such command 'rule'" in result.stderr) == (2, True)
