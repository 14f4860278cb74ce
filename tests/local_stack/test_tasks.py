"""States of state machines that start DAG runs and wait for them, on real Airflow.

All executions of the first part are started together and go on side by side; each test then looks at its own.
"""

import json
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError

from local_stack.airflow_runs import AirflowRuns, DagRun
from local_stack.mwaa.control import ControlClient
from local_stack.stack import redeploy
from local_stack.state import StackState
from local_stack.state_machines import make_state_machine
from looking import SECRET, queue_that_takes
from polling import until

EXAMPLES = Path(__file__).parents[2] / "examples" / "state_machines"
ITEMS, AT_ONCE = 30, 30
SLOTS = 3  # of the web server, by the template
WITHOUT_TASK = "arn:aws:states:::lambda:invoke"
WAITS = "arn:aws:states:::lambda:invoke.waitForTaskToken"
BOTH = pytest.mark.parametrize("environment", ["analytics", "legacy"])


def state(dag: tuple[str, str] | None, conf: dict[str, Any] | None = None, **wait: Any) -> dict[str, Any]:
    """A state that waits for a run of a DAG it names, or of what the rules say."""
    payload: dict[str, Any] = {"context.$": "$$", "input": conf or {}, "wait": wait}
    if dag is not None:
        payload["dag"] = {"environment": dag[0], "dag_id": dag[1]}
    return {
        "Type": "Task",
        "Resource": WAITS,
        "Parameters": {"FunctionName": "<function>", "Payload": payload},
        "TimeoutSeconds": 240,
        "End": True,
    }


def going_on(dag: tuple[str, str]) -> dict[str, Any]:
    """A state that has a run started and goes on."""
    started = state(dag)
    del started["Parameters"]["Payload"]["wait"]
    return started | {"Resource": WITHOUT_TASK, "OutputPath": "$.Payload"}


def without_context() -> dict[str, Any]:
    """A state that does not say which run it means."""
    broken = state(("analytics", "quick"))
    del broken["Parameters"]["Payload"]["context.$"]
    return broken


def retried(one: dict[str, Any], error: str, *, times: int = 1) -> dict[str, Any]:
    """A state that is tried again after an error, each time with another token."""
    retry = {"ErrorEquals": [error], "IntervalSeconds": 1, "MaxAttempts": times, "BackoffRate": 1.0}
    return one | {"Retry": [retry]}


def branches(**several: dict[str, Any]) -> dict[str, Any]:
    """Several states side by side, by their names: those of a state machine differ."""
    machines = [{"StartAt": name, "States": {name: one}} for name, one in several.items()]
    return {"Type": "Parallel", "Branches": machines, "End": True}


def each_item(one: dict[str, Any]) -> dict[str, Any]:
    """A state for each item of the execution's input."""
    return {"Type": "Map", "ItemProcessor": {"StartAt": "Run", "States": {"Run": one}}, "End": True}


FAILS = {"fail": True}
STATES = {
    "success in analytics": state(("analytics", "two_tasks")),
    "success in legacy": state(("legacy", "two_tasks")),
    "failure in analytics": state(("analytics", "two_tasks"), FAILS),
    "failure in legacy": state(("legacy", "two_tasks"), FAILS),
    "map": each_item(state(("analytics", "gathers"))),
    "parallel": branches(One=state(("analytics", "quick")), Two=state(("legacy", "quick"))),
    "times out": retried(
        state(("analytics", "paused_at_first")) | {"TimeoutSeconds": 12}, "States.Timeout", times=40
    ),
    "paused, waits": state(("legacy", "paused_at_first")),
    "paused, fails": state(("analytics", "waiting"), when_not_runnable="fail"),
    "refused": state(("analytics", "numbers_only"), {"amount": "many"}),
    "aborted": state(("legacy", "waiting")),
    **{
        f"{name} in {environment}": one
        for environment in ("analytics", "legacy")
        for name, one in {
            "returns": state((environment, "two_tasks"), return_value_of="first"),
            "aborted": state((environment, "waiting"), on_abort="fail_run"),
            "aborted too late": state((environment, "waiting"), on_abort="fail_run"),
            "tells": state((environment, "tells")),
        }.items()
    },
    "deleted": state(("analytics", "waiting")),
    "goes on": going_on(("analytics", "waiting")),
    "fails again": retried(state(("legacy", "two_tasks"), FAILS, after_failed_run="fail"), "DagRunFailed"),
    "runs again": retried(state(("legacy", "two_tasks"), FAILS, after_failed_run="rerun"), "DagRunFailed"),
    "no context": without_context(),
    "no rule": state(None, {"kind": "unheard-of"}),
    "one target": state(None, {"kind": "one-target"}),
    "two targets": state(None, {"kind": "two-targets"}),
    "not allowed": state(("elsewhere", "quick")),
} | {f"one of many {n}": state(("legacy", "gathers")) for n in range(AT_ONCE)}


