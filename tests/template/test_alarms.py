"""What would go wrong at night, and who hears of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mwaa_gateway.step_functions.delivery import LONGEST_REST_SECONDS
from template.expansion import EVERYTHING


@dataclass(frozen=True, slots=True)
class Watched:
    """What an alarm looks at and when it rings; `{}` stands for the environment's or the function's name."""

    metric: str  # namespace and name
    dimensions: Mapping[str, str]
    statistic: str
    over: float  # the threshold, which the figure must exceed
    period: int = 60  # seconds
    periods: int = 1
    of_them: int | None = None  # periods that must breach; all, where it is None

    def of(self, name: str) -> "Watched":
        return replace(
            self, dimensions={key: text.replace("{}", name) for key, text in self.dimensions.items()}
        )


LAMBDA, SQS, EVENTS, SNS, OWN = "AWS/Lambda", "AWS/SQS", "AWS/Events", "AWS/SNS", "MwaaTriggerGateway"
OF_DISPATCHER = {"environment": "{}", "service": "<dispatcher{}>"}
OF_WATCHER = {"environment": "{}", "service": "<watcher{}>"}
DISPATCHER, WATCHER, INGRESS = (
    {"FunctionName": name} for name in ("<dispatcher{}>", "<watcher{}>", "<{}Function>")
)
BUS_RULE = {"EventBusName": "<EventBus>", "RuleName": "<EventBusRule.Arn>[2]"}  # rule/<bus>/<name>
DEFAULT_BUS_RULE, TOPIC = {"RuleName": "<DefaultBusRule>"}, {"TopicName": "<Topic.TopicName>"}


def fails(metric: str, dimensions: Mapping[str, str]) -> Watched:
    """Three bad minutes of five: one that heals by the next retry wakes nobody."""
    return Watched(f"{LAMBDA} {metric}", dimensions, "Sum", 0, periods=5, of_them=3)


PER_ENVIRONMENT = {
    "TriggerDlqAlarm": Watched(
        f"{SQS} ApproximateNumberOfMessagesVisible", {"QueueName": "<TriggerDlq{}.QueueName>"}, "Maximum", 0
    ),
    "TriggerQueueAgeAlarm": Watched(
        f"{SQS} ApproximateAgeOfOldestMessage",
        {"QueueName": "<TriggerQueue{}.QueueName>"},
        "Maximum",
        900,
        periods=5,
    ),
    "DispatcherErrorsAlarm": fails("Errors", DISPATCHER),
    "DispatcherThrottlesAlarm": fails("Throttles", DISPATCHER),
    # Also where loops are allowed: somebody may change the function by hand.
    "DispatcherRecursionAlarm": Watched(
        f"{LAMBDA} RecursiveInvocationsDropped", DISPATCHER, "Sum", 0, period=300
    ),
    "RunWatcherErrorsAlarm": fails("Errors", WATCHER),
    "RunWatcherThrottlesAlarm": fails("Throttles", WATCHER),
    "WatchQueueAgeAlarm": Watched(
        f"{SQS} ApproximateAgeOfOldestMessage",
        {"QueueName": "<WatchQueue{}.QueueName>"},
        "Maximum",
        300,
        periods=3,
    ),
    "TicksFailedAlarm": Watched(f"{EVENTS} FailedInvocations", {"RuleName": "<TicksRule{}>"}, "Sum", 0),
    # The watcher publishes the count in every round: the least of five minutes is what lasted that long.
    "WaitsUnansweredAlarm": Watched(
        f"{OWN} WaitsUnanswered", OF_WATCHER, "Minimum", 0, period=300, periods=3
    ),
    "EnvironmentAwayAlarm": Watched(
        f"{OWN} EnvironmentAwaySeconds", OF_DISPATCHER, "Maximum", 900, period=300
    ),
    # Users keep a web server busy, and each attempt is repeated: somebody has to look only where most fail, for an hour.
    "AirflowNotReachedAlarm": Watched(
        f"{OWN} AttemptFailed", OF_DISPATCHER, "Average", 0.5, period=900, periods=4
    ),
    # In a quiet period the p99 is that of a single event: three periods.
    "EventToAcceptedAlarm": Watched(
        f"{OWN} EventToAcceptedSeconds", OF_DISPATCHER, "p99", 900, period=300, periods=3
    ),
    "AcceptedNotRunnableAlarm": Watched(f"{OWN} AcceptedNotRunnable", OF_DISPATCHER, "Sum", 0, period=300),
    "WebLoginRefusedAlarm": Watched(f"{OWN} WebLoginRefused", OF_DISPATCHER, "Sum", 0, period=300, periods=1),
    "OutcomeUnknownAlarm": Watched(f"{OWN} OutcomeUnknown", OF_DISPATCHER, "Sum", 0, period=300, periods=3),
}
PER_INGRESS = {
    "ErrorsAlarm": fails("Errors", INGRESS),
    "ThrottlesAlarm": fails("Throttles", INGRESS),
    "BrokenRulesAlarm": Watched(f"{OWN} BrokenRules", {"service": "<{}Function>"}, "Sum", 0),
}
OF_WHAT_A_SOURCE_INVOKES = {
    "DroppedAlarm": Watched(f"{LAMBDA} AsyncEventsDropped", INGRESS, "Sum", 0),
    "UndeliveredAlarm": Watched(f"{LAMBDA} DestinationDeliveryFailures", INGRESS, "Sum", 0),
}
HEARTBEAT = "BatchTimersMissingAlarm"  # the one that rings for silence
INVOKED_BY_A_SOURCE = ("S3Events", "SnsEvents", "EventBridgeEvents")
EXPECTED = {
    "IngressDlqAlarm": Watched(
        f"{SQS} ApproximateNumberOfMessagesVisible", {"QueueName": "<IngressDlq.QueueName>"}, "Maximum", 0
    ),
    # Each waiting message is tried at least every 15 minutes: four quarters of an hour in a row are a real trouble.
    "MessagesGivenBackAlarm": Watched(
        f"{OWN} MessagesGivenBack", {"service": "<QueuedEventsFunction>"}, "Sum", 0, period=900, periods=4
    ),
    "EndedExecutionsFailedAlarm": Watched(
        f"{EVENTS} FailedInvocations", {"RuleName": "<EndedExecutionsRule>"}, "Sum", 0
    ),
    "EndedExecutionsErrorsAlarm": fails("Errors", INGRESS).of("EndedExecutions"),
    "EndedExecutionsThrottlesAlarm": fails("Throttles", INGRESS).of("EndedExecutions"),
    # A notice comes again after the queue's visibility timeout, three minutes.
    "EndedExecutionsGivenBackAlarm": Watched(
        f"{OWN} MessagesGivenBack", {"service": "<EndedExecutionsFunction>"}, "Sum", 0, period=300, periods=3
    ),
    **{
        f"{feed}ErrorsAlarm": fails("Errors", INGRESS).of(feed)
        for feed in ("BatchCollector", "BatchReleaser", "BatchTimers")
    },
    **{
        f"{feed}ThrottlesAlarm": fails("Throttles", INGRESS).of(feed)
        for feed in ("BatchCollector", "BatchReleaser")
    },
    HEARTBEAT: Watched(
        f"{LAMBDA} Invocations", {"FunctionName": "<BatchTimersFunction>"}, "Sum", 1, periods=5
    ),
    "BatchesStalledAlarm": Watched(
        f"{OWN} BatchesStalled", {"service": "<BatchTimersFunction>"}, "Maximum", 0, periods=5, of_them=3
    ),
    "CollectQueueAgeAlarm": Watched(
        f"{SQS} ApproximateAgeOfOldestMessage",
        {"QueueName": "<CollectQueue.QueueName>"},
        "Maximum",
        600,
        period=300,
        periods=3,
    ),
    # As for MessagesGivenBackAlarm. The queue's age does not show a message that was received three times.
    "MembersGivenBackAlarm": Watched(
        f"{OWN} MembersGivenBack", {"service": "<BatchCollectorFunction>"}, "Sum", 0, period=900, periods=4
    ),
    "BatchesNotReleasedAlarm": Watched(
        f"{OWN} BatchesNotReleased", {"service": "<BatchReleaserFunction>"}, "Sum", 0, period=300, periods=3
    ),
    "BatchesOverdueAlarm": Watched(f"{OWN} BatchesOverdue", {"service": "<BatchReleaserFunction>"}, "Sum", 0),
    "BatchTargetsRefusedAlarm": Watched(
        f"{OWN} BatchTargetsRefused", {"service": "<BatchReleaserFunction>"}, "Sum", 0
    ),
    "EventBusFailedAlarm": Watched(f"{EVENTS} FailedInvocations", BUS_RULE, "Sum", 0),
    "EventBusLostAlarm": Watched(f"{EVENTS} InvocationsFailedToBeSentToDlq", BUS_RULE, "Sum", 0),
    "DefaultBusFailedAlarm": Watched(f"{EVENTS} FailedInvocations", DEFAULT_BUS_RULE, "Sum", 0),
    "DefaultBusLostAlarm": Watched(f"{EVENTS} InvocationsFailedToBeSentToDlq", DEFAULT_BUS_RULE, "Sum", 0),
    # SNS sends its metrics every five minutes.
    "TopicFailedAlarm": Watched(f"{SNS} NumberOfNotificationsFailed", TOPIC, "Sum", 0, period=300),
    "TopicLostAlarm": Watched(
        f"{SNS} NumberOfNotificationsFailedToRedriveToDlq", TOPIC, "Sum", 0, period=300
    ),
    **{
        f"{alarm}{name}": watched.of(name)
        for alarm, watched in PER_ENVIRONMENT.items()
        for name in ("analytics", "legacy")
    },
    **{
        f"{name}{alarm}": watched.of(name)
        for alarm, watched in PER_INGRESS.items()
        for name in (*INVOKED_BY_A_SOURCE, "QueuedEvents")
    },
    **{
        f"{name}{alarm}": watched.of(name)
        for alarm, watched in OF_WHAT_A_SOURCE_INVOKES.items()
        for name in INVOKED_BY_A_SOURCE
    },
}


@pytest.mark.guarantee(9, 14, 45)
def test_every_alarm_watches_what_it_is_called_after(deployed):
    """Every figure of every alarm: a dimension that fits no metric, or a period of a day, is an alarm that never rings."""
    actual = {
        name: Watched(
            metric=f"{alarm['Namespace']} {alarm['MetricName']}",
            dimensions={dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]},
            statistic=alarm.get("Statistic") or alarm["ExtendedStatistic"],
            over=alarm["Threshold"],
            period=alarm["Period"],
            periods=alarm["EvaluationPeriods"],
            of_them=alarm.get("DatapointsToAlarm"),
        )
        for name, alarm in deployed.of_type("AWS::CloudWatch::Alarm").items()
    }
    transports = deployed.resources["dispatcheranalytics"]["Properties"]["Environment"]["Variables"][
        "TRANSPORTS"
    ]
    for_a_fallback = set() if "/" in transports else {name for name in EXPECTED if "WebLogin" in name}
    assert actual == {name: alarm for name, alarm in EXPECTED.items() if name not in for_a_fallback}


@pytest.mark.parametrize("environment", ["analytics", "legacy"])
def test_a_watcher_that_makes_no_round_is_noticed_after_five_minutes(deployed, environment):
    """One that was killed is back sooner: its message is away for two, and a tick, its delay and a rest come after that."""
    alarm = deployed.of_type("AWS::CloudWatch::Alarm")[f"WatchQueueAgeAlarm{environment}"]
    queue = deployed.resources[f"WatchQueue{environment}"]["Properties"]
    longest_round = queue["VisibilityTimeout"] + 60 + queue["DelaySeconds"] + LONGEST_REST_SECONDS
    assert longest_round < alarm["Threshold"] == 300


def test_silence_is_no_alarm_and_more_than_the_threshold_is(deployed):
    """No events at night is no trouble; one dead letter is, and a tick that does not come. Nothing else changes an alarm."""
    for name, alarm in deployed.of_type("AWS::CloudWatch::Alarm").items():
        assert (alarm["TreatMissingData"], alarm["ComparisonOperator"]) == (
            ("breaching", "LessThanThreshold")
            if name == HEARTBEAT
            else ("notBreaching", "GreaterThanThreshold")
        )
        assert 40 <= len(alarm["AlarmDescription"]) <= 1024
        assert {"ActionsEnabled", "Metrics", "Unit"}.isdisjoint(alarm)


@pytest.mark.guarantee(45)
def test_whatever_may_lose_an_event_has_an_alarm(deployed):
    """Rules, subscriptions, functions that a source invokes; a function with a DLQ would need one for DeadLetterErrors."""
    watched = {
        (alarm["MetricName"], value)
        for alarm in deployed.of_type("AWS::CloudWatch::Alarm").values()
        for value in (dimension["Value"] for dimension in alarm["Dimensions"])
    }
    for name, rule in deployed.of_type("AWS::Events::Rule").items():
        if name.startswith("CallbacksRule"):
            continue  # its notices only hasten what the next round finds
        if name == "BatchTimersRule":  # a tick that EventBridge cannot deliver is one that is missing
            assert ("Invocations", "<BatchTimersFunction>") in watched
            continue
        here = f"<{name}.Arn>[2]" if "EventBusName" in rule else f"<{name}>"
        assert ("FailedInvocations", here) in watched
        if any("DeadLetterConfig" in target for target in rule["Targets"]):
            assert ("InvocationsFailedToBeSentToDlq", here) in watched
    for subscription in deployed.of_type("AWS::SNS::Subscription").values():
        topic = f"<{subscription['TopicArn'].strip('<>')}.TopicName>"
        assert ("NumberOfNotificationsFailedToRedriveToDlq", topic) in watched
    # A tick that failed is followed by the next; every other asynchronous event is kept.
    asynchronous = {
        config["FunctionName"] for config in deployed.of_type("AWS::Lambda::EventInvokeConfig").values()
    } - {"<BatchTimersFunction>"}
    assert len(asynchronous) == 3
    for function in asynchronous:
        assert {("AsyncEventsDropped", function), ("DestinationDeliveryFailures", function)} <= watched
    for function in deployed.of_type("AWS::Lambda::Function").values():
        assert "DeadLetterConfig" not in function


@pytest.mark.parametrize("topic", ["", EVERYTHING["AlarmTopicArn"]])
def test_alarms_go_to_the_topic_one_names(expand, topic):
    """Both when something breaks and when it is well again; without a topic the console alone shows it."""
    for alarm in expand("analytics", AlarmTopicArn=topic).of_type("AWS::CloudWatch::Alarm").values():
        assert alarm.get("AlarmActions") == ([topic] if topic else None)
        assert alarm.get("OKActions") == ([topic] if topic else None)


# What can wait until the morning: the gateway keeps the events and requests, and a person decides about them.
TICKETS = {
    "TriggerDlqAlarm{}",
    "TriggerQueueAgeAlarm{}",
    "AcceptedNotRunnableAlarm{}",
    "EventToAcceptedAlarm{}",  # runs start; what keeps them waiting pages by itself
    "OutcomeUnknownAlarm{}",
    "WebLoginRefusedAlarm{}",
    "IngressDlqAlarm",
    "BatchesOverdueAlarm",
    "BatchTargetsRefusedAlarm",
    *(f"EndedExecutions{what}Alarm" for what in ("Failed", "Errors", "Throttles", "GivenBack")),
    *(f"{ingress}BrokenRulesAlarm" for ingress in (*INVOKED_BY_A_SOURCE, "QueuedEvents")),
}


def _pages(template):
    """The alarms behind each paging alarm: its rule is of the form ALARM("<one>") OR ALARM("<another>")."""
    pages = {}
    for name, composite in template.of_type("AWS::CloudWatch::CompositeAlarm").items():
        terms = composite["AlarmRule"].split(" OR ")
        pages[name] = [term.removeprefix('ALARM("<').removesuffix('>")') for term in terms]
        assert terms == [f'ALARM("<{alarm}>")' for alarm in pages[name]]
    return pages


@pytest.mark.parametrize("parameters", [EVERYTHING, {"StepFunctionsTasks": "false", "S3Events": "none"}])
def test_every_alarm_pages_somebody_or_is_a_ticket(expand, parameters):
    """Each is behind exactly one paging alarm or on the list above: a new alarm needs a decision."""
    names = ("analytics", "legacy")
    template = expand(*names, **parameters)
    pages = _pages(template)
    assert set(pages) == {"SharedPagingAlarm", *(f"PagingAlarm{name}" for name in names)}
    behind = [alarm for alarms in pages.values() for alarm in alarms]
    tickets = {ticket.format(name) for ticket in TICKETS for name in names}
    alarms = set(template.of_type("AWS::CloudWatch::Alarm"))
    assert sorted([*behind, *(tickets & alarms)]) == sorted(alarms)
    assert tickets <= alarms or parameters is not EVERYTHING
    for name in names:
        assert all(alarm.endswith(name) for alarm in pages[f"PagingAlarm{name}"])


def test_a_paging_alarm_goes_to_its_own_topic_and_fits_into_a_rule(expand):
    """CloudWatch takes 10,240 characters and 100 alarms; each alarm's own name has at most 255."""
    for topic in ("", EVERYTHING["PagingTopicArn"]):
        template = expand("a" * 32, PagingTopicArn=topic, AlarmTopicArn=EVERYTHING["AlarmTopicArn"])
        for name, composite in template.of_type("AWS::CloudWatch::CompositeAlarm").items():
            assert composite.get("AlarmActions") == composite.get("OKActions") == ([topic] if topic else None)
            alarms = _pages(template)[name]
            assert len(alarms) <= 100
            assert len(alarms) * (len('ALARM("") OR ') + 255) <= 10_240
            assert 40 <= len(composite["AlarmDescription"]) <= 1024


def test_the_readme_says_what_an_idle_gateway_is_made_of(expand):
    """What costs something every month, used or not: alarms and keys, and queues that Lambda keeps asking."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    one, two = (len(expand(*names).of_type("AWS::CloudWatch::Alarm")) for names in (("a",), ("a", "b")))
    queues = [
        len(expand(*names).of_type("AWS::Lambda::EventSourceMapping")) for names in (("a",), ("a", "b"))
    ]
    keys = len(expand("a").of_type("AWS::KMS::Key"))
    pages = len(expand("a").of_type("AWS::CloudWatch::CompositeAlarm"))
    said = (
        f"{one} alarms for one environment and {two - one} more for each further one, {pages} paging alarms and 1 more "
        f"for each further environment, {keys} KMS key, and {queues[0]} "
        f"queues that Lambda polls, {queues[1] - queues[0]} more for each further environment"
    )
    assert said in " ".join(readme.split()), said
