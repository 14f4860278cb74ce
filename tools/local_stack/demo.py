"""What `make run` shows: one event of each source, and a state machine, with the DAG runs that they start."""

import gzip
import json
import os
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.markup import escape

from gateway_cli.rules.files import RulesRefused
from gateway_cli.rules.store import RulesStore
from local_stack.apply_rules import apply_folder
from local_stack.follow import Followed, SentEvent, follow
from local_stack.ministack import StackError
from local_stack.processes import descendants, memory_bytes
from local_stack.state import StackState
from local_stack.state_machines import EndedExecution, StateMachine, make_state_machine
from local_stack.timeline import Timeline

_RUN_SECONDS = 120.0


def run_demo(state: StackState, timeline: Timeline, *, root: Path) -> list[str]:
    """Apply the example rules, send events and a batch, run a state machine, and show their outcomes and times.

    Returns a sentence for each run or execution that has not succeeded; raises StackError when the rules are refused.
    """
    _apply(state, root / "examples" / "rules", timeline, "examples/rules")
    with timeline.phase("Three events, a batch of uploads and a state machine, followed"):
        sent_at = time.time()
        machine, execution = _start_execution(state, timeline, root / "examples" / "state_machines")
        events = [
            _upload(state, timeline),
            _publish(state, timeline),
            _put_event(state, timeline),
            _upload_batch(state, timeline),
        ]
        ended = machine.wait(execution, seconds=_RUN_SECONDS)
        events.append(SentEvent(f"state machine {machine.name}", execution.rpartition(":")[2], sent_at))
        followed = follow(state, events, seconds=_RUN_SECONDS)
    print_runs(followed, timeline)
    _print_members(state, timeline)
    _print_execution(machine, ended, timeline)
    _print_commands(state, machine, timeline)
    _print_places(state, timeline)
    _print_costs(timeline)
    failures = [_failure(each, state) for each in followed if not each.succeeded]
    return failures if ended.succeeded else [_failed_execution(ended), *failures]


def apply_own_rules(state: StackState, timeline: Timeline, rules: Path | None) -> None:
    """Apply the user's own rules instead of the examples, and print the next steps.

    Raises:
        StackError: a rule is refused; has every mistake.
    """
    if rules is not None:
        _apply(state, rules, timeline, str(rules))
    tell = timeline.console.print
    tell("\n[bold]Try it by hand[/]")
    for words in (
        *_BY_HAND[: 0 if rules else 2],
        *_BY_HAND[2:],
    ):
        tell(
            "  " + words.format(bucket=state.bucket, aws=_aws(state)),
            soft_wrap=True,
            highlight=False,
            markup=False,
        )
    _print_places(state, timeline)


_BY_HAND: Final = (
    ".venv/bin/mwaa-gateway rules new --from 's3://{bucket}/*' --dag YOUR_DAG --local --to rules/first.yaml",
    ".venv/bin/mwaa-gateway rules apply rules/ --local",
    "{aws} s3 cp README.md s3://{bucket}/by-hand.md",
    ".venv/bin/mwaa-gateway dlq list --local",
)


def _apply(state: StackState, rules: Path, timeline: Timeline, name: str) -> None:
    store = RulesStore(state.aws.client("dynamodb"), state.rules_table)
    with timeline.phase(f"Applying {name}"):
        try:
            applied = apply_folder(
                store, rules, set(state.environments), by="mwaa-gateway local demo", now=datetime.now(UTC)
            )
        except RulesRefused as refused:
            raise StackError(f"{name}: nothing was applied\n{refused}") from refused
        for each in applied:
            timeline.tell(f"rule {each.rule_id}: {each.outcome}, version {each.version}")


