"""The command `environments certify`: what it asks with the operator's credentials, what it removes, and what it says."""

import base64
import io
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.client import BaseClient
from botocore.exceptions import ClientError, EndpointConnectionError
from click.testing import CliRunner, Result

from fakes.rules_table import RULES_TABLE
from fakes.web_server import Answer, WebServerScript
from gateway_cli.certify.canary import CANARY_DAG_ID
from gateway_cli.certify.gateway_probe import DETAIL_TYPE, SOURCE, GatewayProbe
from gateway_cli.certify.questions import IDS
from gateway_cli.certify.sources import Sources
from gateway_cli.main import cli
from gateway_cli.namespaces.store import NamespacesStore, StoredNamespace
from gateway_cli.rules.store import RulesStore
from integration.operated import Gateway
from integration.scripted_mwaa import server
from mwaa_gateway.dead_events import DeadEventReason
from mwaa_gateway.events.event import Event
from mwaa_gateway.outcomes import Reason, Rejected, Retryable, Triggered
from mwaa_gateway.routing.resolve import Resolved, resolve
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.rules.allow_lists import Namespace
from mwaa_gateway.trigger_request import identity_of

__all__ = ["server"]

ACCOUNT = "123456789012"
BUS, TOPIC = "mwaa-gateway-events", f"arn:aws:sns:eu-west-1:{ACCOUNT}:mwaa-gateway-events"
MACHINE = f"arn:aws:states:eu-west-1:{ACCOUNT}:stateMachine:canary"
NEVER = "never"  # an answer's text that stands for: nothing comes back


