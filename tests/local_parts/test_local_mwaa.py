"""The local MWAA against what the gateway relies on, on real Airflow 3.3.1 and 2.11.2, over TLS.

Whether a command took effect is read from Airflow's own database, not from its answer.
"""

import base64
import contextlib
import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from local_stack.mwaa import ControlClient, Faults, LocalMwaa
from local_stack.mwaa.http_server import Answer, Request
from local_stack.processes import descendants
from mwaa_gateway.aws.mwaa.cli import CliTransport
from mwaa_gateway.aws.mwaa.rest import REST_CLIENT_CONFIG, Pace, RestTransport
from mwaa_gateway.aws.mwaa.web_server import WebServer
from mwaa_gateway.outcomes import AlreadyTriggered, OutcomeUnknown, Reason, Rejected, Retryable, Triggered
from mwaa_gateway.trigger_request import ResolvedTarget
from polling import until

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "fixtures" / "airflow_cli"
VERSIONS = {"analytics": "3.3.1", "legacy": "2.11.2"}
NO_TASKS = """
try:
    from airflow.sdk import DAG
except ImportError:
    from airflow import DAG
from datetime import datetime, timezone

with DAG("no_tasks", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=timezone.utc), catchup=False):
    pass
"""


class Anyone:
    """Everyone may do everything: permissions are tested with MiniStack, which has roles."""

    def refusal(self, request: Request, *, action: str, resource: str) -> Answer | None:
        """Refuse nobody."""

    def granted(self, request: Request, *, action: str, resources: Sequence[str]) -> frozenset[str]:
        """Grant all of them."""
        del request, action
        return frozenset(resources)


class Clock:
    """A clock that stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now


@dataclass(frozen=True, slots=True)
class Client:
    """One environment, seen from outside."""

    name: str
    endpoint_url: str
    ca_bundle: str
    host: str
    airflow_url: str
    database: Path
    clock: Clock

    @property
    def api(self) -> Any:
        """The MWAA API, through boto3."""
        return boto3.client(
            "mwaa",
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(inject_host_prefix=False),
        )

    def token(self) -> str:
        """A new token."""
        created = self.api.create_cli_token(Name=self.name)
        assert created["WebServerHostname"] == self.host
        return str(created["CliToken"])

    def post(self, line: str, token: str | None = None) -> requests.Response:
        """Send a command line as MWAA's documentation says."""
        with requests.Session() as session:
            session.trust_env = False
            return session.post(
                f"https://{self.host}/aws_mwaa/cli",
                data=line.encode(),
                headers={"Authorization": f"Bearer {token or self.token()}", "Content-Type": "text/plain"},
                timeout=(5, 60),
                verify=self.ca_bundle,
            )

    def transport(self, name: str) -> CliTransport | RestTransport:
        """The gateway's own, as a new sandbox of a dispatcher has it."""
        if name == "cli":
            web_server = WebServer(
                self.host, self.ca_bundle, connect_timeout_seconds=30, read_timeout_seconds=60
            )
            return CliTransport(self.api, self.name, web_server)
        client = boto3.client(
            "mwaa",
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=REST_CLIENT_CONFIG.merge(Config(inject_host_prefix=False)),
        )
        return RestTransport(client, self.name, Pace(10))

    def trigger(
        self, run_id: str, *, conf: str = "{}", dag_id: str = "handle_notification"
    ) -> requests.Response:
        """Trigger a run as the gateway does."""
        return self.post(
            f"dags trigger --run-id={run_id} --no-replace-microseconds -o json -c '{conf}' {dag_id}"
        )

    def runs(self, run_id: str) -> list[str]:
        """The states of the runs with this id in Airflow's database."""
        with contextlib.closing(sqlite3.connect(self.database)) as database:
            return [
                state for (state,) in database.execute("SELECT state FROM dag_run WHERE run_id = ?", [run_id])
            ]

    def conf_of(self, run_id: str, dag_id: str = "handle_notification") -> Any:
        """The conf of a run as Airflow's own REST API shows it."""
        version = "v1" if VERSIONS[self.name].startswith("2") else "v2"
        url = f"{self.airflow_url}/api/{version}/dags/{dag_id}/dagRuns/{run_id}"
        with requests.Session() as session:
            session.trust_env = False
            return session.get(url, timeout=30).json()["conf"]


