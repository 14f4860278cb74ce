"""InvokeRestApi over real HTTP: what is sent, how often, and what every error and every lost answer means."""

import json
import logging
import math
import socket
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from fakes.web_server import Answer, WebServerScript
from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
from mwaa_gateway.aws.mwaa.rest import REST_CLIENT_CONFIG, Pace, RestTransport
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Outcome,
    OutcomeUnknown,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)
from mwaa_gateway.trigger_request import ResolvedTarget
from polling import until

RUN_ID = "evt__a__1"
TARGET = ResolvedTarget("analytics", "ingest_orders", RUN_ID, {"key": "it's €"})
RUN = {"dag_id": "ingest_orders", "dag_run_id": RUN_ID}
RECORDED = Path(__file__).parent.parent / "fixtures" / "airflow_rest"


def ok(response: Any, status: int = 200) -> Answer:
    """Airflow's answer as MWAA passes it on."""
    return Answer(body=json.dumps({"RestApiStatusCode": status, "RestApiResponse": response}).encode())


def aws_error(code: str, status: int, **members: Any) -> Answer:
    """An error of MWAA's API."""
    headers = {"x-amzn-errortype": code, "Content-Type": "application/json"}
    return Answer(status, json.dumps(members).encode(), headers)


def client_exception(status: int, response: Any) -> Answer:
    return aws_error("RestApiClientException", 400, RestApiStatusCode=status, RestApiResponse=response)


def server_exception(status: int = 503, response: Any = "Service Unavailable") -> Answer:
    return aws_error("RestApiServerException", 400, RestApiStatusCode=status, RestApiResponse=response)


def recorded(version: str, case: str) -> Answer:
    document = json.loads((RECORDED / version / f"{case}.json").read_text())
    status, response = document["status"], document["response"]
    if status < 400:
        return ok(response, status)
    return server_exception(status, response) if status >= 500 else client_exception(status, response)


CREATED = ok(RUN)
NO_TASKS = ok({"task_instances": [], "total_entries": 0})
NO_RUNS = ok({"dag_runs": [], "total_entries": 0})


@dataclass
class Environment:
    """The scripted API and the adapter under test."""

    server: WebServerScript
    transport: RestTransport

    def sent(self) -> list[dict[str, Any]]:
        return [json.loads(received.body) for received in self.server.received]


def client(endpoint: str, ca_bundle: str | None = None, **settings: Any) -> Any:
    """A client as the dispatcher builds it, against another address."""
    return boto3.client(
        "mwaa",
        region_name="eu-west-1",
        endpoint_url=endpoint,
        aws_access_key_id="testing",
        aws_secret_access_key="canary-secret",
        verify=ca_bundle,
        config=REST_CLIENT_CONFIG.merge(Config(inject_host_prefix=False, **settings)),
    )


def unpaced() -> Pace:
    return Pace(10, monotonic=lambda: math.inf, sleep=lambda _: None)


@pytest.fixture
def environment(server: WebServerScript) -> Environment:
    server.answers, server.received = [CREATED], []
    reached = client(f"https://{server.host}", server.ca_bundle)
    return Environment(server, RestTransport(reached, "analytics", unpaced()))


# --- what is sent -------------------------------------------------------------------------------------------


def test_a_run_is_started_by_one_signed_call(environment: Environment) -> None:
    """Path, method and body as MWAA documents them; no token, no web server."""
    assert Triggered() == environment.transport.trigger(TARGET)
    (received,) = environment.server.received
    assert received.path == "/restapi/analytics"
    assert "/eu-west-1/airflow/aws4_request" in received.headers["Authorization"]
    assert [
        {
            "Path": "/dags/ingest_orders/dagRuns",
            "Method": "POST",
            "Body": {"dag_run_id": RUN_ID, "conf": {"key": "it's €"}},
        }
    ] == environment.sent()