def _upload(state: StackState, timeline: Timeline) -> SentEvent:
    marker = uuid.uuid4().hex[:12]
    key = f"orders/{datetime.now(UTC):%Y-%m-%d}-{marker}.csv"
    timeline.tell(f"uploading s3://{state.bucket}/{key}")
    sent_at = time.time()
    state.aws.client("s3").put_object(Bucket=state.bucket, Key=key, Body=b"order,amount\n1,9.90\n")
    return SentEvent("S3 upload", marker, sent_at)


def _upload_batch(state: StackState, timeline: Timeline) -> SentEvent:
    """Upload some files, and the marker with their number: the example rule starts one run for them."""
    day, names = f"{datetime.now(UTC):%Y-%m-%d}-{uuid.uuid4().hex[:12]}", ("zurich", "geneva", "basel")
    timeline.tell(f"uploading {len(names)} files and a marker to s3://{state.bucket}/returns/{day}/")
    s3 = state.aws.client("s3")
    sent_at = time.time()
    for name in names:
        s3.put_object(Bucket=state.bucket, Key=f"returns/{day}/{name}.csv", Body=b"order,reason\n1,size\n")
    s3.put_object(Bucket=state.bucket, Key=f"returns/{day}/complete-{len(names)}", Body=b"")
    return SentEvent(f"{len(names)} S3 uploads and a marker, one batch", day, sent_at)


def _publish(state: StackState, timeline: Timeline) -> SentEvent:
    timeline.tell(f"publishing to {state.topic_arn}")
    sent_at = time.time()
    answer = state.aws.client("sns").publish(
        TopicArn=state.topic_arn,
        Subject="nightly export",
        Message=json.dumps({"export": "customers", "rows": 1200}),
    )
    return SentEvent("SNS notification", answer["MessageId"], sent_at)


def _put_event(state: StackState, timeline: Timeline) -> SentEvent:
    timeline.tell(f"putting an event on bus {state.event_bus_name}")
    sent_at = time.time()
    answer = state.aws.client("events").put_events(
        Entries=[
            {
                "EventBusName": state.event_bus_name,
                "Source": "acme.ledger",
                "DetailType": "Business Day Closed",
                "Detail": json.dumps({"business-day": f"{datetime.now(UTC):%Y-%m-%d}", "region": "emea"}),
            }
        ]
    )
    return SentEvent("EventBridge event", answer["Entries"][0]["EventId"], sent_at)


def _start_execution(state: StackState, timeline: Timeline, folder: Path) -> tuple[StateMachine, str]:
    """Start the example's state machine, as a nightly schedule would."""
    topic = state.aws.client("sns").create_topic(Name="nightly-etl")["TopicArn"]
    machine = make_state_machine(state, folder / "nightly_etl.asl.json", topic_arn=topic)
    day = {"day": f"{datetime.now(UTC):%Y-%m-%d}"}
    timeline.tell(f"starting state machine {machine.name}: two DAGs in parallel, waited for")
    return machine, machine.start({"orders": day, "customers": day})


def _print_execution(machine: StateMachine, ended: EndedExecution, timeline: Timeline) -> None:
    colour = "green" if ended.succeeded else "red"
    timeline.console.print(
        f"State machine {machine.name}, execution {ended.arn.rpartition(':')[2]}: "
        f"[{colour}]{ended.status}[/] after {ended.milliseconds:,} ms {escape(ended.error)}",
        highlight=False,
        soft_wrap=True,
    )


def _failed_execution(ended: EndedExecution) -> str:
    return f"execution {ended.arn} is {ended.status}" + (
        f": {ended.error} {ended.cause}" if ended.error else f" after {_RUN_SECONDS:.0f} s"
    )


