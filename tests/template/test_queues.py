"""Queues, tables, topic and bucket: how long things are kept, who may see them, how they are encrypted."""

import json

import pytest

from mwaa_gateway.aws.dynamodb.batches import (
    DECISION_KEPT_SECONDS,
    DUE_INDEX,
    HEAD_KEPT_SECONDS,
    KEPT_SECONDS,
)
from mwaa_gateway.aws.sqs.trigger_messages import LAST_RECEIVE, LONGEST_STAY_SECONDS
from mwaa_gateway.rules.due import LONGEST_OPEN_SECONDS
from mwaa_gateway.step_functions.task_call import DEFAULT_HEARTBEAT_SECONDS
from template.expansion import EVERYTHING, statements

HOURS, DAYS = 3600, 86400
# The longest age a rule may allow its events; rules.py refuses more.
LONGEST_EVENT_AGE = 3 * DAYS


def test_visibility_is_six_times_the_timeout(deployed):
    """Less, and Lambda's own retries of a throttled poll meet a message that is visible again: a second delivery."""
    for mapping in deployed.of_type("AWS::Lambda::EventSourceMapping").values():
        function = deployed.resources[mapping["FunctionName"].strip("<>")]["Properties"]
        if mapping["EventSourceArn"].startswith("arn:"):
            # The user's own; Lambda refuses one whose visibility timeout is below the function's, and SQS's default is 30 s.
            assert function["Timeout"] <= 30
            continue
        queue = deployed.resources[mapping["EventSourceArn"].strip("<>").removesuffix(".Arn")]["Properties"]
        if queue.get("FifoQueue"):
            # A watcher that was killed stops its queue for so long: less than a waiting state's HeartbeatSeconds. A second
            # delivery is one more round.
            assert function["Timeout"] < queue["VisibilityTimeout"] < DEFAULT_HEARTBEAT_SECONDS
            continue
        assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]


@pytest.mark.guarantee(40)
def test_an_event_ages_before_its_queue_forgets_it_and_the_dlq_remembers_longest(deployed):
    """A message keeps its first enqueue time in a standard DLQ: age < retention < DLQ retention, or it vanishes there."""
    for environment in ("analytics", "legacy"):
        age = int(_settings(deployed, environment)["MAXIMUM_EVENT_AGE_SECONDS"])
        queue = deployed.resources[f"TriggerQueue{environment}"]["Properties"]["MessageRetentionPeriod"]
        dlq = deployed.resources[f"TriggerDlq{environment}"]["Properties"]["MessageRetentionPeriod"]
        assert age <= LONGEST_EVENT_AGE < queue < dlq == 14 * DAYS
    retry = deployed.resources["IngressRetryQueue"]["Properties"]["MessageRetentionPeriod"]
    dlq = deployed.resources["IngressDlq"]["Properties"]["MessageRetentionPeriod"]
    assert LONGEST_EVENT_AGE < retry < dlq == 14 * DAYS


@pytest.mark.guarantee(21)
def test_receives_last_longer_than_the_longest_age(deployed):
    """Four days of full-jitter back-off are 828 receives at p99.9; fewer would make SQS, not the dispatcher, decide.

    What waits for longer is sent anew well before.
    """
    for environment in ("analytics", "legacy"):
        retention = deployed.resources[f"TriggerQueue{environment}"]["Properties"]["MessageRetentionPeriod"]
        assert (LAST_RECEIVE, LONGEST_STAY_SECONDS) <= (900, retention / 2)
        queue = deployed.resources[f"TriggerQueue{environment}"]["Properties"]
        assert queue["RedrivePolicy"] == {
            "deadLetterTargetArn": f"<TriggerDlq{environment}.Arn>",
            "maxReceiveCount": 1000,
        }
    assert deployed.resources["IngressRetryQueue"]["Properties"]["RedrivePolicy"] == {
        "deadLetterTargetArn": "<IngressDlq.Arn>",
        "maxReceiveCount": 1000,
    }


def test_a_dlq_takes_dead_messages_of_its_own_queue_only(deployed):
    """Nobody else's queue may name it as its DLQ; the ARN is written out, as a reference would close a circle."""
    for environment in ("analytics", "legacy"):
        queue = deployed.resources[f"TriggerQueue{environment}"]["Properties"]
        allowed = deployed.resources[f"TriggerDlq{environment}"]["Properties"]["RedriveAllowPolicy"]
        assert allowed == {
            "redrivePermission": "byQueue",
            "sourceQueueArns": [f"arn:aws:sqs:eu-central-1:123456789012:{queue['QueueName']}"],
        }


def test_queues_take_the_largest_message(deployed):
    """A trigger request carries the event and its conf; the queue must not be what refuses it."""
    queues = deployed.of_type("AWS::SQS::Queue")
    carry = {name: queue for name, queue in queues.items() if not name.startswith("WatchQueue")}
    assert {queue["MaximumMessageSize"] for queue in carry.values()} == {1024 * 1024}


