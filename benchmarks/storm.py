"""A storm of events over each transport: how fast the gateway drains it, beside what Airflow and the transport allow.

    make benchmark-storm                                     # starts three local stacks, one after the other; half an hour
    .venv/bin/python -m benchmarks.storm --rest 300 --web 600 --cli 60 --json storm.json --pictures docs/pictures

Real Airflow, functions and queues, and everything on this machine: the figures are ratios within one run. "Raw" is Airflow's
REST API in a web login's session, with as many requests at once as the dispatchers make. The baseline is the function that
AWS documents for MWAA: a token and a command for each event, no share of the slots, and no retry.
"""

import argparse
import json
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import requests
from rich.console import Console

from benchmarks.deployed import ENVIRONMENT, RULE, Deployed
from benchmarks.measure import percentile
from benchmarks.storm_pictures import draw
from gateway_cli.rules.store import RulesStore
from local_stack.aws import LocalAws
from local_stack.ledger import LedgerRow, rows_about
from local_stack.mwaa.faults import Faults
from local_stack.mwaa.versions import DEFAULT_VERSION
from local_stack.ports import free_port
from local_stack.stack import LocalStack, StackOptions
from local_stack.state import StackState
from local_stack.timeline import Timeline
from mwaa_gateway.aws.mwaa.web import WebTransport
from mwaa_gateway.aws.mwaa.web_server import WebServer
from mwaa_gateway.aws.mwaa.web_session import WebSession
from mwaa_gateway.outcomes import Triggered
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.trigger_request import ResolvedTarget

DAG: Final = "nightly_report"
CLIENTS: Final = 4  # that put events
REST_SHARE, WEB_CONCURRENCY = 8, 8  # the template's defaults
RAW_RUNS: Final = 200
LOST_AFTER_SECONDS: Final = 120.0  # without a new run
MWAA_COMMAND_SECONDS: Final = 3.0  # by which a command takes longer on MWAA than here


@dataclass(frozen=True, slots=True)
class Storm:
    """What became of one storm; times in seconds since its first event."""

    transport: str
    events: int
    lost: int
    doubled: int
    refused: int  # answers 503 and 429
    most_at_once: int
    seconds: float
    accepted: list[float]  # when each run was accepted
    latencies: list[float]  # from each event to its accepted run
    raw_per_second: float
    limit_per_second: float
    limit: str

    @property
    def per_second(self) -> float:
        """Runs a second, from the first accepted run to the last."""
        return (len(self.accepted) - 1) / (self.accepted[-1] - self.accepted[0])


