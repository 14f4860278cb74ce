"""What AWS refuses when the stack is created, for the largest stacks and the longest names we expect."""

import json
import re

import pytest

from gateway_cli.reconcile.starting import SETTLE_SECONDS
from mwaa_gateway.dispatch.s3_objects import CLOCK_SECONDS
from template.expansion import EVERYTHING, PSEUDO_PARAMETERS, ROOT, expand_template

SETTINGS_BYTES = 4 * 1024  # of all environment variables of a function, as JSON
PHYSICAL_NAME = "x" * 100  # longer than any name or URL that CloudFormation makes of a resource here


def test_settings_of_a_large_stack_fit_into_four_kilobytes(expand):
    """17 environments with the longest names, and 20 queues of the user's: the lists are what grows."""
    environments = [letter * 32 for letter in "abcdefghijklmnopq"]
    queues = ",".join(f"arn:aws:sqs:eu-central-1:123456789012:{'q' * 40}{number}" for number in range(20))
    template = expand(*environments, **(EVERYTHING | {"EventQueueArns": queues}))
    sizes = {}
    for name, function in template.of_type("AWS::Lambda::Function").items():
        variables = json.dumps(function["Environment"]["Variables"], separators=(",", ":"))
        sizes[name] = len(re.sub("<[^>]*>", PHYSICAL_NAME, variables).encode())
    assert {name: size for name, size in sizes.items() if size > SETTINGS_BYTES} == {}
    assert max(sizes, key=sizes.__getitem__) == "QueuedEventsFunction"


# A property that names a resource, and how long AWS lets it be.
LONGEST_NAMES = {
    ("AWS::Lambda::Function", "FunctionName"): 64,
    ("AWS::SQS::Queue", "QueueName"): 80,
    ("AWS::IAM::Policy", "PolicyName"): 128,
    ("AWS::Events::EventBus", "Name"): 256,
    ("AWS::SNS::Topic", "TopicName"): 256,
    ("AWS::Logs::LogGroup", "LogGroupName"): 512,
}
LONGEST_STACK, LONGEST_WITH_ENVIRONMENT = 44, 51


def _too_long(source, monkeypatch, stack, environment):
    monkeypatch.setitem(PSEUDO_PARAMETERS, "AWS::StackName", stack)
    template = expand_template(
        source, {**EVERYTHING, "Environments": environment, "DeadLetterQueueSuffix": "-generate"}
    )
    return {
        named
        for (kind, name), limit in LONGEST_NAMES.items()
        for properties in template.of_type(kind).values()
        if len(named := properties[name]) > limit
    }


@pytest.mark.parametrize("environment", ["e", "e" * 7, "e" * 32])
def test_the_longest_names_that_the_readme_allows_can_be_deployed(source, monkeypatch, environment):
    """A name that is too long fails in the middle of a deployment; CloudFormation checks no stack's name against it."""
    longest = min(LONGEST_STACK, LONGEST_WITH_ENVIRONMENT - len(environment))
    assert _too_long(source, monkeypatch, "s" * longest, environment) == set()
    assert _too_long(source, monkeypatch, "s" * (longest + 1), environment) != set()
    said = f"at most {LONGEST_STACK} characters, and with an environment's name at most {LONGEST_WITH_ENVIRONMENT}"
    assert said in (ROOT / "README.md").read_text()


def test_the_longest_lists_of_names_fit_into_an_event_pattern(source):
    """EventBridge takes 2,048 characters. The parameters say how many names that is."""
    machines = [
        f"arn:aws:states:ap-southeast-1:123456789012:stateMachine:{'m' * 40}{number:02}"
        for number in range(15)
    ]
    buckets = [f"acme-production-landing-for-partners-{number:02}" for number in range(40)]
    given = {"Environments": "analytics", "StateMachines": ",".join(machines), "S3Events": ",".join(buckets)}
    rules = expand_template(source, given).of_type("AWS::Events::Rule")
    for name, count in (("EndedExecutionsRule", machines), ("DefaultBusRule", buckets)):
        pattern = json.dumps(rules[name]["EventPattern"], separators=(",", ":"))
        assert all(one in pattern for one in count)
        assert len(pattern) <= 2_048, name
    assert "holds some fifteen" in source["Parameters"]["StateMachines"]["Description"]
    assert "some forty" in " ".join(source["Parameters"]["S3Events"]["Description"].split())


def test_a_reconcile_waits_longer_than_attempts_that_did_not_see_its_claims(expand):
    """They may have read the pauses just before, and run until the function's timeout; the rest is for the clocks."""
    resources = expand("analytics").of_type("AWS::Lambda::Function")
    dispatcher, collector = resources["dispatcheranalytics"], resources["BatchCollectorFunction"]
    refresh = float(dispatcher["Environment"]["Variables"]["BRAKE_REFRESH_SECONDS"])

    assert dispatcher["Timeout"] + refresh + 10 <= SETTLE_SECONDS
    assert collector["Timeout"] + 10 <= SETTLE_SECONDS
    assert SETTLE_SECONDS >= 2 * CLOCK_SECONDS
