"""docs/feeds.md: each story is a rule that does what the story says, and the tables and the event are the code's."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from fakes.batches import (
    BatchesInMemory,
    BusInMemory,
    FlushesInMemory,
    LateMembersInMemory,
    ManifestsInMemory,
    TimersInMemory,
)
from fakes.claim_checks import FakeClaimChecks
from fakes.object_claims import FakeClaims
from fakes.queues import FakeTriggerQueue
from mwaa_gateway.events import from_eventbridge
from mwaa_gateway.feeds import condition
from mwaa_gateway.feeds.collect import Collector
from mwaa_gateway.feeds.release import Looked, Releaser
from mwaa_gateway.routing.members import MemberMessage, member_of
from mwaa_gateway.rules import Rule, parse_rule
from mwaa_gateway.rules.collect import Collect
from mwaa_gateway.rules.fields import names_of

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "feeds.md").read_text()
STORIES = {
    yaml.safe_load(block)["id"]: block
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    if block.startswith("id:")
}
MINUTE, HOUR = 60.0, 3_600.0


def upload(key: str) -> dict[str, Any]:
    event = json.loads((ROOT / "events" / "eventbridge_s3_put.json").read_text())
    event["detail"] |= {
        "bucket": {"name": "acme-landing"},
        "object": {"key": key, "size": 1, "sequencer": key},
    }
    return event | {"id": f"upload of {key}"}


def done(day: str, files: int | str) -> dict[str, Any]:
    event = json.loads((ROOT / "events" / "eventbridge_custom.json").read_text())
    return event | {
        "source": "acme.exporter",
        "detail-type": "Export Done",
        "detail": {"day": day, "files": files},
    }


class Story:
    """A story's rule, and the gateway around it with a clock."""

    def __init__(self, rule_id: str) -> None:
        self.rule: Rule = parse_rule(yaml.safe_load(STORIES[rule_id]), environments={"analytics"})
        self.store = BatchesInMemory()
        self.manifests = ManifestsInMemory()
        self.queue = FakeTriggerQueue()
        self.ids = 0

    def new_id(self) -> str:
        self.ids += 1
        return f"{self.ids}"

    def arrive(self, payload: dict[str, Any], at: float) -> None:
        """Let one event arrive; it must match the rule or its marker."""
        [event] = from_eventbridge(payload)
        assert any(pattern.matches(event.envelope) for pattern in self.rule.patterns)
        assert self.rule.collect is not None
        message = member_of(event, self.rule, self.rule.collect)
        assert isinstance(message, MemberMessage), message
        message = MemberMessage(
            message.rule_id, message.rule_version, message.document, message.key, message.member, at
        )
        collector = Collector(
            store=self.store,
            claims=FakeClaims(),
            manifests=self.manifests,
            timers=TimersInMemory(),
            late_members=LateMembersInMemory(),
            new_id=self.new_id,
            now=lambda: 0.0,
        )
        assert [each.result for each in collector.collect([message])] == ["collected"]

    def look(self, at: float) -> Looked:
        """Look at the key's newest batch; what was sent before is collected."""
        batch_id = list(self.store.batches)[-1]
        self.store.mark_collected(batch_id, at)
        releaser = Releaser(
            store=self.store,
            manifests=self.manifests,
            flushes=FlushesInMemory(),
            bus=BusInMemory(),
            claim_checks=FakeClaimChecks(),
            queue=self.queue,
            new_id=self.new_id,
            now=lambda: at,
            claim_check_bucket="claims",
        )
        return releaser.look(batch_id)

    def released(self, at: float) -> tuple[str, bool, int, bool]:
        """Reason, completeness, members and lateness of the batch; it must be released at that time."""
        looked = self.look(at)
        assert looked.decision is not None, looked
        assert looked.batch is not None
        decision = looked.decision
        return decision.reason, decision.is_complete, decision.count, looked.batch.is_late


def test_each_story_is_a_whole_rule_of_under_15_lines() -> None:
    assert len(STORIES) == 6
    assert {rule_id: block.count("\n") for rule_id, block in STORIES.items() if block.count("\n") >= 15} == {}


def test_nightly_files() -> None:
    """Ten quiet minutes, and the files so far are one run; without them, six hours."""
    story = Story("sales.nightly")
    for number in range(3):
        story.arrive(upload(f"orders/2026-11-22/{number}.csv"), number * MINUTE)
    assert story.look(11 * MINUTE).until == 12 * MINUTE
    assert story.released(12 * MINUTE) == ("quiet_period", True, 3, False)
    [request] = story.queue.requests
    assert (request.target.dag_id, request.target.conf["date"]) == ("load_batch", "2026-11-22")
    assert request.target.conf["manifest"] in story.manifests.objects

    restless = Story("sales.nightly")
    for number in range(45):
        restless.arrive(upload(f"orders/2026-11-22/{number}.csv"), number * 8 * MINUTE)
    assert restless.look(6 * HOUR - 1).result == "waits"
    assert restless.released(6 * HOUR) == ("max_wait", True, 45, False)


