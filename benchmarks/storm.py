"""A storm of events over each transport: how fast the gateway drains it, beside what Airflow and the transport allow.

    make benchmark-storm                                     # five local stacks, one after the other; about an hour
    .venv/bin/python -m benchmarks.storm --transports rest,web-8 --rest 300 --web 600
    .venv/bin/python -m benchmarks.storm --transports none   # print and draw what the file of results has

Each transport's results go to a file as soon as it is measured, beside those of the others; the tables and the pictures are
of the whole file. `web-8` is `web` with WebConcurrency 8. In `web-20` the protection is off: WebConcurrency 20, and four
dispatchers in place of two. In `web-20-far` each call takes half a second longer too, so that the number of calls at once is
the limit, not this machine. In `cli` each command takes three seconds longer, as on MWAA.

Real Airflow, functions and queues, and everything on this machine: the figures are ratios within one run. Airflow's two
web servers have machines of their own on AWS. Here each has a processor, and goes before everything else there; with the
protection off, and wherever their rate is what counts, both have one processor to themselves. "Raw" is Airflow's REST API
in a web login's session, with as many requests at once as the dispatchers make, for runs with the same conf. Over `web` a
backlog shows how fast the dispatchers are: a quarter more events, which are all in the queue before they begin. The
baseline is the function that AWS documents for MWAA: a token and a command for each event, no share of the slots, and no
retry.
"""

import argparse
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import requests

from benchmarks.deployed import ENVIRONMENT, RULE, Deployed
from benchmarks.other_users import other_users
from benchmarks.storm_pictures import draw
from benchmarks.storm_result import PROTECTION_OFF, Baseline, Storm, lost_and_doubled, print_tables
from gateway_cli.rules.store import RulesStore
from local_stack.aws import LocalAws
from local_stack.ledger import LedgerRow, rows_about
from local_stack.mwaa.faults import Faults
from local_stack.mwaa.versions import DEFAULT_VERSION
from local_stack.ports import free_port
from local_stack.processes import descendants
from local_stack.state import StackState
from mwaa_gateway.aws.mwaa.web import WebTransport
from mwaa_gateway.aws.mwaa.web_server import WebServer
from mwaa_gateway.aws.mwaa.web_session import WebSession
from mwaa_gateway.outcomes import Triggered
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.trigger_request import ResolvedTarget

DAG: Final = "storm"
# Its first run never ends, and the others stay queued: no task takes a processor from what is measured.
DAG_FILE: Final = f"""
import time
from datetime import UTC, datetime

from airflow.sdk import dag, task


@dag(schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=False, max_active_runs=1)
def {DAG}():
    @task
    def never_ends():
        while True:
            time.sleep(3600)

    never_ends()


{DAG}()
"""
STORM_RULE: Final = {**RULE, "target": {"environment": ENVIRONMENT, "dag_id": DAG}}
NAMES: Final = ("rest", "web", *PROTECTION_OFF, "cli")
CLIENTS: Final = 4  # that put events
REST_SHARE, WEB_CONCURRENCY = 8, 3  # the template's defaults
WEB_SERVERS: Final = 2  # an environment of MWAA has no less, except of class mw1.micro
MOST_SLOTS: Final = 4
# None where the system cannot say which processors a process has
PROCESSORS: Final = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
IDLE_SECONDS: Final = 60.0  # of reads without a storm: one in twenty decides
MEASURED_SECONDS: Final = 20.0  # of the clients without the gateway
UNPROTECTED_CLIENTS: Final = 40
BACKLOG_PART: Final = 4  # of the events: so many more are queued before the dispatchers begin
LOST_AFTER_SECONDS: Final = 120.0  # without a new run
PROGRESS_SECONDS: Final = 10.0
MWAA_COMMAND_SECONDS: Final = 3.0  # by which a command takes longer on MWAA than here
FAR_SECONDS: Final = 0.5  # by which a call takes longer where the web server is far away or slow