def test_airflow_3_is_known_by_its_first_answer(environment: Environment) -> None:
    """It insists on a logical date, having started nothing; it gets null, and from then on at once."""
    environment.server.answers = [recorded("3.3.1", "logical_date_missing"), CREATED]
    assert Triggered() == environment.transport.trigger(TARGET)
    assert Triggered() == environment.transport.trigger(TARGET)
    assert ["absent", None, None] == [
        each["Body"].get("logical_date", "absent") for each in environment.sent()
    ]


def test_an_environment_that_became_another_airflow_is_noticed(environment: Environment) -> None:
    """Replaced by an older one, or upgraded, while the sandbox lives on."""
    environment.server.answers = [
        recorded("3.3.1", "logical_date_missing"),
        CREATED,
        recorded("2.11.2", "logical_date_null"),
        CREATED,
    ]
    assert [Triggered(), Triggered()] == [environment.transport.trigger(TARGET) for _ in range(2)]
    dates = [each["Body"].get("logical_date", "absent") for each in environment.sent()]
    assert ["absent", None, None, "absent"] == dates


def test_an_airflow_that_wants_neither_is_not_asked_for_ever(environment: Environment) -> None:
    """One second try, then the answer is what it is."""
    environment.server.answers = [recorded("3.3.1", "logical_date_missing")]
    assert isinstance(environment.transport.trigger(TARGET), Rejected)
    assert 2 == len(environment.server.received)


def test_a_run_is_looked_up_by_its_tasks(environment: Environment) -> None:
    """One call, on every Airflow, whatever the length of the ids."""
    environment.server.answers = [ok({"task_instances": [RUN], "total_entries": 3})]
    assert isinstance(environment.transport.look_up(TARGET), AlreadyTriggered)
    assert [
        {
            "Path": "/dags/~/dagRuns/~/taskInstances/list",
            "Method": "POST",
            "Body": {"dag_ids": ["ingest_orders"], "dag_run_ids": [RUN_ID], "page_limit": 1},
        }
    ] == environment.sent()


def test_a_run_without_tasks_is_looked_up_by_itself(environment: Environment) -> None:
    """Else a DAG without tasks would be triggered and refused, again and again."""
    environment.server.answers = [NO_TASKS, ok({"dag_runs": [RUN], "total_entries": 1})]
    assert isinstance(environment.transport.look_up(TARGET), AlreadyTriggered)
    assert {
        "Path": "/dags/ingest_orders/dagRuns",
        "Method": "GET",
        "QueryParameters": {"run_id_pattern": RUN_ID, "order_by": "-id", "limit": 10},
    } == environment.sent()[1]


@pytest.mark.parametrize("second", [NO_RUNS, recorded("2.11.2", "lookup_run_missing")])
def test_a_run_that_is_not_there_is_surely_not_there(environment: Environment, second: Answer) -> None:
    """No task of it, and no run: where Airflow can be asked for that."""
    environment.server.answers = [NO_TASKS, second]
    outcome = environment.transport.look_up(TARGET)
    assert isinstance(outcome, Retryable)
    assert Reason.RUN_NOT_THERE == outcome.reason


@pytest.mark.parametrize("before", [[], [NO_TASKS]])
def test_a_look_up_that_failed_twice_finds_nothing_out(
    environment: Environment, before: list[Answer]
) -> None:
    """Half an answer is none; and nobody is asked for ever."""
    environment.server.answers = [*before, server_exception()]
    assert isinstance(environment.transport.look_up(TARGET), OutcomeUnknown)
    assert len(before) + 2 == len(environment.server.received)


DATED = replace(TARGET, logical_date="2026-11-22T00:00:00+00:00")
UNKNOWN_FIELD = client_exception(400, {"detail": "{'logical_date_gte': ['Unknown field.']}"})
NOT_THERE = f"run {RUN_ID} is not in Airflow"


