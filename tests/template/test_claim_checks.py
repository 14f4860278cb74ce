"""The bucket for large confs: private, encrypted, emptied in time, and written by ingress alone."""

import pytest

from template.expansion import EVERYTHING, statements


@pytest.fixture
def bucket(expand):
    return expand("analytics").of_type("AWS::S3::Bucket")["ClaimCheckBucket"]


def test_it_is_private(bucket):
    """Confs are the users' data: no public access, no access lists."""
    assert bucket["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def test_it_is_reached_over_tls_only(expand):
    """The bucket and every object in it."""
    policy = expand("analytics").of_type("AWS::S3::BucketPolicy")["ClaimCheckBucketPolicy"]
    ((actions, resources, statement),) = statements(policy["PolicyDocument"])
    assert (actions, resources) == (
        {"s3:*"},
        {"<ClaimCheckBucket.Arn>", "<ClaimCheckBucket.Arn>/*"},
    )
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize(("key", "algorithm"), [("", "AES256"), (EVERYTHING["KmsKeyArn"], "aws:kms")])
def test_it_is_encrypted(expand, key, algorithm):
    """By S3's own key, or by yours; an output says which to everybody who reads it."""
    template = expand("analytics", KmsKeyArn=key)
    encryption = template.of_type("AWS::S3::Bucket")["ClaimCheckBucket"]["BucketEncryption"]
    (rule,) = encryption["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == algorithm
    assert template.outputs.get("ClaimCheckKeyArn", {}).get("Value", "") == key


def test_a_conf_outlives_every_request_that_may_name_it(bucket):
    """A dead request may be redriven for 90 days, and its run then needs the conf for a while."""
    rules = {rule["Id"]: rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
    assert rules["Expire"]["ExpirationInDays"] >= 90 + 30
    assert {rule["Status"] for rule in rules.values()} == {"Enabled"}


def test_it_reports_nothing(bucket):
    """A large conf that started a run with a large conf would never end."""
    assert "NotificationConfiguration" not in bucket


def test_it_stays_with_its_confs(expand):
    """Runs that have not begun yet need them, also when the stack goes."""
    resource = expand("analytics").resources["ClaimCheckBucket"]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
