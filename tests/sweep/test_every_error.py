"""Every AWS call of every function fails in every way there is: nobody else waits, nothing is lost, somebody is woken.

`make test` has each call fail in all classes, one after the other in one world; `make test-full` in every way that its
service model lists, one after the other, and each alone.
"""

import hashlib
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache

import pytest

from sweep.airflow import CANARY
from sweep.alarms import function_resource, ringing, template
from sweep.deployed import Deployed, Outcome, deployed
from sweep.faults import Fault, Kind, faults_of, representatives_of
from sweep.scenes import RULES, SCENES, TOKEN, VICTIM
from sweep.wire import Call, Trouble
from template.expansion import statements

QUIET = 30  # steps within which everything is done once the trouble is over
TROUBLED = 6  # steps of five minutes: longer than any alarm waits

# (function, service, operation): `test_the_list_is_complete` holds it to what is called, and to what the roles allow.
_INGRESS = (
    "dynamodb BatchGetItem",
    "dynamodb PutItem",
    "dynamodb Query",
    "s3 PutObject",
    "sqs SendMessageBatch",
)
_DISPATCHER = (
    "dynamodb BatchGetItem",
    "dynamodb GetItem",
    "dynamodb UpdateItem",
    "sqs ChangeMessageVisibility",
    "sqs SendMessage",
)
_WATCHER = (
    "dynamodb BatchGetItem",
    "dynamodb GetItem",
    "dynamodb Query",
    "dynamodb UpdateItem",
    "kms Decrypt",
    "mwaa CreateWebLoginToken",
    "sqs ChangeMessageVisibility",
    "stepfunctions SendTaskFailure",
    "stepfunctions SendTaskHeartbeat",
    "stepfunctions SendTaskSuccess",
)
CALLS = {
    "s3_events": _INGRESS,
    "sns_events": _INGRESS,
    "eventbridge_events": _INGRESS,
    "queued_events": (*_INGRESS, "sqs ChangeMessageVisibility"),
    "dispatcher analytics": (*_DISPATCHER, "mwaa CreateCliToken"),
    "dispatcher legacy": (*_DISPATCHER, "mwaa InvokeRestApi"),
    "run_watcher analytics": (*_WATCHER, "mwaa CreateCliToken"),
    "run_watcher legacy": (*_WATCHER, "mwaa InvokeRestApi"),
    "step_functions_task": (
        "dynamodb BatchGetItem",
        "dynamodb GetItem",
        "dynamodb PutItem",
        "dynamodb Query",
        "kms Encrypt",
        "s3 PutObject",
        "sqs SendMessage",
        "sqs SendMessageBatch",
    ),
    "ended_executions": ("dynamodb Query", "sqs SendMessage"),
    "batch_collector": (
        "dynamodb BatchGetItem",
        "dynamodb GetItem",
        "dynamodb PutItem",
        "dynamodb UpdateItem",
        "s3 GetObject",
        "sqs ChangeMessageVisibility",
        "sqs SendMessageBatch",
    ),
    "batch_releaser": (
        "dynamodb BatchGetItem",
        "dynamodb GetItem",
        "dynamodb PutItem",
        "dynamodb Query",
        "dynamodb UpdateItem",
        "events PutEvents",
        "s3 PutObject",
        "sqs ChangeMessageVisibility",
        "sqs SendMessageBatch",
    ),
    "batch_timers": (
        "dynamodb BatchGetItem",
        "dynamodb GetItem",
        "dynamodb PutItem",
        "dynamodb Query",
        "sqs SendMessageBatch",
    ),
}
# Queues' ages are no substitute: SQS does not count a message that was received three times.
ALARMS = {
    "batch_collector": "MembersGivenBackAlarm",
    "batch_releaser": "BatchesNotReleasedAlarm",
    "batch_timers": "BatchTimersErrorsAlarm",
}
PAIRS = [(function, *call.split()) for function, calls in CALLS.items() for call in calls]


@dataclass(frozen=True)
class Reference:
    """A scene without any trouble: what became of it, who calls what about whom, and the alarms that ring for it."""

    outcome: Outcome
    calls: tuple[Call, ...]
    rings: frozenset[str]
    warnings: frozenset[str]
    victim: frozenset[str]  # texts that stand for the victim alone
    others: frozenset[str]


