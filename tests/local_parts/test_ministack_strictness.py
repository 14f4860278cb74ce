"""What AWS stops or refuses and MiniStack as published does not: loops, silent tasks, and what is too large."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError

from local_stack.aws import LocalAws
from polling import until

HOPS = 16  # the invocations of one function in a chain that Lambda runs


@pytest.mark.guarantee(42)
@pytest.mark.parametrize("through", ["queue", "topic", "bucket"])
def test_the_17th_invocation_of_a_chain_is_not_run_and_its_event_put_aside(probe, through):
    """A message goes to its queue's dead-letter queue, an event of a topic or bucket to the on-failure destination."""
    chain = uuid.uuid4().hex
    _begin(probe, "Terminate", through, chain)
    dead_letter = until("the event put aside", lambda: _put_aside(probe, chain), seconds=60)
    assert _hops(probe, chain) == list(range(1, HOPS + 1))
    assert _dropped(probe)
    assert "17" in dead_letter


@pytest.mark.guarantee(42)
def test_a_function_that_says_so_may_run_in_a_loop(probe):
    """`RecursiveLoop: Allow`, as a property of the function in the template."""
    chain = uuid.uuid4().hex
    _begin(probe, "Allow", "queue", chain)
    until("20 hops", lambda: len(_hops(probe, chain)) == 20, seconds=60)
    assert _put_aside(probe, chain) is None


def test_a_stack_by_name_is_authorised_by_an_arn_that_ends_in_anything(probe):
    """DescribeStacks by name: a policy for the stack's full id refuses it, one for stack/<name>/* allows it."""
    cloudformation = probe.aws.client("cloudformation")
    stack_id = cloudformation.describe_stacks(StackName="probe")["Stacks"][0]["StackId"]
    assert _describe_as(probe, stack_id, "probe") == "AccessDenied"
    assert _describe_as(probe, f"{stack_id.rpartition('/')[0]}/*", "probe") == "probe"


def test_a_state_without_a_heartbeat_fails_as_timed_out(probe):
    """A Catch for States.Timeout takes it; its error says that it was the heartbeat."""
    name, marker, state = f"silent-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex, _waiting(probe)
    state |= {"HeartbeatSeconds": 1, "Catch": [{"ErrorEquals": ["States.Timeout"], "Next": "Caught"}]}
    execution = _started(probe, name, marker, state)
    description = until("the end", lambda: _ended(probe, execution), seconds=30)
    assert json.loads(description["output"])["Error"] == "States.HeartbeatTimeout"


def test_a_state_with_heartbeats_waits_on(probe):
    """Three of them, each within HeartbeatSeconds, outlast it; without the next one it fails."""
    name, marker, state = f"beating-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex, _waiting(probe)
    state |= {
        "HeartbeatSeconds": 2,
        "Catch": [{"ErrorEquals": ["States.HeartbeatTimeout"], "Next": "Caught"}],
    }
    execution = _started(probe, name, marker, state)
    [reported] = until("the call", lambda: probe.seen(marker), seconds=20)
    token = reported["event"]["context"]["Task"]["Token"]
    states = probe.aws.client("stepfunctions")
    beats = iter(range(1000))

    def beat():
        states.send_task_heartbeat(taskToken=token)
        return next(beats) >= 30  # ten a second: longer than HeartbeatSeconds

    until("30 heartbeats", beat, seconds=60)
    assert _ended(probe, execution) is None
    states.send_task_success(taskToken=token, output="{}")
    assert until("the end", lambda: _ended(probe, execution), seconds=30)["status"] == "SUCCEEDED"


def test_settings_of_more_than_four_kilobytes_are_refused(probe):
    """All environment variables of a function together, as Lambda measures them: as JSON."""
    assert _deploy_function(probe, "fits", "x" * (4096 - len('{"A":""}'))) == "CREATE_COMPLETE"
    assert _deploy_function(probe, "large", "x" * (4097 - len('{"A":""}'))).startswith("ROLLBACK")


