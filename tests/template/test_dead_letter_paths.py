"""Conditions of policies that services must meet, and dead-letter paths that survive what made a delivery fail."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from template.expansion import EVERYTHING, ROOT, Template, statements

# Their properties contain the policy documents that services are checked against.
RESOURCE_POLICIES = {
    "AWS::KMS::Key": "KeyPolicy",
    "AWS::S3::BucketPolicy": "PolicyDocument",
    "AWS::SNS::TopicPolicy": "PolicyDocument",
    "AWS::SQS::QueuePolicy": "PolicyDocument",
}


def test_a_service_is_let_in_by_the_arn_of_its_source_and_by_the_account_only_beside_a_bucket(deployed):
    """AWS does not say that every service sends aws:SourceAccount; one that does not would be refused, silently."""
    let_in = list(_services_let_in(deployed))
    for _, sources, account in let_in:
        assert sources
        buckets = {source for source in sources if source.startswith("arn:aws:s3:::") or "Bucket" in source}
        assert buckets in (set(), sources)
        assert account == ("123456789012" if buckets else None)
    assert {service for service, _, _ in let_in} >= {"events.amazonaws.com", "sns.amazonaws.com"}


def test_no_policy_anywhere_else_names_the_source_account(deployed):
    """Found by looking through every value of every resource: what the test above does not know is no way around it."""
    named = {name for name, body in deployed.resources.items() if "SourceAccount" in json.dumps(body)}
    assert named <= {"LandingBucketPermission", "TopicPolicy"}


def test_the_key_policy_we_recommend_names_no_source_account():
    """Its reader pastes it; the services it lets in are named by ARNs that contain the account."""
    security = (ROOT / "SECURITY.md").read_text()
    policy = json.loads(security.partition("```json\n")[2].partition("```")[0])
    assert {statement["Sid"] for statement in policy} == {
        "WriteToTheWatchQueues",
        "EncryptTheEventBus",
        "EncryptLogs",
    }
    for statement in policy:
        assert "aws:SourceAccount" not in json.dumps(statement)
        assert "123456789012" in json.dumps(statement["Condition"])


@pytest.mark.guarantee(45)
def test_what_aws_cannot_deliver_is_not_kept_under_the_key_that_may_be_the_reason(deployed):
    """A disabled key stops bus, topic and functions; under the same key their dead letters would be lost with them."""
    paths = _dead_letter_paths(deployed)
    assert {kind for kind, _, _ in paths} == {"rule", "subscription", "function"} | (
        {"bus"} if _own_key(deployed) else set()
    )
    for _, _, queue in paths:
        properties = deployed.of_type("AWS::SQS::Queue")[queue]
        assert "KmsMasterKeyId" not in properties
        assert properties["SqsManagedSseEnabled"] is True


@pytest.mark.guarantee(45)
def test_every_dead_letter_queue_lets_its_writer_in(deployed):
    """EventBridge and SNS need the queue's policy, for that rule, bus or topic; Lambda writes as the function's role."""
    for kind, writer, queue in _dead_letter_paths(deployed):
        if kind == "function":
            role = deployed.of_type("AWS::Lambda::Function")[writer]["Role"].strip("<>").removesuffix(".Arn")
            granted = [
                statement
                for policy in deployed.of_type("AWS::IAM::Role")[role]["Policies"]
                for actions, resources, statement in statements(policy["PolicyDocument"])
                if "sqs:SendMessage" in actions and f"<{queue}.Arn>" in resources
            ]
            assert [set(statement) for statement in granted] == [{"Sid", "Effect", "Action", "Resource"}]
        else:
            service = "sns.amazonaws.com" if kind == "subscription" else "events.amazonaws.com"
            assert writer in _may_send(deployed, queue, service)


@pytest.mark.parametrize("key", ["", EVERYTHING["KmsKeyArn"]])
def test_a_bus_under_a_key_of_ones_own_has_a_dead_letter_queue(expand, key):
    """Events it cannot decrypt reach no rule, and so no rule's dead-letter queue."""
    template = expand("analytics", KmsKeyArn=key)
    assert template.of_type("AWS::Events::EventBus")["EventBus"].get("DeadLetterConfig") == (
        {"Arn": "<IngressDlq.Arn>"} if key else None
    )
    assert ("<EventBus.Arn>" in _may_send(template, "IngressDlq", "events.amazonaws.com")) == bool(key)


def _own_key(template: Template) -> bool:
    return "KmsKeyIdentifier" in template.of_type("AWS::Events::EventBus")["EventBus"]


def _services_let_in(template: Template) -> Iterator[tuple[str, set[str], str | None]]:
    """Service, ARNs of its sources, account: of each statement or permission that allows a service something."""
    for kind, document in RESOURCE_POLICIES.items():
        for policy in template.of_type(kind).values():
            for _, _, statement in statements(policy[document]):
                # TopicPublishers lets in what the user names, each by whichever of the two it sends: see test_sources.py.
                if statement["Sid"].startswith("ServicesFor"):
                    continue
                if statement["Effect"] == "Allow" and "Service" in statement["Principal"]:
                    yield (statement["Principal"]["Service"], *_source(statement["Condition"]))
    for permission in template.of_type("AWS::Lambda::Permission").values():
        yield permission["Principal"], {permission["SourceArn"]}, permission.get("SourceAccount")


def _source(condition: Mapping[str, Any]) -> tuple[set[str], str | None]:
    arns = condition["ArnEquals"]["aws:SourceArn"]
    account = condition.get("StringEquals", {}).get("aws:SourceAccount")
    return {arns} if isinstance(arns, str) else set(arns), account


def _may_send(template: Template, queue: str, service: str) -> set[str]:
    """ARNs of the sources for which a service may write to a queue."""
    return {
        arn
        for policy in template.of_type("AWS::SQS::QueuePolicy").values()
        for actions, resources, statement in statements(policy["PolicyDocument"])
        if (statement["Effect"], statement["Principal"]) == ("Allow", {"Service": service})
        and "sqs:SendMessage" in actions
        and f"<{queue}.Arn>" in resources
        for arn in _source(statement["Condition"])[0]
    }


def _dead_letter_paths(template: Template) -> list[tuple[str, str, str]]:
    """Kind, writer and queue of each way by which AWS puts an undelivered event into a queue of the template."""
    paths = [
        ("rule", f"<{name}.Arn>", target["DeadLetterConfig"]["Arn"])
        for name, rule in template.of_type("AWS::Events::Rule").items()
        for target in rule["Targets"]
        if "DeadLetterConfig" in target
    ]
    paths += [
        ("bus", f"<{name}.Arn>", bus["DeadLetterConfig"]["Arn"])
        for name, bus in template.of_type("AWS::Events::EventBus").items()
        if "DeadLetterConfig" in bus
    ]
    paths += [
        ("subscription", one["TopicArn"], one["RedrivePolicy"]["deadLetterTargetArn"])
        for one in template.of_type("AWS::SNS::Subscription").values()
        if "RedrivePolicy" in one
    ]
    paths += [
        (
            "function",
            config["FunctionName"].strip("<>"),
            config["DestinationConfig"]["OnFailure"]["Destination"],
        )
        for config in template.of_type("AWS::Lambda::EventInvokeConfig").values()
        if "OnFailure" in config.get("DestinationConfig", {})
    ]
    return [(kind, writer, queue.strip("<>").removesuffix(".Arn")) for kind, writer, queue in paths]