@pytest.fixture(scope="module")
def nights(gateway: StackState) -> dict[str, str]:
    """The example's executions for a night without customers and one without orders; the queue `nights` hears its topic."""
    sns = gateway.aws.client("sns")
    topic = sns.create_topic(Name="nights")["TopicArn"]
    queue = queue_that_takes(gateway, "nights", "sns.amazonaws.com")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    machine = make_state_machine(gateway, EXAMPLES / "nightly_etl.asl.json", topic_arn=topic)
    day, fails = {"day": "2026-11-22"}, {"day": "2026-11-22", "fail": True}
    return {
        "without customers": machine.start({"orders": day, "customers": fails}),
        "without orders": machine.start({"orders": fails, "customers": day}),
    }


@pytest.fixture(scope="module")
def _callbacks_are_heard(gateway: StackState) -> None:
    """The queue `callbacks` hears what DAGs put on the gateway's bus."""
    rule = {"EventBusName": gateway.event_bus_name}
    queue = queue_that_takes(gateway, "callbacks", "events.amazonaws.com")
    events = gateway.aws.client("events")
    events.put_rule(Name="callbacks", EventPattern='{"source": ["mwaa-gateway.callbacks"]}', **rule)
    events.put_targets(Rule="callbacks", Targets=[{"Id": "queue", "Arn": queue}], **rule)


@pytest.fixture(scope="module")
def executions(
    gateway: StackState,
    state_machine_role: str,
    nights: dict[str, str],
    _callbacks_are_heard: None,
) -> dict[str, str]:
    """One execution of each of STATES, by its name there; all of them are waiting at the same time."""
    del nights  # which wait as well
    return started(gateway, state_machine_role, STATES)


@pytest.fixture(scope="module")
def tokens(gateway: StackState, executions: dict[str, str]) -> set[str]:
    """Task tokens in the clear, as only the watcher may have them: of all that wait when everybody does.

    Then the DAG that many wait for may run.
    """
    del executions

    def everybody() -> bool:
        waiting = [watch for watch in open_watches(gateway) if watch["dag_id"] == "gathers"]
        return len(waiting) == ITEMS + AT_ONCE

    until("everybody to wait", everybody, seconds=120, every=0.5)
    for environment in gateway.environments:
        until("a round with all of them", lambda name=environment: large_rounds(gateway, name), seconds=60)
    items = [whole(gateway, watch) for watch in open_watches(gateway)]
    found = {unsealed(gateway, item) for item in items if "sealed_token" in item}
    for environment in gateway.environments:
        airflow(gateway, environment, "PATCH", "dags/gathers", {"is_paused": False})
    return found


