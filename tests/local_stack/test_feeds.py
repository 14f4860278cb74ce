"""Many events become one run, on real parts and both Airflows: markers that overtake, joins, due times, days without events.

Every upload reaches the gateway by both routes, so each member is delivered twice. `make test` takes one transport for each
scene, `make test-full` both, and more uploads.
"""

import datetime as dt
import gzip
import json
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway_cli.rules.store import RulesStore
from local_stack.mwaa import ControlClient, Faults
from local_stack.state import StackState
from looking import dead_letters, number_of_runs, queue_that_takes, runs, settle, transport
from mwaa_gateway.rules import parse_rule
from polling import until

NIGHTS = 3
INDIA = ZoneInfo("Asia/Kolkata")
# Five of twelve requests take effect without an answer, two of them first of all.
FAULTS = Faults(lost_response=0.4, error_503=0.1, seed=4)


def over(*transports: str) -> pytest.MarkDecorator:
    """The transports of a scene in `make test`; the others are for `make test-full`."""
    params = [
        pytest.param(each, marks=() if each in transports else pytest.mark.full) for each in ("cli", "rest")
    ]
    return pytest.mark.parametrize("stack", params, indirect=True, scope="module")


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, gateway: StackState) -> Iterator[StackState]:
    """The whole gateway, over a transport."""
    if request.param == "cli":
        yield gateway
    else:
        with transport(gateway, request.param):
            yield gateway


@dataclass
class Notices:
    """What a rule of somebody else's on the gateway's bus sends to their queue."""

    gateway: StackState
    queue_url: str
    read: list[dict[str, Any]] = field(default_factory=list)

    def about(self, detail_type: str, rule_id: str, key: dict[str, str]) -> list[dict[str, Any]]:
        """The details of the notices of a batch key so far, each once: they come at least once."""
        self.read += dead_letters(self.gateway, self.queue_url)
        found: list[dict[str, Any]] = []
        for each in self.read:
            if (each["detail-type"], each["detail"]["rule_id"]) != (detail_type, rule_id):
                continue
            if each["detail"]["key"] == key and each["detail"] not in found:
                found.append(each["detail"])
        return found


@pytest.fixture(scope="module")
def notices(gateway: StackState) -> Notices:
    queue = queue_that_takes(gateway, "batch-notices", "events.amazonaws.com")
    events = gateway.aws.client("events")
    pattern = {"source": ["mwaa-gateway"], "detail": {"rule_id": [{"prefix": "test."}]}}
    rule = {"EventBusName": gateway.event_bus_name}
    events.put_rule(Name="batch-notices", EventPattern=json.dumps(pattern), **rule)
    events.put_targets(Rule="batch-notices", Targets=[{"Id": "queue", "Arn": queue}], **rule)
    return Notices(gateway, gateway.aws.client("sqs").get_queue_url(QueueName="batch-notices")["QueueUrl"])


@pytest.fixture(scope="module")
def expected_day(stack: StackState, notices: Notices) -> tuple[str, str]:
    """A rule that expects a batch of today by the next full minute, in India, and that date; nothing arrives."""
    del notices  # hears of it
    now = dt.datetime.now(INDIA)
    due = (now + dt.timedelta(seconds=65)).replace(second=0)
    rule_id = f"test.expected-{uuid.uuid4().hex[:8]}"
    document = {
        "id": rule_id,
        "s3": f"s3://{stack.bucket}/expected/{rule_id}/*",
        "captures": {"detail.object.key": f"expected/{rule_id}/{{date}}/{{file}}"},
        "collect": {
            "key": ["<date>"],
            "max_wait": "1d",
            "complete_when": {"count": 1},
            "due": {"at": f"{due:%H:%M}", "date": "<date>", "timezone": "Asia/Kolkata"},
            "expected": "daily",
        },
        "targets": [
            {"id": "airflow-3", "environment": "analytics", "dag_id": "waiting"},
            {"id": "airflow-2", "environment": "legacy", "dag_id": "waiting"},
        ],
    }
    rule = parse_rule(document, environments=frozenset(stack.environments))
    RulesStore(stack.aws.client("dynamodb"), stack.rules_table).put(rule, by="tests", now=now)
    return rule_id, f"{due:%Y-%m-%d}"