@cache
def reference(scene: str) -> Reference:
    with deployed(RULES) as gateway:
        SCENES[scene](gateway)
        # As long as with trouble, where days are expected: the same ones are due.
        settle(gateway, TROUBLED if gateway.ticks else 1)
        about: dict[bool, set[str]] = {True: {VICTIM}, False: {"one", "two"}}
        for item in gateway.dynamodb.scan(TableName="ledger")["Items"]:
            if "identity" in item:
                identity = item["identity"]["S"]
                hashed = hashlib.sha256(identity.encode()).hexdigest()
                about[VICTIM in identity] |= {hashed, item["run_id"]["S"]}
        return Reference(
            gateway.outcome(),
            tuple(gateway.wire.calls),
            frozenset(ringing(gateway)),
            frozenset(warnings_of(gateway)),
            frozenset(about[True]),
            frozenset(about[False]),
        )


def warnings_of(gateway: Deployed) -> set[str]:
    """The warnings and errors that the functions have logged; numbers, such as times, do not tell them apart."""
    lines = [json.loads(line) for _, text in gateway.printed for line in text.splitlines()]
    return {
        re.sub(r"\d+", "#", line["message"]) for line in lines if line.get("level") in ("WARNING", "ERROR")
    }


def settle(gateway: Deployed, least: int = 1) -> int:
    """Go on until nothing waits any more; how many steps it took."""
    for step in range(1, QUIET):
        gateway.step()
        if step >= least and not gateway.waiting:
            return step
    raise AssertionError(f"still not done: {gateway.waiting}")


def scene_of(function: str, operation: str) -> str:
    """The scene in which a function makes this call."""
    return next(scene for scene in (f"{function} {operation}", function) if scene in SCENES)


def of_the_victim(function: str, operation: str, calm: Reference) -> frozenset[str]:
    """What distinguishes the victim's calls from the others'; nothing where they share one."""
    texts = [call.text for call in calm.calls if (call.function, call.operation) == (function, operation)]
    alone = [
        text
        for text in texts
        if any(each in text for each in calm.victim) and not any(each in text for each in calm.others)
    ]
    return calm.victim if alone else frozenset()


def check(function: str, operation: str, faults: list[Fault], *, once: bool = False) -> set[str]:
    """Play the function's scene with that trouble, then without it, and compare it with the one that had none.

    Return the alarms that ring for the trouble.
    """
    scene = scene_of(function, operation)
    calm = reference(scene)
    about = of_the_victim(function, operation, calm)
    with deployed(RULES) as gateway:
        gateway.tries = max(gateway.tries, len(faults))  # of an invocation: each of them meets one
        SCENES[scene](gateway)
        trouble = Trouble(function, operation, faults[0], about, times=1 if once else None)
        gateway.wire.troubles.append(trouble)
        for number in range(max(TROUBLED, len(faults))):
            trouble.fault = faults[number % len(faults)]
            gateway.step()
        assert trouble.hits, "the call was never made: the scene does not show this"
        while_it_lasts, rings = gateway.outcome(), ringing(gateway) - calm.rings
        warnings = warnings_of(gateway)
        gateway.wire.troubles.remove(trouble)
        settle(gateway)
        finally_ = gateway.outcome()
        assert_no_secret(gateway)
    if about:
        for what in ("runs", "reported"):
            wanted, found = (
                Counter(getattr(each.without(calm.victim), what)) for each in (calm.outcome, while_it_lasts)
            )
            assert wanted == found, f"others had to wait: {what}: missing {wanted - found}"
    given_up = set()
    if operation == "UpdateItem" and [fault.kind for fault in faults] == [Kind.LOST] and not once:
        # Five attempts whose end the dispatcher could not record look like a request that kills its process: dead, with that
        # reason, and can be redriven.
        given_up = {each for each in finally_.dead - calm.outcome.dead if each[0] == "crashed"}
    names = frozenset(name for _, name in given_up)
    for what in ("runs", "dead", "reported", "notices"):
        wanted, found = (Counter(getattr(each.without(names), what)) for each in (calm.outcome, finally_))
        assert wanted == found, f"{what}: lost {wanted - found}, doubled or new {found - wanted}"
    if not once:
        assert gateway.refusals or warnings - calm.warnings, (
            "no new warning in the log, no refused invocation"
        )
        if while_it_lasts != calm.outcome:
            reported = function == "step_functions_task" and gateway.refusals  # the state gets the error
            assert rings or reported, f"nobody is woken: {warnings - calm.warnings}"
    return rings