@pytest.mark.parametrize(
    ("kind", "policy_kind", "key"),
    [
        ("AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "Queues"),
        ("AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "Topics"),
        ("AWS::S3::Bucket", "AWS::S3::BucketPolicy", "Bucket"),
    ],
)
def test_everything_that_can_be_written_to_refuses_plain_http(expand, kind, policy_kind, key):
    """Every queue, topic and bucket has a policy that denies everyone whatever does not come by TLS."""
    template = expand("analytics", "legacy", **EVERYTHING)
    guarded = set()
    for policy in template.of_type(policy_kind).values():
        for _, resources, statement in statements(policy["PolicyDocument"]):
            if statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}:
                assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
                names = policy[key] if isinstance(policy[key], list) else [policy[key]]
                assert resources & {name for one in names for name in (one, one.replace(">", ".Arn>"))}
                guarded.update(name.strip("<>") for name in names)
    assert guarded == set(template.of_type(kind))
    assert guarded


def test_nothing_lets_everybody_in(deployed):
    """A policy that allows names a principal; only denials are for everyone."""
    for kind in ("AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::S3::BucketPolicy"):
        for policy in deployed.of_type(kind).values():
            for _, _, statement in statements(policy["PolicyDocument"]):
                assert {"NotPrincipal", "NotAction", "NotResource"}.isdisjoint(statement)
                assert statement["Effect"] == "Deny" or statement["Principal"] != "*"


def test_without_a_key_of_ones_own_sqs_encrypts_with_its_own(expand):
    """SSE-SQS, not aws/sqs: S3, SNS and EventBridge cannot write to a queue under that managed key."""
    for queue in expand("analytics").of_type("AWS::SQS::Queue").values():
        assert queue["SqsManagedSseEnabled"] is True
        assert "KmsMasterKeyId" not in queue


def test_ones_own_key_encrypts_everything_that_is_stored(expand):
    """KmsKeyArn reaches every table, topic, bus, bucket, log group, function and queue but two; every role may use it."""
    template = expand("analytics", "legacy", **EVERYTHING)
    stores = {
        "AWS::DynamoDB::Table",
        "AWS::Events::EventBus",
        "AWS::Lambda::Function",
        "AWS::Logs::LogGroup",
        "AWS::S3::Bucket",
        "AWS::SNS::Topic",
        "AWS::SQS::Queue",
        "AWS::IAM::Role",
    }
    without = [
        name
        for name, body in template.resources.items()
        if body["Type"] in stores and EVERYTHING["KmsKeyArn"] not in json.dumps(body)
    ]
    # What AWS could not deliver: test_dead_letter_paths.py says why these two are under SQS's key.
    assert without == ["IngressDlq", "IngressRetryQueue"]
    assert EVERYTHING["KmsKeyArn"] not in json.dumps(expand("analytics", "legacy").resources)


def test_tables_outlive_mistakes(deployed):
    """Point-in-time recovery, and neither a deleted stack nor a replacement takes them along."""
    tables = {
        name: body for name, body in deployed.resources.items() if body["Type"] == "AWS::DynamoDB::Table"
    }
    assert set(tables) == {"RulesTable", "LedgerTable", "BatchesTable"}
    for table in tables.values():
        assert table["DeletionPolicy"] == "RetainExceptOnCreate"
        assert table["UpdateReplacePolicy"] == "Retain"
        assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert table["Properties"]["BillingMode"] == "PAY_PER_REQUEST"


@pytest.mark.parametrize("protected", ["true", "false"])
def test_deletion_protection_is_a_parameter(expand, protected):
    """Off for the first deployment, which CloudFormation must be able to roll back."""
    tables = expand("analytics", DeletionProtection=protected).of_type("AWS::DynamoDB::Table")
    assert {table["DeletionProtectionEnabled"] for table in tables.values()} == {protected}


def test_keys_of_the_tables(deployed):
    """What rules_table.py and ledger_table.py write; the ledger's items end by themselves."""
    keys = {
        name: [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]]
        for name, table in deployed.of_type("AWS::DynamoDB::Table").items()
    }
    assert keys == {
        "RulesTable": [("partition", "HASH"), ("sort", "RANGE")],
        "LedgerTable": [("event", "HASH"), ("request", "RANGE")],
        "BatchesTable": [("partition", "HASH"), ("sort", "RANGE")],
    }
    for table in ("LedgerTable", "BatchesTable"):
        ttl = deployed.of_type("AWS::DynamoDB::Table")[table]["TimeToLiveSpecification"]
        assert ttl == {"AttributeName": "expires_at", "Enabled": True}


def test_the_due_index_is_sparse_and_has_keys_only(deployed):
    """An item of the table costs no second write but while its batch is open; the names are those that the code writes."""
    (index,) = deployed.of_type("AWS::DynamoDB::Table")["BatchesTable"]["GlobalSecondaryIndexes"]
    assert index == {
        "IndexName": DUE_INDEX,
        "KeySchema": [
            {"AttributeName": "due_shard", "KeyType": "HASH"},
            {"AttributeName": "due_at", "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    }


def test_members_and_looks_outlast_an_outage(deployed):
    """A member is nowhere else: four days, then the DLQ. A lost look would leave a complete batch to its max_wait."""
    collect, look = (deployed.resources[name]["Properties"] for name in ("CollectQueue", "LookQueue"))
    assert collect["MessageRetentionPeriod"] == 4 * DAYS
    assert collect["RedrivePolicy"] == {"deadLetterTargetArn": "<IngressDlq.Arn>", "maxReceiveCount": 1000}
    assert look["MessageRetentionPeriod"] == 4 * DAYS
    assert "RedrivePolicy" not in look


@pytest.mark.guarantee(47)
def test_a_membership_outlasts_its_batch_and_the_last_redelivery(deployed):
    """A pointer that expires sooner makes a new member of a redelivery: twice in the queues, and redriven between.

    A pointer without a decision belongs to an open batch, and the head says what is late: they outlast the pointer.
    """
    collect, dlq = (deployed.resources[name]["Properties"] for name in ("CollectQueue", "IngressDlq"))
    once = collect["MessageRetentionPeriod"] + dlq["MessageRetentionPeriod"]
    assert LONGEST_OPEN_SECONDS + 2 * once <= KEPT_SECONDS < DECISION_KEPT_SECONDS < HEAD_KEPT_SECONDS


def _settings(template, environment):
    return template.resources[f"dispatcher{environment}"]["Properties"]["Environment"]["Variables"]