def texts(answer: requests.Response) -> tuple[str, str]:
    """Stdout and stderr."""
    document = answer.json()
    return base64.b64decode(document["stdout"]).decode(), base64.b64decode(document["stderr"]).decode()


def find_uv() -> Path:
    """The uv of `make`; only needed when an Airflow is not installed yet."""
    bootstrapped = ROOT / ".venvs" / "uv" / "bin" / "uv"
    return bootstrapped if bootstrapped.exists() else Path(shutil.which("uv") or "uv")


@pytest.fixture(scope="module")
def clock() -> Clock:
    """Tokens live by this clock."""
    return Clock()


@pytest.fixture(scope="module")
def mwaa(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[LocalMwaa]:
    """Two environments, one of each Airflow major version, with the example DAGs and a broken one."""
    folder = tmp_path_factory.mktemp("mwaa")
    dags = folder / "dags"
    shutil.copytree(ROOT / "examples" / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    # With the words that make Airflow take a file for one with DAGs.
    (dags / "broken.py").write_text("from airflow import DAG\nimport no_such_module_anywhere\n")
    (dags / "no_tasks.py").write_text(NO_TASKS)
    local = LocalMwaa(
        VERSIONS,
        state_folder=folder / "state",
        dags_folder=dags,
        permission=Anyone(),
        venvs=ROOT / ".venvs",
        uv=find_uv(),
        web_servers=2,
        clock=clock,
    )
    with local:
        yield local


@pytest.fixture(params=list(VERSIONS))
def environment(request: pytest.FixtureRequest, mwaa: LocalMwaa, clock: Clock) -> Iterator[Client]:
    """Each environment in turn, without faults before and after."""
    name = request.param
    described = mwaa.describe()
    about = described["environments"][name]
    yield Client(
        name=name,
        endpoint_url=described["mwaa_endpoint_url"],
        ca_bundle=described["ca_bundle"],
        host=about["web_server_hostname"],
        airflow_url=about["airflow_url"],
        database=Path(about["airflow_home"]) / "airflow.db",
        clock=clock,
    )
    ControlClient(described["mwaa_endpoint_url"]).clear_faults()


@pytest.fixture
def control(environment: Client) -> ControlClient:
    """The switches."""
    return ControlClient(environment.endpoint_url)


def test_the_api_is_the_one_botocore_knows(environment: Client) -> None:
    """GetEnvironment, ListEnvironments, and the one modelled error of CreateCliToken under its own name."""
    api = environment.api
    described = api.get_environment(Name=environment.name)["Environment"]
    assert (described["Status"], described["AirflowVersion"]) == ("AVAILABLE", VERSIONS[environment.name])
    assert described["Arn"] == f"arn:aws:airflow:us-east-1:000000000000:environment/{environment.name}"
    assert api.list_environments()["Environments"] == sorted(VERSIONS)
    with pytest.raises(ClientError) as unknown:
        api.create_cli_token(Name="nope")
    assert unknown.value.response["Error"]["Code"] == "ResourceNotFoundException"
    assert unknown.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


@pytest.mark.parametrize(
    ("dag_id", "conf"),
    [
        ("ingest_orders", '{"source": "s3://bucket/key"}'),
        ("handle_notification", '{"message": {"order": 1}}'),
        ("nightly_report", '{"business_day": "2026-11-22"}'),
    ],
)
def test_a_triggered_run_is_executed(environment: Client, dag_id: str, conf: str) -> None:
    """Each example DAG: accepted with its JSON, and successful in the real scheduler."""
    run_id = f"executed__{dag_id}"
    answer = environment.trigger(run_id, conf=conf, dag_id=dag_id)
    assert answer.status_code == 200, texts(answer)
    last_line = texts(answer)[0].strip().splitlines()[-1]
    assert json.loads(last_line)[0]["dag_run_id"] == run_id
    until(f"success of {run_id}", lambda: environment.runs(run_id) == ["success"], seconds=60)


def test_a_duplicate_is_refused_by_airflow(environment: Client) -> None:
    """The second trigger of a run_id fails with Airflow's own words, and there is one run."""
    assert environment.trigger("duplicate").status_code == 200
    again = environment.trigger("duplicate")
    assert again.status_code == 400
    assert "airflow.exceptions.DagRunAlreadyExists" in texts(again)[1].strip().splitlines()[-1]
    assert len(environment.runs("duplicate")) == 1


def test_four_at_once_with_one_run_id_make_one_run(environment: Client) -> None:
    """Airflow's database decides, whatever the workers do at the same moment."""
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: environment.trigger("race"), range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]
    assert len(environment.runs("race")) == 1


def test_many_in_one_second_make_as_many_runs(environment: Client) -> None:
    """With the microseconds kept, on both Airflows."""
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda number: environment.trigger(f"many__{number}"), range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert [len(environment.runs(f"many__{number}")) for number in range(20)] == [1] * 20


@pytest.mark.parametrize(
    "case",
    [
        "dag_missing",
        "dag_broken",
        "bad_json",
        "bad_run_id",
        "usage_error",
        "lookup_missing",
        "lookup_dag_missing",
    ],
)
def test_the_warm_command_line_answers_as_the_cold_one(environment: Client, case: str) -> None:
    """The same last line on stderr as recorded from `airflow` itself, and 400 for its exit code."""
    recorded = json.loads((RECORDED / VERSIONS[environment.name] / f"{case}.json").read_text())
    answer = environment.post(recorded["command"])
    assert answer.status_code == 400
    assert texts(answer)[1].strip().splitlines()[-1] == recorded["stderr"].strip().splitlines()[-1]


@pytest.mark.parametrize(
    "value",
    [
        'it\'s "quoted"',
        "a b\tc\nd",
        "$(id); `id` | id & id",
        "--help",
        "\\n \\\\ \\",
        "€ 🎉 \x00 \x7f",
        "{{ ds }}",
        "",
    ],
    ids=["quotes", "space", "shell", "option", "backslash", "unicode", "template", "empty"],
)
def test_a_hostile_value_arrives_unchanged(environment: Client, value: str, request: Any) -> None:
    """JSON in ASCII without a single quote, between single quotes, reaches the run's conf unchanged."""
    run_id = "hostile__" + request.node.callspec.id.replace("-", "_")
    conf = json.dumps({"value": value, value: 1}).replace("'", "\\u0027")
    answer = environment.trigger(run_id, conf=conf)
    assert answer.status_code == 200, texts(answer)
    assert environment.conf_of(run_id) == {"value": value, value: 1}


@pytest.mark.parametrize("line", ["celery worker", "db migrate", "dags trigger 'open"])
def test_what_mwaa_does_not_run_is_a_500(environment: Client, line: str) -> None:
    """Before Airflow sees it."""
    assert environment.post(line).status_code == 500


def test_a_token_lives_sixty_seconds_in_its_environment(environment: Client) -> None:
    """403 afterwards, 403 elsewhere, 403 for no token at all; nothing runs."""
    token = environment.token()
    environment.clock.now += 59
    assert environment.post("version", token).status_code == 200
    other = environment.api.create_cli_token(Name=next(name for name in VERSIONS if name != environment.name))
    assert environment.post("version", other["CliToken"]).status_code == 403
    environment.clock.now += 1
    assert environment.post("version", token).status_code == 403
    assert environment.post("version", "nonsense").status_code == 403


def test_the_fifth_command_at_once_is_a_503(environment: Client, control: ControlClient) -> None:
    """It is refused while four run, not queued behind them; and never more than four run at once."""
    control.set_faults(Faults(latency_milliseconds=3000), environment=environment.name)
    control.clear_statistics()
    token = environment.token()
    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(environment.post, "version", token) for _ in range(4)]
        counted = lambda: control.statistics()[environment.name]  # noqa: E731
        until("four commands in flight", lambda: counted()["commands_in_flight"] == 4, seconds=20)
        refused = environment.post("version", token)
        assert refused.status_code == 503
        assert [each.result().status_code for each in running] == [200] * 4
    assert (counted()["most_commands_at_once"], counted()["refused_no_free_slot"]) == (4, 1)
    assert counted()["seconds_in_slots"] >= 4 * 3


