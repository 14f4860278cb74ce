"""The bucket for large confs, and the policy that DAGs read it with."""

import json
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from click.testing import Result

from mwaa_gateway.aws.claim_check_bucket import ClaimCheckBucket
from mwaa_gateway.conf.claim_check import claim_check
from mwaa_gateway.errors import Unavailable

CONF = {"rows": ["é", 1, None], "mwaa_gateway": {"rule_id": "sales.orders"}}


@pytest.fixture
def s3(aws: None):  # noqa: ARG001
    client = boto3.client("s3", region_name="eu-west-1")
    client.create_bucket(Bucket="large-confs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return client


def test_a_conf_is_read_back_as_it_was(s3) -> None:
    """By the URI in the small conf; without the gateway's own key, which is in the small one."""
    small, check = claim_check(CONF, bucket="large-confs", environment="analytics", run_id="evt__a__0")
    bucket = ClaimCheckBucket(lambda: s3)
    bucket.put([check, check])
    (listed,) = s3.list_objects_v2(Bucket="large-confs")["Contents"]
    assert small["mwaa_gateway"] == {
        "rule_id": "sales.orders",
        "conf_uri": f"s3://large-confs/{listed['Key']}",
    }
    found = s3.get_object(Bucket="large-confs", Key=listed["Key"])
    assert "application/json" == found["ContentType"]
    assert {"rows": ["é", 1, None]} == json.loads(found["Body"].read())


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_conf_that_is_no_json_is_not_put_there(number: float) -> None:
    """NaN and Infinity are Python's own: the DAG's JSON reader may refuse the whole conf."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        claim_check(CONF | {"n": number}, bucket="large-confs", environment="analytics", run_id="evt__a__0")


def test_a_bucket_that_does_not_answer(s3) -> None:
    """Ingress gets the error, and sends no request."""
    _, check = claim_check(CONF, bucket="no-such-bucket", environment="analytics", run_id="evt__a__0")
    with pytest.raises(Unavailable, match="the bucket for large confs did not take one: NoSuchBucket"):
        ClaimCheckBucket(lambda: s3).put([check])


def test_a_client_is_made_for_the_first_large_conf_only(s3) -> None:
    """Cold starts pay for it where it is needed."""
    made = []
    bucket = ClaimCheckBucket(lambda: made.append(s3) or s3)
    bucket.put([])
    assert [] == made
    for _ in range(2):
        bucket.put([claim_check(CONF, bucket="large-confs", environment="a", run_id="r")[1]])
    assert 1 == len(made)


def test_the_policy_that_a_dags_role_needs(
    gateway: Callable[..., Result], gateway_outputs: dict[str, str]
) -> None:
    """To read the confs of its own environment; the manifests of rules that are named; and the key, if there is one."""
    read = {
        "Sid": "ReadLargeConfs",
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::large-confs/analytics/*",
    }
    printed = json.loads(gateway("claim-check", "policy", "analytics").stdout)
    assert {"Version": "2012-10-17", "Statement": [read]} == printed
    words = ("claim-check", "policy", "analytics", "--batches-of", "sales.nightly", "--batches-of", "ops.*")
    manifests = {
        "Sid": "ReadManifests",
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": [
            "arn:aws:s3:::large-confs/feeds/sales.nightly/*",
            "arn:aws:s3:::large-confs/feeds/ops.*/*",
        ],
    }
    assert [read, manifests] == json.loads(gateway(*words).stdout)["Statement"]
    key = gateway_outputs["ClaimCheckKeyArn"] = "arn:aws:kms:eu-west-1:123456789012:key/1"
    decrypt = {"Sid": "DecryptLargeConfs", "Effect": "Allow", "Action": "kms:Decrypt", "Resource": key}
    assert [read, decrypt] == json.loads(gateway("claim-check", "policy", "analytics").stdout)["Statement"]


def test_a_rule_on_the_gateways_own_bucket_is_not_applied(
    gateway: Callable[..., Result], gateway_outputs: dict[str, str], folder: Path
) -> None:
    """Refused when it is written; the functions refuse it again when they read it."""
    gateway_outputs["ClaimCheckBucketName"] = "large-confs"
    (folder / "own.yaml").write_text(
        "id: a.own\ns3: s3://large-confs/*\ntarget: {environment: analytics, dag_id: d}\n"
    )
    refused = gateway("rules", "apply", "own.yaml", exit_code=1)
    assert (
        "own.yaml:2: a.own: s3: matches bucket 'large-confs', where the gateway stores large confs"
        in refused.stderr
    )


def test_no_policy_for_an_environment_that_there_is_not(gateway: Callable[..., Result]) -> None:
    """A policy for a misspelt name would allow nothing, and nobody would know why."""
    refused = gateway("claim-check", "policy", "analitics", exit_code=1)
    assert "it has analytics, reporting" in refused.stderr
