"""The gateway's story on real parts: functions, queues, tables, roles, and real Airflow 3 and 2.

`waiting` is a paused DAG, so its runs are accepted and counted without any task competing for the processor.
"""

import json
import os
import time
import uuid
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from local_stack.airflow_runs import DagRun
from local_stack.follow import SentEvent, follow
from local_stack.ledger import rows_about
from local_stack.mwaa import ControlClient, Faults
from local_stack.stack import redeploy
from local_stack.state import StackState
from looking import SECRET, dead_letters, number_of_runs, runs, settle, transport
from mwaa_gateway.aws.dynamodb.shadow_records import ShadowRecords
from mwaa_gateway.dispatch.dispatcher import LOOK_UPS
from polling import until

SHARE_OF_SLOTS = 3  # SlotsPerEnvironment's default
REST_SHARE = 8  # calls a second, RestShare's default
HOSTILE_NAMES = [
    "two  spaces and a + plus",
    "'single' \"double\" `back`",
    "new\nline\r\ttab",
    "emoji 😀 é ß 漢字",
    ";$(id)&&|>x<*?[a]{b}#!~",
    "--help",
    "-c",
    "%2F%20+%%",
    "back\\slash\\n",
    '{"conf": {"x": "${HOME}"}}',
    "<key>",
]


def test_each_source_reaches_a_run_that_succeeds(gateway):
    """By the example rules an upload, a notification and an event become one successful run each."""
    order, aws = uuid.uuid4().hex, gateway.aws
    now = time.time()
    upload(gateway, [f"orders/{order}.csv"])
    notified = aws.client("sns").publish(TopicArn=gateway.topic_arn, Message='{"export": "customers"}')
    [event_id] = put_events(
        gateway, "acme.ledger", "Business Day Closed", [{"business-day": "2026-11-22", "region": "emea"}]
    )
    events = [SentEvent(name, name, now) for name in (order, notified["MessageId"], event_id)]

    followed = follow(gateway, events, seconds=90)

    assert [(each.event.name, each.rule_id, each.dag_id, each.state) for each in followed] == [
        (order, "sales.orders-landing", "ingest_orders", "success"),
        (notified["MessageId"], "sales.customer-exports", "handle_notification", "success"),
        (event_id, "finance.business-day-closed", "nightly_report", "success"),
    ]


@pytest.mark.guarantee(1)
def test_both_routes_of_an_upload_are_one_run(gateway):
    """The bucket's notification and EventBridge's event of an upload are both taken in, and start one run."""
    key = f"faulty/two-routes-{uuid.uuid4().hex}"
    upload(gateway, [key])
    [row] = until("a ledger row", lambda: rows_about(gateway.aws, gateway.ledger_table, key), seconds=30)

    for function in ("s3-events", "eventbridge-events"):
        until(f"{function} to ask for the run", lambda f=function: logged(gateway, f, row.run_id), seconds=30)
    settle(gateway)

    assert [run.run_id for run in runs(gateway, "analytics", "test.faulty") if run.conf["key"] == key] == [
        row.run_id
    ]


@pytest.mark.guarantee(4)
def test_fifty_uploads_at_once_are_fifty_runs_on_either_airflow(gateway):
    """Distinct uploads to one DAG in one second: Airflow 2 by itself takes such runs for one another."""
    keys = keys_in("burst", 50)
    control = ControlClient(gateway.mwaa_endpoint_url)
    control.clear_statistics()

    upload(gateway, keys)

    for environment in gateway.environments:
        assert wait_for_keys(gateway, environment, "test.burst", keys, seconds=90) == Counter(keys)
    settle(gateway)
    for environment in gateway.environments:
        assert keys_of(runs(gateway, environment, "test.burst"), keys) == Counter(keys)
        assert_within_share(control, environment)


