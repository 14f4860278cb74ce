"""What every environment gets, for any number of them."""

import json
import re

import pytest

from template.expansion import PSEUDO_PARAMETERS

NAMES = ("analytics", "legacy", "risk", "Sales2", "x")
PARTS = {
    "AirflowNotReachedAlarm",
    "EnvironmentAwayAlarm",
    "EventToAcceptedAlarm",
    "DispatcherErrorsAlarm",
    "DispatcherEventSource",
    "DispatcherLogGroup",
    "DispatcherRecursionAlarm",
    "DispatcherRole",
    "DispatcherThrottlesAlarm",
    "DoctorPolicy",
    "AcceptedNotRunnableAlarm",
    "CallbacksRule",
    "OutcomeUnknownAlarm",
    "PagingAlarm",
    "RunWatcherErrorsAlarm",
    "RunWatcherThrottlesAlarm",
    "RunWatcherEventSource",
    "RunWatcherLogGroup",
    "RunWatcherRole",
    "TriggerDlq",
    "TriggerDlqAlarm",
    "TriggerDlqPolicy",
    "TriggerQueue",
    "TriggerQueueAgeAlarm",
    "TriggerQueuePolicy",
    "TicksFailedAlarm",
    "TicksRule",
    "WaitsUnansweredAlarm",
    "WatchQueue",
    "WatchQueueAgeAlarm",
    "WatchQueuePolicy",
    "dispatcher",
    "watcher",
}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_environment_gets_the_same_parts_and_nothing_else_changes(expand, count):
    """Declared once: an environment more adds one of each part, and no other resource differs."""
    environments = NAMES[:count]
    resources = expand(*environments).resources
    parts = {
        environment: {name.removesuffix(environment) for name in resources if name.endswith(environment)}
        for environment in environments
    }
    assert parts == dict.fromkeys(environments, PARTS)
    shared = {name for name in resources if not name.endswith(environments)}
    assert shared == {name for name in expand("analytics").resources if not name.endswith("analytics")}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_no_loop_is_left_unfinished(expand, count):
    """What AWS does not substitute (a name in plain text, &{} outside a key) would be left over in the expansion."""
    text = json.dumps(expand(*NAMES[:count]).cloudformation)
    known = "|".join(re.escape(name) for name in PSEUDO_PARAMETERS)
    text = re.sub(r"\$\{!PROP\([^)]*\)\}", "", text)  # for CloudWatch
    variables = set(re.findall(r"[$&]\{(?!" + known + r")([^}]*)\}", text))
    names = {
        "After",
        "Before",
        "Name",
        "Names",
        "Always",
        "DefaultBus",
        "Dispatcher",
        "Watcher",
        "Functions",
    }  # of Fn::Sub's own
    assert variables - names == {
        "BatchesTable.Arn",
        "ClaimCheckBucket.Arn",
        "DeadLetterQueueSuffix",
        "DefaultBusFailedAlarm",
        "DefaultBusLostAlarm",
        "LandingBucket.Arn",
        "LandingBucketName",
        "LedgerTable.Arn",
        "MwaaEnvironmentName",
        "RestApiRole",
        "WebLoginRole",
    }
    assert "Fn::ForEach" not in text


def test_names_follow_the_stack_and_the_environment(expand):
    """Operators and the ingress find queues by name: <stack>-trigger-<environment>."""
    template = expand("analytics", "legacy")
    assert {queue["QueueName"] for queue in template.of_type("AWS::SQS::Queue").values()} == {
        "mwaa-gateway-collect",
        "mwaa-gateway-ended-executions",
        "mwaa-gateway-ingress-dlq",
        "mwaa-gateway-ingress-retry",
        "mwaa-gateway-look",
        "mwaa-gateway-trigger-analytics",
        "mwaa-gateway-trigger-dlq-analytics",
        "mwaa-gateway-trigger-legacy",
        "mwaa-gateway-trigger-dlq-legacy",
        "mwaa-gateway-watch-analytics.fifo",
        "mwaa-gateway-watch-legacy.fifo",
    }
    assert {function["FunctionName"] for function in template.of_type("AWS::Lambda::Function").values()} == {
        "mwaa-gateway-batch-collector",
        "mwaa-gateway-batch-releaser",
        "mwaa-gateway-batch-timers",
        "mwaa-gateway-s3-events",
        "mwaa-gateway-sns-events",
        "mwaa-gateway-eventbridge-events",
        "mwaa-gateway-queued-events",
        "mwaa-gateway-doctor",
        "mwaa-gateway-ended-executions",
        "mwaa-gateway-dispatcher-analytics",
        "mwaa-gateway-dispatcher-legacy",
        "mwaa-gateway-step-functions-task",
        "mwaa-gateway-run-watcher-analytics",
        "mwaa-gateway-run-watcher-legacy",
    }


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{environment}", "analytics"),
        ("acme-{environment}-prod", "acme-analytics-prod"),
        ("acme_prod", "acme_prod"),
        ("{environment}-prod", "analytics-prod"),
        ("acme-{environment}", "acme-analytics"),
    ],
)
def test_the_name_on_mwaa_may_be_another(expand, pattern, expected):
    """Rules say `analytics` in every stage; the dispatcher asks for, and may only ask for, what MWAA calls it there."""
    template = expand(
        "analytics",
        MwaaEnvironmentName=pattern,
        Transports="analytics=web/rest,legacy=cli",
        WebLoginRole="User",
    )
    dispatcher = template.resources["dispatcheranalytics"]["Properties"]
    assert dispatcher["Environment"]["Variables"]["ENVIRONMENT"] == "analytics"
    assert dispatcher["Environment"]["Variables"]["MWAA_ENVIRONMENT_NAME"] == expected
    everywhere = re.findall(
        r'"(?:arn:aws:airflow:eu-central-1:123456789012:(?:environment|role)/|MWAA_ENVIRONMENT_NAME": ")([^"/]*)',
        json.dumps({name: body for name, body in template.resources.items() if name.endswith("analytics")}),
    )
    assert everywhere == [expected] * 12