def storm(state: StackState, name: str, number: int) -> Storm:
    """Send the events at once, and wait until all have their run; then let plain clients do the same."""
    deployed, airflow_url = Deployed(state), state.environments[ENVIRONMENT].airflow_url
    transport, web_concurrency = name.partition("-")[0], WEB_CONCURRENCY
    if transport == "web" and name != "web":
        web_concurrency = int(name.split("-")[1])
        _configure(state, web_concurrency, MOST_SLOTS if name in PROTECTION_OFF else deployed.share)
    longer = MWAA_COMMAND_SECONDS if transport == "cli" else FAR_SECONDS if name.endswith("-far") else 0.0
    deployed.control.set_faults(Faults(latency_milliseconds=1000 * longer), environment=ENVIRONMENT)
    deployed.triggered(deployed.put_events(1))  # sandboxes are warm then, and the rule is known
    with other_users(airflow_url) as idle_users:
        time.sleep(IDLE_SECONDS)
    deployed.control.clear_statistics()
    spent, began = _cpu_seconds(state), time.time()
    with other_users(airflow_url) as storm_users:
        sent, queued_at = _drained(deployed, name, number)
    spent_since = {kind: seconds - spent.get(kind, 0.0) for kind, seconds in _cpu_seconds(state).items()}
    counted, rows = deployed.statistics(), _rows(state, sent)
    finished = {_event(row): row.finished_at or 0.0 for row in rows if row.state == "triggered"}
    share = deployed.share
    web_at_once = share * max(1, web_concurrency // share)
    most_at_once, allowed_at_once = {
        "rest": (counted["most_rest_calls_in_a_second"], 0),
        "web": (counted["most_web_calls_at_once"], web_at_once),
        "cli": (counted["most_commands_at_once"], share),
    }[transport]
    took = max(finished.values()) - min(row.first_attempt_at or began for row in rows)
    at_once = web_at_once if transport == "web" else share
    with other_users(airflow_url) as raw_users:
        raw_per_second = raw(state, at_once)
    with other_users(airflow_url) as unprotected_users:
        unprotected_per_second = raw(state, UNPROTECTED_CLIENTS)
    raw_backlog_per_second = backlog_per_second = 0.0
    if transport == "web":
        _set_airflow_apart(state, its_rate_counts=True)
        raw_backlog_per_second = raw(state, at_once)
        backlog_per_second = _backlog_per_second(deployed, name, number // BACKLOG_PART)
    lost, doubled = lost_and_doubled(sent, [event for event in _events_of_runs(state) if event in sent])
    return Storm(
        name=name,
        at=datetime.now(UTC).isoformat(timespec="minutes"),
        events=len(sent),
        queued_seconds=round(queued_at - began, 3),
        lost=lost,
        doubled=doubled,
        too_many=counted["run_starts"] - len(sent),
        refused=counted["refused_no_free_slot"] + counted["refused_throttled"],
        most_at_once=most_at_once,
        allowed_at_once=allowed_at_once,
        accepted=sorted(round(at - began, 3) for at in finished.values()),
        latencies=sorted(round(at - sent[event], 3) for event, at in finished.items()),
        of_slots=counted["seconds_in_slots"] / share / took if transport == "cli" else 0.0,
        rest_share=REST_SHARE if transport == "rest" else 0.0,
        raw_per_second=raw_per_second,
        cpu_milliseconds={kind: 1000 * seconds / len(sent) for kind, seconds in spent_since.items()},
        idle_users=idle_users,
        storm_users=storm_users,
        raw_users=raw_users,
        unprotected_per_second=unprotected_per_second,
        unprotected_users=unprotected_users,
        baseline=baseline(state, number) if transport == "cli" else None,
        raw_backlog_per_second=raw_backlog_per_second,
        backlog_per_second=backlog_per_second,
    )


def _backlog_per_second(deployed: Deployed, name: str, number: int) -> float:
    """Runs a second of events that are all in the trigger queue before the dispatchers begin."""
    with _dispatchers_wait(deployed.state):
        sent = _put(deployed, number)
        while _waiting(deployed.state) < number:
            time.sleep(0.5)
        before = _number_of_runs(deployed.state)
    _wait_for_runs(deployed.state, f"{name}, backlog", before, number)
    finished = sorted(row.finished_at or 0.0 for row in _rows(deployed.state, sent))
    return (len(finished) - 1) / (finished[-1] - finished[0])


def _drained(deployed: Deployed, name: str, number: int) -> tuple[dict[str, float], float]:
    """Send the events and wait until Airflow has as many runs more, or no new one for long.

    Return when each was sent, and when all of them had reached the trigger queue.
    """
    before = _number_of_runs(deployed.state)
    with ThreadPoolExecutor(CLIENTS) as clients:
        parts = [
            clients.submit(_put, deployed, number // CLIENTS + (n < number % CLIENTS)) for n in range(CLIENTS)
        ]
        queued_at = _wait_for_runs(deployed.state, name, before, number)
    return {event: at for part in parts for event, at in part.result().items()}, queued_at


def _wait_for_runs(state: StackState, name: str, before: int, number: int) -> float:
    """Wait until Airflow has so many runs more, or no new one for long; return when no event was still to be queued."""
    began = time.time()
    progress, printed, queued = (began, 0), began, 0.0
    while progress[1] < number:
        time.sleep(0.5)
        now, created = time.time(), _number_of_runs(state) - before
        if created > progress[1]:
            progress = now, created
        if not queued and created + _waiting(state) >= number:
            queued = now
        if now - progress[0] > LOST_AFTER_SECONDS:
            break
        if now - printed > PROGRESS_SECONDS:
            rate, printed = created / (now - began), now
            left = f"{(number - created) / rate:,.0f} s to go" if rate else "none yet"
            _say(
                f"{name}: {created:,} of {number:,} runs after {now - began:,.0f} s; {rate:.1f} a second; {left}"
            )
    return queued or now


def _waiting(state: StackState) -> int:
    """Messages in the trigger queue."""
    names: Final = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    url = state.environments[ENVIRONMENT].trigger_queue_url
    answer = state.aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)
    return sum(int(answer["Attributes"][name]) for name in names)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _put(deployed: Deployed, number: int) -> dict[str, float]:
    """Put events in tens; return when each was sent."""
    sent: dict[str, float] = {}
    while len(sent) < number:
        at = time.time()
        sent |= dict.fromkeys(deployed.put_events(min(10, number - len(sent))), at)
    return sent


def _rows(state: StackState, sent: dict[str, float]) -> list[LedgerRow]:
    """Read the requests; a run is in Airflow a moment before the ledger has its end."""
    rows: list[LedgerRow] = []
    for _ in range(20):
        rows = [
            row for row in rows_about(state.aws, state.ledger_table, "eventbridge") if _event(row) in sent
        ]
        if all(row.state == "triggered" for row in rows):
            break
        time.sleep(0.5)
    return rows


def _event(row: LedgerRow) -> str:
    """The id of the row's event."""
    return row.identity.rpartition("|")[2]


def raw(state: StackState, at_once: int) -> float:
    """Runs a second that Airflow starts for so many plain clients in one session, without the gateway.

    Their conf is that of a run of the gateway, but for the event: a start without a conf costs Airflow a fifth less.
    """
    transport, conf = _web_transport(state), _conf_of_a_run(state)

    def start() -> None:
        unique = uuid.uuid4().hex
        target = ResolvedTarget(ENVIRONMENT, DAG, f"raw__{unique}", conf | {"id": unique})
        outcome = transport.trigger(target)
        if outcome != Triggered():
            sys.exit(f"Airflow did not start a run: {outcome}")

    start()
    per_second = _runs_per_second(start, at_once)
    transport.close()
    return per_second


def _runs_per_second(start: Callable[[], None], at_once: int) -> float:
    """Let so many clients start runs for a while, each one after the other; return how many a second were started."""
    began = time.perf_counter()

    def one_after_the_other(_: int) -> int:
        started = 0
        while time.perf_counter() - began < MEASURED_SECONDS:
            start()
            started += 1
        return started

    with ThreadPoolExecutor(at_once) as clients:
        started = sum(clients.map(one_after_the_other, range(at_once)))
    return started / (time.perf_counter() - began)


def _web_transport(state: StackState) -> WebTransport:
    host = state.environments[ENVIRONMENT].web_server_hostname
    web_server = WebServer(host, state.ca_bundle, 5, 60, keep_connections=True)
    return WebTransport(WebSession(_mwaa(state), ENVIRONMENT, web_server, "RestApiRole"))


def _mwaa(state: StackState) -> Any:
    aws = LocalAws(state.mwaa_endpoint_url, state.region, state.aws.credentials)
    return aws.client("mwaa")


def baseline(state: StackState, number: int) -> Baseline:
    """The documented function, for each event at once."""
    began = time.perf_counter()
    sent = [uuid.uuid4().hex for _ in range(number)]

    def handler(event: str) -> None:
        token = _mwaa(state).create_cli_token(Name=ENVIRONMENT)
        with requests.Session() as session:
            session.trust_env, session.verify = False, state.ca_bundle
            session.post(
                f"https://{token['WebServerHostname']}/aws_mwaa/cli",
                headers={"Authorization": f"Bearer {token['CliToken']}", "Content-Type": "text/plain"},
                data=f"dags trigger {DAG} --conf '{json.dumps({'id': event})}'",
                timeout=60,
            )

    with ThreadPoolExecutor(10) as lambdas:
        list(lambdas.map(handler, sent))
    seconds = time.perf_counter() - began
    runs = [event for event in _events_of_runs(state) if event in set(sent)]
    return Baseline(number, *lost_and_doubled(sent, runs), len(runs) / seconds)


def _number_of_runs(state: StackState) -> int:
    """Runs of the rule in Airflow's own database."""
    query = "SELECT count(*) FROM dag_run WHERE dag_id = ? AND run_id LIKE ?"
    ((count,),) = _asked(state, query, DAG, f"evt__{RULE['id']}__%")
    return int(count)


def _events_of_runs(state: StackState) -> list[str]:
    """The event of each run, as the run's conf has it, in Airflow's own database."""
    confs = _asked(state, "SELECT conf FROM dag_run WHERE dag_id = ?", DAG)
    return [(json.loads(conf) or {}).get("id", "") for (conf,) in confs if conf]


def _conf_of_a_run(state: StackState) -> dict[str, Any]:
    query = "SELECT conf FROM dag_run WHERE dag_id = ? AND run_id LIKE ? LIMIT 1"
    ((conf,),) = _asked(state, query, DAG, f"evt__{RULE['id']}__%")
    found: dict[str, Any] = json.loads(conf)
    return found


def _asked(state: StackState, query: str, *values: str) -> list[Any]:
    database = Path(state.environments[ENVIRONMENT].airflow_home, "airflow.db")
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30) as connection:
        return connection.execute(query, values).fetchall()


def _cpu_seconds(state: StackState) -> dict[str, float]:
    """Processor time so far, by what spent it; nothing where there is no /proc."""
    spent: dict[str, float] = {}
    for pid in (state.pid, *descendants(state.pid)):
        with suppress(OSError):
            kind = _kind(pid)
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            spent[kind] = spent.get(kind, 0.0) + seconds
    return spent


def _set_airflow_apart(state: StackState, *, its_rate_counts: bool) -> None:
    """Keep everything else from Airflow's web servers, which have machines of their own on AWS.

    Where their rate counts, they have one processor to themselves, and everything else has the others: neither takes time
    from the other. Where other users' reads count, each has a processor, and goes before everything else there. Does
    nothing where the system cannot do that.
    """
    if len(PROCESSORS) < WEB_SERVERS:
        return
    everything = {pid: _command_line(pid) for pid in (os.getpid(), state.pid, *descendants(state.pid))}
    servers = [pid for pid, words in everything.items() if "api_server" in words]
    if len(servers) != WEB_SERVERS:
        sys.exit(f"the local stack has {len(servers)} web servers of Airflow, not {WEB_SERVERS}")
    if its_rate_counts:
        for pid in everything:
            _run_on(pid, set(PROCESSORS[:1] if pid in servers else PROCESSORS[1:]))
        return
    _run_on(os.getpid(), set(PROCESSORS))  # the storm before this one may have changed it
    for pid, processor in zip(servers, PROCESSORS, strict=False):
        try:
            _run_on(pid, {processor}, first=True)
        except PermissionError:
            _say(
                "Only root may put Airflow's web servers first: other users' reads wait for other processes, too"
            )


def _run_on(pid: int, processors: set[int], *, first: bool = False) -> None:
    """Give a process these processors; if it is the first there, nothing else runs while it wants to."""
    policy = os.SCHED_RR if first else os.SCHED_OTHER
    with suppress(FileNotFoundError, ProcessLookupError):  # ended by now
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), processors)
            os.sched_setscheduler(int(thread.name), policy, os.sched_param(1 if first else 0))


