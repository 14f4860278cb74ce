"""What would go wrong at night, and who hears of it."""

from pathlib import Path

import pytest

from template.expansion import EVERYTHING

# (namespace, metric, dimensions, threshold) of every alarm; {…} are the environment's or the function's name.
PER_ENVIRONMENT = {
    "TriggerDlqAlarm": (
        "AWS/SQS",
        "ApproximateNumberOfMessagesVisible",
        {"QueueName": "<TriggerDlq{}.QueueName>"},
        0,
    ),
    "TriggerQueueAgeAlarm": (
        "AWS/SQS",
        "ApproximateAgeOfOldestMessage",
        {"QueueName": "<TriggerQueue{}.QueueName>"},
        900,
    ),
    "DispatcherErrorsAlarm": ("AWS/Lambda", "Errors", {"FunctionName": "<dispatcher{}>"}, 0),
    "RunWatcherErrorsAlarm": ("AWS/Lambda", "Errors", {"FunctionName": "<watcher{}>"}, 0),
    "DispatcherThrottlesAlarm": ("AWS/Lambda", "Throttles", {"FunctionName": "<dispatcher{}>"}, 0),
    "EnvironmentAwayAlarm": (
        "MwaaTriggerGateway",
        "EnvironmentAwaySeconds",
        {"environment": "{}", "service": "<dispatcher{}>"},
        900,
    ),
    "AirflowNotReachedAlarm": (
        "MwaaTriggerGateway",
        "AttemptFailed",
        {"environment": "{}", "service": "<dispatcher{}>"},
        0.5,
    ),
    "AcceptedNotRunnableAlarm": (
        "MwaaTriggerGateway",
        "AcceptedNotRunnable",
        {"environment": "{}", "service": "<dispatcher{}>"},
        0,
    ),
    "OutcomeUnknownAlarm": (
        "MwaaTriggerGateway",
        "OutcomeUnknown",
        {"environment": "{}", "service": "<dispatcher{}>"},
        0,
    ),
}
PER_INGRESS = {
    "ErrorsAlarm": ("AWS/Lambda", "Errors", {"FunctionName": "<{}Function>"}, 0),
    "ThrottlesAlarm": ("AWS/Lambda", "Throttles", {"FunctionName": "<{}Function>"}, 0),
    "BrokenRulesAlarm": ("MwaaTriggerGateway", "BrokenRules", {"service": "<{}Function>"}, 0),
}
OF_WHAT_A_SOURCE_INVOKES = {
    "DroppedAlarm": ("AWS/Lambda", "AsyncEventsDropped", {"FunctionName": "<{}Function>"}, 0),
    "UndeliveredAlarm": ("AWS/Lambda", "DestinationDeliveryFailures", {"FunctionName": "<{}Function>"}, 0),
}
INVOKED_BY_A_SOURCE = ("S3Events", "SnsEvents", "EventBridgeEvents")
EXPECTED = {
    "IngressDlqAlarm": (
        "AWS/SQS",
        "ApproximateNumberOfMessagesVisible",
        {"QueueName": "<IngressDlq.QueueName>"},
        0,
    ),
    "MessagesGivenBackAlarm": (
        "MwaaTriggerGateway",
        "MessagesGivenBack",
        {"service": "<QueuedEventsFunction>"},
        0,
    ),
    **{
        f"{alarm}{name}": (PER_ENVIRONMENT[alarm], name)
        for alarm in PER_ENVIRONMENT
        for name in ("analytics", "legacy")
    },
    **{
        f"{name}{alarm}": (PER_INGRESS[alarm], name)
        for alarm in PER_INGRESS
        for name in (*INVOKED_BY_A_SOURCE, "QueuedEvents")
    },
    **{
        f"{name}{alarm}": (OF_WHAT_A_SOURCE_INVOKES[alarm], name)
        for alarm in OF_WHAT_A_SOURCE_INVOKES
        for name in INVOKED_BY_A_SOURCE
    },
}


@pytest.mark.guarantee(9, 14)
def test_every_alarm_watches_what_it_is_called_after(deployed):
    """A dimension that fits no metric is an alarm that never rings."""
    actual = {
        name: (
            alarm["Namespace"],
            alarm["MetricName"],
            {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]},
            alarm["Threshold"],
        )
        for name, alarm in deployed.of_type("AWS::CloudWatch::Alarm").items()
    }
    assert actual == {
        name: _filled(*expected) if len(expected) == 2 else expected for name, expected in EXPECTED.items()
    }


@pytest.mark.parametrize("environment", ["analytics", "legacy"])
def test_a_web_server_that_refuses_some_commands_wakes_nobody(deployed, environment):
    """Its users keep it busy, and each attempt is repeated: only where most fail, for an hour, somebody has to look."""
    alarm = deployed.of_type("AWS::CloudWatch::Alarm")[f"AirflowNotReachedAlarm{environment}"]
    assert (alarm["Statistic"], alarm["Threshold"]) == ("Average", 0.5)
    assert (alarm["Period"], alarm["EvaluationPeriods"]) == (900, 4)


def test_an_outage_that_ends_by_itself_within_the_hour_wakes_nobody_for_the_retry_queue(deployed):
    """Each waiting message is tried at least every 15 minutes: four quarters of an hour in a row are a real trouble."""
    alarm = deployed.of_type("AWS::CloudWatch::Alarm")["MessagesGivenBackAlarm"]
    assert (alarm["Period"], alarm["EvaluationPeriods"]) == (900, 4)
    assert "DatapointsToAlarm" not in alarm


def test_silence_is_no_alarm_and_more_than_the_threshold_is(deployed):
    """No events at night is no trouble; one dead letter is."""
    for alarm in deployed.of_type("AWS::CloudWatch::Alarm").values():
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
        assert alarm["AlarmDescription"]


@pytest.mark.parametrize("topic", ["", EVERYTHING["AlarmTopicArn"]])
def test_alarms_go_to_the_topic_one_names(expand, topic):
    """Both when something breaks and when it is well again; without a topic the console alone shows it."""
    for alarm in expand("analytics", AlarmTopicArn=topic).of_type("AWS::CloudWatch::Alarm").values():
        assert alarm.get("AlarmActions") == ([topic] if topic else None)
        assert alarm.get("OKActions") == ([topic] if topic else None)


def _filled(expected, name):
    namespace, metric, dimensions, threshold = expected
    return namespace, metric, {key: value.replace("{}", name) for key, value in dimensions.items()}, threshold


def test_the_readme_says_what_an_idle_gateway_is_made_of(expand):
    """What costs something every month, used or not: alarms and keys, and queues that Lambda keeps asking."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    one, two = (len(expand(*names).of_type("AWS::CloudWatch::Alarm")) for names in (("a",), ("a", "b")))
    queues = [
        len(expand(*names).of_type("AWS::Lambda::EventSourceMapping")) for names in (("a",), ("a", "b"))
    ]
    keys = len(expand("a").of_type("AWS::KMS::Key"))
    said = (
        f"{one} alarms for one environment and {two - one} more for each further one, {keys} KMS key, and {queues[0]} "
        f"queues that Lambda keeps asking, {queues[1] - queues[0]} more for each further environment"
    )
    assert said in " ".join(readme.split()), said