@pytest.mark.guarantee(33)
def test_nothing_that_waits_is_waited_for_in_vain(gateway, executions, tokens):
    """Thirty items of a Map and thirty executions, which all wait at the same time: a run each, an answer each."""
    assert len(tokens) >= ITEMS + AT_ONCE
    shown = [output["run_id"] for output in output_of(gateway, executions["map"])]
    assert len(shown) == len(set(shown)) == ITEMS
    assert {run.run_id for run in runs(gateway, "analytics", "gathers", executions["map"])} == set(shown)
    several = [arn for name, arn in executions.items() if name.startswith("one of many")]
    answers = {arn: output_of(gateway, arn)["run_id"] for arn in several}
    started_runs = AirflowRuns(gateway.environments["legacy"]).all("gathers")
    assert len(started_runs) == AT_ONCE
    for run in started_runs:
        assert answers[run.conf["mwaa_gateway"]["execution_arn"]] == run.run_id


@pytest.mark.usefixtures("tokens")
def test_however_many_wait_airflow_is_asked_once_a_dag_and_round_and_within_its_slots(gateway):
    """Of what the watchers and dispatchers did so far; a question for each run would be thirty in a round."""
    control = ControlClient(gateway.mwaa_endpoint_url)
    for environment in gateway.environments:
        rounds = large_rounds(gateway, environment)
        assert max(one.get("WatcherQuestions", 0) for one in rounds) <= 12, rounds
        statistics = control.statistics(environment=environment)[environment]
        assert statistics["most_commands_at_once"] <= SLOTS


@BOTH
def test_a_state_gets_its_runs_end(gateway, executions, environment):
    """Success comes with what ran, when, and how long."""
    output = output_of(gateway, executions[f"success in {environment}"])

    [run] = runs(gateway, environment, "two_tasks", executions[f"success in {environment}"])
    assert output.pop("start_date") < output.pop("end_date")
    assert output.pop("duration_seconds") > 0
    assert output == {
        "environment": environment,
        "dag_id": "two_tasks",
        "run_id": run.run_id,
        "state": "success",
    }


@BOTH
def test_a_run_that_fails_in_its_second_task_fails_the_state_and_names_the_task(
    gateway, executions, environment
):
    """The error is what a Catch matches, the cause what a person reads."""
    cause = cause_of(gateway, executions[f"failure in {environment}"], "DagRunFailed")

    assert (cause["state"], cause["failed_tasks"]) == ("failed", ["second"])


def test_the_example_goes_on_with_old_customers_and_not_without_orders_and_says_either(gateway, nights):
    """What its states publish arrives over SNS, with the task that failed."""
    heard: dict[str, Any] = {}

    def both() -> bool:
        for notification in taken(gateway, "nights"):
            heard[notification["Subject"]] = json.loads(notification["Message"])
        return len(heard) > 1

    assert over(gateway, nights["without customers"])["status"] == "SUCCEEDED"
    assert over(gateway, nights["without orders"])["error"] == "DagRunFailed"
    until("both notifications", both, seconds=30)
    assert heard["Nightly ETL: yesterday's customers"]["failed_tasks"] == ["load"]
    failed = heard["Nightly ETL: failed"]
    assert (failed["Error"], json.loads(failed["Cause"])["dag_id"]) == ("DagRunFailed", "nightly_orders")


def test_a_dags_callback_reports_the_end_of_its_run(gateway, executions):
    """The example's, on either Airflow: whose run it was. The gateway's own rule on the bus has its watcher look."""
    runs_that_ended = {
        environment: output_of(gateway, executions[f"tells in {environment}"])["run_id"]
        for environment in gateway.environments
    }
    shown: dict[str, str] = {}

    def all_answered() -> bool:
        for event in taken(gateway, "callbacks"):
            assert event["detail"]["dag_id"] == "tells"
            shown[event["detail"]["environment"]] = event["detail"]["run_id"]
        return len(shown) == len(runs_that_ended)

    until("both callbacks", all_answered, seconds=30)
    assert shown == runs_that_ended


def test_branches_wait_each_for_its_own_run(gateway, executions):
    """Side by side, in two environments."""
    outputs = output_of(gateway, executions["parallel"])

    assert [(each["environment"], each["state"]) for each in outputs] == [
        ("analytics", "success"),
        ("legacy", "success"),
    ]


