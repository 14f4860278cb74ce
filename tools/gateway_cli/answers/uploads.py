"""What S3 says of an object that the gateway never saw, with the caller's own permissions."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from gateway_cli.answers.evidence import Upload
from gateway_cli.connection import Connection

Read = Callable[[str, Callable[[], Any]], Any]


def look_at_upload(connection: Connection, uri: str, read: Read) -> Upload | None:
    """Return what S3 says of an object and its bucket, with two queries; None if the caller may ask neither.

    A refusal leaves the answer unknown: the policies of the stack name no bucket of yours.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    found = read(f"object {uri}", lambda: _object(connection, bucket, key)) if key else None
    sends = read(f"the notifications of bucket {bucket}", lambda: _notifications(connection, bucket))
    if found is None and sends is None:
        return None
    return Upload(**(found or {}), **(sends or {}))


def _object(connection: Connection, bucket: str, key: str) -> dict[str, Any]:
    try:
        answer = connection.s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        headers = error.response["ResponseMetadata"].get("HTTPHeaders", {})
        region = headers.get("x-amz-bucket-region", "")
        elsewhere = {"region": region} if region and region != connection.s3.meta.region_name else {}
        match error.response["ResponseMetadata"].get("HTTPStatusCode"):
            case 404:
                return {"exists": False, **elsewhere}
            case 301 | 400 if elsewhere:
                return elsewhere
            case _:
                raise
    return {"exists": True, "uploaded_at": answer["LastModified"].timestamp()}


def _notifications(connection: Connection, bucket: str) -> dict[str, Any]:
    answer: Any = connection.s3.get_bucket_notification_configuration(Bucket=bucket)
    kinds = ("TopicConfigurations", "QueueConfigurations", "LambdaFunctionConfigurations")
    return {
        "sends_to_eventbridge": "EventBridgeConfiguration" in answer,
        "notifies": sum(len(answer.get(kind, [])) for kind in kinds),
    }