@pytest.mark.parametrize(
    ("run_id", "outcome"),
    [
        (RUN_ID, AlreadyTriggered(f"the look-up found run {RUN_ID}")),
        (
            "manual__1",
            Retryable(Reason.LOGICAL_DATE_TAKEN, f"{NOT_THERE}; run 'manual__1' has its logical date"),
        ),
    ],
)
def test_a_run_with_a_date_is_looked_up_by_it_too(
    environment: Environment, run_id: str, outcome: Outcome
) -> None:
    """Whatever Airflow calls the date; a call that fails is made once more."""
    of_date = ok({"dag_runs": [{"dag_id": "ingest_orders", "dag_run_id": run_id}]})
    environment.server.answers = [NO_TASKS, NO_RUNS, UNKNOWN_FIELD, server_exception(), of_date]
    assert environment.transport.look_up(DATED) == outcome
    by_date = environment.sent()[2:]
    assert [each["Path"] for each in by_date] == ["/dags/~/dagRuns/list"] * 3
    names = ["logical_date_gte", "execution_date_gte", "execution_date_gte"]
    assert [name in each["Body"] for name, each in zip(names, by_date, strict=True)] == [True] * 3


@pytest.mark.parametrize("lost", [server_exception(), Answer(silent=True), Answer(body=b"<html>")])
def test_a_look_up_that_failed_once_is_made_again(environment: Environment, lost: Answer) -> None:
    """It changes nothing, and a request in doubt would wait for minutes otherwise."""
    environment.server.answers = [lost, NO_TASKS, lost, ok({"dag_runs": [RUN], "total_entries": 1})]
    assert isinstance(environment.transport.look_up(TARGET), AlreadyTriggered)
    assert 4 == len(environment.server.received)


def test_a_look_up_that_was_refused_is_not_repeated(environment: Environment) -> None:
    """Who is throttled asks later."""
    environment.server.answers = [aws_error("ThrottlingException", 429, message="Rate exceeded")]
    assert Reason.WEB_SERVER_BUSY == environment.transport.look_up(TARGET).reason  # type: ignore[union-attr]
    assert 1 == len(environment.server.received)


def test_what_does_not_fit_is_rejected_unsent(environment: Environment) -> None:
    """A path over 64 characters never leaves; the reason names the remedy. The run can still be looked up."""
    long = ResolvedTarget("analytics", "d" * 51, RUN_ID, {})
    outcome = environment.transport.trigger(long)
    assert isinstance(outcome, Rejected)
    assert Reason.DAG_ID_TOO_LONG == outcome.reason
    assert [] == environment.server.received
    environment.server.answers = [NO_TASKS]
    assert Reason.RUN_NOT_THERE == environment.transport.look_up(long).reason  # type: ignore[union-attr]


# --- Airflow's answers, through MWAA's exceptions -----------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "case", "expected"),
    [
        ("2.11.2", "triggered_conf", Triggered),
        ("2.11.2", "duplicate_run_id", AlreadyTriggered),
        ("2.11.2", "dag_missing", Reason.DAG_MISSING),
        ("2.11.2", "conf_refused", Reason.CONF_REFUSED),
        ("2.11.2", "bad_run_id", OutcomeUnknown),
        ("3.3.1", "triggered_conf", Triggered),
        ("3.3.1", "duplicate_run_id", OutcomeUnknown),
        ("3.3.1", "dag_missing", Reason.DAG_MISSING),
        ("3.3.1", "bad_run_id", Reason.RUN_ID_REFUSED),
        ("3.3.1", "conf_no_object", Reason.CONF_REFUSED),
    ],
)
def test_recorded_answers_arrive(environment: Environment, version: str, case: str, expected: Any) -> None:
    """Status and body survive the way through the exception's fields."""
    document = json.loads((RECORDED / version / f"{case}.json").read_text())
    asked = ResolvedTarget("analytics", document["path"].split("/")[2], document["sent"]["dag_run_id"], {})
    # Its run_id may be what is wrong with it, so the transport's own check is passed by.
    environment.server.answers = [recorded(version, case)]
    transport = environment.transport
    if case == "bad_run_id":
        asked = ResolvedTarget("analytics", asked.dag_id, RUN_ID, {})
    outcome = transport.trigger(asked)
    seen = getattr(outcome, "reason", None) if isinstance(expected, Reason) else type(outcome)
    assert expected == seen
    explained = ["/importErrors"] if expected is Reason.DAG_MISSING else []
    assert explained == [call["Path"] for call in environment.sent()[1:]]