@pytest.mark.guarantee(47, 48)
@pytest.mark.usefixtures("expected_day")
@pytest.mark.parametrize("number", [150, pytest.param(2_000, marks=pytest.mark.full)])
@over("cli", "rest")
def test_uploads_of_three_nights_are_three_runs_through_a_faulty_airflow(stack, number):
    """Each night's marker overtakes its files; each manifest lists every object of its night, once."""
    nights = [uuid.uuid4().hex for _ in range(NIGHTS)]
    keys = {
        night: [f"nightly/{night}/{file:04}.csv" for file in range(rank, number, NIGHTS)]
        for rank, night in enumerate(nights)
    }
    control = ControlClient(stack.mwaa_endpoint_url)
    control.clear_statistics()
    control.set_faults(FAULTS)
    try:
        upload(stack, [f"nightly/{night}/done-{len(files)}" for night, files in keys.items()])
        upload(stack, [f"nightly/{nights[file % NIGHTS]}/{file:04}.csv" for file in range(number)])
        for night in nights:
            wait_for_runs(stack, "test.nightly", night, seconds=120 + number / 10)
    finally:
        control.clear_faults()
    settle(stack)

    for name in stack.environments:
        assert control.statistics(environment=name)[name]["faults"]["lost_response"] > 0
        for night, files in keys.items():
            [detail] = details_of(stack, name, "test.nightly", night)
            assert (detail["reason"], detail["complete"], detail["count"]) == ("complete", True, len(files))
            assert Counter(line["key"] for line in manifest(stack, detail)) == Counter(files)


@pytest.mark.guarantee(47)
@pytest.mark.usefixtures("expected_day")
@over("rest")
def test_a_join_runs_once_when_both_feeds_are_there(stack):
    """Two files and an event of somebody else's, whose layouts have nothing in common but the day."""
    day = uuid.uuid4().hex
    put_event(stack, "acme.crm", {"day": day, "customers": 7})
    upload(stack, [f"join/{day}/a.csv", f"join/{day}/b.csv"])

    wait_for_runs(stack, "test.join", day)

    for name in stack.environments:
        [detail] = details_of(stack, name, "test.join", day)
        assert (detail["reason"], detail["complete"], detail["count"]) == ("complete", True, 3)
        lines = manifest(stack, detail)
        assert Counter((line["part"], line.get("key", "")) for line in lines) == Counter(
            [("orders", f"join/{day}/a.csv"), ("orders", f"join/{day}/b.csv"), ("customers", "")]
        )
        assert detail["members"] == [
            {name: value for name, value in line.items() if name != "member_id"} for line in lines
        ]


@pytest.mark.guarantee(49)
@pytest.mark.usefixtures("expected_day")
@over("cli")
def test_a_due_time_that_passes_is_reported_and_the_batch_runs_when_it_is_complete(stack, notices):
    """The report is an event in the queue of somebody who wrote a rule on the gateway's bus."""
    day = uuid.uuid4().hex
    key = {"day": day}
    upload(stack, [f"due/{day}/eu.csv", f"due/{day}/us.csv"])

    [overdue] = until(
        "the report", lambda: notices.about("Batch Overdue", "test.due", key), seconds=30, every=0.5
    )

    assert (overdue["missing"], overdue["count"], overdue["when_due"]) == (["apac"], 2, "report")
    assert runs_with(stack, "test.due", day) == {"analytics": 0, "legacy": 0}
    upload(stack, [f"due/{day}/apac.csv"])
    wait_for_runs(stack, "test.due", day)
    for name in stack.environments:
        [detail] = details_of(stack, name, "test.due", day)
        assert (detail["id"], detail["reason"], detail["complete"]) == (overdue["id"], "complete", True)
        assert len(manifest(stack, detail)) == 3
    [released] = until(
        "its release", lambda: notices.about("Batch Released", "test.due", key), seconds=30, every=0.5
    )
    assert released == {name: value for name, value in detail.items() if name != "members"}
    assert notices.about("Batch Overdue", "test.due", key) == [overdue]


