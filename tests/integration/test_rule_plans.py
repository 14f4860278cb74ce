"""`mwaa-gateway rules plan | apply`: what is shown is what is done, and nobody's change is undone by it."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from click.testing import Result

from fakes.rules_table import rules_table_items
from mwaa_gateway.aws.dynamodb.dag_catalogs import CatalogItem
from mwaa_gateway.dispatch.dag_catalog import DagCatalog

Gateway = Callable[..., Result]


def a_rule(rule_id: str, key: str = "orders/*", dag_id: str = "ingest_orders", **more: str) -> str:
    extra = "".join(f"{name}: {value}\n" for name, value in more.items())
    return f"---\nid: {rule_id}\ns3: s3://acme-landing/{key}\ntarget: {{environment: analytics, dag_id: {dag_id}}}\n{extra}"


COLLECTED = "collect: {quiet_period: 10m, key: [<date>]}\n"


def document(result: Result) -> Any:
    return json.loads(result.stdout)


@pytest.fixture
def rules(folder: Path) -> Path:
    """A file of two teams' rules."""
    file = folder / "rules" / "all.yaml"
    file.parent.mkdir()
    file.write_text(a_rule("finance.orders") + a_rule("sales.leads", "leads/*", "ingest_leads"))
    return file


class TestPlan:
    """Every change, and an exit code that a pipeline can ask for."""

    def test_what_would_be_added(self, gateway: Gateway, rules: Path, dynamodb: Any) -> None:
        """Where its events come from and what they start; nothing is written; exit code 2."""
        assert rules.exists()
        lines = gateway("rules", "plan", "rules", exit_code=2).stdout.splitlines()
        assert lines == [
            "+ finance.orders  version 1",
            "    aws.s3#acme-landing → analytics:ingest_orders  (ENABLED)",
            "+ sales.leads  version 1",
            "    aws.s3#acme-landing → analytics:ingest_leads  (ENABLED)",
            "",
            "2 to add, 0 unchanged",
        ]
        assert rules_table_items(dynamodb) == {}

    def test_nothing_to_change(self, gateway: Gateway, rules: Path) -> None:
        """Exit code 0."""
        assert rules.exists()
        gateway("rules", "apply", "rules")
        assert gateway("rules", "plan", "rules").stdout == "nothing to change, 2 unchanged\n"

    def test_what_would_change_field_by_field_and_what_would_be_deleted(
        self, gateway: Gateway, rules: Path
    ) -> None:
        """Additions first and deletions last: a rule that is renamed leaves no gap."""
        gateway("rules", "apply", "rules", "--by", "alice")
        rules.write_text(
            a_rule("finance.orders", "orders/*.csv", maximum_event_age="6h")
            + a_rule("sales.prospects", "p/*", "ingest_p")
        )
        lines = gateway("rules", "plan", "rules", "--prune", exit_code=2).stdout.splitlines()
        assert lines == [
            "+ sales.prospects  version 1",
            "    aws.s3#acme-landing → analytics:ingest_p  (ENABLED)",
            "~ finance.orders  version 1 → 2, last changed by alice",
            '    pattern.detail.object.key  [{"prefix": "orders/"}] → [{"wildcard": "orders/*.csv"}]',
            '    maximum_event_age          (none) → "6h"',
            "- sales.leads  version 1, in no file",
            "",
            "1 to add, 1 to change, 1 to delete, 0 unchanged",
        ]

    @pytest.mark.parametrize(
        ("becomes", "said"),
        [
            ("collect: {quiet_period: 10m, key: [<region>]}", "members of before stay in the batches of the old key"),
            ("collect: {quiet_period: 20m, key: [<date>]}", "they follow the version that opened them, also for members"),
            ("state: DISABLED\n" + COLLECTED, "take no new members; when they are released, their requests are held"),
            ("state: SHADOW\n" + COLLECTED, "start their runs; new events collect apart, and start nothing"),
            ("maximum_event_age: 6h", "they stay open, and start their runs; new events start a run each"),
            ("maximum_event_age: 6h\n" + COLLECTED, ""),
            ("", "`mwaa-gateway batches cancel --rule finance.orders` cancels them"),
        ],
    )  # fmt: skip
    def test_what_becomes_of_open_batches(
        self, gateway: Gateway, rules: Path, becomes: str, said: str
    ) -> None:
        """In one line; where nothing changes for them, in none."""
        collects = "captures: {detail.object.key: 'orders/{date}/{region}'}\n"
        before = a_rule("finance.orders") + collects
        rules.write_text(before + COLLECTED)
        gateway("rules", "apply", "rules")
        rules.write_text(before + becomes + "\n" if becomes else a_rule("finance.others"))
        shown = gateway("rules", "plan", "rules", "--prune", exit_code=2).stdout
        lines = [line for line in shown.splitlines() if "open batches" in line]
        assert len(lines) == bool(said)
        assert said in shown
        changes = document(gateway("rules", "plan", "rules", "--prune", "-o", "json", exit_code=2))["changes"]
        assert [said in change["open_batches"] for change in changes if "open_batches" in change] == (
            [True] if said else []
        )

    def test_as_json(self, gateway: Gateway, rules: Path) -> None:
        """The same for a program, with the same exit code."""
        gateway("rules", "apply", "rules")
        rules.write_text(a_rule("finance.orders", dag_id="other"))
        output = document(gateway("rules", "plan", "rules", "--commit", "abc", "-o", "json", exit_code=2))
        [change] = output["changes"]
        assert change.pop("document")["targets"][0]["dag_id"] == "other"
        assert change == {
            "rule_id": "finance.orders",
            "action": "change",
            "version": 1,
            "fields": [{"field": "targets[default].dag_id", "before": "ingest_orders", "after": "other"}],
        }
        assert (output["unchanged"], output["kept"], output["commit"]) == ([], [], "abc")

    @pytest.mark.parametrize(
        "words", [["rules/nowhere"], [], ["rules", "--nonsense"], ["rules", "--local", "--table", "x"]]
    )
    def test_every_failure_is_another_exit_code(
        self, gateway: Gateway, rules: Path, words: list[str]
    ) -> None:
        """Exit code 2 means changes and nothing else, a wrong command line included."""
        assert rules.exists()
        gateway("rules", "plan", *words, exit_code=1)

    def test_it_warns_when_an_event_starts_a_dag_twice(self, gateway: Gateway, rules: Path) -> None:
        """Found by an event made up from a rule's own pattern; with the rules that are there already."""
        gateway("rules", "apply", "rules")
        rules.write_text(a_rule("finance.csv", "orders/*.csv"))
        output = gateway("rules", "plan", "rules", exit_code=2)
        assert output.stderr.splitlines()[-1].startswith(
            "Warning: finance.csv and finance.orders would each start analytics:ingest_orders for one event "
            "(an event made for finance.csv)"
        )
        rules.write_text(a_rule("finance.csv", "invoices/*.csv"))
        assert "Warning" not in gateway("rules", "plan", "rules", exit_code=2).stderr

    def test_it_warns_about_an_event_that_is_given(self, gateway: Gateway, rules: Path, folder: Path) -> None:
        """Two patterns that overlap only in the middle."""
        rules.write_text(a_rule("finance.csv", "*.csv") + a_rule("finance.orders", "orders/*"))
        event = Path(__file__).parent.parent.parent / "events" / "eventbridge_s3_put.json"
        both = json.loads(event.read_text())
        both["detail"]["object"]["key"] = "orders/a.csv"
        both["detail"]["bucket"]["name"] = "acme-landing"
        (folder / "both.json").write_text(json.dumps(both))
        assert "Warning" not in gateway("rules", "plan", "rules", exit_code=2).stderr
        output = document(
            gateway("rules", "plan", "rules", "--event", "both.json", "-o", "json", exit_code=2)
        )
        assert [(warning["rules"], warning["event"]) for warning in output["warnings"]] == [
            (["finance.csv", "finance.orders"], "both.json")
        ]