@pytest.mark.parametrize("version", ["2.11.2", "3.3.1"])
def test_a_missing_dag_is_explained_by_one_further_call(environment: Environment, version: str) -> None:
    """After the answer; the next requests quote what it found."""
    missing, errors = recorded(version, "dag_missing"), recorded(version, "import_errors")
    if version.startswith("3"):
        environment.server.answers = [recorded(version, "logical_date_missing"), CREATED]
        environment.transport.trigger(TARGET)
        environment.server.received = []
    environment.server.answers = [missing, errors, missing]
    asked = ResolvedTarget("analytics", "no_such_dag", RUN_ID, {})
    for _ in range(3):
        outcome = environment.transport.trigger(asked)
        assert isinstance(outcome, Rejected)
        assert Reason.DAG_MISSING == outcome.reason
        assert "broken.py: ModuleNotFoundError: No module named 'no_such_module_anywhere'" in outcome.text
    runs = "/dags/no_such_dag/dagRuns"
    assert [runs, "/importErrors", runs, runs] == [call["Path"] for call in environment.sent()]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (client_exception(403, {"detail": "Forbidden"}), "HTTP 403: Forbidden"),
        (server_exception(), "HTTP 503"),
        (aws_error("ThrottlingException", 429, message="Rate exceeded"), "web_server_busy"),
        (Answer(silent=True), "unclear_answer"),
        (ok("<html>"), "HTTP 200"),
    ],
)
def test_a_missing_dag_stays_missing_whatever_becomes_of_the_further_call(
    environment: Environment, answer: Answer, said: str
) -> None:
    """The Airflow role may not see import errors, MWAA throttles, nobody answers."""
    environment.server.answers = [recorded("2.11.2", "dag_missing"), answer]
    outcome = environment.transport.trigger(ResolvedTarget("analytics", "no_such_dag", RUN_ID, {}))
    assert isinstance(outcome, Rejected)
    assert Reason.DAG_MISSING == outcome.reason
    assert "Import errors could not be read: " in outcome.text
    assert said in outcome.text


@pytest.mark.guarantee(41)
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_error_of_the_server_is_perhaps_done_and_not_repeated(
    environment: Environment, status: int
) -> None:
    """It arrives as HTTP 400: neither "refused" nor a reason to send it again."""
    environment.server.answers = [server_exception(status)]
    outcome = environment.transport.trigger(TARGET)
    assert isinstance(outcome, OutcomeUnknown)
    assert str(status) in outcome.text
    assert 1 == len(environment.server.received)


@pytest.mark.parametrize(
    "answer",
    [
        server_exception(404, {"detail": "Dag with dag_id: 'ingest_orders' not found"}),
        client_exception(500, {"detail": "x"}),
        client_exception(200, RUN),
        aws_error("RestApiClientException", 400),
        aws_error("RestApiServerException", 400),
    ],
)
def test_an_error_at_odds_with_itself_is_unknown(environment: Environment, answer: Answer) -> None:
    """A name and a status that do not fit each other are no evidence of anything."""
    environment.server.answers = [answer]
    assert isinstance(environment.transport.trigger(TARGET), OutcomeUnknown)