@pytest.mark.parametrize(("fault", "status"), [("error_503", 503), ("expired_token", 403)])
def test_a_refusal_by_fault_runs_nothing(
    environment: Client, control: ControlClient, fault: str, status: int
) -> None:
    """The status of the real thing, and no run."""
    control.set_faults(Faults(**{fault: 1.0}))
    assert environment.trigger(f"refused__{fault}").status_code == status
    assert environment.runs(f"refused__{fault}") == []


@pytest.mark.parametrize(
    ("fault", "applied"), [("reset_before", False), ("reset_after", True), ("lost_response", True)]
)
def test_a_cut_connection_leaves_the_outcome_to_airflow(
    environment: Client,
    control: ControlClient,
    fault: str,
    applied: bool,  # noqa: FBT001
) -> None:
    """The client sees a broken connection; the run is there or not as the fault's name says."""
    control.set_faults(Faults(**{fault: 1.0}))
    with pytest.raises(requests.ConnectionError):
        environment.trigger(f"cut__{fault}")
    assert len(environment.runs(f"cut__{fault}")) == int(applied)


def test_a_garbled_answer_hides_a_run(environment: Client, control: ControlClient) -> None:
    """Status 200 and nothing that can be decoded, in whichever way; the run is there."""
    control.set_faults(Faults(garbled=1.0, seed=2))
    for number in range(6):
        answer = environment.trigger(f"garbled__{number}")
        assert answer.status_code == 200
        with pytest.raises(ValueError, match=r"."):  # no JSON, or no base64
            base64.b64decode(answer.json()["stdout"], validate=True)
        assert len(environment.runs(f"garbled__{number}")) == 1


