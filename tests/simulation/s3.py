"""The gateway's bucket for large confs and manifests."""

from io import BytesIO
from typing import Any

from botocore.exceptions import ClientError

from simulation.world import World

__all__ = ["LARGE_CONFS", "S3"]

LARGE_CONFS = "acme-gateway-large-confs"


class S3:
    """The part of botocore's S3 client that the adapters use, with one bucket."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.objects: dict[str, tuple[bytes, float]] = {}  # by URI: its content, and since when it is there

    def put_object(self, **request: Any) -> dict[str, Any]:
        assert request["Bucket"] == LARGE_CONFS

        def put() -> dict[str, Any]:
            uri = f"s3://{LARGE_CONFS}/{request['Key']}"
            _, since = self.objects.get(uri, (b"", self._world.scheduler.now))
            self.objects[uri] = (request["Body"], since)
            return {"ETag": "e"}

        return self._world.aws_call("s3", "PutObject", put)

    def get_object(self, **request: Any) -> dict[str, Any]:
        uri = f"s3://{request['Bucket']}/{request['Key']}"

        def get() -> dict[str, Any]:
            if uri not in self.objects:
                raise ClientError({"Error": {"Code": "NoSuchKey", "Message": uri}}, "GetObject")
            return {"Body": BytesIO(self.objects[uri][0])}

        return self._world.aws_call("s3", "GetObject", get)
