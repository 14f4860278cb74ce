"""Where events come from, and what happens to those that cannot be delivered."""

import pytest

from template.expansion import EVERYTHING


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


@pytest.mark.parametrize("rule", ["EventBusRule", "DefaultBusRule"])
def test_eventbridge_tries_for_a_day_and_keeps_the_rest(deployed, rule):
    """Written out: a newer kind of bus tries five times in five minutes unless told otherwise, and drops without a DLQ."""
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
