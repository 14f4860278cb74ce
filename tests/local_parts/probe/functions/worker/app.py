# ruff: noqa: T201 - MiniStack waits 100 ms for the log of a function that writes none
"""Works off a queue: says when it began and ended, and reports the messages whose body is `fail`.

A body that begins with `/` is a path: it is done once a file is there.
"""

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
        elif record["body"].startswith("/"):
            sqs.send_message(QueueUrl=os.environ["SEEN_QUEUE_URL"], MessageBody=json.dumps("waiting"))
            while not os.path.exists(record["body"]):  # noqa: PTH110
                time.sleep(0.05)
        else:
            time.sleep(0.2)
        reported = {
            "body": record["body"],
            "receives": int(record["attributes"]["ApproximateReceiveCount"]),
            "began": began,
            "ended": time.time(),
            "pid": os.getpid(),
            "changed": os.environ.get("CHANGED", ""),
        }
        sqs.send_message(QueueUrl=os.environ["SEEN_QUEUE_URL"], MessageBody=json.dumps(reported))
    print(len(event["Records"]), "done")
    return {"batchItemFailures": failures}
