"""What the local stack relies on in MiniStack: a release that breaks it fails here, not in the gateway."""

import json
import uuid
from urllib.parse import unquote_plus

import pytest
from botocore.exceptions import ClientError

from local_stack.ministack_server import SANDBOXES_PER_FUNCTION
from local_stack.processes import is_running
from polling import until

HOSTILE_KEY = "in/a+b c%2F'quoted\" é😀\n;$(id).csv"


def test_both_transforms_loops_and_number_parameters_deploy(probe):
    """A loop makes a queue, a role, a function and a mapping for each name; slots stay a number."""
    lambda_ = probe.aws.client("lambda")
    mappings = {
        name: lambda_.list_event_source_mappings(FunctionName=f"probe-worker-{name}")["EventSourceMappings"][
            0
        ]
        for name in ("one-a", "two")
    }

    assert {name: mapping["ScalingConfig"] for name, mapping in mappings.items()} == {
        "one-a": {"MaximumConcurrency": 3},
        "two": {"MaximumConcurrency": 3},
    }
    assert [mapping["EventSourceArn"].rsplit(":", 1)[1] for mapping in mappings.values()] == [
        "probe-work-one-a",
        "probe-work-two",
    ]


def test_what_ministack_does_not_know_is_left_out_by_name(probe):
    """A resource type it refuses is taken out of the template, and said so."""
    assert [line.partition(": ")[0] for line in probe.left_out] == ["Archive (AWS::Events::Archive)"]


def test_an_upload_reaches_lambda_with_a_quoted_key_and_the_default_bus_with_the_raw_one(probe):
    """The two routes of one upload differ in the key's encoding and agree in the sequencer."""
    probe.aws.client("s3").put_object(Bucket=probe.outputs["Bucket"], Key=HOSTILE_KEY, Body=b"1")

    def both_routes():
        notifications = [
            reported["event"]["Records"][0]["s3"]["object"]
            for reported in probe.seen("ObjectCreated")
            if unquote_plus(reported["event"]["Records"][0]["s3"]["object"]["key"]) == HOSTILE_KEY
        ]
        events = [
            reported["event"]["detail"]["object"]
            for reported in probe.seen("Object Created")
            if reported["event"]["detail"]["object"]["key"] == HOSTILE_KEY
        ]
        return notifications and events and (notifications, events)

    [notification], [event] = until("the upload by both routes", both_routes, seconds=20)
    assert notification["key"] == "in/a%2Bb+c%252F%27quoted%22+%C3%A9%F0%9F%98%80%0A%3B%24%28id%29.csv"
    assert int(notification["sequencer"], 16) == int(event["sequencer"], 16)


def test_a_notification_reaches_lambda_once(probe):
    """SNS calls the function with one record, its MessageId the one the publisher was given."""
    marker = uuid.uuid4().hex
    published = probe.aws.client("sns").publish(
        TopicArn=probe.outputs["Topic"], Message=marker, Subject="a subject"
    )

    [reported] = until("the notification", lambda: probe.seen(marker), seconds=20)
    [record] = reported["event"]["Records"]
    assert record["EventSource"] == "aws:sns"
    assert record["Sns"]["MessageId"] == published["MessageId"]
    assert record["Sns"]["Message"] == marker


def test_an_event_on_an_own_bus_reaches_lambda_with_the_id_its_sender_got(probe):
    """PutEvents answers with the id that stands in the envelope."""
    marker = uuid.uuid4().hex
    answer = probe.aws.client("events").put_events(
        Entries=[
            {
                "EventBusName": probe.outputs["Bus"],
                "Source": "acme.shop",
                "DetailType": "Order Placed",
                "Detail": json.dumps({"order": marker}),
                "Resources": ["arn:aws:acme:::one"],
            }
        ]
    )

    [reported] = until("the event", lambda: probe.seen(marker), seconds=20)
    assert reported["event"]["id"] == answer["Entries"][0]["EventId"]
    assert reported["event"]["detail"] == {"order": marker}
    assert reported["event"]["resources"] == ["arn:aws:acme:::one"]