def test_a_state_that_does_not_wait_gets_the_run_id(gateway, executions):
    """And the run is there, or about to be."""
    output = output_of(gateway, executions["goes on"])

    [run] = until("the run", lambda: runs(gateway, "analytics", "waiting", executions["goes on"]), seconds=30)
    assert output == {"environment": "analytics", "dag_id": "waiting", "run_id": run.run_id}


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("no context", "InvalidTask", '"context.$": "$$"'),
        ("not allowed", "DagNotAllowed", "it has analytics, legacy"),
        ("no rule", "NoRuleMatched", "Name the DAG in `dag`"),
        ("two targets", "SeveralTargetsMatched", "test.task, test.task-too"),
    ],
)
def test_what_cannot_be_started_fails_at_once_and_says_why(gateway, executions, name, error, said):
    """The function refuses it: no run, and no wait for a timeout."""
    cause = cause_of(gateway, executions[name], error)

    assert said in cause["errorMessage"]


def test_a_state_may_leave_it_to_the_one_rule_that_matches(gateway, executions):
    """The conf is what the rule makes of the state's input."""
    output = output_of(gateway, executions["one target"])

    assert (output["environment"], output["dag_id"], output["state"]) == ("analytics", "quick", "success")
    run = AirflowRuns(gateway.environments["analytics"]).get("quick", output["run_id"])
    assert run is not None
    assert run.conf["given"] == {"kind": "one-target"}


def test_a_run_that_will_not_run_fails_the_state_that_wants_to_know(gateway, executions):
    """A conf that the DAG refuses, and a DAG that is paused."""
    refused = cause_of(gateway, executions["refused"], "DagRunRejected")
    paused = cause_of(gateway, executions["paused, fails"], "DagRunNotRunnable")

    assert "amount" in refused["text"] + refused["reason"], refused
    assert paused["reason"] == "paused"


@pytest.mark.guarantee(28)
def test_a_state_retried_after_a_failed_run_has_it_once_more_or_another_as_it_chose(gateway, executions):
    """`fail` finds the run that failed, `rerun` has one of the next generation."""
    for name, generations in (("fails again", [0]), ("runs again", [0, 1])):
        cause = cause_of(gateway, executions[name], "DagRunFailed")
        found = runs(gateway, "legacy", "two_tasks", executions[name])
        assert sorted(run.conf["mwaa_gateway"]["generation"] for run in found) == generations, name
        assert cause["run_id"] in {run.run_id for run in found}


@pytest.mark.guarantee(27)
def test_an_execution_that_is_aborted_waits_no_more(gateway, executions):
    """Its end comes over the bus, and the watch goes; the run, with `leave`, stays."""
    [run] = until("the run", lambda: runs(gateway, "legacy", "waiting", executions["aborted"]), seconds=30)

    watch = watch_of(gateway, run.run_id)

    gateway.aws.client("stepfunctions").stop_execution(executionArn=executions["aborted"])

    closed = until("the watch's end", lambda: closed_watch(gateway, watch), seconds=60, every=0.3)
    assert closed["said"] == "its execution is over"
    assert "sealed_token" not in closed
    assert AirflowRuns(gateway.environments["legacy"]).get("waiting", run.run_id) == run


@BOTH
def test_a_state_gets_what_a_task_returned(gateway, executions, environment):
    """Over CLI tokens, by a web login: no path of InvokeRestApi would be long enough, and no command shows it."""
    output = output_of(gateway, executions[f"returns in {environment}"])

    assert (output["state"], output["return_value"]) == ("success", {"rows": 1})