def _kind(pid: int) -> str:
    """What a process of the stack is."""
    words = _command_line(pid)
    return "functions" if ".venvs/lambda" in words else "Airflow" if "airflow" in words else "emulators"


def _command_line(pid: int) -> str:
    """Its words; none if it has ended, or where there is no /proc."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _configure(state: StackState, web_concurrency: int, slots: int) -> None:
    """Do what the parameters `WebConcurrency` and `SlotsPerEnvironment` do."""
    function, lambda_ = state.environments[ENVIRONMENT].dispatcher, state.aws.client("lambda")
    variables = lambda_.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    variables |= {"WEB_CONCURRENCY": str(web_concurrency), "SLOTS_PER_ENVIRONMENT": str(slots)}
    lambda_.update_function_configuration(FunctionName=function, Environment={"Variables": variables})
    scaling: Final[Any] = {"MaximumConcurrency": slots}
    lambda_.update_event_source_mapping(
        UUID=Deployed(state).event_source_mapping["UUID"], ScalingConfig=scaling
    )


@contextmanager
def _dispatchers_wait(state: StackState) -> Iterator[None]:
    """Let the trigger queue's messages wait until the end of the block."""
    lambda_, mapping = state.aws.client("lambda"), Deployed(state).event_source_mapping["UUID"]
    lambda_.update_event_source_mapping(UUID=mapping, Enabled=False)
    yield
    lambda_.update_event_source_mapping(UUID=mapping, Enabled=True)


