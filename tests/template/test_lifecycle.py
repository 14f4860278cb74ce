"""Deploy, fail, upgrade, leave: what CloudFormation keeps, replaces and deletes; how many environments fit a stack."""

import json

import pytest

from released import unpack_release
from template.expansion import EVERYTHING, ROOT, Template, expand_template, read_source, statements
from template.lifecycle import (
    ENVIRONMENTS,
    PAGE,
    RETAINING,
    REVIEWED,
    changes,
    expander,
    page,
    parameter_changes,
    sections,
)

# What contains events, requests, dead letters, rules or keys.
STATEFUL = {"AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::S3::Bucket", "AWS::SQS::Queue"}
# What waits in these is worked off within minutes: `environments drain` waits for it before they are deleted.
# What is in EndedExecutionsQueue concerns states that wait: where none does, nothing is lost with it. LookQueue has ids of
# batches, which are in the table.
DRAINED = (
    "TriggerQueue",
    "WatchQueue",
    "IngressRetryQueue",
    "EndedExecutionsQueue",
    "CollectQueue",
    "LookQueue",
)
# Each type was looked up: right after a creation that failed, CloudFormation can delete it again. A type that is not here
# makes the test fail, so that somebody looks it up.
DELETABLE = {
    "AWS::CloudWatch::Alarm",  # a composite alarm refers to its alarms, and so is deleted before them
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::DynamoDB::Table",  # unless it is protected
    "AWS::Events::EventBus",  # its rules refer to it, and so are deleted before it
    "AWS::Events::Rule",
    "AWS::IAM::ManagedPolicy",  # unless somebody attached it; nobody knows a policy of a stack that failed
    "AWS::IAM::Policy",  # inline policies of a role, deleted with it or before
    "AWS::IAM::Role",  # inline policies go with it
    "AWS::KMS::Key",  # is scheduled for deletion
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Function",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",  # unless it has objects
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::Queue",  # with its messages
    "AWS::SQS::QueuePolicy",
}


@pytest.mark.guarantee(46)
def test_row_46_each_resource_can_be_deleted_again_after_a_first_creation_that_failed(
    deployed: Template,
) -> None:
    """A protected table ends the rollback in ROLLBACK_FAILED; a retained queue takes its name from the next attempt."""
    assert {body["Type"] for body in deployed.resources.values()} <= DELETABLE
    policies = {name: body.get("DeletionPolicy", "Delete") for name, body in deployed.resources.items()}
    assert {
        name for name, policy in policies.items() if policy not in {"Delete", "RetainExceptOnCreate"}
    } == set()
    for table in deployed.of_type("AWS::DynamoDB::Table").values():
        assert table["DeletionProtectionEnabled"] == "false"
    # A log group that Lambda made again after it was deleted would be in the way of the next attempt.
    for role in deployed.of_type("AWS::IAM::Role").values():
        for policy in role["Policies"]:
            for actions, _, _ in statements(policy["PolicyDocument"]):
                assert actions & {"logs:CreateLogGroup", "logs:*", "*"} == set()


@pytest.mark.guarantee(46)
def test_row_46_what_holds_something_is_kept_when_it_is_deleted_or_replaced(deployed: Template) -> None:
    """By CloudFormation's own means; the queues that are worked off within minutes are drained instead."""
    for name, body in deployed.resources.items():
        if body["Type"] in STATEFUL and not name.startswith(DRAINED):
            assert (name, body.get("DeletionPolicy"), body.get("UpdateReplacePolicy")) == (
                name,
                "RetainExceptOnCreate",
                "Retain",
            )


@pytest.fixture(scope="module")
def written() -> str:
    """What the page has to say, of template.yaml as it is now."""
    return page(read_source())


def test_the_page_of_parameter_changes_is_what_the_template_does(written: str) -> None:
    """`python tests/template/lifecycle.py` writes it; the author of the change reviews it."""
    _, generated, _ = sections(PAGE.read_text(encoding="utf-8"))
    assert generated == written, (
        "docs/operations.md does not say what a change of a parameter replaces and deletes: run "
        "`.venv/bin/python tests/template/lifecycle.py`, and review the difference"
    )


