"""The event of an object that lies in S3, made from what S3 says of it now."""

from typing import Any

from botocore.exceptions import ClientError

from gateway_cli.choice import timestamp
from gateway_cli.connection import Connection
from gateway_cli.output import Refused
from mwaa_gateway.dispatch.s3_objects import CREATED, ListedObject
from mwaa_gateway.events.event import derived_id
from mwaa_gateway.trigger_request import identity_of


def upload_event(connection: Connection, uri: str) -> dict[str, Any]:
    """Return an `Object Created` event for an object, in EventBridge's form.

    S3 does not say an object's sequencer, so the event is not the one of the upload: the object's version, or its etag and
    date, name it. Sent twice it is one event; another content of the key is another.

    Raises:
        Refused: S3 has no such object, or does not say.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise Refused(f"{uri}: name an object, s3://BUCKET/KEY")
    try:
        found = connection.s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"].get("HTTPStatusCode") == 404:  # noqa: PLR2004
            raise Refused(f"{uri}: S3 has no such object; keys are case-sensitive") from error
        raise
    listed = ListedObject(
        bucket,
        key,
        found["ETag"].strip('"'),
        found.get("VersionId", ""),
        modified=found["LastModified"].timestamp(),
        seen_at=0.0,
        size=found["ContentLength"],
    )
    state = listed.version_id or f"{listed.etag} {timestamp(listed.modified)}"
    return object_event(connection, listed, derived_id(identity_of("events-send", bucket, key, state)))


def object_event(connection: Connection, listed: ListedObject, event_id: str) -> dict[str, Any]:
    """Return an `Object Created` event for an object as S3 lists it; no listing knows who uploaded it, and how."""
    version_id = {"version-id": listed.version_id} if listed.version_id else {}
    return {
        "version": "0",
        "id": event_id,
        "detail-type": CREATED,
        "source": "aws.s3",
        "account": connection.account,
        "time": timestamp(listed.modified),
        "region": connection.s3.meta.region_name,
        "resources": [f"arn:{connection.s3.meta.partition}:s3:::{listed.bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": listed.bucket},
            "object": {"key": listed.key, "size": listed.size, "etag": listed.etag, **version_id},
            "request-id": event_id,
            "reason": "PutObject",
        },
    }
