"""A platform team and its gateway: forty rules of two teams in one table, three stages, three mistakes, one rollback."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from fakes.rules_table import RULES_TABLE
from mwaa_gateway.aws.dynamodb.rules_table import RulesTable
from mwaa_gateway.events import from_eventbridge
from mwaa_gateway.routing.live_rules import LiveRules

EVENTS = Path(__file__).parent.parent.parent / "events"
Gateway = Callable[..., Result]
STAGES = {
    stage: f"stage: {stage}\nenvironment: {environment}\n"
    for stage, environment in (
        ("dev", "analytics"),
        ("test", "analytics"),
        ("prod", "reporting"),
    )
}
NAMESPACES = """\
- {namespace: finance, sources: ["aws.s3#acme-finance-*"], environments: ["*"], dag_ids: [finance_*]}
- {namespace: sales, sources: ["aws.s3#acme-sales-*", acme.crm], environments: ["*"], dag_ids: [sales_*]}
- {namespace: "*", sources: [], environments: [], dag_ids: []}
"""
FEEDS = [f"feed-{number:02}" for number in range(20)]
PROD = ("--vars", "stages/prod.yaml")


def team(name: str) -> str:
    """One team's file: twenty feeds of its bucket."""
    rules = "".join(
        f"  - id: {name}.{feed}\n"
        f"    s3: s3://acme-{name}-${{var.stage}}/{feed}/*.csv\n"
        f"    target: {{dag_id: {name}_{feed.replace('-', '_')}}}\n"
        for feed in FEEDS
    )
    return f"defaults:\n  maximum_event_age: 6h\n  target: {{environment: '${{var.environment}}'}}\nrules:\n{rules}"


def upload(bucket: str, key: str) -> dict[str, Any]:
    event = json.loads((EVENTS / "eventbridge_s3_put.json").read_text())
    event["detail"]["bucket"]["name"], event["detail"]["object"]["key"] = bucket, key
    return event


def document(result: Result) -> Any:
    return json.loads(result.stdout)


@pytest.fixture
def repository(folder: Path) -> Path:
    """The platform team's repository, as a pipeline checks it out."""
    files = {f"stages/{stage}.yaml": text for stage, text in STAGES.items()}
    files |= {
        "namespaces.yaml": NAMESPACES,
        "rules/finance.yaml": team("finance"),
        "rules/sales.yaml": team("sales"),
    }
    files["tests/feed.json"] = json.dumps(upload("acme-finance-prod", "feed-07/a.csv"))
    files["tests/feeds.yaml"] = (
        "- {event: feed.json, expect: [{rule: finance.feed-07, environment: reporting, dag_id: finance_feed_07}]}\n"
    )
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert text.count(before) == 1
    file.write_text(text.replace(before, after))


