"""docs/deployer-policy.json: enough to make, change, tag and delete every resource of the template, and nothing unused.

What each type of resource needs is what its handlers declare in the CloudFormation registry, which cfn-lint carries.
"""

import fnmatch
import json
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from ministack.core import iam_evaluator

from template.expansion import EVERYTHING, PSEUDO_PARAMETERS, ROOT, read_source

REGION, ACCOUNT = PSEUDO_PARAMETERS["AWS::Region"], PSEUDO_PARAMETERS["AWS::AccountId"]
POLICY = json.loads((ROOT / "docs" / "deployer-policy.json").read_text())
LONGEST = 6144  # characters of a managed policy, white space not counted
VIA_CLOUDFORMATION = {"aws:calledvia": ["cloudformation.amazonaws.com"]}
LAYER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:GatewayLayer"
# One resource of each type, called as CloudFormation or the template calls it.
ARNS = {
    "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:mwaa-gateway-IngressDlqAlarm-1A",
    "AWS::CloudWatch::CompositeAlarm": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:mwaa-gateway-SharedPagingAlarm-1A",
    "AWS::CloudWatch::Dashboard": f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/mwaa-gateway",
    "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/mwaa-gateway-RulesTable-1A",
    "AWS::Events::EventBus": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/mwaa-gateway-events",
    "AWS::Events::Rule": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/mwaa-gateway-events/mwaa-gateway-EventBusRule-1A",
    "AWS::IAM::ManagedPolicy": f"arn:aws:iam::{ACCOUNT}:policy/mwaa-gateway-OperatorPolicy-1A",
    "AWS::IAM::Policy": f"arn:aws:iam::{ACCOUNT}:role/mwaa-gateway-DoctorRole-1A",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/mwaa-gateway-S3EventsRole-1A",
    "AWS::KMS::Key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1A",
    "AWS::Lambda::EventInvokeConfig": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:mwaa-gateway-s3-events",
    "AWS::Lambda::EventSourceMapping": f"arn:aws:lambda:{REGION}:{ACCOUNT}:event-source-mapping:1A",
    "AWS::Lambda::Function": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:mwaa-gateway-s3-events",
    "AWS::Lambda::LayerVersion": LAYER,
    "AWS::Lambda::Permission": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:mwaa-gateway-s3-events",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/mwaa-gateway-s3-events",
    "AWS::S3::Bucket": "arn:aws:s3:::mwaa-gateway-claimcheckbucket-1a",
    "AWS::S3::BucketPolicy": "arn:aws:s3:::acme-landing",
    "AWS::SNS::Subscription": f"arn:aws:sns:{REGION}:{ACCOUNT}:mwaa-gateway-events",
    "AWS::SNS::Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:mwaa-gateway-events",
    "AWS::SNS::TopicPolicy": f"arn:aws:sns:{REGION}:{ACCOUNT}:mwaa-gateway-events",
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:mwaa-gateway-ingress-dlq",
    "AWS::SQS::QueuePolicy": f"arn:aws:sqs:{REGION}:{ACCOUNT}:mwaa-gateway-ingress-dlq",
}
# Actions that are about something else than the resource itself.
ELSEWHERE = {
    "iam:PassRole": f"arn:aws:iam::{ACCOUNT}:role/mwaa-gateway-S3EventsRole-1A",
    "lambda:GetLayerVersion": LAYER,
    "s3:GetObject": "arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1a/mwaa-gateway/1a",
    "s3:GetObjectVersion": "arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1a/mwaa-gateway/1a",
}
# What handlers declare for features that the template does not use, as patterns.
UNUSED = {
    "AWS::DynamoDB::Table": [
        *("dynamodb:*Replica", "dynamodb:*Kinesis*", "dynamodb:*Import*", "kinesis:*", "s3:*", "logs:*"),
        *("dynamodb:*Item", "dynamodb:Query", "dynamodb:Scan"),  # of imports and replicas
        *(
            "dynamodb:PutResourcePolicy",
            "dynamodb:DeleteResourcePolicy",
            "dynamodb:UpdateContributorInsights",
        ),
        "iam:CreateServiceLinkedRole",
    ],
    "AWS::Events::EventBus": ["events:PutPermission", "events:RemovePermission", "kms:ReEncrypt*"],
    "AWS::Events::Rule": ["iam:PassRole"],  # no target here has a role
    "AWS::IAM::ManagedPolicy": ["iam:Attach*", "iam:Detach*"],
    "AWS::IAM::Policy": ["iam:*GroupPolicy", "iam:*UserPolicy"],
    "AWS::IAM::Role": ["iam:Attach*", "iam:Detach*"],
    "AWS::KMS::Key": ["kms:DisableKey*"],
    "AWS::Lambda::Function": [
        *(
            "elasticfilesystem:*",
            "s3files:*",
            "lambda:PassCapacityProvider",
            "lambda:PutFunctionScalingConfig",
        ),
        *(
            "lambda:PutFunctionCodeSigningConfig",
            "lambda:*Runtime*Alias",
            "lambda:PutRuntimeManagementConfig",
        ),
    ],
    "AWS::Logs::LogGroup": [
        *("firehose:*", "s3:*", "logs:CreateLogDelivery", "logs:PutBearerTokenAuthentication"),
        *(
            "logs:PutDataProtectionPolicy",
            "logs:DeleteDataProtectionPolicy",
        ),
        *("logs:PutResourcePolicy", "logs:DeleteResourcePolicy", "logs:PutLogGroupDeletionProtection"),
    ],
    "AWS::S3::Bucket": [
        *(
            "iam:PassRole",
            "s3tables:*",
            "s3:*Object*",
            "s3:*Metadata*",
            "s3:Put*Acl",
            "s3:PutAccelerateConfiguration",
        ),
        *("s3:PutAnalyticsConfiguration", "s3:PutI*Configuration", "s3:PutMetricsConfiguration"),
        "s3:PutReplicationConfiguration",
    ],
    "AWS::SNS::Subscription": ["iam:*"],
    "AWS::SNS::Topic": ["iam:*", "sns:PutDataProtectionPolicy"],
}