@pytest.mark.guarantee(1)
def test_the_same_event_five_times_is_one_run(gateway):
    """Whoever delivers again, at once or later, starts nothing more."""
    event = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "source": "acme.repeated",
        "detail-type": "Order Placed",
        "account": gateway.account_id,
        "time": "2026-11-22T10:00:00Z",
        "region": gateway.region,
        "resources": [],
        "detail": {"order": 1},
    }

    def deliver(_: int) -> None:
        invoke(gateway, "eventbridge-events", event)

    with ThreadPoolExecutor(5) as five:
        list(five.map(deliver, range(4)))
    until("the run", lambda: runs(gateway, "analytics", "test.repeated"), seconds=30)
    deliver(5)  # once more when it is all over
    until("five intakes", lambda: len(logged(gateway, "eventbridge-events", event["id"])) == 5, seconds=30)
    settle(gateway)

    assert len(runs(gateway, "analytics", "test.repeated")) == 1


def test_a_rule_reaches_each_of_two_environments(gateway):
    """Two targets of one rule, one event: a run in each environment, both succeed."""
    [event_id] = put_events(gateway, "acme.both", "Order Placed", [{}])

    def both():
        followed = follow(gateway, [SentEvent("both", event_id, 0)], seconds=0)
        return len(followed) == 2 and all(each.is_over for each in followed) and followed

    followed = until("both runs", both, seconds=60, every=0.5)
    assert {each.environment: each.state for each in followed} == {
        "analytics": "success",
        "legacy": "success",
    }


@pytest.mark.guarantee(29)
def test_hostile_keys_arrive_to_the_letter(gateway):
    """Whatever stands in a key is text in its run's conf, on either Airflow, never a word of a command."""
    keys = [f"hostile/{uuid.uuid4().hex}/{name}" for name in HOSTILE_NAMES]

    upload(gateway, keys)

    for environment in gateway.environments:
        assert wait_for_keys(gateway, environment, "test.hostile", keys, seconds=60) == Counter(keys)


def test_a_large_conf_waits_in_the_bucket_and_a_rule_in_shadow_starts_nothing(gateway):
    """By the roles that are deployed: ingress may write confs and shadows; the DAG is named by the event."""
    rows = [f"row {number}" for number in range(4_000)]
    [event_id] = put_events(gateway, "acme.large", "Rows", [{"rest": "ing", "rows": rows}])

    [run] = until("the run", lambda: runs(gateway, "analytics", "test.large"), seconds=30)

    assert set(run.conf) == {"mwaa_gateway"}
    bucket, key = run.conf["mwaa_gateway"]["conf_uri"].removeprefix("s3://").split("/", 1)
    assert key.startswith(f"analytics/{run.run_id}/")
    found = gateway.aws.client("s3").get_object(Bucket=bucket, Key=key)
    assert json.loads(found["Body"].read()) == {"rows": rows}
    shadows = ShadowRecords(gateway.aws.client("dynamodb"), gateway.ledger_table)
    [shadow] = until("the shadow", lambda: list(shadows.of_rule("test.large-in-shadow")), seconds=30)
    assert (shadow.event_id, shadow.dag_id, shadow.reason) == (event_id, "", "conf_too_large")
    assert runs(gateway, "legacy", "test.large-in-shadow") == []


@pytest.mark.guarantee(5)
def test_a_malformed_record_is_put_aside_and_its_neighbours_are_not(gateway):
    """The good records of a notification become runs; the bad one lies in the ingress DLQ with its reason."""
    dead_letters(gateway, gateway.ingress_dlq_url)  # what other tests have left
    payload = json.loads((Path(__file__).parents[2] / "events" / "s3_poison_among_good.json").read_text())
    marker = uuid.uuid4().hex
    for position, record in zip(("first", None, "third"), payload["Records"], strict=True):
        if position:
            record["s3"]["object"]["key"] = f"orders/{marker}-{position}.csv"

    invoke(gateway, "s3-events", payload)

    def good():
        keys = {row.identity for row in rows_about(gateway.aws, gateway.ledger_table, marker)}
        return len(keys) == 2 and keys

    until("the good records' requests", good, seconds=30)
    [dead] = until("the dead record", lambda: dead_letters(gateway, gateway.ingress_dlq_url), seconds=30)
    assert dead["reason"] == "malformed_event"
    assert dead["reason_text"]
    assert marker in json.dumps(dead["payload"])


