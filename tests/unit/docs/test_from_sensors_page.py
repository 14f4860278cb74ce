"""docs/from-sensors.md: each rule does what its section says."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from feeds_in_memory import Feeds
from mwaa_gateway.events import from_eventbridge
from mwaa_gateway.routing.members import MemberMessage, member_of
from mwaa_gateway.routing.resolve import Resolved, resolve
from mwaa_gateway.rules import Rule, parse_rule

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "from-sensors.md").read_text()
RULES = {rule["id"]: rule for rule in map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))}
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()


def upload(key: str) -> dict[str, Any]:
    event = json.loads((ROOT / "events" / "eventbridge_s3_put.json").read_text())
    event["detail"] |= {
        "bucket": {"name": "acme-landing"},
        "object": {"key": key, "size": 1, "sequencer": key},
    }
    return event | {"id": f"upload of {key}"}


def finished(dag_id: str) -> dict[str, Any]:
    """What the page's last task puts on the bus."""
    [source, detail_type] = re.findall(r'"(?:Source|DetailType)": "([^"]+)"', PAGE)
    event = json.loads((ROOT / "events" / "eventbridge_custom.json").read_text())
    detail = {"dag_id": dag_id, "date": "2026-11-22"}
    return event | {"source": source, "detail-type": detail_type, "detail": detail}


def rule_of(rule_id: str, **changed: Any) -> Rule:
    """The page's rule, with other fields of `collect`."""
    document = dict(RULES[rule_id])
    if changed:
        document["collect"] = document["collect"] | changed
    return parse_rule(document, environments={"analytics"})


def arrived(rule: Rule, *payloads: dict[str, Any]) -> Feeds:
    """The events in the batches of a rule; each of them must match it."""
    feeds = Feeds()
    assert rule.collect is not None
    for payload in payloads:
        [event] = from_eventbridge(payload)
        assert any(pattern.matches(event.envelope) for pattern in rule.patterns), payload
        message = member_of(event, rule, rule.collect)
        assert isinstance(message, MemberMessage), message
        feeds.deliver(MemberMessage(message.rule_id, 1, message.document, message.key, message.member, NOON))
    return feeds


@pytest.mark.parametrize(
    ("rule_id", "payload"),
    [
        ("finance.rates", upload("rates/2026-11-22.csv")),
        ("sales.after-customers", finished("load_customers")),
    ],
)
def test_one_event_is_one_run_that_knows_its_date(rule_id: str, payload: dict[str, Any]) -> None:
    rule = rule_of(rule_id)
    [event] = from_eventbridge(payload)
    assert rule.pattern.matches(event.envelope)
    [resolved] = resolve(event, rule, now=NOON, claim_check_bucket="claims")
    assert isinstance(resolved, Resolved), resolved
    assert resolved.request.target.conf["date"] == "2026-11-22"


@pytest.mark.parametrize(
    ("rule_id", "payloads", "seconds", "reason"),
    [
        (
            "sales.after-success",
            [upload(f"export/2026-11-22/{name}") for name in ("a.parquet", "b.parquet", "_SUCCESS")],
            30,
            "complete",
        ),
        (
            "sales.unchanged",
            [upload("orders/2026-11-22/a"), upload("orders/2026-11-22/b")],
            600,
            "quiet_period",
        ),
        ("sales.joined", [upload("orders/2026-11-22/done"), finished("load_customers")], 0, "complete"),
        (
            "sales.by-six",
            [upload(f"daily/2026-11-22/{region}.csv") for region in ("eu", "us")],
            0,
            "complete",
        ),
    ],
)
def test_a_batch_becomes_one_run_once_it_is_complete(
    rule_id: str, payloads: list[dict[str, Any]], seconds: float, reason: str
) -> None:
    feeds = arrived(rule_of(rule_id), *payloads)
    if seconds:
        assert feeds.look(at=NOON + seconds - 1).result == "waits"
    looked = feeds.look(at=NOON + seconds)
    assert looked.decision is not None
    assert (looked.decision.reason, looked.decision.is_complete, looked.decision.count) == (reason, True, 2)
    assert [request.target.dag_id for request in feeds.queue.requests] == [RULES[rule_id]["target"]["dag_id"]]


def test_any_of_two_feeds_with_require_1() -> None:
    """As the page says of AssetA | AssetB."""
    condition = RULES["sales.joined"]["collect"]["complete_when"] | {"require": 1}
    rule = rule_of("sales.joined", complete_when=condition)
    looked = arrived(rule, finished("load_customers")).look(at=NOON)
    assert looked.decision is not None
    assert looked.decision.is_complete


@pytest.mark.parametrize(
    ("when_due", "result", "reason"),
    [("report", "waits", ""), ("cancel", "released", "cancelled"), ("release", "released", "due")],
)
def test_what_a_due_time_does_instead_of_a_timeout(when_due: str, result: str, reason: str) -> None:
    """At six the next morning in Zurich, five o'clock UTC."""
    feeds = arrived(rule_of("sales.by-six", when_due=when_due), upload("daily/2026-11-22/eu.csv"))
    six = datetime(2026, 11, 23, 5, tzinfo=UTC).timestamp()

    assert feeds.look(at=six - 1).is_overdue is False
    looked = feeds.look(at=six)

    assert (looked.result, looked.is_overdue) == (result, when_due == "report")
    assert (looked.decision.reason if looked.decision else "") == reason
    assert len(feeds.queue.requests) == (when_due == "release")
