"""Reads many items by their keys, and again what DynamoDB leaves unprocessed: such an item never counts as absent."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from mwaa_gateway.aws.dynamodb.values import Item
from mwaa_gateway.aws.errors import unavailable_unless_answered
from mwaa_gateway.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KEYS: Final = 100  # DynamoDB's limit of one call
_PAUSES: Final = (0.05, 0.1, 0.2)  # seconds before the next read of unprocessed keys


def batch_get(
    client: "DynamoDBClient",
    table: str,
    keys: Sequence[Item],
    what: str,
    pause: Callable[[float], None],
    *,
    consistent: bool = False,
) -> Iterator[Item]:
    """Yield the items with these keys, in any order; `what` says for an error what is read.

    Raises:
        Unavailable: DynamoDB does not answer, or leaves keys unprocessed however often they are read.
    """
    rest = iter(keys)
    while some := [*islice(rest, _KEYS)]:
        wanted: Any = {table: {"Keys": some} | ({"ConsistentRead": True} if consistent else {})}
        for seconds in (*_PAUSES, None):
            with unavailable_unless_answered(what):
                answer = client.batch_get_item(RequestItems=wanted)
            yield from answer["Responses"].get(table, [])
            wanted = answer.get("UnprocessedKeys")
            if not wanted:
                break
            if seconds is None:
                raise Unavailable(f"{what}: DynamoDB leaves keys unprocessed")
            pause(seconds)