def storm(state: StackState, transport: str, number: int) -> Storm:
    """Send the events at once, and wait until all have their run."""
    deployed = Deployed(state)
    deployed.triggered(deployed.put_events(1))  # sandboxes are warm then, and the rule is known
    before = _runs(state)
    deployed.control.clear_statistics()
    began = time.time()
    with ThreadPoolExecutor(CLIENTS) as clients:
        parts = list(clients.map(lambda _: _put(deployed, number // CLIENTS), range(CLIENTS)))
    sent = {event: at for part in parts for event, at in part.items()}
    progress = time.time(), 0
    while (created := _runs(state) - before) < len(sent) and time.time() - progress[0] < LOST_AFTER_SECONDS:
        if created > progress[1]:
            progress = time.time(), created
        time.sleep(0.5)
    rows = [row for row in _rows(state) if row.state == "triggered" and any(e in row.identity for e in sent)]
    counted = deployed.statistics()
    finished = {next(each for each in sent if each in row.identity): row.finished_at or 0.0 for row in rows}
    accepted = sorted(at - began for at in finished.values())
    share = deployed.share
    limits = {
        "rest": (float(REST_SHARE), "RestShare"),
        "web": (0.0, "none"),
        "cli": (share * counted["commands"] / max(counted["seconds_in_slots"], 0.001), "the slots"),
    }
    limit, name = limits[transport]
    at_once = share * max(1, WEB_CONCURRENCY // share) if transport == "web" else share
    return Storm(
        transport=transport,
        events=len(sent),
        lost=len(sent) - len(finished),
        doubled=_runs(state) - before - len(finished),
        refused=counted["refused_no_free_slot"] + counted["refused_throttled"],
        most_at_once=counted["most_commands_at_once"],
        seconds=accepted[-1],
        accepted=accepted,
        latencies=sorted(at - sent[event] for event, at in finished.items()),
        raw_per_second=raw(state, at_once),
        limit_per_second=limit,
        limit=name,
    )


def _rows(state: StackState) -> list[LedgerRow]:
    """Read the requests; a run is in Airflow a moment before the ledger has its end."""
    rows: list[LedgerRow] = []
    for _ in range(20):
        rows = rows_about(state.aws, state.ledger_table, "eventbridge")
        if all(row.state == "triggered" for row in rows):
            break
        time.sleep(0.5)
    return rows


def _put(deployed: Deployed, number: int) -> dict[str, float]:
    """Put events in tens; return when each was sent."""
    sent: dict[str, float] = {}
    while len(sent) < number:
        at = time.time()
        sent |= dict.fromkeys(deployed.put_events(min(10, number - len(sent))), at)
    return sent


def raw(state: StackState, at_once: int) -> float:
    """Runs a second that Airflow starts for so many plain clients in one session, without the gateway."""
    transport = _web_transport(state)

    def start(_: int) -> None:
        run_id = f"raw__{uuid.uuid4().hex}"
        outcome = transport.trigger(ResolvedTarget(ENVIRONMENT, DAG, run_id, {}))
        if outcome != Triggered():
            sys.exit(f"Airflow did not start a run: {outcome}")

    start(0)
    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as clients:
        list(clients.map(start, range(RAW_RUNS)))
    transport.close()
    return RAW_RUNS / (time.perf_counter() - began)


def _web_transport(state: StackState) -> WebTransport:
    host = state.environments[ENVIRONMENT].web_server_hostname
    web_server = WebServer(host, state.ca_bundle, 5, 60, keep_connections=True)
    return WebTransport(WebSession(_mwaa(state), ENVIRONMENT, web_server, "RestApiRole"))


def _mwaa(state: StackState) -> Any:
    aws = LocalAws(state.mwaa_endpoint_url, state.region, state.aws.credentials)
    return aws.client("mwaa")


def baseline(state: StackState, number: int) -> tuple[int, float]:
    """The documented function, for each event at once: (events that became no run, runs a second)."""
    before, began = _runs(state, "%"), time.perf_counter()

    def handler(_: int) -> None:
        token = _mwaa(state).create_cli_token(Name=ENVIRONMENT)
        with requests.Session() as session:
            session.trust_env, session.verify = False, state.ca_bundle
            session.post(
                f"https://{token['WebServerHostname']}/aws_mwaa/cli",
                headers={"Authorization": f"Bearer {token['CliToken']}", "Content-Type": "text/plain"},
                data=f"dags trigger {DAG}",
                timeout=60,
            )

    with ThreadPoolExecutor(10) as lambdas:
        list(lambdas.map(handler, range(number)))
    runs = _runs(state, "%") - before
    return number - runs, runs / (time.perf_counter() - began)


def _runs(state: StackState, run_ids: str = f"evt__{RULE['id']}__%") -> int:
    """Runs in Airflow's own database."""
    database = Path(state.environments[ENVIRONMENT].airflow_home, "airflow.db")
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30) as connection:
        query = "SELECT count(*) FROM dag_run WHERE dag_id = ? AND run_id LIKE ?"
        (count,) = connection.execute(query, (DAG, run_ids)).fetchone()
    return int(count)


def on_a_stack(transport: str, measure: Callable[[StackState], Any]) -> Any:
    """Start a stack with this transport, measure, and stop it."""
    with tempfile.TemporaryDirectory() as folder:
        options = StackOptions(
            {ENVIRONMENT: DEFAULT_VERSION}, Path(folder), port=free_port(), transports=transport
        )
        stack = LocalStack(options, Timeline(Console(stderr=True)))
        try:
            state = stack.start()
            rule = parse_rule(RULE, environments=frozenset({ENVIRONMENT}))
            store = RulesStore(state.aws.client("dynamodb"), state.rules_table)
            store.put(rule, by="benchmarks.storm", now=datetime.now(UTC))
            return measure(state)
        finally:
            stack.stop()


def print_table(storms: Sequence[Storm]) -> None:
    """Print the storms side by side."""
    print(
        "| transport | events | lost | doubled | 503s, 429s | runs a second | Airflow, raw | times raw | of its limit |"
        " p50 s | p99 s | longest s |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|---|--:|--:|--:|")
    for each in storms:
        of_limit = (
            f"{each.per_second / each.limit_per_second:.2f} of {each.limit}" if each.limit_per_second else "-"
        )
        p50, p99 = (percentile(each.latencies, percent) for percent in (50, 99))
        print(
            f"| `{each.transport}` | {each.events:,} | {each.lost} | {each.doubled} | {each.refused} |"
            f" {each.per_second:.1f} | {each.raw_per_second:.1f} | {each.per_second / each.raw_per_second:.2f} |"
            f" {of_limit} | {p50:.1f} | {p99:.1f} | {each.latencies[-1]:.1f} |"
        )


def main() -> None:
    """Measure each transport and the baseline; print, and write JSON and pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rest", type=int, default=10_000)
    parser.add_argument("--web", type=int, default=10_000)
    parser.add_argument("--cli", type=int, default=500)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--pictures", type=Path, help="folder of the drain curve and the latencies")
    options = parser.parse_args()
    storms: list[Storm] = []
    base: tuple[int, float] | None = None
    for transport in ("rest", "web", "cli"):
        number = getattr(options, transport)

        def measure(state: StackState, transport: str = transport, number: int = number) -> Storm:
            nonlocal base
            if transport != "cli":
                return storm(state, transport, number)
            slow = Faults(latency_milliseconds=1000 * MWAA_COMMAND_SECONDS)
            Deployed(state).control.set_faults(slow, environment=ENVIRONMENT)
            found = storm(state, transport, number)
            base = baseline(state, number)
            return found

        storms.append(on_a_stack(transport, measure))
        print_table(storms[-1:])
    print()
    print_table(storms)
    if base is not None:
        lost, rate = base
        print(
            f"\nThe documented function: {lost} of {options.cli} events became no run; {rate:.1f} runs a second"
        )
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in storms]))
    if options.pictures:
        draw([asdict(each) for each in storms], options.pictures)


if __name__ == "__main__":
    main()
