"""Deliveries by AWS services: whose policy they need, and where what is refused ends up. See ministack_deliveries."""

import json
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from polling import until

ACCOUNT = "000000000000"
TRUST = {
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ]
}


@pytest.fixture
def source(probe):
    """A topic, a rule on the probe's bus and two queues of their own, none of which may do anything yet."""
    return Source(probe)


class Source:
    def __init__(self, probe):
        self.name = f"d-{uuid.uuid4().hex[:12]}"
        self.sqs, self.sns = probe.aws.client("sqs"), probe.aws.client("sns")
        self.events, self.lambda_ = probe.aws.client("events"), probe.aws.client("lambda")
        self.bus = probe.outputs["Bus"]
        self.function = self.lambda_.get_function(FunctionName=probe.outputs["Recorder"])["Configuration"]
        self.target, self.dlq = self._queue("target"), self._queue("dlq")
        self.topic = self.sns.create_topic(Name=self.name)["TopicArn"]
        self.rule = self.events.put_rule(
            Name=self.name, EventBusName=self.bus, EventPattern=json.dumps({"source": [self.name]})
        )["RuleArn"]

    def _queue(self, kind):
        return self.sqs.create_queue(QueueName=f"{self.name}-{kind}")["QueueUrl"]

    def arn(self, queue):
        return f"arn:aws:sqs:eu-central-1:{ACCOUNT}:{queue.rpartition('/')[2]}"

    def let_in(self, queue, service, source_arn, **conditions):
        """Write the queue's policy: for this source, under these further conditions."""
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sqs:SendMessage",
            "Resource": self.arn(queue),
            "Condition": {"ArnEquals": {"aws:SourceArn": source_arn}, **conditions},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})

    def permit(self, service, source_arn, **account):
        """Let the service call the recorder for this source."""
        self.lambda_.add_permission(
            FunctionName=self.function["FunctionName"],
            StatementId=f"{self.name}-{uuid.uuid4().hex[:6]}",
            Action="lambda:InvokeFunction",
            Principal=service,
            SourceArn=source_arn,
            **account,
        )

    def publish(self, endpoint, protocol):
        """Publish to a subscription with a dead-letter queue."""
        redrive = json.dumps({"deadLetterTargetArn": self.arn(self.dlq)})
        attributes = {"RedrivePolicy": redrive}
        self.sns.subscribe(TopicArn=self.topic, Protocol=protocol, Endpoint=endpoint, Attributes=attributes)
        return self.sns.publish(TopicArn=self.topic, Message=self.name)["MessageId"]

    def put_event(self, target):
        """Put an event for a target with a dead-letter queue."""
        one = {"Id": "one", "Arn": target, "DeadLetterConfig": {"Arn": self.arn(self.dlq)}}
        self.events.put_targets(Rule=self.name, EventBusName=self.bus, Targets=[one])
        entry = {"EventBusName": self.bus, "Source": self.name, "DetailType": "Test", "Detail": "{}"}
        return self.events.put_events(Entries=[entry])["Entries"][0]["EventId"]


SOURCE_ACCOUNT = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_sns_delivers_to_a_queue_whose_policy_names_the_topic(probe, source):
    """The ARN alone is enough."""
    source.let_in(source.target, "sns.amazonaws.com", source.topic)
    source.publish(source.arn(source.target), "sqs")
    assert _bodies(probe, source.target)


def test_sns_sends_no_source_account_to_a_queue_and_dead_letters_what_it_refuses(probe, source):
    """A policy that demands aws:SourceAccount refuses the delivery; the dead-letter queue's, which does not, takes it."""
    source.let_in(source.target, "sns.amazonaws.com", source.topic, **SOURCE_ACCOUNT)
    source.let_in(source.dlq, "sns.amazonaws.com", source.topic)
    message_id = source.publish(source.arn(source.target), "sqs")
    [dead_letter] = _bodies(probe, source.dlq)
    assert (dead_letter["MessageId"], dead_letter["TopicArn"]) == (message_id, source.topic)
    assert probe.take(source.target) == []