def test_an_error_500_hides_a_run(environment: Client, control: ControlClient) -> None:
    """The status of a server that failed after the deed."""
    control.set_faults(Faults(error_500=1.0))
    assert environment.trigger("hidden").status_code == 500
    assert len(environment.runs("hidden")) == 1


def test_faults_of_one_environment_leave_the_other_alone(environment: Client, control: ControlClient) -> None:
    """Each has its own schedule."""
    other = next(name for name in VERSIONS if name != environment.name)
    control.set_faults(Faults(error_503=1.0), environment=other)
    assert environment.post("version").status_code == 200


@pytest.fixture
def rest(environment: Client) -> RestTransport:
    """The gateway's own transport over InvokeRestApi."""
    transport = environment.transport("rest")
    assert isinstance(transport, RestTransport)
    return transport


@pytest.mark.parametrize("dag_id", ["handle_notification", "no_tasks"])
def test_over_rest_a_run_is_started_once_and_found(
    environment: Client, rest: RestTransport, dag_id: str
) -> None:
    """The same run again is never a second one, nor taken for started without evidence; with tasks or without."""
    target = ResolvedTarget(environment.name, dag_id, f"evt__rest__{dag_id}", {"value": "it's €"})
    absent = rest.look_up(target)
    assert isinstance(absent, Retryable)
    assert absent.reason == Reason.RUN_NOT_THERE
    assert rest.trigger(target) == Triggered()
    again = rest.trigger(target)
    # Airflow 2 says that the run_id is taken; Airflow 3.3 does not say what is, so it is looked up.
    assert isinstance(again, AlreadyTriggered if environment.name == "legacy" else OutcomeUnknown)
    # The one run that no look-up finds, Airflow 2's of a DAG without tasks, is found by starting it again.
    assert isinstance(rest.look_up(target), AlreadyTriggered) is (
        (environment.name, dag_id) != ("legacy", "no_tasks")
    )
    assert len(environment.runs(target.run_id)) == 1
    assert environment.conf_of(target.run_id, dag_id) == {"value": "it's €"}


