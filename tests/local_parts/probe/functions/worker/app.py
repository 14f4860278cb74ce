# ruff: noqa: T201 - MiniStack waits 100 ms for the log of a function that writes none
"""Works off a queue: says when it began and ended, and reports the messages whose body is `fail`."""

import json
import os
import time

import boto3

sqs = boto3.client("sqs")


def handler(event, _context):
    failures = []
    for record in event["Records"]:
        began = time.time()
        if record["body"] == "fail":
            sqs.change_message_visibility(
                QueueUrl=os.environ["WORK_QUEUE_URL"],
                ReceiptHandle=record["receiptHandle"],
                VisibilityTimeout=1,
            )
            failures.append({"itemIdentifier": record["messageId"]})
        else:
            time.sleep(0.2)
        reported = {
            "body": record["body"],
            "receives": int(record["attributes"]["ApproximateReceiveCount"]),
            "began": began,
            "ended": time.time(),
            "pid": os.getpid(),
        }
        sqs.send_message(QueueUrl=os.environ["SEEN_QUEUE_URL"], MessageBody=json.dumps(reported))
    print(len(event["Records"]), "done")
    return {"batchItemFailures": failures}
