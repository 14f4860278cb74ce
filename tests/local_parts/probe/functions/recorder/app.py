# ruff: noqa: T201 - MiniStack waits 100 ms for the log of a function that writes none
"""Reports to queue `seen` every event it is invoked with."""

import json
import os

import boto3
from probe_layer import GREETING

sqs = boto3.client("sqs")


def handler(event, _context):
    reported = {"event": event, "pid": os.getpid(), "layer": GREETING}
    # As a batch: its permission is that of a single message.
    sqs.send_message_batch(
        QueueUrl=os.environ["SEEN_QUEUE_URL"], Entries=[{"Id": "0", "MessageBody": json.dumps(reported)}]
    )
    print(json.dumps({"seen": json.dumps(event)}))