@pytest.mark.guarantee(9)
def test_a_broken_rule_is_reported_and_the_others_fire(gateway):
    """A rule that somebody broke in the table itself stops no other, and the ingress DLQ names it."""
    table = gateway.aws.table(gateway.rules_table)
    partition = "acme.broken#Order Placed"
    broken = {"partition": partition, "sort": "rule#test.broken"}

    def moved() -> None:
        table.update_item(
            Key={"partition": partition, "sort": "head"},
            UpdateExpression="ADD generation :one",
            ExpressionAttributeValues={":one": 1},
        )

    table.put_item(Item=broken | {"id": "test.broken", "version": 3, "document": "{no"})
    moved()
    dead_letters(gateway, gateway.ingress_dlq_url)  # what other tests have left

    [event_id] = put_events(gateway, "acme.broken", "Order Placed", [{}])

    rows = until(
        "the good rule's run",
        lambda: [
            row for row in rows_about(gateway.aws, gateway.ledger_table, event_id) if row.state == "triggered"
        ],
        seconds=30,
    )
    assert [row.rule_id for row in rows] == ["test.beside-a-broken-one"]
    [dead] = until("the report", lambda: dead_letters(gateway, gateway.ingress_dlq_url), seconds=30)
    assert (dead["reason"], dead["rule_id"], dead["rule_version"]) == ("broken_rule", "test.broken", 3)
    assert dead["event_id"] == event_id

    table.delete_item(Key=broken)  # other tests send such events, too
    moved()


@pytest.mark.guarantee(7)
def test_what_lambda_gave_up_runs_without_anybody(gateway):
    """The function fails three times, as in an outage; its on-failure record is taken in by queued_events: one run."""
    event_id = str(uuid.uuid4())
    event = {
        "version": "0",
        "id": event_id,
        "source": "acme.given-up",
        "detail-type": "Order Placed",
        "account": gateway.account_id,
        "time": "2026-11-22T10:00:00Z",
        "region": gateway.region,
        "resources": [],
        "detail": {},
    }
    with settings_of(gateway, "eventbridge-events", RULES_TABLE="a-table-that-is-away"):
        # By MiniStack's own queue, which tries again after 1 and 2 s: from a bus or a topic it does not try again.
        invoke(gateway, "eventbridge-events", event)
        until(
            "the run's request",
            lambda: rows_about(gateway.aws, gateway.ledger_table, event_id),
            seconds=30,
        )
    assert logged(gateway, "eventbridge-events", event_id) == []
    until("the log line about it", lambda: logged(gateway, "queued-events", event_id), seconds=30)
    settle(gateway)

    assert len(runs(gateway, "analytics", "test.given-up")) == 1
    assert dead_letters(gateway, gateway.ingress_dlq_url) == []


