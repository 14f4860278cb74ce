"""Where events come from, and what happens to those that cannot be delivered."""

import re

import pytest
from ministack.core import iam_evaluator

from template.expansion import EVERYTHING, statements

ACCOUNT, OTHER = "123456789012", "999999999999"


def test_the_gateways_bus_delivers_everything_of_this_account_but_its_own(deployed):
    """A gateway that heard itself could trigger itself for ever."""
    rule = deployed.of_type("AWS::Events::Rule")["EventBusRule"]
    assert rule["EventBusName"] == "<EventBus>"
    assert rule["EventPattern"] == {
        "source": [{"anything-but": ["mwaa-gateway", "mwaa-gateway.callbacks"]}],
        "account": ["123456789012"],
    }


def test_the_default_bus_delivers_what_s3_says(deployed):
    """S3 speaks there only; other accounts' events need somebody's explicit will."""
    rule = deployed.of_type("AWS::Events::Rule")["DefaultBusRule"]
    assert "EventBusName" not in rule
    assert rule["EventPattern"]["source"] == ["aws.s3"]
    assert rule["EventPattern"]["account"] == ["123456789012"]
    assert {"Object Created", "Object Deleted"} <= set(rule["EventPattern"]["detail-type"])


@pytest.mark.parametrize(
    ("given", "names"),
    [("all", None), ("acme-landing", ["acme-landing"]), ("one-a,two-b", ["one-a", "two-b"])],
)
def test_s3s_events_are_taken_of_all_buckets_or_of_those_named(expand, given, names):
    """EventBridge itself leaves the others out: an event that matches no rule costs nothing."""
    pattern = expand("analytics", S3Events=given).of_type("AWS::Events::Rule")["DefaultBusRule"][
        "EventPattern"
    ]
    assert pattern.get("detail") == (names and {"bucket": {"name": names}})


def test_s3s_events_need_not_be_taken_from_the_default_bus_at_all(expand):
    """Then neither rule nor permission, nor an alarm, nor a mention of them is there."""
    template = expand("analytics", S3Events="none")
    assert [name for name in template.resources if name.startswith("DefaultBus")] == []
    assert "<DefaultBus" not in str(template.resources)


@pytest.mark.parametrize(
    ("given", "accepted"),
    [("all", True), ("none", True), ("acme-landing", True), ("", False), ("Acme", False), ("acme-*", False)],
)
def test_what_is_no_bucket_is_refused_before_the_deploy(source, given, accepted):
    """An event pattern takes a name as it is: a `*` in it would match no bucket."""
    assert bool(re.search(source["Parameters"]["S3Events"]["AllowedPattern"], given)) == accepted


@pytest.mark.parametrize("given", ["all", EVERYTHING["StateMachines"]])
def test_the_end_of_an_execution_is_taken_once_however_many_environments_there_are(expand, given):
    """All ends that no state survives, of this account's state machines, or of those named, in the ARN's very words."""
    template = expand("analytics", "legacy", StateMachines=given)
    rules = [
        rule
        for rule in template.of_type("AWS::Events::Rule").values()
        if "aws.states" in rule.get("EventPattern", {}).get("source", [])
    ]
    [[target]] = [rule["Targets"] for rule in rules]
    assert target["Arn"] == "<EndedExecutionsQueue.Arn>"
    detail = {"status": ["ABORTED", "FAILED", "TIMED_OUT"]}
    assert rules[0]["EventPattern"] == {
        "source": ["aws.states"],
        "account": [ACCOUNT],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": detail if given == "all" else {**detail, "stateMachineArn": [given]},
    }
    [allowed] = [
        statement
        for _, _, statement in statements(
            template.resources["EndedExecutionsQueuePolicy"]["Properties"]["PolicyDocument"]
        )
        if statement["Effect"] == "Allow"
    ]
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": "<EndedExecutionsRule.Arn>"}}


def test_the_watches_are_seen_before_the_end_of_their_execution_is_looked_up(deployed):
    """DynamoDB's index follows its table within a second or so; what it does not show yet, nobody is notified of."""
    assert deployed.resources["EndedExecutionsQueue"]["Properties"]["DelaySeconds"] == 10


def test_an_upgrade_takes_the_ends_of_executions_the_new_way_before_it_closes_the_old(source):
    """An environment's queue policy shuts out version 0.1.0's rule, and is updated when the new way is complete."""
    resources = source["Resources"]
    watch_queue_policy = next(
        body["DependsOn"]
        for name, body in resources["Fn::ForEach::EnvironmentResources"][2].items()
        if name.startswith("WatchQueuePolicy")
    )
    assert watch_queue_policy == "EndedExecutionsQueuePolicy"  # which names the rule
    assert resources["EndedExecutionsRule"]["DependsOn"] == "EndedExecutionsEventSource"


SERVICES = "s3.amazonaws.com,cloudwatch.amazonaws.com"