@pytest.mark.guarantee(42)
def test_a_run_ends_with_its_execution_unless_it_has_succeeded(gateway, executions):
    """It is marked failed in Airflow's database. One that succeeds in the moment of the abort stays as it is."""
    found, watched = {}, {}
    for environment in gateway.environments:
        for name in ("aborted", "aborted too late"):
            execution = executions[f"{name} in {environment}"]
            [found[environment, name]] = until(
                "the run", lambda e=environment, x=execution: runs(gateway, e, "waiting", x), seconds=90
            )
            watched[environment, name] = watch_of(gateway, found[environment, name].run_id)
            if name == "aborted too late":
                path = f"dags/waiting/dagRuns/{found[environment, name].run_id}"
                airflow(gateway, environment, "PATCH", path, {"state": "success"})
            with suppress(ClientError):  # of one that is over already, if the watcher was quicker
                gateway.aws.client("stepfunctions").stop_execution(executionArn=execution)

    for (environment, name), run in found.items():
        watch = watched[environment, name]
        closed = until("the watch's end", lambda w=watch: closed_watch(gateway, w), seconds=60)
        ended = AirflowRuns(gateway.environments[environment]).get("waiting", run.run_id)
        assert ended is not None
        marked = closed["said"] == "its execution is over; the run was marked failed"
        # The other's wait may end in several ways: by the run's end or the execution's, whichever is noticed first.
        expected = (True, "failed") if name == "aborted" else (False, "success")
        assert (marked, ended.state) == expected, closed["said"]


def test_a_run_that_somebody_deletes_fails_the_state(gateway, executions):
    """Nobody waits for what is not there any more."""
    [run] = until("the run", lambda: runs(gateway, "analytics", "waiting", executions["deleted"]), seconds=30)

    airflow(gateway, "analytics", "DELETE", f"dags/waiting/dagRuns/{run.run_id}")

    cause = cause_of(gateway, executions["deleted"], "DagRunDeleted")
    assert cause["run_id"] == run.run_id


@pytest.mark.guarantee(28)
def test_a_state_with_a_new_token_is_attached_to_its_run(gateway, executions):
    """Timed out and tried again while its DAG was paused: one run, and the newest token gets its result."""
    history = gateway.aws.client("stepfunctions").get_execution_history

    def tried_twice() -> bool:
        events = history(executionArn=executions["times out"], maxResults=1000)["events"]
        return sum(event["type"] == "TaskScheduled" for event in events) > 1

    until("a second try", tried_twice, seconds=60, every=0.3)
    for environment in gateway.environments:
        airflow(gateway, environment, "PATCH", "dags/paused_at_first", {"is_paused": False})

    for name, environment in (("times out", "analytics"), ("paused, waits", "legacy")):
        output = output_of(gateway, executions[name])
        [run] = runs(gateway, environment, "paused_at_first", executions[name])
        assert (output["run_id"], output["state"]) == (run.run_id, "success")


@pytest.mark.usefixtures("over_rest")
def test_over_rest_what_is_too_long_for_invoke_rest_api_goes_by_a_web_login(gateway, state_machine_role):
    """What a task returned always is; of runs to end only those of the shortest ids fit into its 64 characters."""
    several = started(
        gateway,
        state_machine_role,
        {
            f"{name} in {environment}": one
            for environment in gateway.environments
            for name, one in {
                "returns": state((environment, "two_tasks"), return_value_of="first"),
                "fails": state((environment, "two_tasks"), FAILS),
                "waits": state(None, {"kind": f"short-{environment}"}, on_abort="fail_run"),
                "waits long": state((environment, "waiting"), on_abort="fail_run"),
            }.items()
        },
    )
    waiting = {
        (environment, several[f"{name} in {environment}"])
        for environment in gateway.environments
        for name in ("waits", "waits long")
    }
    watched = {}
    for environment, waits in waiting:
        [run] = until("the run", lambda e=environment, x=waits: runs(gateway, e, "waiting", x), seconds=60)
        watched[waits] = watch_of(gateway, run.run_id)
        gateway.aws.client("stepfunctions").stop_execution(executionArn=waits)

    for environment in gateway.environments:
        returned = output_of(gateway, several[f"returns in {environment}"])
        assert (returned["state"], returned["return_value"]) == ("success", {"rows": 1})
        cause = cause_of(gateway, several[f"fails in {environment}"], "DagRunFailed")
        assert cause["failed_tasks"] == ["second"]
    for environment, waits in waiting:
        [run] = runs(gateway, environment, "waiting", waits)
        closed = until("the watch's end", lambda x=waits: closed_watch(gateway, watched[x]), seconds=30)
        assert closed["said"] == "its execution is over; the run was marked failed"
        ended = AirflowRuns(gateway.environments[environment]).get("waiting", run.run_id)
        assert ended is not None
        assert ended.state == "failed"