@pytest.mark.parametrize("transport", ["cli", "rest"])
def test_a_dag_that_is_not_there_is_missing_and_its_import_error_is_named(
    environment: Client, transport: str
) -> None:
    """Never written, or never parsed because it is broken: Airflow says why once it has read the file."""

    def explained(dag_id: str) -> bool:
        sandbox = environment.transport(transport)  # a new one reads the import errors anew
        outcome = sandbox.trigger(ResolvedTarget(environment.name, dag_id, "evt__missing", {}))
        assert isinstance(outcome, Rejected)
        assert outcome.reason == Reason.DAG_MISSING
        return "broken.py: ModuleNotFoundError: No module named 'no_such_module_anywhere'" in outcome.text

    for dag_id in ("broken", "no_such_dag"):
        until("the import error", lambda dag_id=dag_id: explained(dag_id), seconds=30, every=1)


def test_over_rest_six_at_once_with_one_run_id_make_one_run(environment: Client, rest: RestTransport) -> None:
    """Airflow's database decides; whoever lost finds the run."""
    target = ResolvedTarget(environment.name, "handle_notification", "evt__rest__race", {})
    rest.trigger(ResolvedTarget(environment.name, "handle_notification", "evt__rest__warm_up", {}))
    with ThreadPoolExecutor(6) as threads:
        outcomes = list(threads.map(lambda _: rest.trigger(target), range(6)))
    assert sum(outcome == Triggered() for outcome in outcomes) <= 1
    assert not any(isinstance(outcome, Rejected) for outcome in outcomes)
    assert isinstance(rest.look_up(target), AlreadyTriggered)
    assert len(environment.runs(target.run_id)) == 1


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="the system does not list processes in /proc")
def test_either_of_two_web_servers_answers_alone(mwaa: LocalMwaa) -> None:
    """Those of Airflow 3: the other one is stopped meanwhile."""
    (url,) = (
        about["airflow_url"]
        for about in mwaa.describe()["environments"].values()
        if about["airflow_version"].startswith("3")
    )
    servers = []
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError):  # ended by now
            if "airflow api_server" in Path(f"/proc/{pid}/cmdline").read_text():
                servers.append(pid)
    assert len(servers) == 2

    def ask(_: int) -> int:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"{url}/api/v2/version", timeout=600).status_code

    for stopped in servers:
        os.kill(stopped, signal.SIGSTOP)
        with ThreadPoolExecutor(40) as clients:
            try:
                # Half of them, by chance, wait for the server that is stopped.
                asked = [clients.submit(ask, number) for number in range(40)]
                assert next(as_completed(asked)).result() == 200
            finally:
                os.kill(stopped, signal.SIGCONT)
        assert {each.result() for each in asked} == {200}


def test_calls_at_once_do_not_wait_for_one_another_in_airflows_database(environment: Client) -> None:
    """None waits for SQLite's 30 seconds in vain: Airflow 3 commits its audit log where the other calls' commits pass."""
    version = "v1" if VERSIONS[environment.name].startswith("2") else "v2"

    def start(number: int) -> int:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(
                f"{environment.airflow_url}/api/{version}/dags/no_tasks/dagRuns",
                json={"dag_run_id": f"at_once__{number}"}
                | ({"logical_date": None} if version == "v2" else {}),
                timeout=600,
            )
        return answer.status_code

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(start, range(40))) == {200}


@pytest.mark.parametrize(
    ("fault", "applied"),
    [
        ("error_503", False),
        ("reset_before", False),
        ("reset_after", True),
        ("lost_response", True),
        ("garbled", True),
        ("error_500", True),
    ],
)
def test_over_rest_a_lost_answer_is_settled_by_a_look_up(
    environment: Client,
    rest: RestTransport,
    control: ControlClient,
    fault: str,
    applied: bool,  # noqa: FBT001
) -> None:
    """Unknown, whatever the fault; then found, or surely not there."""
    rest.trigger(ResolvedTarget(environment.name, "handle_notification", f"evt__rest__before_{fault}", {}))
    target = ResolvedTarget(environment.name, "handle_notification", f"evt__rest__{fault}", {})
    control.set_faults(Faults(**{fault: 1.0}))
    assert isinstance(rest.trigger(target), OutcomeUnknown)
    control.clear_faults()
    assert len(environment.runs(target.run_id)) == int(applied)
    found = rest.look_up(target)
    assert isinstance(found, AlreadyTriggered) is applied
    assert applied or (isinstance(found, Retryable) and found.reason == Reason.RUN_NOT_THERE)