class TestCost:
    """What a plan and an apply of many rules ask AWS for."""

    def test_a_plan_asks_as_often_for_many_rules_as_for_one_and_an_apply_twice_for_each(
        self, gateway: Gateway, rules: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A thousand rules are planned in a second or two; each applied costs a read of its heads and a transaction."""
        asked: list[str] = []
        ask = BaseClient._make_api_call

        def counted(self: Any, operation: str, params: Any) -> Any:
            asked.append(operation)
            return ask(self, operation, params)

        monkeypatch.setattr(BaseClient, "_make_api_call", counted)

        def calls(*words: str, exit_code: int = 0) -> Counter[str]:
            asked.clear()
            gateway("rules", *words, "rules", exit_code=exit_code)
            return Counter(asked)

        one = calls("plan", exit_code=2)
        rules.write_text("".join(a_rule(f"finance.r{n}", f"{n}/*") for n in range(30)))
        assert calls("plan", exit_code=2) == one
        applied = calls("apply")
        assert applied["TransactWriteItems"] == applied["BatchGetItem"] == 30
        assert sum(applied.values()) - 60 <= sum(one.values()) + 2
        assert calls("plan") == one


class TestDags:
    """Warnings from what the environment's dispatcher has listed last."""

    @pytest.fixture
    def listed(self, dynamodb: Any) -> None:
        """Ten minutes ago."""
        listed = DagCatalog(
            time.time() - 600, frozenset({"runs"}), frozenset({"ingest_orders"}), frozenset({"ingest_leads"})
        )
        CatalogItem(dynamodb, "ledger", "analytics").keep(listed)

    @pytest.mark.usefixtures("listed")
    def test_plan_warns_of_each_dag_that_would_not_run(self, gateway: Gateway, rules: Path) -> None:
        """Of rules that do not change, too; with the age of the list; not of what is stopped. A warning stops nothing."""
        with rules.open("a") as file:
            file.write(a_rule("sales.orders", "b/*") + a_rule("sales.x", "x/*", "nowhere"))
            file.write(
                a_rule("sales.runs", "runs/*", "runs")
                + a_rule("sales.off", "off/*", "nobody", state="DISABLED")
            )
        expected = [
            "Warning: DAG 'ingest_orders' is paused in analytics, by its list of 10 min ago: finance.orders, sales.orders",
            "Warning: the file of DAG 'ingest_leads' is gone or broken in analytics, by its list of 10 min ago: sales.leads",
            "Warning: analytics lists no DAG 'nowhere', by its list of 10 min ago: sales.x",
        ]
        assert gateway("rules", "plan", "rules", exit_code=2).stderr.splitlines() == expected
        gateway("rules", "apply", "rules")
        planned = gateway("rules", "plan", "rules")
        assert planned.stderr.splitlines() == expected
        output = document(gateway("rules", "validate", "rules", "--stack-name", "mwaa-gateway", "-o", "json"))
        assert (
            [each["problem"] for each in output["dag_warnings"]],
            output["dag_list_age_seconds"]["analytics"] // 60,
        ) == (
            ["paused", "stale", "missing"],
            10,
        )

    def test_where_there_is_no_list_that_is_said(self, gateway: Gateway, rules: Path) -> None:
        """And where it cannot be had, why: who may write rules may plan all the same."""
        assert rules.exists()
        assert (
            "DAGs of analytics were not checked: it has no DAG catalog"
            in gateway("rules", "plan", "rules", exit_code=2).stderr
        )
        by_table = gateway("rules", "plan", "rules", "--table", "rules", exit_code=2)
        assert "DAGs were not checked: --table does not name a gateway" in by_table.stderr

    def test_a_list_that_cannot_be_read_stops_no_plan(
        self, gateway: Gateway, rules: Path, gateway_outputs: dict[str, str]
    ) -> None:
        """As where the ledger may not be read."""
        assert rules.exists()
        gateway_outputs["LedgerTableName"] = "elsewhere"
        output = gateway("rules", "plan", "rules", exit_code=2)
        assert (
            "DAGs were not checked: cannot read the DAG catalog: ResourceNotFoundException" in output.stderr
        )
        del gateway_outputs["LedgerTableName"]
        assert "its version is too old" in gateway("rules", "plan", "rules", exit_code=2).stderr


class TestPrune:
    """Deleting what is in no file, and only in the files' own namespaces."""

    def test_it_stays_inside_the_namespaces_of_the_files(self, gateway: Gateway, rules: Path) -> None:
        """Another team's rules, and rules of nobody's, are out of reach."""
        rules.write_text(rules.read_text() + a_rule("finance.old", "old/*") + a_rule("nobodys", "n/*"))
        gateway("rules", "apply", "rules")
        rules.write_text(a_rule("finance.orders") + a_rule("nobodys-other", "o/*"))
        assert (
            "in no file, but kept without --prune: finance.old" in gateway("rules", "apply", "rules").stderr
        )
        gateway("rules", "apply", "rules", "--prune")
        listed = document(gateway("rules", "list", "-o", "json"))
        assert [rule["id"] for rule in listed] == [
            "finance.orders",
            "nobodys",
            "nobodys-other",
            "sales.leads",
        ]

    @pytest.mark.parametrize(
        ("words", "typed", "exit_code", "asked"),
        [
            ((), "y\n", 0, True),
            ((), "n\n", 1, True),
            ((), "", 1, True),
            (("--yes",), None, 0, False),
            (("-o", "json"), "y\n", 0, True),
        ],
    )
    @pytest.mark.usefixtures("terminal")
    def test_on_a_terminal_it_asks(
        self,
        gateway: Gateway,
        rules: Path,
        *,
        words: tuple[str, ...],
        typed: str,
        exit_code: int,
        asked: bool,
    ) -> None:
        """With the names of what would be deleted; no means that nothing at all is applied."""
        rules.write_text(rules.read_text() + a_rule("finance.old", "old/*"))
        gateway("rules", "apply", "rules")
        rules.write_text(a_rule("finance.orders", "other/*"))
        output = gateway("rules", "apply", "rules", "--prune", *words, typed=typed, exit_code=exit_code)
        assert asked == ("--prune deletes them: finance.old" in output.stderr)
        by_id = {rule["id"]: rule["version"] for rule in document(gateway("rules", "list", "-o", "json"))}
        assert (exit_code == 1) == ("finance.old" in by_id)
        assert by_id["finance.orders"] == (1 if exit_code else 2)

    @pytest.mark.usefixtures("terminal")
    def test_what_deletes_nothing_asks_nothing(self, gateway: Gateway, rules: Path) -> None:
        """Nor does a saved plan, which somebody has looked at."""
        assert "Delete" not in gateway("rules", "apply", "rules", "--prune").stderr
        rules.write_text(a_rule("finance.orders"))
        gateway(
            "rules", "plan", "rules", "--prune", "--namespace", "sales", "--save", "plan.json", exit_code=2
        )
        gateway("rules", "apply", "--plan", "plan.json")
        assert ["finance.orders"] == [one["id"] for one in document(gateway("rules", "list", "-o", "json"))]

    @pytest.fixture
    def terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Somebody sits before it: the stream that stands for stdin says so."""
        monkeypatch.setattr(
            click.testing._NamedTextIOWrapper, "isatty", lambda stream: stream.name == "<stdin>"
        )

    def test_a_namespace_that_has_no_rule_left_is_named(self, gateway: Gateway, rules: Path) -> None:
        """The last rule of a namespace was taken out of the files: only its name says that it is meant."""
        gateway("rules", "apply", "rules")
        rules.write_text(a_rule("finance.orders"))
        output = document(
            gateway(
                "rules", "apply", "rules", "--prune", "--namespace", "sales", "--by", "alice", "-o", "json"
            )
        )
        assert [(one["rule_id"], one["outcome"]) for one in output["applied"]] == [
            ("finance.orders", "unchanged"),
            ("sales.leads", "deleted"),
        ]
        newest, *_ = document(gateway("rules", "history", "sales.leads", "-o", "json"))
        assert (newest["change"], newest["updated_by"]) == ("deleted", "alice")


class TestSavedPlans:
    """What was looked at is what is done, or nothing is."""

    def test_a_saved_plan_is_applied_exactly(self, gateway: Gateway, rules: Path) -> None:
        """Even where the files have changed since: they are not looked at."""
        gateway("rules", "plan", "rules", "--save", "plan.json", "--commit", "abc", exit_code=2)
        rules.write_text(a_rule("finance.orders", dag_id="other"))
        applied = document(gateway("rules", "apply", "--plan", "plan.json", "-o", "json"))["applied"]
        assert [(one["rule_id"], one["outcome"], one["version"]) for one in applied] == [
            ("finance.orders", "created", 1),
            ("sales.leads", "created", 1),
        ]
        shown = document(gateway("rules", "show", "finance.orders", "-o", "json"))
        assert shown["targets"][0]["dag_id"] == "ingest_orders"
        assert [
            version["commit"]
            for version in document(gateway("rules", "history", "sales.leads", "-o", "json"))
        ] == ["abc"]

    @pytest.mark.parametrize("change", ["disable", "delete"])
    @pytest.mark.parametrize("rule", ["finance.orders", "sales.leads"])
    def test_it_is_refused_when_somebody_changed_the_table(
        self, gateway: Gateway, rules: Path, change: str, rule: str
    ) -> None:
        """A rule that it changes, or one that it left alone knowingly: nothing at all is written."""
        gateway("rules", "apply", "rules")
        rules.write_text(
            a_rule("finance.orders", dag_id="other") + a_rule("sales.leads", "leads/*", "ingest_leads")
        )
        gateway("rules", "plan", "rules", "--save", "plan.json", exit_code=2)
        gateway("rules", change, rule, "--by", "bob", *(["--yes"] if change == "delete" else []))
        refused = gateway("rules", "apply", "--plan", "plan.json", exit_code=1)
        assert f"nothing was applied: rule '{rule}' is now version 2 ({change}d by bob" in refused.stderr
        others = {"finance.orders", "sales.leads"} - {rule}
        history = document(gateway("rules", "history", others.pop(), "-o", "json"))
        assert [version["version"] for version in history] == [1]

    @pytest.mark.guarantee(44)
    def test_a_change_in_the_middle_stops_no_other_rule(
        self, gateway: Gateway, rules: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody writes between the check and the second of three rules: only that rule is refused, and named."""
        rules.write_text(rules.read_text() + a_rule("web.visits", "visits/*", "ingest_visits"))
        gateway("rules", "apply", "rules")
        rules.write_text(rules.read_text().replace("ingest_", "v2_"))
        ask_aws = BaseClient._make_api_call
        bobs = iter(["sales.leads"])

        def bob_interferes(self: Any, operation: str, params: Any) -> Any:
            answer = ask_aws(self, operation, params)
            if operation == "TransactWriteItems" and (rule := next(bobs, None)):
                gateway("rules", "disable", rule, "--by", "bob")
            return answer

        monkeypatch.setattr(BaseClient, "_make_api_call", bob_interferes)
        refused = gateway("rules", "apply", "rules", "-o", "json", exit_code=1)
        assert [one["rule_id"] for one in document(refused)["applied"]] == ["finance.orders", "web.visits"]
        assert "bob changed rule 'sales.leads'" in refused.stderr
        assert "1 of 3 changes were not applied" in refused.stderr
        shown = document(gateway("rules", "show", "sales.leads", "-o", "json"))
        assert (shown["state"], shown["targets"][0]["dag_id"]) == ("DISABLED", "ingest_leads")

    @pytest.mark.guarantee(44)
    def test_rules_that_aws_refuses(
        self, gateway: Gateway, rules: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One failure of nine stops no other rule; after five in a row the rest is skipped, and each is named."""
        rules.write_text("".join(a_rule(f"finance.n{number}", f"{number}/*") for number in range(9)))
        ask_aws = BaseClient._make_api_call
        refused_ids = {"finance.n1", *(f"finance.n{number}" for number in range(3, 9))}
        tried = []

        def ask(self: Any, operation: str, params: Any) -> Any:
            if operation == "TransactWriteItems":
                rule_id = params["TransactItems"][0]["Put"]["Item"]["id"]["S"]
                tried.append(rule_id)
                if rule_id in refused_ids:
                    raise ClientError({"Error": {"Code": "InternalServerError", "Message": "no"}}, operation)
            return ask_aws(self, operation, params)

        monkeypatch.setattr(BaseClient, "_make_api_call", ask)
        refused = gateway("rules", "apply", "rules", "-o", "json", exit_code=1)
        assert [one["rule_id"] for one in document(refused)["applied"]] == ["finance.n0", "finance.n2"]
        assert tried == [f"finance.n{number}" for number in range(8)]
        assert 6 == refused.stderr.count("TransactWriteItems failed with InternalServerError")
        assert "finance.n8: skipped, because 5 rules in a row failed" in refused.stderr
        assert "7 of 9 changes were not applied" in refused.stderr

    def test_a_rule_that_is_not_valid_any_more_is_refused(
        self, gateway: Gateway, rules: Path, gateway_outputs: dict[str, str], dynamodb: Any
    ) -> None:
        """The environment was taken away after the plan; found before the first write."""
        assert rules.exists()
        gateway("rules", "plan", "rules", "--save", "plan.json", exit_code=2)
        gateway_outputs["EnvironmentNames"] = "reporting"
        refused = gateway("rules", "apply", "--plan", "plan.json", exit_code=1)
        assert "'analytics' is not an environment" in refused.stderr
        assert rules_table_items(dynamodb) == {}

    @pytest.mark.parametrize(
        "edit",
        [
            lambda _: "{",
            lambda _: "[]",
            lambda plan: json.dumps({**plan, "format": 2}),
            lambda plan: json.dumps({**plan, "table": "elsewhere"}),
            lambda plan: json.dumps({**plan, "versions": {}}),
            lambda plan: json.dumps({**plan, "changes": [{"rule": "a"}]}),
        ],
    )
    def test_a_file_that_is_no_plan_for_this_table(
        self, gateway: Gateway, rules: Path, folder: Path, edit: Callable[[Any], str]
    ) -> None:
        """Cut off, of another version, for another table, or edited by hand."""
        assert rules.exists()
        gateway("rules", "plan", "rules", "--save", "plan.json", exit_code=2)
        file = folder / "plan.json"
        file.write_text(edit(json.loads(file.read_text())))
        assert "plan.json" in gateway("rules", "apply", "--plan", "plan.json", exit_code=1).stderr

    @pytest.mark.parametrize("words", [[], ["rules", "--plan", "plan.json"]])
    def test_either_files_or_a_plan(self, gateway: Gateway, rules: Path, words: list[str]) -> None:
        """Not both, not neither."""
        assert rules.exists()
        gateway("rules", "apply", *words, exit_code=2)


def test_the_commit_of_the_files_is_kept(gateway: Gateway, rules: Path, folder: Path) -> None:
    """As git has it; what is not committed is said to be so, and a file outside of git has none."""

    def commits() -> list[str | None]:
        versions = document(gateway("rules", "history", "finance.orders", "-o", "json"))
        return [version["commit"] for version in versions]

    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        return subprocess.run(
            ["git", *identity, *words],  # noqa: S607
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    gateway("rules", "apply", "rules")
    assert commits() == [None]
    git("init", "-q")
    git("add", "rules")
    git("commit", "-qm", "rules")
    head = git("rev-parse", "--short=12", "HEAD").strip()
    rules.write_text(rules.read_text().replace("ingest_", "v2_"))
    gateway("rules", "apply", "rules")
    git("commit", "-qam", "v3")
    rules.write_text(rules.read_text().replace("v2_", "v3_"))
    git("commit", "-qam", "v3")
    gateway("rules", "apply", "rules")
    newest, before, first = commits()
    assert (newest != head, before, first) == (True, f"{head}-dirty", None)
    assert newest == git("rev-parse", "--short=12", "HEAD").strip()