def test_the_story(gateway: Gateway, repository: Path, dynamodb: Any) -> None:
    """A story in order; every step is one that a person or a pipeline takes."""
    finance, sales = repository / "rules" / "finance.yaml", repository / "rules" / "sales.yaml"
    live = LiveRules(
        RulesTable(dynamodb, RULES_TABLE), environments={"analytics", "reporting"}, refresh_seconds=0
    )

    def matching(bucket: str, key: str) -> list[tuple[str, int]]:
        [event] = from_eventbridge(upload(bucket, key))
        live.refresh(event.envelope, 0.0)
        return [(rule.id, rule.version) for rule in live.match(event.envelope).rules]

    # Three stages of the same files: each has its own buckets and environment; production is what this table is.
    gateway("namespaces", "apply", "namespaces.yaml", "--by", "platform")
    for stage in STAGES:
        gateway(
            "rules", "validate", "rules", "--vars", f"stages/{stage}.yaml", "--stack-name", "mwaa-gateway"
        )
        planned = document(
            gateway("rules", "plan", "rules", "--vars", f"stages/{stage}.yaml", "-o", "json", exit_code=2)
        )
        buckets = {
            change["document"]["pattern"]["detail"]["bucket"]["name"][0] for change in planned["changes"]
        }
        assert (len(planned["changes"]), buckets) == (40, {f"acme-finance-{stage}", f"acme-sales-{stage}"})
    gateway("rules", "test", "rules", *PROD, "--expect", "tests")
    gateway("rules", "apply", "rules", *PROD, "--prune", "--commit", "c1")
    assert gateway("rules", "plan", "rules", *PROD, "--prune").stdout == "nothing to change, 40 unchanged\n"
    assert matching("acme-finance-prod", "feed-07/a.csv") == [("finance.feed-07", 1)]
    assert matching("acme-finance-dev", "feed-07/a.csv") == []

    # The first mistake: slips in a file. The command lists all of them at once, and touches none of its forty rules.
    before = finance.read_text()
    edit(finance, "{dag_id: finance_feed_03}", "{dagid: finance_feed_03}")
    edit(finance, "${var.stage}/feed-05/", "${var.stagee}/feed-05/")
    edit(finance, "  maximum_event_age: 6h", "  maximum_event_age: 6 hours")
    shown = gateway("rules", "apply", "rules", *PROD, exit_code=1).stderr.splitlines()
    assert [line.split("; ")[0] for line in shown] == [
        "rules/finance.yaml:2: maximum_event_age: is '6 hours'",
        "rules/finance.yaml:16: finance.feed-03: target.dagid: is an unknown field",
        "rules/finance.yaml:16: finance.feed-03: target.dag_id: is missing",
        "rules/finance.yaml:21: ${var.stagee} has no value",
        "Error: 4 mistakes: nothing was applied",
    ]
    assert matching("acme-finance-prod", "feed-05/a.csv") == [("finance.feed-05", 1)]
    finance.write_text(before)

    # The second: sales listens to finance's bucket, and starts its DAG. Its namespace does not allow either.
    edit(sales, "s3://acme-sales-${var.stage}/feed-00/*.csv", "s3://acme-finance-${var.stage}/feed-00/*.csv")
    edit(sales, "sales_feed_00", "finance_feed_00")
    shown = gateway("rules", "plan", "rules/sales.yaml", *PROD, exit_code=1).stderr
    assert "sales.feed-00: s3: matches events of 'aws.s3#acme-finance-prod'" in shown
    assert (
        "sales.feed-00: target.dag_id: names 'finance_feed_00', and namespace 'sales' allows 'sales_*'"
        in shown
    )
    sales.write_text(team("sales"))

    # Sales prunes what it gave up, from its own pipeline: finance's rules are out of its reach.
    sales.write_text(sales.read_text()[: sales.read_text().index("  - id: sales.feed-19")])
    gateway("rules", "apply", "rules/sales.yaml", *PROD, "--prune", "--by", "sales")
    assert len(document(gateway("rules", "list", "-o", "json"))) == 39

    # The third: a change that is valid, and wrong. The suite would have shown it; somebody did not wait for it.
    edit(finance, "/feed-07/*.csv", "/Feed-07/*.csv")
    failed = gateway("rules", "test", "rules", *PROD, "--expect", "tests", exit_code=1)
    assert "finance.feed-07 is expected to match, and does not" in failed.stdout
    planned = gateway("rules", "plan", "rules", *PROD, exit_code=2).stdout
    assert (
        '    pattern.detail.object.key  [{"wildcard": "feed-07/*.csv"}] → [{"wildcard": "Feed-07/*.csv"}]'
        in planned
    )
    gateway("rules", "apply", "rules", *PROD, "--by", "eve", "--commit", "c2")
    assert matching("acme-finance-prod", "feed-07/a.csv") == []

    # Who is called at night asks why, sees who changed what, and goes back; it is live at the next refresh.
    [why] = document(
        gateway("rules", "explain", "finance.feed-07", "--event", "tests/feed.json", "-o", "json")
    )
    assert [field["field"] for field in why["fields"] if not field["matches"]] == ["detail.object.key"]
    newest, oldest = document(gateway("rules", "history", "finance.feed-07", "-o", "json"))
    assert (newest["version"], newest["updated_by"], newest["commit"], oldest["commit"]) == (
        2,
        "eve",
        "c2",
        "c1",
    )
    gateway("rules", "rollback", "finance.feed-07", "v1", "--by", "oncall")
    assert matching("acme-finance-prod", "feed-07/a.csv") == [("finance.feed-07", 3)]

    # The next morning somebody corrects the file as well, and the pipeline has nothing left to do.
    assert "1 to change" in gateway("rules", "plan", "rules", *PROD, exit_code=2).stdout
    edit(finance, "/Feed-07/*.csv", "/feed-07/*.csv")
    gateway("rules", "test", "rules", *PROD, "--expect", "tests")
    assert gateway("rules", "plan", "rules", *PROD, "--prune").stdout == "nothing to change, 39 unchanged\n"