def test_every_change_that_replaces_or_deletes_is_reviewed(written: str) -> None:
    """And no review is left over from a parameter that no longer does."""
    rows = {line.split("`")[1] for line in written.splitlines() if line.startswith("| `")}
    assert rows == set(REVIEWED)


@pytest.mark.guarantee(46)
def test_row_46_no_change_of_a_parameter_loses_what_is_kept_for_long(source: dict[str, object]) -> None:
    """What is replaced or deleted and contains something is retained, or is a queue that `environments drain` waits for."""
    expand = expander(source)
    everything = expand({**EVERYTHING, "Environments": ",".join(ENVIRONMENTS)}).resources
    drained = set()
    for parameter in REVIEWED:
        found = parameter_changes(source, parameter, expand)
        for names, policy in ((found.replaced, "UpdateReplacePolicy"), (found.deleted, "DeletionPolicy")):
            for name in names:
                body = everything[name]
                if body["Type"] in STATEFUL and body.get(policy) not in RETAINING:
                    assert name.startswith(DRAINED)
                    drained.add(parameter)
    assert drained == {"Environments", "StepFunctionsTasks"}
    assert all("environments drain" in REVIEWED[parameter] for parameter in drained)


def test_the_order_of_environments_means_nothing(expand) -> None:
    """Names in another order change no resource but the settings that list them."""
    found = changes(expand("analytics", "legacy"), expand("legacy", "analytics"))
    assert (found.replaced, found.deleted) == (frozenset(), frozenset())


@pytest.mark.guarantee(46)
@pytest.mark.parametrize("before", [{}, {"KmsKeyArn": EVERYTHING["KmsKeyArn"]}])
def test_row_46_task_tokens_have_one_key_whatever_key_the_stack_has(expand, before: dict[str, str]) -> None:
    """Setting, changing or clearing KmsKeyArn leaves the tokens' key as it is; only watchers may open with it."""
    key = expand("analytics", **before)
    for after in ({}, {"KmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/0f0e"}):
        template = expand("analytics", **after)
        assert template.resources["TaskTokenKey"] == key.resources["TaskTokenKey"]
        for name in ("StepFunctionsTaskFunction", "watcheranalytics"):
            variables = template.resources[name]["Properties"]["Environment"]["Variables"]
            assert variables["TASK_TOKEN_KEY"] == "<TaskTokenKey.Arn>"
        openers = {
            role
            for role, body in template.of_type("AWS::IAM::Role").items()
            for policy in body["Policies"]
            for actions, resources, _ in statements(policy["PolicyDocument"])
            if "<TaskTokenKey.Arn>" in resources and actions != {"kms:Encrypt"}
        }
        assert openers == {"RunWatcherRoleanalytics"}


@pytest.mark.guarantee(46)
def test_row_46_a_token_that_version_0_1_0_sealed_with_the_stacks_own_key_can_be_opened(expand) -> None:
    """It sealed with KmsKeyArn where that was set."""
    role = expand("analytics", **EVERYTHING).resources["RunWatcherRoleanalytics"]["Properties"]
    opened = [
        resources
        for policy in role["Policies"]
        for _, resources, statement in statements(policy["PolicyDocument"])
        if statement["Sid"] == "UnsealTokens"
    ]
    assert opened == [{"<TaskTokenKey.Arn>", EVERYTHING["KmsKeyArn"]}]