@pytest.mark.parametrize(("given", "expected"), [("", []), ("one", ["One"]), ("one,two", ["One", "Both"])])
def test_a_condition_may_join_a_list_to_see_whether_it_is_empty(probe, given, expected):
    """CloudFormation resolves the function before it compares; an empty list is one empty name."""
    condition = {"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "Names"}]}, ""]}]}
    template = {
        "Parameters": {"Names": {"Type": "CommaDelimitedList"}},
        "Conditions": {
            "Any": condition,
            "Two": {"Fn::Equals": [{"Fn::Join": ["+", {"Ref": "Names"}]}, "one+two"]},
        },
        "Resources": {
            "Always": {"Type": "AWS::SQS::Queue"},
            "One": {"Type": "AWS::SQS::Queue", "Condition": "Any"},
            "Both": {"Type": "AWS::SQS::Queue", "Condition": "Two"},
        },
    }
    assert _made(probe, template, given) == sorted(["Always", *expected])


@pytest.mark.parametrize(
    ("given", "expected"), [("a=cli", []), ("web=cli", []), ("a=cli,b=web/cli", ["One"])]
)
def test_a_condition_may_split_a_text_to_see_what_it_contains(probe, given, expected):
    """A text that does not contain the delimiter stays whole."""
    first = {"Fn::Select": [0, {"Fn::Split": ["=web", {"Ref": "Names"}]}]}
    template = {
        "Parameters": {"Names": {"Type": "String"}},
        "Conditions": {"Any": {"Fn::Not": [{"Fn::Equals": [first, {"Ref": "Names"}]}]}},
        "Resources": {
            "Always": {"Type": "AWS::SQS::Queue"},
            "One": {"Type": "AWS::SQS::Queue", "Condition": "Any"},
        },
    }
    assert _made(probe, template, given) == sorted(["Always", *expected])


def _made(probe, template, names):
    """The logical ids of what is created, with this value of the parameter Names."""
    cloudformation = probe.aws.client("cloudformation")
    name = f"conditions-{uuid.uuid4().hex[:8]}"
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": "Names", "ParameterValue": names}],
    )
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    made = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    return sorted(one["LogicalResourceId"] for one in made)


def test_a_stack_has_composite_alarms(probe):
    """One follows the state of its alarms; its stack deletes it before them, as CloudWatch demands."""
    cloudwatch = probe.aws.client("cloudwatch")
    name = f"pages-{uuid.uuid4().hex[:8]}"
    assert _deploy_pages(probe, name, 2) == "CREATE_COMPLETE"

    def state():
        [page] = cloudwatch.describe_alarms(AlarmTypes=["CompositeAlarm"], AlarmNamePrefix=name)[
            "CompositeAlarms"
        ]
        return page["StateValue"]

    assert state() == "OK"
    children = cloudwatch.describe_alarms(AlarmNamePrefix=name)["MetricAlarms"]
    assert len(children) == 2
    cloudwatch.set_alarm_state(AlarmName=children[1]["AlarmName"], StateValue="ALARM", StateReason="a test")
    assert state() == "ALARM"
    with pytest.raises(ClientError, match="composite alarm"):
        cloudwatch.delete_alarms(AlarmNames=[children[0]["AlarmName"]])
    cloudformation = probe.aws.client("cloudformation")
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    found = cloudwatch.describe_alarms(AlarmTypes=["CompositeAlarm", "MetricAlarm"], AlarmNamePrefix=name)
    assert (found["CompositeAlarms"], found["MetricAlarms"]) == ([], [])


def test_a_rule_of_more_than_a_hundred_alarms_is_refused(probe):
    """CloudWatch's limit of a composite alarm."""
    assert _deploy_pages(probe, f"pages-{uuid.uuid4().hex[:8]}", 101).startswith("ROLLBACK")