def test_the_layer_is_on_the_path_and_the_developers_packages_are_not(probe):
    """A function finds its layer and what a sandbox has; the development environment is out of its sight."""
    answer = probe.aws.client("lambda").invoke(FunctionName=probe.outputs["Trespasser"], Payload=b"{}")
    path = json.load(answer["Payload"])["path"]

    assert any("/layers/" in entry for entry in path)
    assert any("/.venvs/lambda/" in entry for entry in path)
    assert not any("/.venv/" in entry for entry in path)


def test_a_role_is_denied_what_its_policy_does_not_allow(probe):
    """Least privilege is tested, not only written down."""
    answer = probe.aws.client("lambda").invoke(FunctionName=probe.outputs["Trespasser"], Payload=b"{}")
    reported = json.load(answer["Payload"])

    assert (reported["allowed"], reported["forbidden"]) == ("read", "AccessDeniedException")


def test_an_asynchronous_failure_ends_in_the_on_failure_destination(probe):
    """After its attempts the destination gets the event, the condition and the function's error."""
    marker = uuid.uuid4().hex
    probe.aws.client("lambda").invoke(
        FunctionName=probe.outputs["Refuser"],
        InvocationType="Event",
        Payload=json.dumps({"why": marker}).encode(),
    )

    record = until("the failure", lambda: _dead(probe, marker), seconds=30)
    assert record["requestPayload"] == {"why": marker}
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["responsePayload"]["errorType"] == "RefusedError"
    assert record["responsePayload"]["errorMessage"] == marker


def test_a_partial_batch_response_keeps_only_the_failed_message(probe):
    """What is reported comes back when the function said, and is dead after its receives."""
    sqs, queue = probe.aws.client("sqs"), _work_queue(probe, "two")
    sqs.send_message(QueueUrl=queue, MessageBody="fail")
    sqs.send_message(QueueUrl=queue, MessageBody="fine")

    until("three receives", lambda: len(probe.seen('"fail"')) == 3, seconds=30)
    assert [reported["receives"] for reported in probe.seen('"fail"')] == [1, 2, 3]
    assert [reported["receives"] for reported in probe.seen('"fine"')] == [1]
    assert until(
        "the dead letter",
        lambda: [m for m in probe.take(probe.outputs["Dead"]) if m["Body"] == "fail"],
        seconds=30,
    )


def test_slots_bound_how_many_messages_are_worked_at_once(probe):
    """MaximumConcurrency 3 of one queue: never a fourth at the same time, however many wait."""
    sqs, queue = probe.aws.client("sqs"), _work_queue(probe, "one-a")
    for number in range(15):
        sqs.send_message(QueueUrl=queue, MessageBody=f"slot-{number}-")

    reported = until("15 messages", lambda: len(seen := probe.seen('"slot-')) == 15 and seen, seconds=60)
    edges = sorted([(one["began"], 1) for one in reported] + [(one["ended"], -1) for one in reported])
    busy, most = 0, 0
    for _, change in edges:
        busy += change
        most = max(most, busy)
    assert most == 3


def test_a_function_that_changes_ends_what_it_has_begun(probe, tmp_path):
    """An invocation continues with the old settings, and its message is done with; the next one has the new settings."""
    function, lambda_, sqs = "probe-worker-two", probe.aws.client("lambda"), probe.aws.client("sqs")
    queue, end = _work_queue(probe, "two"), tmp_path / "end"
    sqs.send_message(QueueUrl=queue, MessageBody=str(end))
    until("an invocation", lambda: probe.seen('"waiting"'), seconds=30)
    variables = lambda_.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    changed = {"Variables": variables | {"CHANGED": "yes"}}
    lambda_.update_function_configuration(FunctionName=function, Environment=changed)
    sqs.send_message(QueueUrl=queue, MessageBody="later")
    [later] = until("the next one", lambda: probe.seen('"later"'), seconds=30)
    end.touch()
    [begun] = until("the end of the first", lambda: probe.seen(str(end)), seconds=30)
    assert (later["changed"], begun["changed"], begun["receives"]) == ("yes", "", 1)
    until("its sandbox is gone", lambda: not is_running(begun["pid"]), seconds=30)
    until("its message is deleted", lambda: _left(sqs, queue) == 0, seconds=30)


