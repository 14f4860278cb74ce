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
        through, reported = "queue", json.loads(record["body"])
    elif "Sns" in record:
        through, reported = "topic", json.loads(record["Sns"]["Message"])
    else:
        chain, _, hop = record["s3"]["object"]["key"].partition("/")
        through, reported = "bucket", {"chain": chain, "hop": int(hop)}
    sqs.send_message(QueueUrl=os.environ["SEEN_QUEUE_URL"], MessageBody=json.dumps(reported))
    if reported["hop"] < LAST_HOP:
        send(through, {"chain": reported["chain"], "hop": reported["hop"] + 1})
    print("reported", reported["hop"])


def send(through, reported):
    match through:
        case "queue":
            sqs.send_message(QueueUrl=os.environ["LOOP_QUEUE_URL"], MessageBody=json.dumps(reported))
        case "topic":
            sns.publish(TopicArn=os.environ["LOOP_TOPIC"], Message=json.dumps(reported))
        case "bucket":
            s3.put_object(
                Bucket=os.environ["LOOP_BUCKET"], Key=f"{reported['chain']}/{reported['hop']}", Body=b""
            )