@pytest.mark.parametrize(
    ("publishers", "service", "sent", "allowed"),
    [
        # S3 sends the account, as a bucket's ARN contains none; CloudWatch sends both; some services the ARN alone.
        (
            SERVICES,
            "s3.amazonaws.com",
            {"aws:SourceAccount": ACCOUNT, "aws:SourceArn": "arn:aws:s3:::acme"},
            True,
        ),
        (
            SERVICES,
            "s3.amazonaws.com",
            {"aws:SourceAccount": OTHER, "aws:SourceArn": "arn:aws:s3:::acme"},
            False,
        ),
        (SERVICES, "s3.amazonaws.com", {"aws:SourceArn": "arn:aws:s3:::acme"}, False),
        (
            SERVICES,
            "cloudwatch.amazonaws.com",
            {"aws:SourceArn": f"arn:aws:cloudwatch:eu-central-1:{ACCOUNT}:alarm:a"},
            True,
        ),
        (
            SERVICES,
            "cloudwatch.amazonaws.com",
            {"aws:SourceArn": f"arn:aws:cloudwatch:eu-central-1:{OTHER}:alarm:a"},
            False,
        ),
        (
            SERVICES,
            "events.amazonaws.com",
            {"aws:SourceArn": f"arn:aws:events:eu-central-1:{ACCOUNT}:rule/a"},
            False,
        ),
        ("", "s3.amazonaws.com", {"aws:SourceAccount": ACCOUNT, "aws:SourceArn": "arn:aws:s3:::acme"}, False),
    ],
)
def test_services_that_are_named_may_publish_to_the_topic_for_this_account(
    expand, publishers, service, sent, allowed
):
    """Whether they say so by their resource's ARN or by the account; others may not."""
    policy = expand("analytics", TopicPublishers=publishers).of_type("AWS::SNS::TopicPolicy")["TopicPolicy"]
    assert {statement["Action"] for statement in policy["PolicyDocument"]["Statement"]} == {"sns:Publish"}
    allowing = [
        {**statement, "Resource": "topic"}
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow" and service in statement["Principal"]["Service"]
    ]
    request = iam_evaluator.EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account="",
        action="sns:Publish",
        resource_arn="topic",
        region="eu-central-1",
        service_context={key.lower(): value for key, value in sent.items()},
    )
    parsed = iam_evaluator.parse_policy_document({"Statement": allowing})
    assert (iam_evaluator.evaluate(request, [parsed]).decision == "Allow") == allowed


@pytest.mark.parametrize("rule", ["EventBusRule", "DefaultBusRule"])
def test_eventbridge_tries_for_a_day_and_keeps_the_rest(deployed, rule):
    """Written out: without these settings a newer kind of bus tries five times in five minutes, and drops without a DLQ."""
    assert deployed.of_type("AWS::Events::Rule")[rule]["Targets"] == [
        {
            "Id": "gateway",
            "Arn": "<EventBridgeEventsFunction.Arn>",
            "RetryPolicy": {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185},
            "DeadLetterConfig": {"Arn": "<IngressDlq.Arn>"},
        }
    ]


def test_the_topic_keeps_what_it_cannot_deliver(deployed):
    """A deleted or locked function is a client error, which SNS does not try again: a DLQ per subscription."""
    assert deployed.of_type("AWS::SNS::Subscription") == {
        "TopicSubscription": {
            "TopicArn": "<Topic>",
            "Protocol": "lambda",
            "Endpoint": "<SnsEventsFunction.Arn>",
            "RedrivePolicy": {"deadLetterTargetArn": "<IngressDlq.Arn>"},
        }
    }


def test_a_landing_bucket_reports_by_both_routes(expand):
    """Directly to s3_events, and through EventBridge for the account's other rules; dedupe makes it one run."""
    bucket = expand("analytics", LandingBucketName="acme-landing").of_type("AWS::S3::Bucket")["LandingBucket"]
    assert bucket["BucketName"] == "acme-landing"
    notifications = bucket["NotificationConfiguration"]
    assert notifications["EventBridgeConfiguration"] == {"EventBridgeEnabled": True}
    assert {one["Function"] for one in notifications["LambdaConfigurations"]} == {"<S3EventsFunction.Arn>"}
    assert {one["Event"] for one in notifications["LambdaConfigurations"]} == {
        "s3:ObjectCreated:*",
        "s3:ObjectRemoved:*",
        "s3:ObjectRestore:*",
    }


def test_a_landing_bucket_is_private_versioned_and_kept(expand):
    """Files in it are the user's: no public access, older versions recoverable, not deleted with the stack."""
    bucket = expand("analytics", LandingBucketName="acme-landing").resources["LandingBucket"]
    assert bucket["DeletionPolicy"] == "RetainExceptOnCreate"
    assert bucket["UpdateReplacePolicy"] == "Retain"
    assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["Properties"]["PublicAccessBlockConfiguration"]) == 4
    assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["Properties"]["OwnershipControls"] == {
        "Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]
    }


@pytest.mark.parametrize(("key", "algorithm"), [("", "AES256"), (EVERYTHING["KmsKeyArn"], "aws:kms")])
def test_a_landing_bucket_is_encrypted(expand, key, algorithm):
    """By S3's own key, or by yours."""
    template = expand("analytics", LandingBucketName="acme-landing", KmsKeyArn=key)
    (rule,) = template.of_type("AWS::S3::Bucket")["LandingBucket"]["BucketEncryption"][
        "ServerSideEncryptionConfiguration"
    ]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == algorithm


def test_s3_may_call_the_function_before_the_bucket_asks_it_to(expand):
    """S3 checks the permission when the notification is made; and no reference may lead back from there to the bucket."""
    resources = expand("analytics", LandingBucketName="acme-landing").resources
    assert resources["LandingBucket"]["DependsOn"] == "LandingBucketPermission"
    for name in ("LandingBucketPermission", "S3EventsFunction", "S3EventsRole"):
        assert "<LandingBucket" not in str(resources[name])


def test_without_a_name_there_is_no_bucket(expand):
    """Neither it nor anything that belongs to it."""
    assert [name for name in expand("analytics").resources if name.startswith("LandingBucket")] == []