@contextmanager
def local_stack(name: str) -> Iterator[StackState]:
    """A stack for the storm of this name, with the benchmark's rule, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "local_stack"]
        dags = Path(folder, "dags")
        dags.mkdir()
        (dags / "storm.py").write_text(DAG_FILE)
        place = ["--state-folder", folder]
        up = [
            "up",
            "--detach",
            "--environment",
            f"{ENVIRONMENT}={DEFAULT_VERSION}",
            "--transports",
            name.partition("-")[0],
        ]
        try:
            given = [
                "--dags-folder",
                str(dags),
                "--port",
                str(free_port()),
                "--web-servers",
                str(WEB_SERVERS),
            ]
            subprocess.run([*command, *up, *given, *place], check=True, stdout=sys.stderr)
            state = StackState.read(Path(folder, "state.json"))
            if state is None:
                sys.exit("the local stack did not start")
            rule = parse_rule(STORM_RULE, environments=frozenset({ENVIRONMENT}))
            store = RulesStore(state.aws.client("dynamodb"), state.rules_table)
            store.put(rule, by="benchmarks.storm", now=datetime.now(UTC))
            _set_airflow_apart(state, its_rate_counts=name in PROTECTION_OFF)
            yield state
        finally:
            subprocess.run([*command, "down", *place], check=True, stdout=sys.stderr)


def read_storms(file: Path) -> dict[str, Storm]:
    """Read the storms measured so far."""
    documents = json.loads(file.read_text()) if file.exists() else {}
    names = [name for name in NAMES if name in documents]
    storms = {name: Storm(**documents[name]) for name in dict.fromkeys([*names, *documents])}
    return {
        name: replace(each, baseline=each.baseline and Baseline(**each.baseline))  # type: ignore[arg-type]
        for name, each in storms.items()
    }


def main() -> None:
    """Measure each transport; print, and write JSON and pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--transports", default=",".join(NAMES), help=f"of {', '.join(NAMES)}, web-N and web-N-far; or none"
    )
    parser.add_argument("--rest", type=int, default=10_000, help="how many events")
    parser.add_argument("--web", type=int, default=10_000)
    parser.add_argument("--cli", type=int, default=500)
    parser.add_argument("--json", type=Path, default=Path(".local/storm.json"), help="the file of results")
    parser.add_argument("--pictures", type=Path, help="folder of the drain curve and the latencies")
    options = parser.parse_args()
    names = [] if options.transports == "none" else options.transports.split(",")
    if unknown := [name for name in names if name not in NAMES and not re.fullmatch(r"web-\d+(-far)?", name)]:
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(NAMES)}, web-N and web-N-far")
    try:
        read_storms(options.json)
    except (TypeError, ValueError) as error:
        parser.error(
            f"{options.json} has no results that this version can read ({error}): name another --json"
        )
    for name in names:
        number = getattr(options, name.partition("-")[0])
        with local_stack(name) as state:
            measured = storm(state, name, number)
        storms = read_storms(options.json) | {name: measured}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({name: asdict(each) for name, each in storms.items()}))
        print_tables({name: measured})
    storms = read_storms(options.json)
    if len(names) != 1:
        print_tables(storms)
    if options.pictures:
        draw(storms, options.pictures)


if __name__ == "__main__":
    main()
