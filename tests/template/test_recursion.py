"""Lambda's recursive-loop detection: who sends to a queue it is invoked from, by roles and event source mappings."""

from fnmatch import fnmatchcase

import pytest

from template.expansion import EVERYTHING, Template, statements


def loops(template: Template) -> set[str]:
    """Return the functions whose role may send to a queue that invokes them."""
    found = set()
    for mapping in template.of_type("AWS::Lambda::EventSourceMapping").values():
        name = mapping["FunctionName"].strip("<>")
        role = template.resources[name_of(template.of_type("AWS::Lambda::Function")[name]["Role"])]
        for policy in role["Properties"]["Policies"]:
            for actions, resources, statement in statements(policy["PolicyDocument"]):
                sends = any(fnmatchcase("sqs:SendMessage", action) for action in actions)
                if (
                    statement["Effect"] == "Allow"
                    and sends
                    and may_be(template, mapping["EventSourceArn"], resources)
                ):
                    found.add(name)
    return found


def may_be(template: Template, queue_arn: str, resources: set[str]) -> bool:
    """Return whether the queue is among these resources, by its reference or by a pattern of its ARN."""
    arn = queue_arn
    if queue_arn.startswith("<"):
        queue = template.resources[name_of(queue_arn)]["Properties"]["QueueName"]
        arn = f"arn:aws:sqs:eu-central-1:123456789012:{queue}"
    return queue_arn in resources or any(fnmatchcase(arn, resource) for resource in resources)


def name_of(reference: str) -> str:
    return reference.strip("<>").removesuffix(".Arn")


@pytest.mark.guarantee(53)
def test_only_what_says_so_sends_to_a_queue_it_is_invoked_from(deployed):
    """Anything else that does is stopped by Lambda after some sixteen invocations in a row."""
    functions = deployed.of_type("AWS::Lambda::Function")
    allowed = {name for name, function in functions.items() if function.get("RecursiveLoop") == "Allow"}
    assert loops(deployed) == allowed == {"dispatcheranalytics", "dispatcherlegacy"}


@pytest.mark.guarantee(53)
def test_every_function_that_may_be_dropped_as_a_loop_has_an_alarm(deployed):
    """Also where it is allowed: the account may have forbidden it since."""
    watched = {
        alarm["Dimensions"][0]["Value"].strip("<>")
        for alarm in deployed.of_type("AWS::CloudWatch::Alarm").values()
        if alarm["MetricName"] == "RecursiveInvocationsDropped"
    }
    assert watched == loops(deployed)


def test_where_loops_are_forbidden_nothing_is_said_of_them(expand):
    """`Terminate` is Lambda's default: no call that a service control policy could refuse."""
    template = expand("analytics", **(EVERYTHING | {"DispatcherRecursiveLoop": "Terminate"}))
    assert loops(template) == {"dispatcheranalytics"}
    assert not [
        name for name, one in template.of_type("AWS::Lambda::Function").items() if "RecursiveLoop" in one
    ]


@pytest.mark.guarantee(53)
@pytest.mark.parametrize("environment", ["analytics", "legacy"])
def test_a_tick_a_minute_starts_each_watchers_rounds(deployed, environment):
    """As EventBridge writes it, with an id and a time: SQS would drop an input that is the same every minute."""
    rule = deployed.of_type("AWS::Events::Rule")[f"TicksRule{environment}"]
    [target] = rule["Targets"]
    assert rule["ScheduleExpression"] == "rate(1 minute)"
    assert rule.get("State", "ENABLED") == "ENABLED"
    assert "EventPattern" not in rule
    assert target["Arn"] == f"<WatchQueue{environment}.Arn>"
    assert target["SqsParameters"] == {"MessageGroupId": "watch"}
    assert {"Input", "InputPath", "InputTransformer"}.isdisjoint(target)
    assert deployed.resources[f"WatchQueue{environment}"]["Properties"]["ContentBasedDeduplication"] is True


@pytest.mark.parametrize("environment", ["analytics", "legacy"])
def test_every_rule_of_the_watchers_may_send_to_its_queue_and_no_other(deployed, environment):
    """A rule that the queue's policy leaves out fails in silence."""
    arn = f"<WatchQueue{environment}.Arn>"
    rules = {
        f"<{name}.Arn>"
        for name, rule in deployed.of_type("AWS::Events::Rule").items()
        if arn in [target["Arn"] for target in rule["Targets"]]
    }
    assert len(rules) == 2
    tries = {
        name: target["RetryPolicy"]
        for name, rule in deployed.of_type("AWS::Events::Rule").items()
        for target in rule["Targets"]
        if target["Arn"] == arn
    }
    # A lost callback delays its run's end; a tick is followed by the next one.
    an_hour = {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 185}
    assert tries == {
        f"CallbacksRule{environment}": an_hour,
        f"TicksRule{environment}": {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 3},
    }
    policy = deployed.of_type("AWS::SQS::QueuePolicy")[f"WatchQueuePolicy{environment}"]["PolicyDocument"]
    [allowed] = [one for one in policy["Statement"] if one["Effect"] == "Allow"]
    assert set(allowed["Condition"]["ArnEquals"]["aws:SourceArn"]) == rules


@pytest.mark.parametrize("environment", ["analytics", "legacy"])
def test_what_the_watchers_rules_pass_on(deployed, environment):
    """A DAG's notice reaches its own environment alone, and only from this account."""
    callbacks = deployed.of_type("AWS::Events::Rule")[f"CallbacksRule{environment}"]
    assert callbacks["EventBusName"] == "<EventBus>"
    assert callbacks["EventPattern"] == {
        "source": ["mwaa-gateway.callbacks"],
        "account": ["123456789012"],
        "detail-type": ["DAG Run Ended"],
        "detail": {"environment": [environment]},
    }


@pytest.mark.parametrize("environment", ["analytics", "legacy"])
def test_a_new_watch_is_seen_within_seconds(deployed, environment):
    """The queue's delay is what a wake, a callback and an execution's end wait at least."""
    queue = deployed.resources[f"WatchQueue{environment}"]["Properties"]
    assert queue["DelaySeconds"] == 5
    assert queue["FifoQueue"] is True
    assert (
        queue["MessageRetentionPeriod"] == 14 * 86_400
    )  # a watcher that fails for days still learns what ended
    assert (
        deployed.of_type("AWS::Lambda::EventSourceMapping")[f"RunWatcherEventSource{environment}"][
            "BatchSize"
        ]
        == 10
    )