@pytest.mark.guarantee(32)
def test_no_task_token_is_written_down_anywhere(gateway, executions, tokens):
    """Not in a log, a queue, a table or a conf, after all of the above; and none lies sealed where nobody waits.

    Nor is any token or session of MWAA's in a log.
    """
    del executions
    written = dict(everything_written(gateway))

    assert any("step-functions" in place for place in written)
    assert {place for place, text in written.items() for token in tokens if token in text} == set()
    logs = {place: text for place, text in written.items() if place.startswith("/")}
    assert {place: found[0][:12] for place, text in logs.items() if (found := SECRET.search(text))} == {}
    sealed = [item for item in items_of(gateway, gateway.ledger_table) if "sealed_token" in item]
    assert all("watched_in" in item for item in sealed)


# --- the state machines ---------------------------------------------------------------------------------------


def started(gateway: StackState, role: str, states: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Start an execution of a state machine of each state; returns their ARNs by the states' names."""
    client = gateway.aws.client("stepfunctions")
    function = json.dumps(gateway.step_functions_task_arn)
    arns = {}
    for name, one in states.items():
        definition = json.dumps({"StartAt": "Run", "States": {"Run": one}})
        machine = client.create_state_machine(
            name=f"test-{uuid.uuid4().hex[:8]}",
            roleArn=role,
            definition=definition.replace('"<function>"', function),
        )
        given = json.dumps([{"item": n} for n in range(ITEMS)])
        arns[name] = client.start_execution(stateMachineArn=machine["stateMachineArn"], input=given)[
            "executionArn"
        ]
    return arns


@pytest.fixture(scope="module", params=["rest", pytest.param("web", marks=pytest.mark.full)])
def over_rest(gateway: StackState, request: pytest.FixtureRequest) -> Iterator[None]:
    """The same stack with both environments on Airflow's API, by either way to it, and back to CLI tokens afterwards."""
    environments = {
        name: replace(environment, transport=request.param)
        for name, environment in gateway.environments.items()
    }
    folder = Path(gateway.log_folder).parent
    redeploy(replace(gateway, environments=environments), folder)
    yield
    redeploy(gateway, folder)


# --- looking --------------------------------------------------------------------------------------------------


def over(gateway: StackState, execution: str, *, seconds: float = 90) -> dict[str, Any]:
    """The execution once it is over."""
    client = gateway.aws.client("stepfunctions")

    def described() -> dict[str, Any] | None:
        found = client.describe_execution(executionArn=execution)
        return found if found["status"] != "RUNNING" else None

    return until("the execution's end", described, seconds=seconds, every=0.3)


def taken(gateway: StackState, name: str) -> Iterator[Any]:
    """What waits in such a queue, from JSON."""
    sqs = gateway.aws.client("sqs")
    queue = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
        yield json.loads(message["Body"])


def output_of(gateway: StackState, execution: str) -> Any:
    """What an execution that succeeds comes to."""
    ended = over(gateway, execution)
    assert ended["status"] == "SUCCEEDED", ended
    return json.loads(ended["output"])


def cause_of(gateway: StackState, execution: str, error: str) -> dict[str, Any]:
    """Why an execution fails with this error."""
    ended = over(gateway, execution)
    assert (ended["status"], ended.get("error")) == ("FAILED", error), ended
    cause: dict[str, Any] = json.loads(ended["cause"])
    return cause


def runs(gateway: StackState, environment: str, dag_id: str, execution: str) -> list[DagRun]:
    """The runs in Airflow that an execution asked for."""
    found = AirflowRuns(gateway.environments[environment]).all(dag_id)
    return [run for run in found if execution in repr(run.conf)]


def airflow(
    gateway: StackState, environment: str, method: str, path: str, document: dict[str, Any] | None = None
) -> None:
    """Do something in an Airflow as a person would in its user interface."""
    there = gateway.environments[environment]
    version = "v1" if there.airflow_version.startswith("2") else "v2"
    with requests.Session() as session:
        session.trust_env = False
        url = f"{there.airflow_url}/api/{version}/{path}"
        session.request(method, url, json=document, timeout=30).raise_for_status()


def open_watches(gateway: StackState) -> list[dict[str, Any]]:
    """Whatever the watchers look after, without the tokens."""
    table = gateway.aws.table(gateway.ledger_table)
    return [
        item
        for environment in gateway.environments
        for item in table.query(
            IndexName="watches", KeyConditionExpression=Key("watched_in").eq(f"watch#{environment}")
        )["Items"]
    ]


def items_of(gateway: StackState, table: str) -> list[dict[str, Any]]:
    """Everything that lies in a table."""
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {}
    while not page or "LastEvaluatedKey" in page:
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]} if page else {}
        page = gateway.aws.table(table).scan(ConsistentRead=True, **start)
        found.extend(page["Items"])
    return found