# --- MWAA's own errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected", "shown"),
    [
        (aws_error("ThrottlingException", 429, message="Rate exceeded"), Reason.WEB_SERVER_BUSY, "Rate"),
        (aws_error("ThrottlingException", 400, message="Rate exceeded"), Reason.WEB_SERVER_BUSY, "Rate"),
        (aws_error("TooManyRequestsException", 429), Reason.WEB_SERVER_BUSY, "TooMany"),
        (
            aws_error("AccessDeniedException", 403, Message="No Airflow role granted in IAM"),
            Reason.ACCESS_DENIED,
            "RestApiRole",
        ),
        (
            aws_error("ResourceNotFoundException", 404, message="no"),
            Reason.ENVIRONMENT_UNREACHABLE,
            "Resource",
        ),
        (aws_error("ExpiredTokenException", 403, message="old"), Reason.ENVIRONMENT_UNREACHABLE, "Expired"),
        (
            aws_error("ValidationException", 400, message="Update your environment to use InvokeRestApi"),
            Reason.ENVIRONMENT_UNREACHABLE,
            "update the MWAA environment, or give it CLI tokens",
        ),
        (
            aws_error("AccessDeniedException", 403, message="Update your environment to use InvokeRestApi."),
            Reason.ENVIRONMENT_UNREACHABLE,
            "update the MWAA environment, or give it CLI tokens",
        ),
        (aws_error("ValidationException", 400, message="Path"), Reason.AIRFLOW_REFUSED, "Path"),
        (client_exception(401, {"detail": "Invalid JWT token"}), Reason.TOKEN_REFUSED, "JWT"),
        (client_exception(403, {"detail": "Forbidden"}), Reason.AIRFLOW_REFUSED, "RestApiRole"),
        (client_exception(429, {"detail": "slow down"}), Reason.WEB_SERVER_BUSY, "slow down"),
    ],
)
def test_what_was_refused_before_airflow_started_anything(
    environment: Environment, answer: Answer, expected: Reason, shown: str
) -> None:
    """Surely not done, tried again later, with what AWS said; and asked once, so that the pace is kept."""
    environment.server.answers = [answer]
    outcome = environment.transport.trigger(TARGET)
    assert isinstance(outcome, Retryable)
    assert expected == outcome.reason
    assert shown in outcome.text
    assert 1 == len(environment.server.received)


@pytest.mark.parametrize(
    "answer",
    [
        aws_error("InternalServerException", 500, message="oops"),
        aws_error("ServiceUnavailableException", 503),
        aws_error("ValidationException", 400, message="The request timed out"),
        Answer(502),
        Answer(504, b"<html>"),
        Answer(silent=True),
        Answer(body=b'{"RestApiStatusCode": 200', cut=True),
        Answer(body=b'{"RestApiStatusCode": 200, "RestApiResponse": {"dag_id": "ingest_or'),
        Answer(body=b"<html>"),
        Answer(body=b""),
    ],
    ids=[
        "InternalServer",
        "503",
        "time-out",
        "502",
        "504",
        "no answer",
        "cut answer",
        "garbled",
        "page",
        "empty",
    ],
)
def test_an_answer_lost_on_the_way_is_unknown(environment: Environment, answer: Answer) -> None:
    """The call went out: perhaps done, never "not done", and never sent twice behind our back."""
    environment.server.answers = [answer]
    assert isinstance(environment.transport.trigger(TARGET), OutcomeUnknown)
    assert 1 == len(environment.server.received)


@pytest.mark.guarantee(41)
def test_a_slow_call_is_unknown(environment: Environment) -> None:
    """MWAA gives up after ten seconds, and we after twelve: neither says anything about the run."""
    slow = client(f"https://{environment.server.host}", environment.server.ca_bundle, read_timeout=0.1)
    waiting = threading.Event()
    environment.server.answers = [Answer(wait=waiting), CREATED]
    try:
        outcome = RestTransport(slow, "analytics", unpaced()).trigger(TARGET)
        until("the call at the server", lambda: environment.server.received, seconds=30)
    finally:
        waiting.set()
    assert isinstance(outcome, OutcomeUnknown)
    assert "ReadTimeoutError" in outcome.text
    assert 1 == len(environment.server.received)