def _deploy_pages(probe, name, count):
    alarm = {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "Namespace": "Test",
            "MetricName": "Failures",
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 0,
            "EvaluationPeriods": 1,
            "TreatMissingData": "notBreaching",
        },
    }
    alarms = {f"Alarm{number}": alarm for number in range(count)}
    names = {"Fn::Join": ['") OR ALARM("', [{"Ref": one} for one in alarms]]}
    rule = {"Fn::Sub": ['ALARM("${Names}")', {"Names": names}]}
    page = {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": {"AlarmRule": rule}}
    cloudformation = probe.aws.client("cloudformation")
    body = json.dumps({"Resources": {**alarms, "Page": page}})
    cloudformation.create_stack(StackName=name, TemplateBody=body)
    ended = ("CREATE_COMPLETE", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED")

    def status():
        [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
        return stack["StackStatus"] if stack["StackStatus"] in ended else None

    return until("the stack", status, seconds=60)


def _code(call):
    with pytest.raises(ClientError) as refused:
        call()
    return refused.value.response["Error"]["Code"]


def test_payloads_that_are_too_large_are_refused(probe):
    """Each limit as AWS documents it, by AWS's own error; a byte or an entry less is taken elsewhere in these tests."""
    lambda_, sqs = probe.aws.client("lambda"), probe.aws.client("sqs")
    events, dynamodb = probe.aws.client("events"), probe.aws.client("dynamodb")
    function, queue, table = probe.outputs["Recorder"], probe.outputs["Dead"], probe.outputs["Table"]
    megabyte, entry = "x" * 1024 * 1024, {"Source": "quiet", "DetailType": "Test"}
    keys = [{"id": {"S": str(number)}} for number in range(101)]
    small = [{"Id": str(number), "MessageBody": "x"} for number in range(11)]
    halves = [{"Id": str(number), "MessageBody": megabyte[: 1024 * 512 + 1]} for number in range(2)]
    writes = [{"Put": {"TableName": table, "Item": key}} for key in keys]
    assert [
        _code(lambda: lambda_.invoke(FunctionName=function, InvocationType="Event", Payload=f'"{megabyte}"')),
        _code(lambda: lambda_.invoke(FunctionName=function, Payload=f'"{megabyte * 6}"')),
        _code(lambda: sqs.send_message(QueueUrl=queue, MessageBody=megabyte + "x")),
        _code(lambda: sqs.send_message_batch(QueueUrl=queue, Entries=halves)),
        _code(lambda: sqs.send_message_batch(QueueUrl=queue, Entries=small)),
        _code(lambda: events.put_events(Entries=[entry | {"Detail": json.dumps({"x": megabyte})}])),
        _code(lambda: dynamodb.put_item(TableName=table, Item=keys[0] | {"x": {"S": "x" * 400 * 1024}})),
        _code(lambda: dynamodb.batch_get_item(RequestItems={table: {"Keys": keys}})),
        _code(lambda: dynamodb.transact_write_items(TransactItems=writes)),
    ] == [
        "RequestTooLargeException",
        "RequestTooLargeException",
        "InvalidParameterValue",
        "AWS.SimpleQueueService.BatchRequestTooLong",
        "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        "ValidationException",
        "ValidationException",
        "ValidationException",
        "ValidationException",
    ]


def test_answers_for_a_task_that_are_too_large_are_refused(probe):
    """262,144 bytes of output, 32,768 of a cause: refused before the token is looked at."""
    states = probe.aws.client("stepfunctions")
    output = json.dumps("x" * 262_142)
    assert _code(lambda: states.send_task_success(taskToken="none", output=output)) == "TaskDoesNotExist"
    assert (
        _code(lambda: states.send_task_success(taskToken="none", output=f"{output} "))
        == "ValidationException"
    )
    cause = "x" * 32_769
    assert _code(lambda: states.send_task_failure(taskToken="none", cause=cause)) == "ValidationException"


def _begin(probe, kind, through, chain):
    reported = {"chain": chain, "hop": 1}
    match through:
        case "queue":
            url = probe.outputs["WorkQueueTemplate"].replace("work-{name}", f"loop-{kind}")
            probe.aws.client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps(reported))
        case "topic":
            arn = probe.outputs["Topic"].rpartition(":")[0] + f":probe-loop-{kind}"
            probe.aws.client("sns").publish(TopicArn=arn, Message=json.dumps(reported))
        case "bucket":
            probe.aws.client("s3").put_object(Bucket=probe.outputs["LoopBucket"], Key=f"{chain}/1", Body=b"")


def _hops(probe, chain):
    return sorted(reported["hop"] for reported in probe.seen(chain))


def _put_aside(probe, chain):
    return next((one["Body"] for one in probe.take(probe.outputs["Dead"]) if chain in one["Body"]), None)


def _dropped(probe):
    metrics = probe.aws.client("cloudwatch").list_metrics(
        Namespace="AWS/Lambda", MetricName="RecursiveInvocationsDropped"
    )["Metrics"]
    return [
        one
        for one in metrics
        if {"Name": "FunctionName", "Value": "probe-looper-Terminate"} in one["Dimensions"]
    ]


def _describe_as(probe, resource, stack):
    """What a user with this one permission is answered: the stack's name, or the error's."""
    iam, name = probe.aws.client("iam"), f"user-{uuid.uuid4().hex[:8]}"
    statement = {"Effect": "Allow", "Action": "cloudformation:DescribeStacks", "Resource": resource}
    iam.create_user(UserName=name)
    iam.put_user_policy(
        UserName=name,
        PolicyName="only",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    key = iam.create_access_key(UserName=name)["AccessKey"]
    credentials = (key["AccessKeyId"], key["SecretAccessKey"])
    client = LocalAws(probe.aws.endpoint_url, credentials=credentials).client("cloudformation")
    try:
        return client.describe_stacks(StackName=stack)["Stacks"][0]["StackName"]
    except ClientError as error:
        return error.response["Error"]["Code"]


def _waiting(probe):
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": {
            "FunctionName": probe.outputs["Recorder"],
            "Payload": {"marker.$": "$.marker", "context.$": "$$"},
        },
        "End": True,
    }


def _started(probe, name, marker, state):
    states = probe.aws.client("stepfunctions")
    definition = {"StartAt": "Wait", "States": {"Wait": state, "Caught": {"Type": "Pass", "End": True}}}
    machine = states.create_state_machine(
        name=name, roleArn=probe.outputs["StatesRole"], definition=json.dumps(definition)
    )["stateMachineArn"]
    started = states.start_execution(stateMachineArn=machine, input=json.dumps({"marker": marker}))
    return started["executionArn"]


def _ended(probe, execution):
    description = probe.aws.client("stepfunctions").describe_execution(executionArn=execution)
    return description if description["status"] != "RUNNING" else None


def _deploy_function(probe, name, value):
    cloudformation = probe.aws.client("cloudformation")
    function = {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Role": "arn:aws:iam::000000000000:role/any",
            "Code": {"ZipFile": "def handler(event, context): pass"},
            "Environment": {"Variables": {"A": value}},
        },
    }
    cloudformation.create_stack(
        StackName=name, TemplateBody=json.dumps({"Resources": {"Function": function}})
    )

    def status():
        found = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        return None if found.endswith("_IN_PROGRESS") else found

    return until("the stack", status, seconds=30)