def print_runs(followed: Sequence[Followed], timeline: Timeline) -> None:
    """Print each event with its outcome; each identifier has a line, so that none is broken in two."""
    tell = timeline.console.print
    tell("\n[bold]From event to DAG run[/] (the first of each function, cold starts included)")
    for each in followed:
        colour = "green" if each.succeeded else "red"
        times = ", ".join(
            f"{name} {ms:,}"
            for name, ms in (
                ("dispatched", each.dispatched_ms),
                ("accepted", each.accepted_ms),
                ("success", each.success_ms),
            )
            if ms is not None
        )
        target = f"{each.environment}:{each.dag_id}" if each.dag_id else "-"
        for line in (
            f"  [bold]{each.event.name}[/] → rule {each.rule_id or '-'}",
            f"      {target}  [{colour}]{each.state}[/]",
            f"      {each.run_id or 'no run'}",
            f"      [dim]milliseconds since the event:[/] {times or '-'}",
        ):
            tell(line, highlight=False, soft_wrap=True)
    tell("")


def _print_members(state: StackState, timeline: Timeline) -> None:
    """Print what the manifests of the batches list."""
    s3, bucket = state.aws.client("s3"), state.claim_check_bucket
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="feeds/"):
        for each in page.get("Contents", []):
            manifest = gzip.decompress(s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read())
            timeline.console.print(
                f"Members of the batch, from s3://{bucket}/{each['Key']}", soft_wrap=True, highlight=False
            )
            for line in manifest.splitlines():
                timeline.console.print(
                    f"      {json.loads(line)['uri']}", soft_wrap=True, highlight=False, markup=False
                )
    timeline.console.print("")


def _aws(state: StackState) -> str:
    """The AWS command of the local stack, with its credentials."""
    credentials = " ".join(
        f"{name}={value}" for name, value in state.settings.items() if "ACCESS_KEY" in name
    )
    return f"{credentials} aws --endpoint-url {state.aws_endpoint_url} --region {state.region}"


def _print_commands(state: StackState, machine: StateMachine, timeline: Timeline) -> None:
    tell = timeline.console.print
    tell("\n[bold]Try it by hand[/]")
    day = f'{{"day": "{datetime.now(UTC):%Y-%m-%d}"}}'
    given = f'{{"orders": {day}, "customers": {day[:-1]}, "fail": true}}}}'
    for words in (
        f"s3 cp README.md s3://{state.bucket}/orders/by-hand.csv",
        f"stepfunctions start-execution --state-machine-arn {machine.arn} --input '{given}'",
    ):
        tell(
            f"  {_aws(state)} {words}",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )


def _print_places(state: StackState, timeline: Timeline) -> None:
    tell = timeline.console.print
    tell("\n[bold]Look at it[/]")
    places = {
        f"Airflow {environment.airflow_version} of {name}": environment.airflow_url
        for name, environment in state.environments.items()
    } | {
        "AWS (MiniStack)": state.aws_endpoint_url,
        "logs": state.log_folder,
        "the gateway in a browser": ".venv/bin/mwaa-gateway console --local",
        "every endpoint and name": ".venv/bin/mwaa-gateway local status --json",
    }
    for name, place in places.items():
        tell(f"  {name:{max(map(len, places))}}  {place}", highlight=False, soft_wrap=True)


def _print_costs(timeline: Timeline) -> None:
    tell = timeline.console.print
    tell("\n[bold]What it took[/]")
    for phase in timeline.phases():
        tell(f"  {phase.name:45} {phase.seconds:6.1f} s", highlight=False)
    tell(f"  {'from the start to here':45} {timeline.now():6.1f} s", highlight=False)
    memory = memory_bytes([os.getpid(), *descendants(os.getpid())])
    if memory is not None:
        tell(f"  {'memory of all processes together':45} {memory / 1e6:6,.0f} MB\n", highlight=False)


def _failure(each: Followed, state: StackState) -> str:
    if not each.run_id:
        return (
            f"{each.event.name}: no trigger request of it reached the ledger within {_RUN_SECONDS:.0f} s; "
            f"see {state.log_folder}/ministack.log"
        )
    return f"{each.event.name}: run {each.run_id} of DAG {each.dag_id} is {each.state!r}" + (
        f" ({each.reason})" if each.reason else ""
    )
