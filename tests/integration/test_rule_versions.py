"""`mwaa-gateway rules history | diff | rollback`: every version can be seen, compared and brought back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

ORDERS = "finance.orders"
RULE = f"""\
id: {ORDERS}
description: Each order as it lands
s3: s3://acme-landing/orders/*
target: {{environment: analytics, dag_id: ingest_orders}}
"""
Gateway = Callable[..., Result]


def document(result: Result) -> Any:
    return json.loads(result.stdout)


@pytest.fixture
def three_versions(gateway: Gateway, folder: Path) -> Gateway:
    """A rule that was made, changed, and stopped."""
    file = folder / "orders.yaml"
    for text in (RULE, RULE.replace("ingest_orders", "ingest_v2").replace("orders/*", "orders/*.csv")):
        file.write_text(text)
        gateway("rules", "apply", "orders.yaml", "--by", "alice", "--commit", "1a2b3c")
    gateway("rules", "disable", ORDERS, "--by", "bob")
    return gateway


def test_history_shows_who_changed_what_and_when(three_versions: Gateway) -> None:
    """The newest first, with the fields that differ from the version before."""
    header, _, *lines = three_versions("rules", "history", ORDERS).stdout.splitlines()
    assert header.split() == ["VERSION", "CHANGE", "STATE", "WHEN", "(UTC)", "WHO", "COMMIT", "FIELDS"]
    assert [line.split()[:3] for line in lines] == [
        ["v3", "disabled", "DISABLED"],
        ["v2", "updated", "ENABLED"],
        ["v1", "created", "ENABLED"],
    ]
    assert lines[1].split()[5:] == [
        "alice",
        "1a2b3c",
        "pattern.detail.object.key,",
        "targets[default].dag_id",
    ]
    shown = document(three_versions("rules", "history", ORDERS, "-o", "json"))
    assert [(version["version"], version["updated_by"], version["commit"]) for version in shown] == [
        (3, "bob", None),
        (2, "alice", "1a2b3c"),
        (1, "alice", "1a2b3c"),
    ]
    assert shown[0]["changes"] == [{"field": "state", "before": "ENABLED", "after": "DISABLED"}]


def test_a_deleted_rule_keeps_its_history(three_versions: Gateway) -> None:
    """And who deleted it."""
    three_versions("rules", "delete", ORDERS, "--yes", "--by", "carol")
    newest, *_ = document(three_versions("rules", "history", ORDERS, "-o", "json"))
    assert (newest["version"], newest["change"], newest["updated_by"]) == (4, "deleted", "carol")


def test_diff_shows_each_field_before_and_after(three_versions: Gateway) -> None:
    """Between two versions, or one and the rule as it is now."""
    lines = three_versions("rules", "diff", ORDERS, "v1", "v2").stdout.splitlines()
    assert lines == [
        f"{ORDERS}: version 1 → 2",
        '  pattern.detail.object.key  [{"prefix": "orders/"}] → [{"wildcard": "orders/*.csv"}]',
        '  targets[default].dag_id    "ingest_orders" → "ingest_v2"',
    ]
    shown = document(three_versions("rules", "diff", ORDERS, "2", "-o", "json"))
    assert (shown["before"]["version"], shown["after"]["version"]) == (2, 3)
    assert shown["changes"] == [{"field": "state", "before": "ENABLED", "after": "DISABLED"}]


@pytest.mark.parametrize("version", ["0", "v", "three", "-1"])
def test_what_is_no_version_is_a_wrong_command_line(three_versions: Gateway, version: str) -> None:
    """With how it is written."""
    result = three_versions("rules", "diff", ORDERS, "--", version, exit_code=2)
    assert "write 3 or v3" in result.stderr


def test_a_version_that_never_existed_is_refused(three_versions: Gateway) -> None:
    """With where to look."""
    result = three_versions("rules", "rollback", ORDERS, "v9", exit_code=1)
    assert f"`mwaa-gateway rules history {ORDERS}` lists" in result.stderr


def test_a_rollback_is_a_new_version(three_versions: Gateway) -> None:
    """It has the document of the old one; what was stopped stays stopped."""
    result = three_versions("rules", "rollback", ORDERS, "v1", "--by", "dora")
    assert result.stdout.splitlines()[0] == f"{ORDERS}: updated, version 4, DISABLED"
    assert "revert the rule's file too" in result.stderr
    newest, *_ = document(three_versions("rules", "history", ORDERS, "-o", "json"))
    assert (newest["version"], newest["change"], newest["updated_by"]) == (
        4,
        "rolled back to version 1",
        "dora",
    )
    shown = document(three_versions("rules", "diff", ORDERS, "v1", "-o", "json"))
    assert [change["field"] for change in shown["changes"]] == ["state"]


def test_a_rollback_to_what_is_there_is_nothing(three_versions: Gateway) -> None:
    """No version is made of it."""
    result = three_versions("rules", "rollback", ORDERS, "v3", "-o", "json")
    assert (document(result)["outcome"], document(result)["version"]) == ("unchanged", 3)


def test_a_rollback_brings_a_deleted_rule_back(three_versions: Gateway) -> None:
    """In the state it had in that version; the count of versions goes on."""
    three_versions("rules", "delete", ORDERS, "--yes")
    shown = document(three_versions("rules", "rollback", ORDERS, "v2", "-o", "json"))
    assert (shown["outcome"], shown["version"], shown["state"]) == ("created", 5, "ENABLED")
    refused = three_versions("rules", "rollback", ORDERS, "v4", exit_code=1)
    assert "version 4 of rule 'finance.orders' is its deletion" in refused.stderr


def test_a_missing_rule_is_refused_with_the_nearest_name(three_versions: Gateway) -> None:
    """Whichever command asks for it."""
    for command, *rest in (
        ["history"],
        ["rollback", "v1"],
        ["show"],
        ["diff", "v1"],
        ["disable"],
        ["delete"],
    ):
        shown = three_versions("rules", command, "finance.order", *rest, exit_code=1).stderr
        assert shown == "Error: there is no rule 'finance.order': did you mean 'finance.orders'?\n"


def test_a_version_that_is_not_valid_any_more_is_refused(
    three_versions: Gateway, gateway_outputs: dict[str, str]
) -> None:
    """Its environment is gone: nothing is written."""
    gateway_outputs["EnvironmentNames"] = "reporting"
    refused = three_versions("rules", "rollback", ORDERS, "v1", exit_code=1)
    assert "version 1 is no longer valid" in refused.stderr
    assert "'analytics' is not an environment" in refused.stderr
    assert len(document(three_versions("rules", "history", ORDERS, "-o", "json"))) == 3