def test_the_dispatchers_client_waits_longer_than_mwaa_and_asks_once() -> None:
    """What botocore repeats by itself nobody could look up."""
    config = boto3.client("mwaa", region_name="eu-west-1", config=REST_CLIENT_CONFIG).meta.config
    assert config.retries["total_max_attempts"] == 1
    assert 10 < config.read_timeout < 20


def test_a_refused_connection_surely_started_nothing() -> None:
    """Nobody listens there."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        reached = client(f"https://localhost:{unused.getsockname()[1]}")
        outcome = RestTransport(reached, "analytics", unpaced()).trigger(TARGET)
    assert isinstance(outcome, Retryable)
    assert Reason.ENVIRONMENT_UNREACHABLE == outcome.reason


def test_an_unknown_name_surely_started_nothing() -> None:
    """DNS fails before anything is sent."""
    outcome = RestTransport(client("https://nowhere.invalid"), "analytics", unpaced()).trigger(TARGET)
    assert isinstance(outcome, Retryable)
    assert Reason.ENVIRONMENT_UNREACHABLE == outcome.reason


def test_an_untrusted_certificate_gets_no_event(environment: Environment) -> None:
    """TLS is always checked; the public CAs do not know the test's authority."""
    stranger = client(f"https://{environment.server.host}")
    outcome = RestTransport(stranger, "analytics", unpaced()).trigger(TARGET)
    assert isinstance(outcome, Retryable)
    assert "certificate" in outcome.text
    assert [] == environment.server.received


def test_without_credentials_nothing_was_sent(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A role that cannot be assumed for a moment is no reason for a look-up."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    nobody = boto3.session.Session().client(
        "mwaa",
        region_name="eu-west-1",
        endpoint_url=f"https://{environment.server.host}",
        verify=environment.server.ca_bundle,
        config=REST_CLIENT_CONFIG,
    )
    outcome = RestTransport(nobody, "analytics", unpaced()).trigger(TARGET)
    assert isinstance(outcome, Retryable)
    assert Reason.ENVIRONMENT_UNREACHABLE == outcome.reason


@pytest.mark.guarantee(32)
def test_nothing_secret_is_told(environment: Environment, caplog: pytest.LogCaptureFixture) -> None:
    """No signature and no conf in a log of ours at any level, an outcome, or a repr."""
    caplog.set_level(logging.DEBUG)
    secrets = ("canary-secret", "AWS4-HMAC", "it's €")
    for answer in (server_exception(), Answer(silent=True), recorded("3.3.1", "conf_no_object"), CREATED):
        environment.server.answers = [answer]
        outcome = environment.transport.trigger(TARGET)
        assert not any(secret in repr(outcome) for secret in secrets)
    # botocore's own wire log is off in the functions: their loggers are never at DEBUG.
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("botocore")]
    assert not any(secret in message for message in ours for secret in secrets)


# --- the pace -----------------------------------------------------------------------------------------------


@dataclass
class Clock:
    """Time that passes by sleeping."""

    now: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.guarantee(41)
@pytest.mark.parametrize("dispatchers", [1, 2, 3, 4])
def test_all_dispatchers_together_keep_to_their_share(dispatchers: int) -> None:
    """In any stretch of time, also when they begin at the same moment, and with pauses that all have at once."""
    calls: list[float] = []
    for _ in range(dispatchers):
        clock = Clock()
        pace = Pace(8, dispatchers, monotonic=lambda clock=clock: clock.now, sleep=clock.sleep)  # type: ignore[misc]
        for number in range(80):
            if number % 10 == 9:
                clock.now += 0.4
            pace.wait()
            calls.append(clock.now)
    calls.sort()
    assert len(calls) >= 0.95 * 8 * (calls[-1] - calls[0])
    for first, began in enumerate(calls):
        for number, call in enumerate(calls[first:], 1):
            # A second of the share is saved, and each may make a call at both ends
            assert number <= 8 * (call - began) + 8 + dispatchers
            assert number <= 10 * (call - began) + dispatchers + 0.001  # what MWAA accepts