def test_a_queue_that_collects_uploads_is_read_once_it_is_listed(gateway):
    """A bucket of the user's notifies a queue of the user's: put aside while the queue is not listed, then a run."""
    sqs, s3, lambda_ = (gateway.aws.client(name) for name in ("sqs", "s3", "lambda"))
    queue = f"arn:aws:sqs:{gateway.region}:{gateway.account_id}:collected"
    from_s3 = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [from_s3 | {"Resource": queue}]}
    queue_url = sqs.create_queue(QueueName="collected", Attributes={"Policy": json.dumps(policy)})["QueueUrl"]
    function = f"{gateway.stack_name}-queued-events"
    s3.create_bucket(Bucket="collected", CreateBucketConfiguration={"LocationConstraint": gateway.region})
    s3.put_bucket_notification_configuration(
        Bucket="collected",
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": queue, "Events": ["s3:ObjectCreated:*"]}]
        },
    )
    dead_letters(gateway, queue_url)  # S3's test event
    mapping = lambda_.create_event_source_mapping(
        FunctionName=function, EventSourceArn=queue, FunctionResponseTypes=["ReportBatchItemFailures"]
    )
    try:
        s3.put_object(Bucket="collected", Key="too early.csv", Body=b"1")
        [dead] = until("the report", lambda: dead_letters(gateway, gateway.ingress_dlq_url), seconds=30)
        assert "is not in EventQueueArns" in dead["reason_text"]
        with settings_of(gateway, "queued-events", EVENT_QUEUE_ARNS=queue):
            s3.put_object(Bucket="collected", Key="in time.csv", Body=b"1")
            [row] = until(
                "the upload's request",
                lambda: rows_about(gateway.aws, gateway.ledger_table, "in time.csv"),
                seconds=30,
            )
    finally:
        lambda_.delete_event_source_mapping(UUID=mapping["UUID"])
    settle(gateway)
    assert [run.run_id for run in runs(gateway, "analytics", "test.collected")] == [row.run_id]


@pytest.fixture
def over_rest(gateway):
    """The same stack with both environments on InvokeRestApi, and back to CLI tokens afterwards."""
    with transport(gateway, "rest"):
        control = ControlClient(gateway.mwaa_endpoint_url)
        control.clear_statistics()
        yield control
        control.clear_faults()


@pytest.mark.guarantee(4, 41)
def test_fifty_uploads_at_once_over_rest_are_fifty_runs_on_either_airflow(gateway, over_rest):
    """No token and no command: ten calls a second of MWAA's REST API, and one of them for each run."""
    keys = keys_in("burst", 50)

    upload(gateway, keys)

    for environment in gateway.environments:
        wait_for_keys(gateway, environment, "test.burst", keys, seconds=90)
    settle(gateway)
    for environment in gateway.environments:
        assert keys_of(runs(gateway, environment, "test.burst"), keys) == Counter(keys)
        seen = assert_within_pace(over_rest, environment)
        # An upload's two messages may be worked on at once: the second then looks for what the first is about to start.
        # Each sandbox asks for Airflow's version once.
        assert 50 <= seen["rest_calls"] <= 50 + 50 * LOOK_UPS + SHARE_OF_SLOTS


@pytest.mark.guarantee(41)
@pytest.mark.parametrize("number", [20, pytest.param(60, marks=pytest.mark.full)])
def test_uploads_over_rest_survive_a_faulty_airflow(gateway, over_rest, number):
    """A tenth refused with 503, a quarter done without an answer: a run each on either, none twice, none dead."""
    keys = keys_in("burst", number)
    over_rest.set_faults(
        Faults(error_503=0.1, lost_response=0.15, reset_after=0.05, garbled=0.05, reset_before=0.05, seed=11)
    )

    upload(gateway, keys)

    for environment in gateway.environments:
        wait_for_keys(gateway, environment, "test.burst", keys, seconds=300)
    over_rest.clear_faults()
    settle_without_duplicates(gateway, {os.path.commonpath(keys): 2 * len(keys)})
    for name, environment in gateway.environments.items():
        assert keys_of(runs(gateway, name, "test.burst"), keys) == Counter(keys)
        assert dead_letters(gateway, environment.trigger_dlq_url) == []
        assert_within_pace(over_rest, name)


@pytest.fixture
def over_web(gateway):
    """The same stack with both environments on a web login, with CLI tokens as the fallback."""
    with transport(gateway, "web/cli"):
        control = ControlClient(gateway.mwaa_endpoint_url)
        control.clear_statistics()
        yield control
        control.clear_faults()