@dataclass
class Account:
    """AWS around the gateway: MWAA, Airflow over REST, Step Functions, and what the gateway makes of an event."""

    gateway: Gateway
    refuse: dict[str, str] = field(default_factory=dict)  # operation -> error code
    airflow_runs: set[str] = field(default_factory=set)
    dags: list[str] = field(default_factory=lambda: [CANARY_DAG_ID])
    executions: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    outcome: Any = field(default_factory=Triggered)
    interrupted_by: str = ""
    target: str | None = None
    filtered: bool = False
    deaf: bool = False
    wants_date: bool = False  # as Airflow 3 does

    def answer(self, operation: str, params: dict[str, Any], ask: Callable[[], Any]) -> Any:
        """Answer a call of AWS."""
        self.asked.append((operation, params))
        if operation == self.interrupted_by:
            self.interrupted_by = ""
            raise KeyboardInterrupt
        if (code := self.refuse.get(operation)) == NEVER:
            raise EndpointConnectionError(endpoint_url="https://x")
        if code:
            response: Any = {
                "Error": {"Code": code, "Message": f"no {operation}"},
                "ResponseMetadata": {"HTTPStatusCode": 403},
            }
            raise ClientError(response, operation)
        own = getattr(self, f"_{xform_name(operation)}", None)
        return own(params) if own is not None else ask()

    def _get_environment(self, params: dict[str, Any]) -> Any:  # noqa: ARG002
        return {"Environment": {"Status": "AVAILABLE", "AirflowVersion": "2.10.3", "Name": "acme"}}

    def _invoke(self, params: dict[str, Any]) -> Any:  # noqa: ARG002
        dags = {"runnable": self.dags, "paused": [], "stale": [], "count": len(self.dags)}
        return {"Payload": io.BytesIO(json.dumps({"format": 1, "dags": dags}).encode())}

    def _invoke_rest_api(self, params: dict[str, Any]) -> Any:
        path, body = params["Path"], params.get("Body", {})
        if path.endswith("/list"):
            rows = [
                {"dag_id": CANARY_DAG_ID, "dag_run_id": run}
                for run in body["dag_run_ids"]
                if run in self.airflow_runs
            ]
            return {"RestApiStatusCode": 200, "RestApiResponse": {"task_instances": rows}}
        if params["Method"] == "GET":
            return {"RestApiStatusCode": 200, "RestApiResponse": {"dag_runs": []}}
        dag_id, run_id = path.split("/")[2], body["dag_run_id"]
        if dag_id != CANARY_DAG_ID:
            raise airflow_error(404, f"DAG with dag_id: '{dag_id}' not found")
        if self.wants_date and "logical_date" not in body:
            raise airflow_error(
                422, [{"type": "missing", "loc": ["body", "logical_date"], "msg": "Field required"}]
            )
        if body["conf"].get("seconds") == "no number":
            raise airflow_error(400, "Invalid input for param seconds: not an integer")
        if run_id in self.airflow_runs:
            text = f"DAGRun with DAG ID: '{dag_id}' and DAGRun ID: '{run_id}' already exists"
            raise airflow_error(409, text)
        self.airflow_runs.add(run_id)
        return {"RestApiStatusCode": 200, "RestApiResponse": {**body, "dag_id": dag_id}}

    def _put_events(self, params: dict[str, Any]) -> Any:
        event_id, detail = f"e-{len(self.asked)}", json.loads(params["Entries"][0]["Detail"])
        entry = params["Entries"][0]
        assert (entry["EventBusName"], entry["Source"], entry["DetailType"]) == (BUS, SOURCE, DETAIL_TYPE)
        if "unusable" in detail and not self.deaf:
            self.gateway.publish(
                DeadEventReason.DEDUPE_KEY_REFUSED, event=Event(an_event(event_id, detail), "i")
            )
        if "undelivered" in detail and self.target is not None:
            body = json.dumps(
                {"id": event_id, "detail-type": DETAIL_TYPE, "source": SOURCE, "detail": detail}
            )
            self.gateway.send("ingress-dlq", body, TARGET_ARN=self.target, ERROR_CODE="NO_PERMISSIONS")
        if "stamp" in detail:
            self.becomes("events", Event(an_event(event_id, detail), identity_of("eventbridge", event_id)))
        return {"FailedEntryCount": 0, "Entries": [{"EventId": event_id}]}

    def _publish(self, params: dict[str, Any]) -> Any:
        message_id = f"m-{len(self.asked)}"
        if self.filtered and "MessageAttributes" in params:
            self.gateway.send("ingress-dlq", json.dumps({"TopicArn": TOPIC, "MessageId": message_id}))
        else:
            detail = {"topic-arn": TOPIC, "message-id": message_id, "message": json.loads(params["Message"])}
            envelope = an_event(message_id, detail, "aws.sns", "Notification")
            self.becomes("sns", Event(envelope, identity_of("sns", TOPIC, message_id)))
        return {"MessageId": message_id}

    def _put_object(self, params: dict[str, Any]) -> Any:
        key = params["Key"]
        detail = {"bucket": {"name": params["Bucket"]}, "object": {"key": key, "size": 0}}
        envelope = an_event("s3-1", detail, "aws.s3", "Object Created")
        self.becomes("s3", Event(envelope, identity_of("s3", key)))
        return {}

    def _delete_object(self, params: dict[str, Any]) -> Any:  # noqa: ARG002
        return {}

    def _list_rules(self, params: dict[str, Any]) -> Any:  # noqa: ARG002
        return {"Rules": [{"Name": "mwaa-gateway-EventBusRule-1"}, {"Name": "other"}]}

    def _put_targets(self, params: dict[str, Any]) -> Any:
        [target] = params["Targets"]
        self.target = target["Arn"]
        return {"FailedEntryCount": 0}

    def _remove_targets(self, params: dict[str, Any]) -> Any:  # noqa: ARG002
        self.target = None
        return {"FailedEntryCount": 0}

    def _subscribe(self, params: dict[str, Any]) -> Any:  # noqa: ARG002
        self.filtered = True
        return {"SubscriptionArn": f"{TOPIC}:1"}

    def _unsubscribe(self, params: dict[str, Any]) -> Any:  # noqa: ARG002
        self.filtered = False
        return {}

    def _start_execution(self, params: dict[str, Any]) -> Any:  # noqa: ARG002
        return {"executionArn": MACHINE.replace("stateMachine", "execution") + ":1"}

    def _describe_execution(self, params: dict[str, Any]) -> Any:  # noqa: ARG002
        return self.executions.pop(0) if len(self.executions) > 1 else self.executions[0]

    def _stop_execution(self, params: dict[str, Any]) -> Any:  # noqa: ARG002
        return {}

    def _get_metric_data(self, params: dict[str, Any]) -> Any:  # noqa: ARG002
        return {"MetricDataResults": [{"Id": "dropped", "Values": []}]}

    def becomes(self, kind: str, event: Event) -> None:
        """The gateway takes an event in by the rule that was written, and the request ends as `outcome` says."""
        store = RulesStore(self.gateway.dynamodb, RULES_TABLE)
        stored = store.get(f"certify.analytics-{kind}")
        rule = parse_rule(json.loads(stored.document), environments={"analytics"}, version=stored.version)
        [resolved] = resolve(event, rule, now=time.time())
        assert isinstance(resolved, Resolved), resolved
        if self.deaf:
            return
        refused = resolved.request.target.conf.get("seconds") == "no number"
        self.gateway.airflow.answers = [
            Rejected(Reason.CONF_REFUSED, "no number") if refused else self.outcome
        ]
        self.gateway.dispatch(resolved.request.to_json())