@pytest.mark.parametrize(("share", "seconds"), [(5, 0.16), (8, 0.1), (9, 0.1), (10, 0.1)])
def test_a_dispatcher_that_was_idle_makes_up_for_a_second(share: int, seconds: float) -> None:
    """Not for the rest of its pause; a quarter faster than its share, or as fast as MWAA accepts calls."""
    clock = Clock()
    pace = Pace(share, monotonic=lambda: clock.now, sleep=clock.sleep)
    pace.wait()
    clock.now += 60
    pause_ended, starts = clock.now, []
    for _ in range(100):
        pace.wait()
        starts.append(clock.now - pause_ended)
    assert [0.0, seconds, 2 * seconds] == pytest.approx(starts[:3])
    assert starts[-1] == pytest.approx(99 / share - 1 if share < 10 else 9.9)


def test_every_call_keeps_the_pace(server: WebServerScript) -> None:
    """Look-ups and second tries too."""
    clock = Clock()
    pace = Pace(10, monotonic=lambda: clock.now, sleep=clock.sleep)
    transport = RestTransport(client(f"https://{server.host}", server.ca_bundle), "analytics", pace)
    server.answers = [recorded("3.3.1", "logical_date_missing"), CREATED, NO_TASKS, NO_RUNS]
    transport.trigger(TARGET)
    transport.look_up(TARGET)
    assert pytest.approx(0.3) == clock.now


# --- the list of DAGs ---------------------------------------------------------------------------------------


def a_page(*dag_ids: str, total: int, stale: str = "is_stale") -> Answer:
    rows = [{"dag_id": dag_id, "is_paused": False, stale: stale == "is_active"} for dag_id in dag_ids]
    return ok({"dags": rows, "total_entries": total})


def test_the_dags_are_listed_page_by_page(environment: Environment) -> None:
    """However many Airflow gives at once; stale ones too."""
    environment.server.answers = [a_page("a", "b", total=3), a_page("c", total=3)]
    assert (
        tuple(ListedDag(dag_id, paused=False, stale=False) for dag_id in "abc")
        == environment.transport.list_dags()
    )
    assert [(0, False), (2, False)] == [
        (sent["QueryParameters"]["offset"], sent["QueryParameters"]["exclude_stale"])
        for sent in environment.sent()
    ]
    assert {("/dags", "GET")} == {(sent["Path"], sent["Method"]) for sent in environment.sent()}


def test_airflow_2_is_asked_in_its_own_words(environment: Environment) -> None:
    """After it has refused the others; an upgrade is noticed by what it lists."""
    own = a_page("a", total=1, stale="is_active")
    environment.server.answers = [recorded("2.11.2", "dags_list"), own, own]
    for _ in range(2):
        assert (ListedDag("a", paused=False, stale=False),) == environment.transport.list_dags()
    asked = [sent["QueryParameters"] for sent in environment.sent()]
    assert ["exclude_stale" in asked[0], *("only_active" in query for query in asked[1:])] == [True] * 3
    environment.server.answers = [a_page("a", total=1)]
    environment.transport.list_dags()
    assert "exclude_stale" in environment.sent()[-1]["QueryParameters"]


def test_a_page_that_cannot_be_had_is_asked_for_once_more(environment: Environment) -> None:
    """Then there is no list: half of one would be a wrong one."""
    environment.server.answers = [server_exception(), a_page("a", total=2), server_exception()]
    assert isinstance(environment.transport.list_dags(), NotListed)
    assert 4 == len(environment.sent())


def test_a_list_without_end_is_given_up(server: WebServerScript) -> None:
    """The dispatcher's time is short."""
    seconds = iter(range(0, 1000, 10))
    reached = client(f"https://{server.host}", server.ca_bundle)
    transport = RestTransport(reached, "analytics", unpaced(), monotonic=lambda: next(seconds))
    server.answers, server.received = [a_page("a", total=9)], []
    assert isinstance(transport.list_dags(), NotListed)
    assert 3 > len(server.received)