@pytest.mark.guarantee(31)
@pytest.mark.parametrize("parameters", [{}, EVERYTHING], ids=["as it comes", "with everything"])
def test_row_31_an_upgrade_from_version_0_1_0_replaces_and_deletes_nothing(
    source, tmp_path, parameters: dict[str, str]
) -> None:
    """No queue, table, bus, topic or policy that users attached; events, requests and dead letters stay where they are."""
    released = read_source(unpack_release(tmp_path))
    given = {"Environments": ",".join(ENVIRONMENTS), **parameters}
    given.pop("RolePath", None)  # another path is no upgrade: it replaces roles, as docs/operations.md says
    known = {name: value for name, value in given.items() if name in released["Parameters"]}
    before = expand_template(released, known)
    after = expand_template(
        source, {name: value for name, value in given.items() if name in source["Parameters"]}
    )
    found = changes(before, after)
    # CloudFormation makes the new permission before it deletes the old one: at no time may a source not invoke its function.
    replaced = {
        name for name in found.replaced if before.resources[name]["Type"] != "AWS::Lambda::Permission"
    }
    assert replaced == set(), (
        "an upgrade would replace these: a create-only property differs from version 0.1.0's. The description of a managed "
        "policy is one, and users have attached the policy"
    )
    # EndedExecutionsRule replaces these: test_sources.py checks that the new way is complete before they are shut out.
    assert found.deleted == {f"ExecutionsRule{name}" for name in ENVIRONMENTS}


# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MOST_RESOURCES, MOST_OUTPUTS, MOST_PARAMETERS, LARGEST_TEMPLATE = 500, 200, 200, 1_000_000
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: characters without white space
LARGEST_INLINE_POLICIES, LARGEST_MANAGED_POLICY = 10_240, 6_144
LARGEST_SETTINGS = 4_096  # bytes, of a function's environment variables


def of_environments(source, count: int) -> Template:
    """So many environments, with the longest names there may be and every option in use."""
    names = [f"environment{n:02}".ljust(32, "x") for n in range(count)]
    return expand_template(source, {**EVERYTHING, "Environments": ",".join(names)})


@pytest.fixture(scope="module")
def most(source) -> int:
    """How many environments fit into CloudFormation's 500 resources, as the expansion has them."""
    one, two = (len(of_environments(source, count).cloudformation["Resources"]) for count in (1, 2))
    each = two - one
    return (MOST_RESOURCES - (one - each)) // each


def test_a_stack_holds_as_many_environments_as_is_said(source, most: int) -> None:
    """In the README, decision 1 and the parameter: a change that adds resources states the new number."""
    assert len(of_environments(source, most + 1).cloudformation["Resources"]) > MOST_RESOURCES
    said = f"at most {most} environments"
    for text in (
        (ROOT / "README.md").read_text(encoding="utf-8"),
        (ROOT / "docs" / "adr" / "0001-one-loop-over-environments.md").read_text(encoding="utf-8"),
        source["Parameters"]["Environments"]["Description"],
    ):
        assert said in " ".join(text.split())


def test_so_many_environments_stay_within_every_other_limit(source, most: int) -> None:
    """CloudFormation's of the processed template, IAM's of policies, Lambda's of settings."""
    template = of_environments(source, most)
    assert len(template.cloudformation["Resources"]) <= MOST_RESOURCES
    assert len(template.cloudformation["Outputs"]) <= MOST_OUTPUTS
    assert len(template.cloudformation["Parameters"]) <= MOST_PARAMETERS
    assert len(json.dumps(template.cloudformation)) <= LARGEST_TEMPLATE
    policies = template.of_type("AWS::IAM::Policy").values()
    for name, role in template.of_type("AWS::IAM::Role").items():
        inline = [policy["PolicyDocument"] for policy in role["Policies"]]
        inline += [policy["PolicyDocument"] for policy in policies if f"<{name}>" in policy["Roles"]]
        assert (
            sum(len(json.dumps(document, separators=(",", ":"))) for document in inline)
            <= LARGEST_INLINE_POLICIES
        )
    for policy in template.of_type("AWS::IAM::ManagedPolicy").values():
        assert len(json.dumps(policy["PolicyDocument"], separators=(",", ":"))) <= LARGEST_MANAGED_POLICY
    for function in template.of_type("AWS::Lambda::Function").values():
        variables = function["Environment"]["Variables"]
        assert sum(len(name) + len(str(value)) for name, value in variables.items()) <= LARGEST_SETTINGS