def an_event(
    event_id: str, detail: dict[str, Any], source: str = SOURCE, detail_type: str = DETAIL_TYPE
) -> dict[str, Any]:
    """An event in EventBridge's envelope."""
    return {
        "version": "0",
        "id": event_id,
        "source": source,
        "detail-type": detail_type,
        "account": ACCOUNT,
        "time": "2026-11-29T09:15:00Z",
        "region": "eu-west-1",
        "resources": [],
        "detail": detail,
    }


def airflow_error(status: int, detail: object) -> ClientError:
    """What InvokeRestApi raises where Airflow answers with 4xx."""
    response: Any = {
        "Error": {"Code": "RestApiClientException", "Message": ""},
        "ResponseMetadata": {"HTTPStatusCode": 400},
        "RestApiStatusCode": status,
        "RestApiResponse": {"detail": detail},
    }
    return ClientError(response, "InvokeRestApi")


@pytest.fixture
def account(operated: Gateway, monkeypatch: pytest.MonkeyPatch) -> Account:
    """The account, and a command that does not wait for long."""
    account = Account(operated)
    operated.outputs |= {
        "EventBusName": BUS,
        "EventBusArn": f"arn:aws:events:eu-west-1:{ACCOUNT}:event-bus/{BUS}",
        "TopicArn": TOPIC,
        "DoctorFunctionName": "mwaa-gateway-doctor",
        "LandingBucketName": "acme-landing",
        "StepFunctionsTaskFunctionArn": f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:mwaa-gateway-task",
    }
    operated.parameters |= {"MwaaEnvironmentName": "acme-{environment}"}
    ask_aws = BaseClient._make_api_call
    monkeypatch.setattr(
        BaseClient,
        "_make_api_call",
        lambda self, operation, params: account.answer(
            operation, params, lambda: ask_aws(self, operation, params)
        ),
    )
    monkeypatch.setattr(GatewayProbe, "again_seconds", 0.01)
    monkeypatch.setattr(GatewayProbe, "poll_seconds", 0.01)
    return account


@pytest.fixture
def certify(account: Account, tmp_path: Path) -> Callable[..., Result]:  # noqa: ARG001  AWS is there first
    """Run the command for `analytics`; the report goes to report.json."""

    def certify(*words: str) -> Result:
        options = ["--report", str(tmp_path / "report.json"), "--patience", "1s"]
        return CliRunner(mix_stderr=False).invoke(
            cli, ["environments", "certify", "analytics", *options, *words], catch_exceptions=False
        )

    return certify


def verdicts(tmp_path: Path) -> dict[str, str]:
    """What the report says: question -> verdict."""
    report = json.loads((tmp_path / "report.json").read_text())
    return {each["id"]: each["verdict"] for each in report["questions"]}


def rules_left(account: Account) -> list[str]:
    return [rule.id for rule in RulesStore(account.gateway.dynamodb, RULES_TABLE).list()]


def done(account: Account, operation: str) -> int:
    return sum(name == operation for name, _ in account.asked)


def only(*ids: str) -> list[str]:
    return [word for each in ids for word in ("--only", each)]


def test_all_is_well(account: Account, certify: Callable[..., Result], tmp_path: Path) -> None:
    """Everything passes, over REST, and what was made is removed again; the report names nothing of the account."""
    account.executions = [{"status": "SUCCEEDED", "output": json.dumps({"run_id": "evt__certify.states__1"})}]
    result = certify("--disruptive", "--state-machine", MACHINE, "--wait", "1s")
    expected = dict.fromkeys(IDS, "pass") | dict.fromkeys(("token", "login", "queue"), "skipped")
    # What MWAA throttles, and what comes back from a redrive, only real parts show.
    expected |= {"busy": "unknown", "dead-eventbridge": "fail"}
    assert verdicts(tmp_path) == expected, result.stdout
    assert rules_left(account) == []
    assert (account.target, account.filtered) == (None, False)
    assert done(account, "DeleteObject") == done(account, "PutObject") == 1
    assert account.gateway.visible("ingress-dlq") == account.gateway.visible("trigger-dlq-analytics") == 0
    text = (tmp_path / "report.json").read_text()
    for name in (ACCOUNT, "arn:aws", "acme", "testing"):
        assert name not in text
    assert "Left behind: " in result.stdout
    assert account.gateway.bodies("ingress-retry")  # the redriven event