def test_sns_calls_no_function_that_demands_the_source_account(probe, source):
    """The same for a function's permission."""
    source.let_in(source.dlq, "sns.amazonaws.com", source.topic)
    source.permit("sns.amazonaws.com", source.topic, SourceAccount=ACCOUNT)
    message_id = source.publish(source.function["FunctionArn"], "lambda")
    [dead_letter] = _bodies(probe, source.dlq)
    assert dead_letter["MessageId"] == message_id


def test_a_notification_whose_dead_letter_queue_refuses_it_is_lost_and_counted(probe, source):
    """NumberOfNotificationsFailedToRedriveToDlq is all that is left of it."""
    source.let_in(source.dlq, "sns.amazonaws.com", source.topic, **SOURCE_ACCOUNT)
    source.publish(source.function["FunctionArn"], "lambda")
    dimensions = {"TopicName": source.name}
    assert _counted(probe, "AWS/SNS", "NumberOfNotificationsFailedToRedriveToDlq", dimensions)
    assert probe.take(source.dlq) == []


def test_eventbridge_delivers_to_a_queue_and_a_function_that_name_the_rule(probe, source):
    """The ARN alone is enough."""
    source.let_in(source.target, "events.amazonaws.com", source.rule)
    event_id = source.put_event(source.arn(source.target))
    assert [event["id"] for event in _bodies(probe, source.target)] == [event_id]
    source.permit("events.amazonaws.com", source.rule)
    event_id = source.put_event(source.function["FunctionArn"])
    assert until("the event", lambda: probe.seen(event_id), seconds=20)


@pytest.mark.parametrize("target", ["queue", "function"])
def test_eventbridge_sends_no_source_account_and_dead_letters_what_is_refused(source, target):
    """The dead letter is the event; its attributes say which rule, which target and why."""
    source.let_in(source.dlq, "events.amazonaws.com", source.rule)
    if target == "queue":
        source.let_in(source.target, "events.amazonaws.com", source.rule, **SOURCE_ACCOUNT)
        arn = source.arn(source.target)
    else:
        source.permit("events.amazonaws.com", source.rule, SourceAccount=ACCOUNT)
        arn = source.function["FunctionArn"]
    event_id = source.put_event(arn)
    [dead_letter] = until("the dead letter", lambda: _messages(source, source.dlq), seconds=20)
    said = {name: value["StringValue"] for name, value in dead_letter["MessageAttributes"].items()}
    assert json.loads(dead_letter["Body"])["id"] == event_id
    assert (said["RULE_ARN"], said["TARGET_ARN"], said["ERROR_CODE"]) == (source.rule, arn, "NO_PERMISSIONS")


def test_an_event_whose_dead_letter_queue_refuses_it_is_lost_and_counted(probe, source):
    """InvocationsFailedToBeSentToDlq is all that is left of it."""
    source.let_in(source.dlq, "events.amazonaws.com", source.rule, **SOURCE_ACCOUNT)
    source.put_event(source.function["FunctionArn"])
    dimensions = {"RuleName": source.name, "EventBusName": source.bus}
    assert _counted(probe, "AWS/Events", "InvocationsFailedToBeSentToDlq", dimensions)
    assert probe.take(source.dlq) == []


