"""`mwaa-gateway namespaces`: each team's rules stay with what the team may name."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from click.testing import Result

from gateway_cli.namespaces.store import (
    NamespaceChanged,
    NamespacesStore,
    StoredNamespace,
    history_partition,
)
from mwaa_gateway.rules.allow_lists import Namespace

Gateway = Callable[..., Result]
FINANCE = """\
- namespace: finance
  sources: ["aws.s3#acme-finance-*"]
  environments: [analytics]
  dag_ids: [finance_*]
"""


def a_rule(
    bucket: str = "acme-finance-in", environment: str = "analytics", dag_id: str = "finance_orders"
) -> str:
    return f"id: finance.orders\ns3: s3://{bucket}/*\ntarget:\n  environment: {environment}\n  dag_id: {dag_id}\n"


def document(result: Result) -> Any:
    return json.loads(result.stdout)


@pytest.fixture
def finance(gateway: Gateway, folder: Path) -> Gateway:
    """A gateway with an allow-list for finance."""
    (folder / "namespaces.yaml").write_text(FINANCE)
    gateway("namespaces", "apply", "namespaces.yaml", "--by", "alice")
    return gateway


def test_allow_lists_are_listed_and_shown(finance: Gateway, folder: Path) -> None:
    """What is shown can be applied again, and is then the same."""
    header, _, line = finance("namespaces", "list").stdout.splitlines()
    assert header.split()[:4] == ["NAMESPACE", "SOURCES", "ENVIRONMENTS", "DAGS"]
    assert line.split()[:4] == ["finance", "aws.s3#acme-finance-*", "analytics", "finance_*"]
    (folder / "shown.yaml").write_text(finance("namespaces", "show", "finance").stdout)
    assert document(finance("namespaces", "apply", "shown.yaml", "-o", "json")) == {
        "applied": [{"namespace": "finance", "outcome": "unchanged"}]
    }
    [output] = document(finance("namespaces", "list", "-o", "json"))
    assert (output["namespace"], output["version"], output["updated_by"]) == ("finance", 1, "alice")


def test_what_is_allowed_is_applied(finance: Gateway, folder: Path) -> None:
    """And so is another team's rule, which has no allow-list."""
    (folder / "orders.yaml").write_text(
        a_rule() + "---\n" + a_rule("other", "reporting", "x").replace("finance", "sales")
    )
    assert len(document(finance("rules", "apply", "orders.yaml", "-o", "json"))["applied"]) == 2


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            a_rule(bucket="acme-sales"),
            "orders.yaml:2: finance.orders: s3: matches events of 'aws.s3#acme-sales'",
        ),
        (
            a_rule(environment="reporting"),
            "orders.yaml:4: finance.orders: target.environment: is 'reporting'",
        ),
        (a_rule(dag_id="sales_x"), "orders.yaml:5: finance.orders: target.dag_id: names 'sales_x'"),
    ],
)
@pytest.mark.parametrize("command", ["validate", "plan", "apply"])
def test_what_is_not_allowed_is_refused_with_its_line(
    finance: Gateway, folder: Path, command: str, rule: str, expected: str
) -> None:
    """When it is checked, planned or written."""
    (folder / "orders.yaml").write_text(rule)
    output = finance("rules", command, "orders.yaml", "--stack-name", "mwaa-gateway", exit_code=1)
    assert expected in output.stderr


def test_no_way_leads_around_it(finance: Gateway, folder: Path) -> None:
    """A saved plan, a rollback and `rules enable` are checked against the allow-lists of that moment."""
    (folder / "orders.yaml").write_text(a_rule())
    finance("rules", "apply", "orders.yaml")
    finance("rules", "disable", "finance.orders")
    (folder / "orders.yaml").write_text(a_rule(dag_id="finance_v2"))
    finance("rules", "plan", "orders.yaml", "--save", "plan.json", exit_code=2)
    (folder / "namespaces.yaml").write_text(FINANCE.replace("finance_*", "other"))
    finance("namespaces", "apply", "namespaces.yaml", "--yes")
    for words in (
        ["apply", "--plan", "plan.json"],
        ["enable", "finance.orders"],
        ["rollback", "finance.orders", "v1"],
    ):
        assert "namespace 'finance' allows 'other'" in finance("rules", *words, exit_code=1).stderr