@pytest.mark.guarantee(47)
@over("rest")
def test_a_late_member_is_a_dead_letter_if_the_rule_says_so(stack):
    """It starts nothing, and is in the ingress DLQ with its reason."""
    day = uuid.uuid4().hex
    dead_letters(stack, stack.ingress_dlq_url)  # what other tests have left
    upload(stack, [f"late/{day}/{file}" for file in range(2)])
    wait_for_runs(stack, "test.late", day)

    upload(stack, [f"late/{day}/2"])

    dead = until("the dead letter", lambda: dead_letters(stack, stack.ingress_dlq_url), seconds=30, every=0.5)
    assert {(each["reason"], each["member"]["item"]["key"]) for each in dead} == {
        ("late_member", f"late/{day}/2")
    }
    settle(stack)
    assert runs_with(stack, "test.late", day) == {"analytics": 1, "legacy": 1}
    for name in stack.environments:
        [detail] = details_of(stack, name, "test.late", day)
        assert {line["key"] for line in manifest(stack, detail)} == {f"late/{day}/0", f"late/{day}/1"}


@pytest.mark.full
@pytest.mark.guarantee(47)
@over("cli")
def test_a_rule_in_shadow_collects_and_starts_nothing(stack):
    """It sees the uploads of a rule that is live, and releases a batch of its own."""
    day = uuid.uuid4().hex
    upload(stack, [f"join/{day}/{file}.csv" for file in range(3)])

    released = until(
        "the shadow's batch",
        lambda: [
            line
            for line in log_lines(stack, "batch-releaser")
            if line.get("batch_key") == f"day={day}" and line.get("outcome") == "Released"
        ],
        seconds=60,
        every=0.5,
    )

    assert {(each["rule_id"], each["members"]) for each in released} == {("test.join-in-shadow~shadow", 3)}
    put_event(stack, "acme.crm", {"day": day})
    wait_for_runs(stack, "test.join", day)
    settle(stack)
    assert runs_with(stack, "test.join", day) == {"analytics": 1, "legacy": 1}
    assert runs_with(stack, "test.join-in-shadow*", "") == {"analytics": 0, "legacy": 0}


@pytest.mark.full
@pytest.mark.guarantee(47)
@over("cli")
def test_events_until_it_is_quiet_are_one_run(stack):
    """The same event delivered twice is one member; what comes after the release is in the next batch."""
    first, second = ([an_event(number) for number in numbers] for numbers in (range(20), range(20, 25)))
    sent = [event["id"] for event in [*first, *second]]
    for event in [*first, *first[:5]]:
        invoke(stack, event)
    until("the first run", lambda: runs_with(stack, "test.quiet", sent[0])["analytics"], seconds=60)
    for event in [*second, *first[5:10]]:
        invoke(stack, event)
    until("the second run", lambda: runs_with(stack, "test.quiet", sent[-1])["analytics"], seconds=60)

    ours = [
        run.conf
        for run in runs(stack, "analytics", "test.quiet")
        if {member["id"] for member in run.conf["members"]} & {*sent}
    ]
    assert sorted(conf["count"] for conf in ours) == [5, 20]
    members = Counter(member["id"] for conf in ours for member in conf["members"])
    assert members == Counter(sent)


@pytest.mark.full
@pytest.mark.guarantee(47)
@over("cli")
def test_a_batch_stays_open_across_a_redeployment_and_an_outage(stack):
    """Half a join is there when the stack is deployed again; the other half comes while Airflow refuses everything."""
    day = uuid.uuid4().hex
    control = ControlClient(stack.mwaa_endpoint_url)
    control.clear_statistics()
    upload(stack, [f"join/{day}/a.csv", f"join/{day}/b.csv"])
    with transport(stack, "rest"):
        control.set_faults(Faults(error_503=1.0, seed=1))
        try:
            put_event(stack, "acme.crm", {"day": day})
            for name in stack.environments:
                until("a refusal", lambda name=name: refusals(control, name), seconds=60, every=0.5)
        finally:
            control.clear_faults()
        wait_for_runs(stack, "test.join", day, seconds=180)

    for name in stack.environments:
        [detail] = details_of(stack, name, "test.join", day)
        assert (detail["reason"], detail["complete"], detail["count"]) == ("complete", True, 3)