def test_a_burst_waits_for_sandboxes_instead_of_filling_the_machine(probe):
    """40 events at once are all handled, by no more sandboxes than the ceiling (see ministack_server)."""
    sns = probe.aws.client("sns")
    for number in range(40):
        sns.publish(TopicArn=probe.outputs["Topic"], Message=f"burst-{number}-")

    reported = until("40 notifications", lambda: len(seen := probe.seen("burst-")) == 40 and seen, seconds=60)
    assert len({one["pid"] for one in reported}) <= SANDBOXES_PER_FUNCTION


def test_a_failed_condition_returns_the_item_that_stands(probe):
    """The ledger recognises its own write by it."""
    table = probe.aws.table(probe.outputs["Table"])
    table.put_item(Item={"id": "ledger", "attempt": 7})

    with pytest.raises(ClientError) as refused:
        table.put_item(
            Item={"id": "ledger", "attempt": 8},
            ConditionExpression="attribute_not_exists(id)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )

    assert refused.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
    assert refused.value.response["Item"] == {"id": {"S": "ledger"}, "attempt": {"N": "7"}}


def test_a_transaction_is_all_or_nothing_and_says_which_condition_failed(probe):
    """A rule's copies change together or not at all."""
    dynamodb, table = probe.aws.client("dynamodb"), probe.outputs["Table"]
    dynamodb.put_item(TableName=table, Item={"id": {"S": "taken"}})

    with pytest.raises(ClientError) as refused:
        dynamodb.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": table, "Item": {"id": {"S": "fresh"}}}},
                {
                    "Put": {
                        "TableName": table,
                        "Item": {"id": {"S": "taken"}},
                        "ConditionExpression": "attribute_not_exists(id)",
                    }
                },
            ]
        )

    assert refused.value.response["Error"]["Code"] == "TransactionCanceledException"
    assert [reason["Code"] for reason in refused.value.response["CancellationReasons"]] == [
        "None",
        "ConditionalCheckFailed",
    ]
    assert "Item" not in dynamodb.get_item(TableName=table, Key={"id": {"S": "fresh"}})


def test_branches_side_by_side_call_with_their_own_name_and_token(probe):
    """However many enter at once: none calls in another's name, or is answered for another."""
    marker = uuid.uuid4().hex
    states = probe.aws.client("stepfunctions")
    branches = [_waiting_branch(probe, f"Branch{number}", marker) for number in range(24)]
    machine = states.create_state_machine(
        name="side-by-side",
        roleArn=probe.outputs["StatesRole"],
        definition=json.dumps(
            {"StartAt": "All", "States": {"All": {"Type": "Parallel", "Branches": branches, "End": True}}}
        ),
    )["stateMachineArn"]
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]

    reported = until("24 calls", lambda: len(seen := probe.seen(marker)) == 24 and seen, seconds=30)
    states.stop_execution(executionArn=execution)

    calls = [one["event"] for one in reported]
    assert all(call["branch"] == call["context"]["State"]["Name"] for call in calls)
    assert len({call["context"]["Task"]["Token"] for call in calls}) == 24


def _waiting_branch(probe, name, marker):
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": {
            "FunctionName": probe.outputs["Recorder"],
            "Payload": {"branch": name, "marker": marker, "context.$": "$$"},
        },
        "End": True,
    }
    return {"StartAt": name, "States": {name: state}}


def _work_queue(probe, name):
    return probe.outputs["WorkQueueTemplate"].replace("{name}", name)


def _left(sqs, queue):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(int(number) for number in attributes.values())


def _dead(probe, marker):
    for message in probe.take(probe.outputs["Dead"]):
        if marker in message["Body"]:
            return json.loads(message["Body"])
    return None