def test_what_disturbs_others_ends_before_the_next_question(
    account: Account, certify: Callable[..., Result]
) -> None:
    """The second target and the subscription are there for their own events alone."""
    certify(*only("dead-eventbridge", "dead-sns", "eventbridge"), "--disruptive")
    asked = [name for name, _ in account.asked]
    assert asked.index("PutTargets") < asked.index("RemoveTargets") < asked.index("Subscribe")
    assert asked.index("Subscribe") < asked.index("Unsubscribe")
    assert (asked.count("RemoveTargets"), asked.count("Unsubscribe")) == (1, 1)


def test_an_airflow_that_wants_a_logical_date(
    account: Account, certify: Callable[..., Result], tmp_path: Path
) -> None:
    """Asked once more with it, and from then on."""
    account.wants_date = True
    certify(*only("start", "duplicate", "same-second"))
    assert set(verdicts(tmp_path).values()) == {"pass"}
    starts = [
        params["Body"]
        for name, params in account.asked
        if name == "InvokeRestApi" and "conf" in params["Body"]
    ]
    assert ["logical_date" in body for body in starts] == [False, True, True, True, True]


def test_an_environment_that_is_not_there(
    account: Account, certify: Callable[..., Result], tmp_path: Path
) -> None:
    """One cross; nothing is started or sent."""
    account.refuse["GetEnvironment"] = "ResourceNotFoundException"
    result = certify()
    assert result.exit_code == 1
    found = verdicts(tmp_path)
    assert [each for each in found if found[each] == "fail"] == ["environment"]
    assert "not asked, as environment failed" in result.stdout
    for operation in ("InvokeRestApi", "PutEvents", "Publish", "PutObject", "TransactWriteItems"):
        assert done(account, operation) == 0


def test_a_canary_that_is_not_deployed(
    account: Account, certify: Callable[..., Result], tmp_path: Path
) -> None:
    """One cross, which says how to deploy it; questions that need no canary still get their answers."""
    account.dags = ["another"]
    result = certify()
    found = verdicts(tmp_path)
    assert [each for each in found if found[each] == "fail"] == ["canary"]
    assert (found["missing-dag"], found["failing-commands"]) == ("pass", "pass")
    assert found["start"] == found["eventbridge"] == "unknown"
    assert "--print-dag" in result.stdout
    assert done(account, "PutEvents") == 0


@pytest.mark.parametrize(
    ("operation", "code", "question", "words"),
    [
        ("PutEvents", "AccessDeniedException", "eventbridge", "PutEvents was denied"),
        ("PutEvents", "InternalException", "eventbridge", "InternalException"),
        ("Publish", NEVER, "sns", "AWS did not answer"),
        ("PutObject", "AccessDenied", "s3", "PutObject was denied"),
        ("InvokeRestApi", "AccessDeniedException", "start", "you may not"),
        ("InvokeRestApi", NEVER, "start", "not reachable from here"),
        ("Invoke", "AccessDeniedException", "canary", "you may not"),
        ("GetEnvironment", "AccessDeniedException", "environment", "airflow:GetEnvironment"),
    ],
)
def test_a_question_that_is_not_answered_stops_no_other(  # noqa: PLR0917  the case is data
    account: Account,
    certify: Callable[..., Result],
    tmp_path: Path,
    operation: str,
    code: str,
    question: str,
    words: str,
) -> None:
    """It is unknown, with the reason; the others pass, and all is cleaned up."""
    account.refuse[operation] = code
    asked = ("environment", "canary", "start", "eventbridge", "sns", "s3")
    result = certify(*only(*asked))
    expected = dict.fromkeys(asked, "pass") | {question: "unknown"}
    assert verdicts(tmp_path) == expected, result.stdout
    assert words in result.stdout
    assert result.exit_code == 3
    assert rules_left(account) == []