@pytest.mark.guarantee(4, 51)
@pytest.mark.parametrize("number", [20, pytest.param(200, marks=pytest.mark.full)])
def test_uploads_over_a_web_login_survive_a_faulty_airflow(gateway, over_web, number):
    """Sessions end, calls are refused or lose their answer: a run each on either, with few logins.

    A new session that Airflow refuses too is a refused login: then runs come over CLI tokens for a minute.
    """
    keys = keys_in("burst", number)
    over_web.set_faults(
        Faults(error_503=0.1, lost_response=0.1, reset_after=0.05, garbled=0.05, expired_token=0.02, seed=11)
    )

    upload(gateway, keys)

    for environment in gateway.environments:
        wait_for_keys(gateway, environment, "test.burst", keys, seconds=300)
    over_web.clear_faults()
    settle_without_duplicates(gateway, {os.path.commonpath(keys): 2 * len(keys)})
    statistics = over_web.statistics()
    for name, environment in gateway.environments.items():
        assert keys_of(runs(gateway, name, "test.burst"), keys) == Counter(keys)
        assert dead_letters(gateway, environment.trigger_dlq_url) == []
        seen = statistics[name]
        assert seen["rest_calls"] == 0
        assert 0 < seen["web_calls"]
        assert number <= seen["web_calls"] + seen["commands"]
        assert seen["web_logins"] < number


@pytest.mark.full
@pytest.mark.guarantee(51)
def test_a_dispatcher_whose_login_is_denied_uses_the_fallback(gateway, over_web):
    """IAM denies the token: the run starts over CLI tokens, the log says why, and the alarm's metric counts."""
    iam, dispatcher = gateway.aws.client("iam"), gateway.environments["legacy"].dispatcher
    configuration = gateway.aws.client("lambda").get_function_configuration(FunctionName=dispatcher)
    policy = {"RoleName": configuration["Role"].rpartition("/")[2], "PolicyName": "dispatcher"}
    allowed = iam.get_role_policy(**policy)["PolicyDocument"]
    without_login = [each for each in allowed["Statement"] if each["Action"] != "airflow:CreateWebLoginToken"]
    assert len(without_login) < len(allowed["Statement"])
    iam.put_role_policy(**policy, PolicyDocument=json.dumps({**allowed, "Statement": without_login}))
    keys = keys_in("burst", 2)
    try:
        upload(gateway, keys)
        for environment in gateway.environments:
            wait_for_keys(gateway, environment, "test.burst", keys, seconds=90)
    finally:
        iam.put_role_policy(**policy, PolicyDocument=json.dumps(allowed))
    settle(gateway)
    statistics = over_web.statistics()
    assert statistics["analytics"]["commands"] == 0
    assert statistics["legacy"]["commands"] >= len(keys)
    assert statistics["legacy"]["web_calls"] == 0
    for environment in gateway.environments:
        assert keys_of(runs(gateway, environment, "test.burst"), keys) == Counter(keys)
    warnings = logged(gateway, "dispatcher-legacy", "requests use the fallback cli")
    assert any("airflow:CreateWebLoginToken" in warning for warning in warnings)
    assert logged(gateway, "dispatcher-legacy", "WebLoginRefused")


@pytest.mark.full
@pytest.mark.guarantee(51)
def test_the_transport_changes_in_mid_storm(gateway):
    """cli, rest, web and cli again while requests wait and a sixth of the answers are lost: a run each, none twice."""
    folder, keys = Path(gateway.log_folder).parent, keys_in("burst", 80)
    control = ControlClient(gateway.mwaa_endpoint_url)
    control.clear_statistics()
    control.set_faults(
        Faults(lost_response=0.1, reset_after=0.05, error_503=0.05, seed=5, latency_milliseconds=300)
    )
    prefix = os.path.commonpath(keys)
    try:
        upload(gateway, keys)
        for share, name in ((0.1, "rest"), (0.4, "web/rest"), (0.7, "cli")):
            for each in gateway.environments:
                until(
                    f"{share:.0%} of the runs of {each}",
                    lambda each=each, share=share: (
                        number_of_runs(gateway, each, "test.burst", prefix) >= share * len(keys)
                    ),
                    seconds=180,
                    every=0.2,
                )
            environments = {
                each: replace(state, transport=name) for each, state in gateway.environments.items()
            }
            redeploy(replace(gateway, environments=environments), folder)
        for each in gateway.environments:
            wait_for_keys(gateway, each, "test.burst", keys, seconds=300)
    finally:
        control.clear_faults()
        redeploy(gateway, folder)
    settle_without_duplicates(gateway, {prefix: 2 * len(keys)})
    for name, environment in gateway.environments.items():
        assert keys_of(runs(gateway, name, "test.burst"), keys) == Counter(keys)
        assert dead_letters(gateway, environment.trigger_dlq_url) == []
        seen = control.statistics()[name]
        assert min(seen["commands"], seen["rest_calls"], seen["web_calls"]) > 0