@pytest.mark.parametrize(("typed", "exit_code", "version"), [("y\n", 0, 2), ("n\n", 1, 1), ("", 1, 1)])
def test_rules_that_would_stop_are_listed_first(
    finance: Gateway, folder: Path, typed: str, exit_code: int, version: int
) -> None:
    """A narrower list stops what it no longer allows, so somebody has to say yes."""
    (folder / "orders.yaml").write_text(a_rule())
    finance("rules", "apply", "orders.yaml")
    (folder / "namespaces.yaml").write_text(FINANCE.replace("finance_*", "other"))
    output = finance("namespaces", "apply", "namespaces.yaml", typed=typed, exit_code=exit_code)
    assert "finance.orders: targets[0].dag_id: names 'finance_orders'" in output.stderr
    [stored] = document(finance("namespaces", "list", "-o", "json"))
    assert stored["version"] == version
    shown = finance("namespaces", "show", "finance").stderr
    assert ("not allowed: finance.orders" in shown) == (version == 2)


def test_without_its_list_a_namespace_may_do_what_everybody_may(finance: Gateway, folder: Path) -> None:
    """Which is everything, or what the list of `*` says."""
    assert "deleted" not in finance("namespaces", "delete", "finance", typed="n\n", exit_code=1).stdout
    finance("namespaces", "delete", "finance", "--yes")
    (folder / "orders.yaml").write_text(a_rule("any"))
    finance("rules", "apply", "orders.yaml")
    everybody = "namespace: '*'\nsources: []\nenvironments: []\ndag_ids: []\n"
    (folder / "namespaces.yaml").write_text(everybody)
    finance("namespaces", "apply", "namespaces.yaml", "--yes")
    assert "namespace '*' allows none" in finance("rules", "apply", "orders.yaml", exit_code=1).stderr
    output = finance("namespaces", "delete", "*", "--yes").stderr
    assert "without it, rules whose own namespace has no allow-list may name everything" in output


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("namespace: finance\n", "namespaces.yaml:1: sources: is missing; write a list of text"),
        (FINANCE.replace("[analytics]", "analytics"), "namespaces.yaml:3: environments: is 'analytics'"),
        (FINANCE.replace("finance\n", "F\n"), "namespaces.yaml:1: namespace: is 'F'"),
        (FINANCE + "  colour: red\n", "namespaces.yaml:5: colour: is an unknown field"),
        ("# nothing\n", "contains no allow-list"),
    ],
)
def test_what_is_no_allow_list(gateway: Gateway, folder: Path, text: str, expected: str) -> None:
    """With its line, and what to write instead; nothing is written."""
    (folder / "namespaces.yaml").write_text(text)
    assert expected in gateway("namespaces", "apply", "namespaces.yaml", exit_code=1).stderr
    assert document(gateway("namespaces", "list", "-o", "json")) == []


@pytest.mark.parametrize("words", [["show", "x"], ["delete", "x", "--yes"], ["apply", "x"], ["history", "x"]])
def test_what_is_not_there(gateway: Gateway, words: list[str]) -> None:
    """Told."""
    assert (
        "no such file" in (output := gateway("namespaces", *words, exit_code=1).stderr)
        or "no allow-list" in output
    )


def test_a_change_by_somebody_else_is_never_overwritten(finance: Gateway, dynamodb: Any) -> None:
    """It is conditional on the list that was read."""
    assert finance("namespaces", "list").stdout
    store = NamespacesStore(dynamodb, "rules")
    read = store.everything()["finance"]
    bobs = Namespace("finance", ("*",), ("*",), ("*",))
    now = datetime(2026, 11, 22, tzinfo=UTC)
    assert store.put(bobs, read, by="bob", now=now) == "updated"
    with pytest.raises(NamespaceChanged, match="run the command again"):
        store.put(Namespace("finance"), read, by="alice", now=now)
    with pytest.raises(NamespaceChanged, match="run the command again"):
        store.delete(read, by="alice", now=now)
    assert store.everything()["finance"].updated_by == "bob"
    assert [version.updated_by for version in store.versions("finance")] == ["bob", "alice"]