@pytest.mark.parametrize("files", [2, "2"])
def test_a_marker_with_a_count_that_overtakes_files(files: int | str) -> None:
    story = Story("sales.export")
    story.arrive(upload("export/2026-11-22/1.parquet"), 0)
    story.arrive(done("2026-11-22", files), MINUTE)
    assert story.look(HOUR).missing == ("1 of 2 members",)
    story.arrive(upload("export/2026-11-22/2.parquet"), HOUR)
    assert story.released(HOUR + 30) == ("complete", True, 2, False)
    assert len(story.queue.requests) == 1


def test_one_file_from_each_region_and_a_late_one() -> None:
    story = Story("sales.regions")
    for region in ("eu", "us"):
        story.arrive(upload(f"regions/2026-11-22/{region}.csv"), 0)
    assert story.look(1).missing == ("apac",)
    story.arrive(upload("regions/2026-11-22/apac.csv"), HOUR)
    assert story.released(HOUR) == ("complete", True, 3, False)

    story.arrive(upload("regions/2026-11-22/mea.csv"), 2 * HOUR)
    assert story.look(2 * HOUR).until == 2 * HOUR + 5 * MINUTE
    assert story.released(2 * HOUR + 5 * MINUTE) == ("quiet_period", False, 1, True)
    assert len(story.queue.requests) == 2


@pytest.mark.parametrize(("hours", "is_complete"), [(24, True), (23, False)])
def test_hourly_files_and_a_corrected_one(hours: int, is_complete: bool) -> None:  # noqa: FBT001
    story = Story("sales.hourly")
    for hour in range(hours):
        story.arrive(upload(f"hourly/2026-11-22/{hour:02}-v1.json"), hour * HOUR)
    story.arrive(upload("hourly/2026-11-22/03-v2.json"), 23 * HOUR)
    if is_complete:
        assert story.released(23 * HOUR) == ("complete", True, 25, False)
    else:
        assert story.look(29 * HOUR).missing == ("1 of 24 values of <hour>",)
        assert story.released(30 * HOUR) == ("max_wait", False, 24, False)


@pytest.mark.guarantee(49)
def test_expected_by_six() -> None:
    """Overdue at six in Zurich, and complete when the last file is there."""
    story = Story("sales.expected")
    six = datetime(2026, 11, 24, 5, tzinfo=UTC).timestamp()
    story.arrive(upload("daily/2026-11-23/eu.csv"), six - HOUR)
    assert not story.look(six - 1).is_overdue
    looked = story.look(six)
    assert (looked.is_overdue, looked.missing) == (True, ("us",))
    story.arrive(upload("daily/2026-11-23/us.csv"), six + HOUR)
    assert story.released(six + HOUR) == ("complete", True, 2, False)


def test_a_join() -> None:
    story = Story("sales.join")
    story.arrive(upload("orders/2026-11-22/a.csv"), 0)
    assert story.look(HOUR).missing == ("customers",)
    event = json.loads((ROOT / "events" / "eventbridge_custom.json").read_text())
    story.arrive(event | {"source": "acme.crm", "detail": {"day": "2026-11-22"}}, HOUR)
    assert story.released(HOUR) == ("complete", True, 2, False)
    [request] = story.queue.requests
    assert {line["part"] for line in request.target.conf["detail"]["members"]} == {"orders", "customers"}


def test_the_event_shown_is_the_one_that_a_batch_becomes() -> None:
    """Every field, in the order in which it is sent."""
    shown = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])  # type: ignore[index]
    story = Story("sales.nightly")
    rule = yaml.safe_load(STORIES["sales.nightly"])
    del rule["target"]["input_transformer"]
    story.rule = parse_rule(rule, environments={"analytics"})
    story.arrive(upload("orders/2026-11-22/a.csv"), 0)
    story.look(HOUR)
    [request] = story.queue.requests
    conf = {name: value for name, value in request.target.conf.items() if name != "mwaa_gateway"}
    assert list(shown) == list(conf)
    assert list(shown["detail"]) == list(conf["detail"])
    [line] = conf["detail"]["members"]
    assert list(shown["detail"]["members"][0]) == list(line)
    for name in ("source", "detail-type"):
        assert shown[name] == conf[name]
    for name in ("rule_id", "number", "key", "reason", "complete", "late", "missing", "count"):
        assert shown["detail"][name] == conf["detail"][name]


def test_the_order_of_reasons_is_the_one_of_the_code() -> None:
    """The table of the page, and the one of the module that decides."""
    rows = re.findall(r"^\| (?!what)(.+?) \| .+? \| `\w+` \|$", PAGE, re.MULTILINE)
    in_code = re.findall(r"^    (\S.*?)  +(?:once|when|never|so long)", condition.__doc__ or "", re.MULTILINE)
    assert [row.replace("`", "") for row in rows] == in_code
    assert len(rows) == 7


def test_every_field_of_collect_is_in_the_table() -> None:
    fields = set(re.findall(r"^\| `(\w+)(?:\.\w+)?` \| (?:.(?! \| `))+$", PAGE, re.MULTILINE))
    assert fields == set(names_of(Collect))