def refusals(control: ControlClient, environment: str) -> int:
    return control.statistics(environment=environment)[environment]["faults"].get("error_503", 0)


@pytest.mark.guarantee(49)
@over("cli")
def test_an_expected_day_on_which_nothing_comes_is_reported_and_runs_when_it_comes(
    stack, expected_day, notices
):
    """The gateway opens the day's batch by itself; the file that comes at last is in it."""
    rule_id, date = expected_day
    [overdue] = until(
        "the report", lambda: notices.about("Batch Overdue", rule_id, {"date": date}), seconds=150, every=0.5
    )
    assert (overdue["missing"], overdue["count"]) == (["1 of 1 members"], 0)
    assert runs_with(stack, rule_id, "") == {"analytics": 0, "legacy": 0}

    upload(stack, [f"expected/{rule_id}/{date}/at-last.csv"])
    wait_for_runs(stack, rule_id, date)

    for name in stack.environments:
        [detail] = details_of(stack, name, rule_id, date)
        assert (detail["id"], detail["reason"], detail["complete"]) == (overdue["id"], "complete", True)
        assert [line["key"] for line in manifest(stack, detail)] == [f"expected/{rule_id}/{date}/at-last.csv"]
    assert notices.about("Batch Overdue", rule_id, {"date": date}) == [overdue]


# --- sending ------------------------------------------------------------------------------------------------


def upload(gateway: StackState, keys: list[str]) -> None:
    s3 = gateway.aws.client("s3")
    with ThreadPoolExecutor(8) as clients:
        list(clients.map(lambda key: s3.put_object(Bucket=gateway.bucket, Key=key, Body=b"1"), keys))


def put_event(gateway: StackState, source: str, detail: dict[str, Any]) -> None:
    entry = {"EventBusName": gateway.event_bus_name, "Source": source, "DetailType": "Customers Exported"}
    gateway.aws.client("events").put_events(Entries=[entry | {"Detail": json.dumps(detail)}])


def an_event(number: int) -> dict[str, Any]:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "source": "acme.quiet",
        "detail-type": "Order Placed",
        "account": "000000000000",
        "time": "2026-11-22T10:00:00Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": {"order": number},
    }


def invoke(gateway: StackState, event: dict[str, Any]) -> None:
    gateway.aws.client("lambda").invoke(
        FunctionName=f"{gateway.stack_name}-eventbridge-events",
        InvocationType="Event",
        Payload=json.dumps(event),
    )


# --- looking ------------------------------------------------------------------------------------------------


def wait_for_runs(gateway: StackState, rule_id: str, text: str, *, seconds: float = 60) -> None:
    """Wait until either Airflow has a run of the rule with a text in its conf."""
    until(
        f"a run of {rule_id} in either Airflow",
        lambda: all(runs_with(gateway, rule_id, text).values()),
        seconds=seconds,
        every=0.3,
    )


def runs_with(gateway: StackState, rule_id: str, text: str) -> dict[str, int]:
    """How many runs of the rule each Airflow's database has, with a text in their conf."""
    return {
        name: number_of_runs(gateway, name, rule_id, conf_has=text or "mwaa_gateway")
        for name in gateway.environments
    }


def details_of(gateway: StackState, environment: str, rule_id: str, value: str) -> list[dict[str, Any]]:
    """The batch in the conf of each run of the rule whose key has this value."""
    return [
        run.conf["mwaa_gateway"]["batch"]
        for run in runs(gateway, environment, rule_id)
        if value in run.conf["mwaa_gateway"]["batch"]["key"].values()
    ]


def manifest(gateway: StackState, detail: dict[str, Any]) -> list[dict[str, Any]]:
    bucket, _, key = detail["manifest"].removeprefix("s3://").partition("/")
    body = gateway.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return [json.loads(line) for line in gzip.decompress(body).splitlines()]


def log_lines(gateway: StackState, function: str) -> list[dict[str, Any]]:
    """What a function has logged in JSON."""
    pages = gateway.aws.client("logs").get_paginator("filter_log_events")
    group = f"/aws/lambda/{gateway.stack_name}-{function}"
    texts = [event["message"] for page in pages.paginate(logGroupName=group) for event in page["events"]]
    return [json.loads(text) for text in texts if text.startswith("{")]