def watch_of(gateway: StackState, run_id: str) -> dict[str, Any]:
    """The watch that follows a run."""
    [watch] = [one for one in open_watches(gateway) if one["run_id"] == run_id]
    return watch


def whole(gateway: StackState, watch: dict[str, Any]) -> dict[str, Any]:
    """A watch's item as it is now."""
    key = {name: watch[name] for name in ("event", "request")}
    item: dict[str, Any] = gateway.aws.table(gateway.ledger_table).get_item(Key=key, ConsistentRead=True)[
        "Item"
    ]
    return item


def large_rounds(gateway: StackState, environment: str) -> list[dict[str, float]]:
    """The watcher's rounds in which everybody waited, and went on waiting."""
    return [one for one in rounds_of(gateway, environment) if one["RunsWatched"] >= AT_ONCE]


def rounds_of(gateway: StackState, environment: str) -> list[dict[str, float]]:
    """What the watcher counted in each of its rounds."""
    group = f"/aws/lambda/{gateway.stack_name}-run-watcher-{environment}"
    pages = gateway.aws.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    messages = [event["message"] for page in pages for event in page["events"]]
    documents = [json.loads(text) for text in messages if text.startswith("{") and '"_aws"' in text]
    return [
        {name: value[0] if isinstance(value, list) else value for name, value in one.items()}
        for one in documents
    ]


def closed_watch(gateway: StackState, watch: dict[str, Any]) -> dict[str, Any] | None:
    """The watch once it is closed."""
    item = whole(gateway, watch)
    return item if "watched_in" not in item else None


def unsealed(gateway: StackState, item: dict[str, Any]) -> str:
    """A token that waits, opened with the gateway's key."""
    plain = gateway.aws.client("kms").decrypt(
        CiphertextBlob=bytes(item["sealed_token"]),
        EncryptionContext={"gateway": "watch", "event": item["event"]},
    )
    return str(plain["Plaintext"].decode())


def everything_written(gateway: StackState) -> Iterator[tuple[str, str]]:
    """Whatever can be read: log files, log groups, tables, queues, confs; each with its place."""
    for path in Path(gateway.log_folder).parent.rglob("*.log"):
        yield str(path), path.read_text(errors="replace")
    logs = gateway.aws.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
        yield group["logGroupName"], "\n".join(event["message"] for page in pages for event in page["events"])
    for table in (gateway.rules_table, gateway.ledger_table):
        yield table, repr(items_of(gateway, table))
    sqs = gateway.aws.client("sqs")
    for url in sqs.list_queues().get("QueueUrls", []):
        yield url, repr(sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0))
    for name, environment in gateway.environments.items():
        for dag_id in (
            "two_tasks",
            "quick",
            "tells",
            "gathers",
            "waiting",
            "paused_at_first",
            "numbers_only",
        ):
            yield f"{name}/{dag_id}", repr(AirflowRuns(environment).all(dag_id))
