# ruff: noqa: T201 - MiniStack waits 100 ms for the log of a function that writes none
"""Reports to queue `seen` which hop of which chain it is, and makes the next one through a queue, a topic or a bucket."""

import json
import os

import boto3

LAST_HOP = 20
sqs, sns, s3 = boto3.client("sqs"), boto3.client("sns"), boto3.client("s3")


def handler(event, _context):
    [record] = event["Records"]
    if "body" in record:
        through, told = "queue", json.loads(record["body"])
    elif "Sns" in record:
        through, told = "topic", json.loads(record["Sns"]["Message"])
    else:
        chain, _, hop = record["s3"]["object"]["key"].partition("/")
        through, told = "bucket", {"chain": chain, "hop": int(hop)}
    sqs.send_message(QueueUrl=os.environ["SEEN_QUEUE_URL"], MessageBody=json.dumps(told))
    if told["hop"] < LAST_HOP:
        send(through, {"chain": told["chain"], "hop": told["hop"] + 1})
    print("told", told["hop"])


def send(through, told):
    match through:
        case "queue":
            sqs.send_message(QueueUrl=os.environ["LOOP_QUEUE_URL"], MessageBody=json.dumps(told))
        case "topic":
            sns.publish(TopicArn=os.environ["LOOP_TOPIC"], Message=json.dumps(told))
        case "bucket":
            s3.put_object(Bucket=os.environ["LOOP_BUCKET"], Key=f"{told['chain']}/{told['hop']}", Body=b"")