def assert_no_secret(gateway: Deployed) -> None:
    """Only the calls that a token is for may contain it."""
    texts = [text for _, text in gateway.printed] + gateway.refusals
    texts += [body for queue in gateway.urls for body in gateway.messages(queue)]
    texts += [
        call.text
        for call in gateway.wire.calls
        if not call.operation.startswith(("SendTask", "Encrypt", "Decrypt"))
    ]
    texts += [repr(gateway.dynamodb.scan(TableName="ledger")["Items"])]
    for secret in (CANARY, TOKEN):
        assert not [text for text in texts if secret in text]


@pytest.mark.guarantee(44)
@pytest.mark.parametrize(("function", "service", "operation"), PAIRS, ids=[" ".join(pair) for pair in PAIRS])
def test_a_call_that_fails_in_every_class(function: str, service: str, operation: str) -> None:
    """One class a step, then none: the others do not wait, nothing is lost or doubled, an alarm rings, no secret is out."""
    del service
    rings = check(function, operation, list(representatives_of(operation)))
    if function.startswith("run_watcher") and operation == "BatchGetItem":
        assert f"WaitsUnansweredAlarm{function.split()[1]}" in rings
    if (
        function in ALARMS and operation != "ChangeMessageVisibility"
    ):  # without it a message only waits longer
        assert ALARMS[function] in rings


@pytest.mark.full
@pytest.mark.guarantee(44)
@pytest.mark.parametrize(("function", "service", "operation"), PAIRS, ids=[" ".join(pair) for pair in PAIRS])
def test_a_call_that_fails_in_every_way_its_service_model_lists(
    function: str, service: str, operation: str
) -> None:
    """One after the other, for five minutes each: a code that AWS adds to its model joins by itself."""
    check(function, operation, list(dict.fromkeys(faults_of(service, operation))))


@pytest.mark.full
@pytest.mark.guarantee(44)
@pytest.mark.parametrize(("function", "service", "operation"), PAIRS, ids=[" ".join(pair) for pair in PAIRS])
def test_a_call_that_fails_in_one_way_alone(function: str, service: str, operation: str) -> None:
    """Once for each way, and for half an hour for each class."""
    classes = list(representatives_of(operation))
    for fault in dict.fromkeys((*faults_of(service, operation), *classes)):
        for once in (True, False) if fault in classes else (True,):
            try:
                check(function, operation, [fault], once=once)
            except AssertionError as error:
                error.add_note(f"{function} {operation}: {fault}, {'once' if once else 'for half an hour'}")
                raise


# What others do with a function's role: Lambda polls its queue, delivers what it gave up on, joins the VPC, writes logs.
_OF_THE_PLATFORM = re.compile(
    r"logs:.*|xray:.*|ec2:.*|sqs:(DeleteMessage|GetQueueAttributes|ReceiveMessage)|kms:GenerateDataKey"
)
_ACTIONS = {"SendMessageBatch": "SendMessage"}
_SERVICES = {"stepfunctions": "states", "mwaa": "airflow"}


@pytest.mark.guarantee(44)
def test_the_list_is_complete() -> None:
    """What is swept is what the functions call while all goes well, and what their roles allow them to: no more, no less."""
    called: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for scene in SCENES:
        for call in reference(scene).calls:
            called[call.function].add((call.service, call.operation))
    swept = {
        function: {(service, operation) for name, service, operation in PAIRS if name == function}
        for function in CALLS
    }
    assert swept == called
    for function, calls in swept.items():
        needed = {
            f"{_SERVICES.get(service, service)}:{_ACTIONS.get(operation, operation)}"
            for service, operation in calls
        }
        assert needed == _allowed(function), function


def _allowed(function: str) -> set[str]:
    """The actions of a function's role that the function itself makes calls with."""
    # Where a stack uses both transports, each dispatcher and watcher may use both.
    alone = template("rest" if function.endswith("legacy") else "cli")
    resource = alone.of_type("AWS::Lambda::Function")[function_resource(function)]
    role = resource["Role"].strip("<>").removesuffix(".Arn")
    policies = alone.of_type("AWS::IAM::Role")[role]["Policies"]
    return {
        action
        for policy in policies
        for actions, _, _ in statements(policy["PolicyDocument"])
        for action in actions
        if not _OF_THE_PLATFORM.fullmatch(action)
    }