def test_a_bug_in_one_question_stops_no_other(
    account: Account, certify: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it raises."""
    monkeypatch.setattr(Account, "_publish", lambda *_: {"no": "MessageId"})
    result = certify(*only("eventbridge", "sns", "s3"))
    assert verdicts(tmp_path) == {"eventbridge": "pass", "sns": "unknown", "s3": "pass"}
    assert "KeyError" in result.stdout
    assert rules_left(account) == []


@pytest.mark.parametrize("operation", ["PutEvents", "TransactWriteItems", "PutObject", "Invoke"])
def test_interrupted_it_cleans_up_and_reports(
    account: Account, certify: Callable[..., Result], tmp_path: Path, operation: str
) -> None:
    """Wherever Ctrl-C comes: what was made is removed, the rest is not asked, and the report is there."""
    account.interrupted_by = operation
    result = certify(*only("canary", "s3", "eventbridge", "sns"))
    assert result.exit_code == 3
    assert rules_left(account) == []
    assert done(account, "PutObject") == done(account, "DeleteObject")
    found = verdicts(tmp_path)
    assert "interrupted" in result.stdout
    assert found["sns" if operation != "PutObject" else "s3"] == "unknown"


def test_interrupted_while_it_cleans_up_it_goes_through_with_it(
    account: Account, certify: Callable[..., Result]
) -> None:
    """What it was at, and the rest."""
    account.interrupted_by = "DeleteObject"
    certify(*only("eventbridge", "s3"))
    assert done(account, "DeleteObject") == 2
    assert rules_left(account) == []


def test_what_cannot_be_removed_is_said(account: Account, certify: Callable[..., Result]) -> None:
    """And the rest is removed."""
    account.refuse["DeleteObject"] = "AccessDenied"
    result = certify(*only("eventbridge", "s3"))
    assert "Left behind: object in the bucket under certify/: not removed (ClientError)" in result.stdout
    assert rules_left(account) == []
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("outcome", "left"),
    [
        (Retryable(Reason.ACCESS_DENIED, "CreateCliToken"), "an open request"),
        (Rejected(Reason.DAG_BROKEN, "import error"), "a dead letter"),
    ],
    ids=["tried in vain", "dead"],
)
def test_an_event_that_becomes_no_run(
    account: Account, certify: Callable[..., Result], tmp_path: Path, outcome: Any, left: str
) -> None:
    """The ledger's reason is the answer, and what stays is said."""
    account.outcome = outcome
    result = certify(*only("eventbridge"))
    assert verdicts(tmp_path) == {"eventbridge": "fail"}
    assert outcome.reason in result.stdout
    assert left in result.stdout


def test_an_event_that_never_arrives_is_sent_again(
    account: Account, certify: Callable[..., Result], tmp_path: Path
) -> None:
    """Three times, as the functions' rules may be older than the rule; then it is a cross."""
    account.deaf = True
    result = certify(*only("eventbridge", "dead-event", "dead-eventbridge"), "--disruptive")
    assert verdicts(tmp_path)["eventbridge"] == "fail"
    assert done(account, "PutEvents") == 3 + 3 + 1
    assert verdicts(tmp_path)["dead-event"] == "fail"
    assert result.exit_code == 1


def test_a_key_that_is_not_what_was_uploaded(
    certify: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where S3 encodes it once more."""
    written = Sources.upload
    sent: dict[str, str] = {}

    def upload(self: Sources, bucket: str) -> Any:
        event, key = written(self, bucket)
        return event, sent.setdefault("key", key.replace("%20", " "))

    monkeypatch.setattr(Sources, "upload", upload)
    result = certify(*only("s3"))
    assert verdicts(tmp_path) == {"s3": "fail"}
    assert "arrived as" in result.stdout


def test_the_time_is_kept(account: Account, certify: Callable[..., Result], tmp_path: Path) -> None:
    """What does not fit into it is not begun."""
    account.executions = [{"status": "SUCCEEDED"}]
    result = certify(*only("step-functions", "wait"), "--state-machine", MACHINE, "--minutes", "5")
    assert verdicts(tmp_path) == {"step-functions": "pass", "wait": "unknown"}
    assert "the time limit is reached" in result.stdout
    assert done(account, "StartExecution") == 1


def test_a_state_that_is_not_answered_is_stopped(
    account: Account, certify: Callable[..., Result], tmp_path: Path
) -> None:
    """Its execution does not wait on for half an hour."""
    account.executions = [{"status": "RUNNING"}]
    certify(*only("step-functions"), "--state-machine", MACHINE)
    assert verdicts(tmp_path) == {"step-functions": "unknown"}
    assert done(account, "StopExecution") == 1


def test_a_state_whose_rule_is_not_known_yet_is_started_again(
    account: Account, certify: Callable[..., Result], tmp_path: Path
) -> None:
    """Not a failure of anybody's."""
    refused = {"status": "FAILED", "error": "NoRuleMatched"}
    account.executions = [refused, refused, {"status": "SUCCEEDED"}]
    certify(*only("step-functions"), "--state-machine", MACHINE)
    assert verdicts(tmp_path) == {"step-functions": "pass"}
    assert done(account, "StartExecution") == 2


def test_rounds_that_lambda_drops(
    account: Account, certify: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted of the watcher's function alone."""
    account.executions = [{"status": "SUCCEEDED"}]
    monkeypatch.setattr(
        Account,
        "_get_metric_data",
        lambda *_: {"MetricDataResults": [{"Id": "dropped", "Values": [2.0, 1.0]}]},
    )
    result = certify(*only("wait"), "--state-machine", MACHINE, "--wait", "1s")
    assert verdicts(tmp_path) == {"wait": "fail"}
    assert "dropped 3 invocations" in result.stdout
    [query] = [params["MetricDataQueries"] for name, params in account.asked if name == "GetMetricData"]
    assert "mwaa-gateway-run-watcher-analytics" in json.dumps(query)


def test_an_event_in_each_queue(account: Account, certify: Callable[..., Result], tmp_path: Path) -> None:
    """Standard and FIFO; one that does nothing is the answer."""
    sqs = boto3.client("sqs")
    sqs.create_queue(QueueName="standard")
    sqs.create_queue(QueueName="ordered.fifo", Attributes={"FifoQueue": "true"})
    arn = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:"
    account.gateway.parameters["EventQueueArns"] = f"{arn}standard,{arn}ordered.fifo"
    certify(*only("queue"))
    assert verdicts(tmp_path) == {"queue": "fail"}  # nobody reads them here
    sent = [params for name, params in account.asked if name == "SendMessage"]
    assert {params["QueueUrl"].rpartition("/")[2] for params in sent} == {"standard", "ordered.fifo"}
    event = json.loads(sent[0]["MessageBody"])
    assert (event["source"], event["account"], event["region"]) == (SOURCE, ACCOUNT, "eu-west-1")


def test_where_namespaces_have_allow_lists(
    account: Account, certify: Callable[..., Result], tmp_path: Path
) -> None:
    """With one for `*` it writes its own and deletes it; one of yours that refuses its rules stays, and is the reason."""
    store = NamespacesStore(account.gateway.dynamodb, RULES_TABLE)

    def allow(name: str) -> None:
        nothing = {"namespace": name, "sources": [], "environments": [], "dag_ids": []}
        store.put(Namespace.parse(nothing), StoredNamespace(name), by="a test", now=datetime.now(UTC))

    allow("*")
    certify(*only("eventbridge"))
    assert verdicts(tmp_path) == {"eventbridge": "pass"}
    assert list(store.everything()) == ["*"]

    allow("certify")
    result = certify(*only("eventbridge"))
    assert verdicts(tmp_path) == {"eventbridge": "unknown"}
    assert "allow-list of namespace 'certify' refuses" in result.stdout
    assert list(store.everything()) == ["*", "certify"]


def test_what_is_left_out_says_so(account: Account, certify: Callable[..., Result], tmp_path: Path) -> None:
    """It is neither passed nor unknown: the exit code is 0."""
    del account.gateway.outputs["LandingBucketName"]
    result = certify(*only("token", "s3", "queue", "login", "step-functions", "busy", "dead-sns"))
    assert set(verdicts(tmp_path).values()) == {"skipped"}
    assert result.exit_code == 0
    for words in (
        "--bucket",
        "--state-machine",
        "--disruptive",
        "EventQueueArns",
        "WebLoginRole",
        "the transport cli",
    ):
        assert words in result.stdout
    del account.gateway.outputs["StepFunctionsTaskFunctionArn"]
    assert "StepFunctionsTasks is false" in certify(*only("wait"), "--state-machine", MACHINE).stdout


# ------------------------------------------------------------------------------------------------- over CLI tokens
def output(stdout: str = "", stderr: str = "", status: int = 200) -> Answer:
    """An answer of MWAA's web server."""
    encoded = {
        name: base64.b64encode(text.encode()).decode()
        for name, text in (("stdout", stdout), ("stderr", stderr))
    }
    return Answer(status, json.dumps(encoded).encode())


@pytest.fixture
def over_cli(account: Account, server: WebServerScript, monkeypatch: pytest.MonkeyPatch) -> WebServerScript:
    """The environment over CLI tokens: a web server that answers by script."""
    account.gateway.parameters |= {
        "Transports": "cli",
        "WebLoginRole": "Viewer",
        "WebServerHost": "localhost",
        "WebServerCaBundle": server.ca_bundle,
    }
    token = {
        "CliToken": "secret-of-the-cli",
        "WebToken": "secret-of-the-web",
        "WebServerHostname": server.host,
    }
    monkeypatch.setattr(Account, "_create_cli_token", lambda *_: token, raising=False)
    monkeypatch.setattr(Account, "_create_web_login_token", lambda *_: token, raising=False)
    server.received.clear()
    return server


def test_over_cli_each_answer_is_kept_as_it_came(
    certify: Callable[..., Result], over_cli: WebServerScript, tmp_path: Path
) -> None:
    """Status and words, without the token; the body that is no command's output as well."""
    over_cli.answers = [
        output(
            stderr="airflow.exceptions.DagNotFound: Dag id mwaa_gateway_certify_missing not found", status=400
        ),
        Answer(503, b"busy, says 10.1.2.3"),
    ]
    result = certify(*only("token", "missing-dag", "failing-commands"))
    assert verdicts(tmp_path) == {"token": "pass", "missing-dag": "pass", "failing-commands": "unknown"}, (
        result.stdout
    )
    text = (tmp_path / "report.json").read_text()
    report = json.loads(text)
    [missing] = report["questions"][1]["seen"]
    assert (missing["status"], missing["read_as"]) == (400, "Rejected: dag_missing")
    assert missing["answer"]["stderr"].startswith("airflow.exceptions.DagNotFound")
    assert missing["sent"].startswith("dags trigger --no-replace-microseconds")
    assert "busy, says <host>" in text
    assert "secret" not in text + result.stdout + result.stderr


def test_over_cli_commands_at_once_have_a_token_each(
    account: Account, certify: Callable[..., Result], over_cli: WebServerScript, tmp_path: Path
) -> None:
    """And what is refused beyond the limit is understood."""
    missing = output(stderr="airflow.exceptions.DagNotFound: Dag id not found", status=400)
    over_cli.answers = [missing, missing, Answer(503, b"")]
    certify(*only("busy"), "--disruptive")
    assert verdicts(tmp_path) == {"busy": "pass"}
    assert done(account, "CreateCliToken") == 8


def test_over_cli_a_usage_error_is_asked_for(
    certify: Callable[..., Result], over_cli: WebServerScript, tmp_path: Path
) -> None:
    """The last of three failures."""
    over_cli.answers = [
        output(stderr="airflow.exceptions.ParamValidationError: Invalid input for param seconds", status=400),
        output(stderr="airflow.exceptions.DagRunNotFound: no such run", status=400),
        output(
            stderr="airflow dags trigger command error: unrecognized arguments: --no-such-option", status=400
        ),
    ]
    result = certify(*only("failing-commands"))
    assert verdicts(tmp_path) == {"failing-commands": "pass"}, result.stdout
    assert over_cli.received[-1].body.decode() == "dags trigger --no-such-option mwaa_gateway_certify_missing"


def test_a_large_conf_is_compared_and_not_kept(
    certify: Callable[..., Result], over_cli: WebServerScript, tmp_path: Path
) -> None:
    """By its filler in Airflow's answer."""
    over_cli.answers = [output(json.dumps([{"dag_run_id": "?", "conf": {"filler": "x" * 30_000}}]))]
    certify(*only("conf-32k"))
    assert verdicts(tmp_path) == {"conf-32k": "fail"}  # it names another run
    assert "x" * 300 not in (tmp_path / "report.json").read_text()
    assert "times x>" in (tmp_path / "report.json").read_text()


def test_a_web_server_that_is_not_reached_from_here(
    account: Account,
    certify: Callable[..., Result],
    over_cli: WebServerScript,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As that of a private environment: unknown, while the events go through."""
    token = {"CliToken": "t", "WebToken": "t", "WebServerHostname": "localhost:9"}
    monkeypatch.setattr(Account, "_create_cli_token", lambda *_: token, raising=False)
    monkeypatch.setattr(Account, "_create_web_login_token", lambda *_: token, raising=False)
    result = certify(*only("token", "start", "missing-dag", "login", "eventbridge"))
    assert verdicts(tmp_path) == {
        "token": "pass",
        "start": "unknown",
        "missing-dag": "unknown",
        "login": "unknown",
        "eventbridge": "pass",
    }
    assert result.stdout.count("not reachable from here") == 3
    assert over_cli.received == []
    assert done(account, "PutEvents") == 1


def test_a_web_login(certify: Callable[..., Result], over_cli: WebServerScript, tmp_path: Path) -> None:
    """One call by its session, of which the report keeps no more than the shape."""
    cookie = {"Set-Cookie": "_token=abc.def; Path=/; Secure; HttpOnly"}
    over_cli.answers = [Answer(200, b"{}", cookie), Answer(200, b'{"dags": [], "total_entries": 0}')]
    certify(*only("login"))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["questions"][0]["verdict"] == "pass"
    assert report["questions"][0]["seen"] == [{"status": 200, "keys": ["dags", "total_entries"]}]


def test_over_a_web_login_the_questions_are_those_of_the_api(
    account: Account, certify: Callable[..., Result], over_cli: WebServerScript, tmp_path: Path
) -> None:
    """By the first of two transports; the session is in neither report nor policy."""
    account.gateway.parameters |= {"Transports": "web/cli", "WebLoginRole": ""}
    cookie = {"Set-Cookie": "_token=secret.session; Path=/; Secure; HttpOnly"}
    over_cli.answers = [
        Answer(200, b"", cookie),
        Answer(
            404, json.dumps({"detail": "Dag with dag_id: 'mwaa_gateway_certify_missing' not found"}).encode()
        ),
        Answer(200, b"", cookie),
        Answer(200, b'{"dags": [], "total_entries": 0}'),
    ]
    result = certify(*only("token", "missing-dag", "login"))
    assert verdicts(tmp_path) == {"token": "skipped", "missing-dag": "pass", "login": "pass"}, result.stdout
    text = (tmp_path / "report.json").read_text()
    assert json.loads(text)["transport"] == "web"
    assert "secret" not in text + result.stdout + result.stderr
    allowed = actions(certify("--print-policy"))
    assert "airflow:CreateWebLoginToken" in allowed
    assert not {"airflow:CreateCliToken", "airflow:InvokeRestApi"} & allowed


# --------------------------------------------------------------------------------------------------- what is printed
def test_what_it_prints_for_others(account: Account, certify: Callable[..., Result]) -> None:
    """The DAG is Python, the state machine calls the gateway, and the command asks nothing."""
    compile(certify("--print-dag").stdout, "canary", "exec")
    machine = json.loads(certify("--print-state-machine").stdout)
    assert account.gateway.outputs["StepFunctionsTaskFunctionArn"] in json.dumps(machine)
    assert {name for name, _ in account.asked} <= {"DescribeStacks"}
    del account.gateway.outputs["StepFunctionsTaskFunctionArn"]
    assert "StepFunctionsTasks is false" in certify("--print-state-machine").stderr


def actions(result: Result) -> set[str]:
    return {action for statement in json.loads(result.stdout)["Statement"] for action in statement["Action"]}


def test_the_policy_is_for_the_options_that_are_given(
    account: Account, certify: Callable[..., Result]
) -> None:
    """Less without them."""
    plain = actions(certify("--print-policy"))
    assert {"airflow:InvokeRestApi", "s3:PutObject"} <= plain
    assert (
        not {"airflow:CreateCliToken", "states:StartExecution", "sqs:ReceiveMessage", "kms:Decrypt"} & plain
    )
    account.gateway.parameters |= {
        "Transports": "cli",
        "WebLoginRole": "Viewer",
        "KmsKeyArn": f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1",
        "EventQueueArns": f"arn:aws:sqs:eu-west-1:{ACCOUNT}:mine",
    }
    del account.gateway.outputs["LandingBucketName"]
    more = actions(certify("--print-policy", "--disruptive", "--state-machine", MACHINE))
    assert {
        "airflow:CreateCliToken",
        "airflow:CreateWebLoginToken",
        "events:PutTargets",
        "kms:Decrypt",
        "sqs:GetQueueUrl",
        "states:StartExecution",
    } <= more
    assert not {"airflow:InvokeRestApi", "s3:PutObject", "lambda:RemovePermission"} & more


def test_a_stack_without_transports_and_an_unknown_name(
    account: Account, certify: Callable[..., Result]
) -> None:
    """Refused before the first question."""
    unknown = CliRunner(mix_stderr=False).invoke(cli, ["environments", "certify", "analytic"])
    assert (unknown.exit_code, "did you mean" in unknown.stderr.lower()) == (1, True)
    del account.gateway.parameters["Transports"]
    refused = certify()
    assert refused.exit_code == 1
    assert "deploy this version" in refused.stderr


def test_the_screen_on_the_page_is_what_the_command_prints(
    account: Account, certify: Callable[..., Result]
) -> None:
    """But for how long things took, and the report's name."""
    account.dags = [CANARY_DAG_ID, *(f"dag_{number}" for number in range(147))]

    def alike(screen: str) -> str:
        return re.sub(r"after \d+ s|: \S+json", "…", screen)

    page = (Path(__file__).parents[2] / "docs" / "certify.md").read_text()
    [screen] = re.findall(
        r"^\$ mwaa-gateway environments certify analytics\n(.*?)^```$", page, re.DOTALL | re.MULTILINE
    )
    assert alike(screen) == alike(certify("--wait", "1s").stdout)