def needed(kind: str) -> dict[str, str]:
    """Each action that handling a type of resource takes, with the resource that it is about."""
    schema: Any = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema
    declared = set(schema.get("tagging", {}).get("permissions", []))
    for handler in ("create", "read", "update", "delete"):
        declared |= set(schema["handlers"].get(handler, {}).get("permissions", []))
    return {
        action: ELSEWHERE.get(action, ARNS[kind])
        for action in declared
        if not any(fnmatch.fnmatchcase(action, pattern) for pattern in UNUSED.get(kind, []))
    }


def allowed(action: str, resource: str, context: dict[str, Any]) -> bool:
    request = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:iam::{ACCOUNT}:role/deployer",
        principal_type="AssumedRole",
        principal_account=ACCOUNT,
        action=action,
        resource_arn=resource,
        region=REGION,
        service_context={**context, "iam:passedtoservice": "lambda.amazonaws.com"},
    )
    return iam_evaluator.evaluate(request, [iam_evaluator.parse_policy_document(POLICY)]).decision == "Allow"


@pytest.mark.parametrize("kind", ARNS)
def test_a_deployer_may_make_change_tag_and_delete_each_resource(kind):
    """As the type's own handlers say, less what they declare for features that the template does not use."""
    missing = {a for a, arn in needed(kind).items() if not allowed(a, arn, VIA_CLOUDFORMATION)}
    assert missing == set()


def test_every_type_of_resource_is_among_them(expand):
    """With the defaults and with every option."""
    kinds = {
        body["Type"]
        for parameters in ({}, EVERYTHING)
        for body in expand("analytics", **parameters).resources.values()
    }
    assert kinds == set(ARNS)


def test_a_deployer_makes_resources_through_a_stack_only(expand):
    """By hand nothing of it is allowed: no role, key or function beside the template's."""
    for action in ("iam:CreateRole", "iam:PutRolePolicy"):
        assert not allowed(action, ARNS["AWS::IAM::Role"], {})
    assert not allowed("kms:ScheduleKeyDeletion", ARNS["AWS::KMS::Key"], {})
    assert not allowed("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/another", VIA_CLOUDFORMATION)
    assert not allowed("dynamodb:GetItem", ARNS["AWS::DynamoDB::Table"], VIA_CLOUDFORMATION)
    assert not allowed("sqs:ReceiveMessage", ARNS["AWS::SQS::Queue"], VIA_CLOUDFORMATION)
    for name in ("AWS::IAM::Role", "AWS::Lambda::Function"):
        assert expand("analytics").of_type(name)


def test_no_action_is_allowed_for_nothing():
    """Each stands for at least one that a handler of the template's resources declares."""
    declared = {action for kind in ARNS for action in needed(kind)}
    for statement in POLICY["Statement"][3:]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        unused = [pattern for pattern in actions if not fnmatch.filter(declared, pattern)]
        assert unused == [], statement["Sid"]


def test_it_fits_into_one_managed_policy():
    """IAM counts no white space."""
    assert len(json.dumps(POLICY, separators=(",", ":"))) <= LONGEST


def test_the_page_names_the_types_that_cannot_be_tagged():
    """`sam deploy --tags` reaches every resource whose type takes tags."""
    untagged = sorted(
        kind
        for kind in ARNS
        if not PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind)
        .schema.get("tagging", {})
        .get("taggable")
    )
    said = ", ".join(f"`{kind}`" for kind in untagged)
    assert said in " ".join((ROOT / "SECURITY.md").read_text().split()), said


def test_every_taggable_type_takes_tags_from_the_stack_when_it_is_made(source):
    """None of them needs tags of its own in the template."""
    assert "Tags" not in json.dumps(source["Globals"])
    for kind in ARNS:
        tagging = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema.get("tagging", {})
        assert tagging.get("tagOnCreate") == tagging.get("tagUpdatable") == tagging.get("taggable")


def test_the_transforms_that_the_policy_allows_are_the_templates():
    """Creating a change set is evaluated against each macro, too."""
    for name in read_source()["Transform"]:
        arn = f"arn:aws:cloudformation:{REGION}:aws:transform/{name.removeprefix('AWS::')}"
        assert allowed("cloudformation:CreateChangeSet", arn, {})