def test_a_dispatcher_may_not_call_another_environments_rest_api(gateway, over_rest):
    """Its role names one role of Airflow's in its own environment: there it may, elsewhere not."""
    del over_rest
    mwaa = mwaa_as_dispatcher(gateway, "legacy")
    version = {"Path": "/version", "Method": "GET"}

    assert mwaa.invoke_rest_api(Name="legacy", **version)["RestApiResponse"]["version"] == "2.11.2"
    with pytest.raises(mwaa.exceptions.AccessDeniedException, match="No Airflow role granted in IAM"):
        mwaa.invoke_rest_api(Name="analytics", **version)


def test_a_dispatcher_may_not_ask_for_another_environments_token(gateway):
    """The local MWAA checks roles: the dispatcher of one environment is refused at the next one's door."""
    mwaa = mwaa_as_dispatcher(gateway, "legacy")

    assert mwaa.create_cli_token(Name="legacy")["CliToken"]
    with pytest.raises(mwaa.exceptions.ClientError, match="AccessDenied"):
        mwaa.create_cli_token(Name="analytics")


@pytest.mark.guarantee(17, 18)
@pytest.mark.parametrize("number", [20, pytest.param(100, marks=pytest.mark.full)])
def test_uploads_survive_a_faulty_web_server(gateway, number):
    """A fifth refused, a fifth done without an answer: a run for each upload on either Airflow, none twice, none dead.

    The last few are not waited for as long as the faults have put them off, but delivered again.
    """
    sent = {
        "analytics": ("test.faulty", keys_in("faulty", number)),
        "legacy": ("test.faulty-2", keys_in("faulty-2", number)),
    }
    dead_letter_queues = [each.trigger_dlq_url for each in gateway.environments.values()]
    for queue_url in (gateway.ingress_dlq_url, *dead_letter_queues):
        dead_letters(gateway, queue_url)  # what other tests have left
    control = ControlClient(gateway.mwaa_endpoint_url)
    control.clear_statistics()
    control.set_faults(Faults(error_503=0.2, lost_response=0.2, seed=7))
    try:
        upload(gateway, [key for _, keys in sent.values() for key in keys])
        for environment, (rule_id, keys) in sent.items():
            wait_for_keys(gateway, environment, rule_id, keys, seconds=300, number=len(keys) - len(keys) // 4)
    finally:
        control.clear_faults()
    for environment, (rule_id, keys) in sent.items():
        deliver_again_what_is_put_off(gateway, keys)
        wait_for_keys(gateway, environment, rule_id, keys, seconds=300)
    settle_without_duplicates(gateway, {os.path.commonpath(keys): len(keys) for _, keys in sent.values()})

    for environment, (rule_id, keys) in sent.items():
        assert keys_of(runs(gateway, environment, rule_id), keys) == Counter(keys)
        faults = assert_within_share(control, environment)
        assert {name for name, times in faults.items() if times > 0} == {"error_503", "lost_response"}
    for queue_url in (gateway.ingress_dlq_url, *dead_letter_queues):
        assert dead_letters(gateway, queue_url) == []


@pytest.mark.guarantee(32)
def test_no_token_is_in_any_log_or_queue(gateway):
    """After all of the above, nothing that looks like a CLI token or a bearer is written down anywhere."""
    mwaa = boto3.client(
        "mwaa",
        endpoint_url=gateway.mwaa_endpoint_url,
        region_name=gateway.region,
        aws_access_key_id=gateway.credentials["access_key_id"],
        aws_secret_access_key=gateway.credentials["secret_access_key"],
        config=Config(inject_host_prefix=False),
    )
    assert SECRET.fullmatch(mwaa.create_cli_token(Name="analytics")["CliToken"])

    folder = Path(gateway.log_folder).parent
    texts = {str(path): path.read_text(errors="replace") for path in folder.rglob("*.log")}
    texts |= {group: "\n".join(messages) for group, messages in all_function_logs(gateway).items()}
    found = {name: finding.group()[:8] for name, text in texts.items() if (finding := SECRET.search(text))}

    assert any("dispatcher" in name and "run started" in text for name, text in texts.items())
    assert found == {}


# --- sending ------------------------------------------------------------------------------------------------


def keys_in(folder: str, number: int) -> list[str]:
    """So many new keys, in a folder of their own."""
    marker = uuid.uuid4().hex
    return [f"{folder}/{marker}/{each}" for each in range(number)]


def upload(gateway: StackState, keys: Iterable[str]) -> None:
    """One object for each key, as fast as eight clients can."""
    s3 = gateway.aws.client("s3")
    with ThreadPoolExecutor(8) as clients:
        list(clients.map(lambda key: s3.put_object(Bucket=gateway.bucket, Key=key, Body=b"1"), keys))


def put_events(gateway: StackState, source: str, detail_type: str, details: list[dict]) -> list[str]:
    """Events on the gateway's own bus; their ids."""
    answer = gateway.aws.client("events").put_events(
        Entries=[
            {
                "EventBusName": gateway.event_bus_name,
                "Source": source,
                "DetailType": detail_type,
                "Detail": json.dumps(detail),
            }
            for detail in details
        ]
    )
    return [entry["EventId"] for entry in answer["Entries"]]


@contextmanager
def settings_of(gateway: StackState, function: str, **changed: str) -> Iterator[None]:
    """Other settings for one function, for as long as it lasts."""
    lambda_ = gateway.aws.client("lambda")
    name = f"{gateway.stack_name}-{function}"
    before = lambda_.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    lambda_.update_function_configuration(FunctionName=name, Environment={"Variables": before | changed})
    try:
        yield
    finally:
        lambda_.update_function_configuration(FunctionName=name, Environment={"Variables": before})


def invoke(gateway: StackState, function: str, payload: dict) -> None:
    """What a source does: an asynchronous invocation."""
    gateway.aws.client("lambda").invoke(
        FunctionName=f"{gateway.stack_name}-{function}",
        InvocationType="Event",
        Payload=json.dumps(payload).encode(),
    )


def mwaa_as_dispatcher(gateway: StackState, environment: str):
    """MWAA's API with the credentials of an environment's dispatcher."""
    role = gateway.aws.client("lambda").get_function(
        FunctionName=gateway.environments[environment].dispatcher
    )
    assumed = gateway.aws.client("sts").assume_role(
        RoleArn=role["Configuration"]["Role"], RoleSessionName="as-the-dispatcher"
    )["Credentials"]
    return boto3.client(
        "mwaa",
        endpoint_url=gateway.mwaa_endpoint_url,
        region_name=gateway.region,
        aws_access_key_id=assumed["AccessKeyId"],
        aws_secret_access_key=assumed["SecretAccessKey"],
        aws_session_token=assumed["SessionToken"],
        config=Config(inject_host_prefix=False),
    )


# --- looking ------------------------------------------------------------------------------------------------


def keys_of(found: list[DagRun], keys: list[str]) -> Counter[str]:
    """How many runs have each of `keys` in their conf."""
    wanted = set(keys)
    return Counter(run.conf["key"] for run in found if run.conf["key"] in wanted)


def wait_for_keys(
    gateway: StackState,
    environment: str,
    rule_id: str,
    keys: list[str],
    *,
    seconds: float,
    number: int | None = None,
) -> Counter:
    """Wait for as many runs as there are keys, or for a number, all in a folder of their own; how many each key has."""
    marker, wanted = os.path.commonpath(keys), number or len(keys)
    until(
        f"{wanted} runs of {rule_id} in {environment}",
        lambda: number_of_runs(gateway, environment, rule_id, conf_has=marker) >= wanted,
        seconds=seconds,
        every=0.3,
    )
    return keys_of(runs(gateway, environment, rule_id), keys)


def deliver_again_what_is_put_off(gateway: StackState, keys: list[str]) -> None:
    """Send each request of these keys that was not started yet once more: after many faults it waits for minutes."""
    sqs, pages = gateway.aws.client("sqs"), gateway.aws.client("dynamodb").get_paginator("scan")
    put_off = pages.paginate(
        TableName=gateway.ledger_table,
        FilterExpression="contains(#identity, :folder) AND #state = :open",
        ExpressionAttributeNames={"#identity": "identity", "#state": "state"},
        ExpressionAttributeValues={":folder": {"S": os.path.commonpath(keys)}, ":open": {"S": "open"}},
        ConsistentRead=True,
    )
    for item in (item for page in put_off for item in page["Items"]):
        queue = gateway.environments[item["environment"]["S"]].trigger_queue_url
        sqs.send_message(QueueUrl=queue, MessageBody=zlib.decompress(item["request_body"]["B"]).decode())


def settle_without_duplicates(gateway: StackState, requests: dict[str, int], *, seconds: float = 120) -> None:
    """Wait until the ledger says that each request was started, by folder so many, and for nobody who hears of it later.

    An upload comes by two routes: after many faults the second message may be put off for five minutes.
    """

    def all_started(folder: str, number: int) -> bool:
        rows = rows_about(gateway.aws, gateway.ledger_table, folder)
        return len(rows) == number and {row.state for row in rows} == {"triggered"}

    for each in requests.items():
        until("every request's start in the ledger", partial(all_started, *each), seconds=seconds, every=1)
    for environment in gateway.environments.values():
        gateway.aws.client("sqs").purge_queue(QueueUrl=environment.trigger_queue_url)
    settle(gateway)


def logged(gateway: StackState, function: str, text: str) -> list[str]:
    """The lines of a function's log that contain `text`."""
    group = f"/aws/lambda/{gateway.stack_name}-{function}"
    return [line for line in log_lines(gateway, group) if text in line]


def all_function_logs(gateway: StackState) -> dict[str, list[str]]:
    """Every line of every function's log group."""
    groups = gateway.aws.client("logs").describe_log_groups()["logGroups"]
    return {group["logGroupName"]: log_lines(gateway, group["logGroupName"]) for group in groups}


def log_lines(gateway: StackState, group: str) -> list[str]:
    pages = gateway.aws.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    return [event["message"] for page in pages for event in page["events"]]


def assert_within_share(control: ControlClient, environment: str) -> dict[str, int]:
    """Airflow was not overrun since the statistics were cleared; the faults that happened meanwhile."""
    statistics = control.statistics(environment=environment)[environment]
    assert 1 <= statistics["most_commands_at_once"] <= SHARE_OF_SLOTS
    assert statistics["refused_no_free_slot"] == 0
    return statistics["faults"]


def assert_within_pace(control: ControlClient, environment: str) -> dict:
    """RestShare was kept, and nothing went another way; the statistics.

    What sandboxes save while they have nothing to do is the calls of one second. A busy machine lets calls catch up with
    each other on their way here: of the whole time, a second more.
    """
    statistics = control.statistics(environment=environment)[environment]
    assert statistics["rest_calls"] <= REST_SHARE * (statistics["seconds_of_rest_calls"] + 2)
    assert (statistics["commands"], statistics["tokens_issued"]) == (0, 0)
    return statistics