@pytest.mark.parametrize(
    ("pattern", "accepted"),
    [
        ("acme-prod", True),
        ("acme-{environment}-prod", True),
        ("{environment}", True),
        ("{environment}-{environment}", False),
        ("acme-{env}", False),
        ("acme-{environment", False),
    ],
)
def test_a_name_on_mwaa_with_another_placeholder_is_refused_before_the_deploy(source, pattern, accepted):
    """Fn::Split takes one {environment} into account; anything else in braces is a slip."""
    assert bool(re.search(source["Parameters"]["MwaaEnvironmentName"]["AllowedPattern"], pattern)) == accepted


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("analytics", True),
        ("Sales2", True),
        ("a" * 32, True),
        ("a" * 33, False),
        ("my-env", False),
        ("a_b", False),
        ("2a", False),
        ("", False),
    ],
)
def test_a_name_that_cannot_be_part_of_a_resource_id_is_refused_before_the_deploy(source, name, accepted):
    """CloudFormation checks each name of the list; `my-env` would fail half way, with a message nobody understands."""
    assert bool(re.search(source["Parameters"]["Environments"]["AllowedPattern"], name)) == accepted


def test_outputs_have_everything_that_a_client_needs(expand):
    """The operator's command and the local stack rely on these names."""
    outputs = expand("analytics", "legacy", LandingBucketName="acme-landing").outputs
    assert {name: body["Value"] for name, body in outputs.items()} == {
        "BatchesTableName": "<BatchesTable>",
        "ClaimCheckBucketArn": "<ClaimCheckBucket.Arn>",
        "ClaimCheckBucketName": "<ClaimCheckBucket>",
        "CollectQueueUrl": "<CollectQueue>",
        "EnvironmentNames": "analytics,legacy",
        "DoctorFunctionName": "<DoctorFunction>",
        "EventBusArn": "<EventBus.Arn>",
        "EventBusName": "<EventBus>",
        "IngressDlqUrl": "<IngressDlq>",
        "IngressRetryQueueUrl": "<IngressRetryQueue>",
        "LandingBucketName": "<LandingBucket>",
        "LedgerTableName": "<LedgerTable>",
        "QueuedEventsRoleArn": "<QueuedEventsRole.Arn>",
        "RulesTableName": "<RulesTable>",
        "OperatorPolicyArn": "<OperatorPolicy>",
        "ReadOnlyPolicyArn": "<ReadOnlyPolicy>",
        "RulesWriterPolicyArn": "<RulesWriterPolicy>",
        "StepFunctionsTaskFunctionArn": "<StepFunctionsTaskFunction.Arn>",
        "TopicArn": "<Topic>",
        "TriggerDlqUrlTemplate": "https://sqs.eu-central-1.amazonaws.com/123456789012/mwaa-gateway-trigger-dlq-{environment}",
        "TriggerQueueUrlTemplate": "https://sqs.eu-central-1.amazonaws.com/123456789012/mwaa-gateway-trigger-{environment}",
    }
    assert "LandingBucketName" not in expand("analytics").outputs


def test_no_output_has_the_name_of_a_list_parameter(source):
    """SAM CLI 1.170 takes such an output for the parameter, and `sam build` ends in a traceback."""
    lists = {name for name, body in source["Parameters"].items() if body["Type"] == "CommaDelimitedList"}
    assert lists.isdisjoint(source["Outputs"])