def test_s3_calls_no_function_that_does_not_name_the_bucket(probe):
    """An upload to another bucket than the permission's does not invoke the function."""
    s3, lambda_ = probe.aws.client("s3"), probe.aws.client("lambda")
    arn = lambda_.get_function(FunctionName=probe.outputs["Recorder"])["Configuration"]["FunctionArn"]
    for bucket in ("probe-stranger", probe.outputs["Bucket"]):
        if bucket == "probe-stranger":
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
            configuration = {
                "LambdaFunctionConfigurations": [{"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}]
            }
            s3.put_bucket_notification_configuration(
                Bucket=bucket, NotificationConfiguration=configuration, SkipDestinationValidation=True
            )
        s3.put_object(Bucket=bucket, Key="who-may-call", Body=b"")
    until("the upload that may", lambda: _notified(probe, probe.outputs["Bucket"]), seconds=20)
    assert not _notified(probe, "probe-stranger")


def test_both_events_of_an_object_name_its_version(probe, source):
    """With versioning, the notification and the event on the default bus carry the id that the upload returned."""
    s3, bucket = probe.aws.client("s3"), source.name
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [bucket]}}}
    rule = source.events.put_rule(Name=bucket, EventPattern=json.dumps(pattern))["RuleArn"]
    source.events.put_targets(Rule=bucket, Targets=[{"Id": "one", "Arn": source.arn(source.target)}])
    source.let_in(source.target, "events.amazonaws.com", rule)
    source.let_in(source.dlq, "s3.amazonaws.com", f"arn:aws:s3:::{bucket}")
    configuration = {
        "EventBridgeConfiguration": {},
        "QueueConfigurations": [{"QueueArn": source.arn(source.dlq), "Events": ["s3:ObjectCreated:*"]}],
    }
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration=configuration, SkipDestinationValidation=True
    )

    version = s3.put_object(Bucket=bucket, Key="one", Body=b"")["VersionId"]

    [on_the_bus] = _bodies(probe, source.target)
    [notification] = _bodies(probe, source.dlq)
    assert on_the_bus["detail"]["object"]["version-id"] == version
    assert notification["Records"][0]["s3"]["object"]["versionId"] == version


def test_a_notification_that_fails_is_tried_again_and_reaches_the_on_failure_destination(probe, source):
    """SNS and EventBridge invoke asynchronously: the function's own retries and destination apply."""
    lambda_ = source.lambda_
    refuser = lambda_.get_function(FunctionName=probe.outputs["Refuser"])["Configuration"]["FunctionArn"]
    lambda_.add_permission(
        FunctionName=refuser,
        StatementId=source.name,
        Action="lambda:InvokeFunction",
        Principal="sns.amazonaws.com",
        SourceArn=source.topic,
    )
    message_id = source.publish(refuser, "lambda")
    record = until("the failure", lambda: _about(probe, probe.outputs["Dead"], message_id), seconds=30)
    assert record["requestPayload"]["Records"][0]["Sns"]["MessageId"] == message_id
    assert record["requestContext"]["condition"] == "RetriesExhausted"


def test_an_on_failure_destination_that_the_role_may_not_write_to_gets_nothing_and_is_counted(probe):
    """Lambda writes as the function's role: DestinationDeliveryFailures is all that is left of the event."""
    iam, lambda_ = probe.aws.client("iam"), probe.aws.client("lambda")
    role = lambda_.get_function(FunctionName=probe.outputs["Refuser"])["Configuration"]["Role"].rpartition(
        "/"
    )[2]
    [policy] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
    marker = uuid.uuid4().hex
    iam.delete_role_policy(RoleName=role, PolicyName=policy)
    try:
        lambda_.invoke(
            FunctionName=probe.outputs["Refuser"],
            InvocationType="Event",
            Payload=json.dumps({"why": marker}).encode(),
        )
        dimensions = {"FunctionName": probe.outputs["Refuser"]}
        assert _counted(probe, "AWS/Lambda", "DestinationDeliveryFailures", dimensions)
        assert _about(probe, probe.outputs["Dead"], marker) is None
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))


def _bodies(probe, queue):
    return [json.loads(one["Body"]) for one in until("a message", lambda: probe.take(queue), seconds=20)]


def _messages(source, queue):
    return source.sqs.receive_message(QueueUrl=queue, MessageAttributeNames=["All"]).get("Messages")


def _about(probe, queue, text):
    for message in probe.take(queue):
        if text in message["Body"]:
            return json.loads(message["Body"])
    return None


def _notified(probe, bucket):
    return [
        reported
        for reported in probe.seen("who-may-call")
        if "Records" in reported["event"]
        and reported["event"]["Records"][0]["s3"]["bucket"]["name"] == bucket
    ]


def _counted(probe, namespace, metric, dimensions):
    cloudwatch = probe.aws.client("cloudwatch")

    def points():
        now = datetime.fromtimestamp(time.time(), UTC)
        return cloudwatch.get_metric_statistics(
            Namespace=namespace,
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
            StartTime=now - timedelta(minutes=5),
            EndTime=now + timedelta(minutes=5),
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]

    return until(metric, points, seconds=30)