def test_every_version_is_kept_with_who_when_commit_and_what(finance: Gateway, folder: Path) -> None:
    """Through a deletion, after which the count goes on; what is not changed is no version."""
    wider = FINANCE.replace("[analytics]", "[analytics, reporting]").replace("[finance_*]", "[fin_*]")
    (folder / "namespaces.yaml").write_text(wider)
    for _ in range(2):
        finance("namespaces", "apply", "namespaces.yaml", "--by", "bob", "--commit", "abc")
    finance("namespaces", "delete", "finance", "--yes", "--by", "carol")
    (folder / "namespaces.yaml").write_text(FINANCE)
    finance("namespaces", "apply", "namespaces.yaml", "--by", "dave")

    output = document(finance("namespaces", "history", "finance", "-o", "json"))

    assert [(each["version"], each["change"], each["updated_by"], each["commit"]) for each in output] == [
        (4, "created", "dave", None),
        (3, "deleted", "carol", None),
        (2, "updated", "bob", "abc"),
        (1, "created", "alice", None),
    ]
    assert output[2]["changes"] == {
        "environments": {"added": ["reporting"], "removed": []},
        "dag_ids": {"added": ["fin_*"], "removed": ["finance_*"]},
    }
    shown = finance("namespaces", "history", "finance").stdout
    assert "environments +reporting" in shown
    assert "dag_ids +fin_* -finance_*" in shown
    [listed] = document(finance("namespaces", "list", "-o", "json"))
    assert listed["version"] == 4


def test_a_list_from_before_versions_were_kept(finance: Gateway, folder: Path, dynamodb: Any) -> None:
    """The command says so, and the version count continues."""
    key = {"partition": {"S": history_partition("finance")}, "sort": {"S": f"{1:010}"}}
    dynamodb.delete_item(TableName="rules", Key=key)
    assert "by a version without history" in finance("namespaces", "history", "finance").stderr
    (folder / "namespaces.yaml").write_text(FINANCE.replace("[analytics]", "[reporting]"))
    finance("namespaces", "apply", "namespaces.yaml")
    [output] = document(finance("namespaces", "history", "finance", "-o", "json"))
    assert (output["version"], output["change"]) == (2, "updated")


def test_the_git_commit_is_found(finance: Gateway, folder: Path) -> None:
    """As of rules: of a file in git, by itself."""
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *words], cwd=folder, check=True)  # noqa: S607 - whichever git there is
    (folder / "namespaces.yaml").write_text(FINANCE.replace("[analytics]", "[reporting]"))
    finance("namespaces", "apply", "namespaces.yaml")
    newest = document(finance("namespaces", "history", "finance", "-o", "json"))[0]
    assert newest["commit"].endswith("-dirty")


def test_what_was_written_before_an_error_is_listed(
    finance: Gateway, folder: Path, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody changes the second list while the first is written: the first stands, and that is said."""
    sales = FINANCE.replace("finance", "sales")
    (folder / "namespaces.yaml").write_text(FINANCE.replace("[analytics]", "[reporting]") + sales)
    ask = BaseClient._make_api_call
    bobs = iter([Namespace("sales", ("*",), ("*",), ("*",))])

    def bob_interferes(self: Any, operation: str, params: Any) -> Any:
        answer = ask(self, operation, params)
        if operation == "TransactWriteItems" and (theirs := next(bobs, None)):
            store = NamespacesStore(dynamodb, "rules")
            store.put(theirs, StoredNamespace("sales"), by="bob", now=datetime(2026, 11, 22, tzinfo=UTC))
        return answer

    monkeypatch.setattr(BaseClient, "_make_api_call", bob_interferes)
    output = finance("namespaces", "apply", "namespaces.yaml", "-o", "json", exit_code=1)
    assert document(output) == {"applied": [{"namespace": "finance", "outcome": "updated"}]}
    assert "somebody else changed the allow-list of namespace 'sales'" in output.stderr
