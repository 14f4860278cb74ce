"""Tells queue `seen` every event it is invoked with."""

import json
import os

import boto3
from probe_layer import GREETING

sqs = boto3.client("sqs")


def handler(event, context):
    told = {"event": event, "pid": os.getpid(), "layer": GREETING}
    sqs.send_message(QueueUrl=os.environ["SEEN_QUEUE_URL"], MessageBody=json.dumps(told))
    print("seen")
