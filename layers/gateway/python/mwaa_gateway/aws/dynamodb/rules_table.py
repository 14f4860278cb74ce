"""The rules table, read side: heads tell whether a partition changed, copies are its rules.

    partition            sort             what it is
    rules                <rule id>        the rule itself, which the operator's command writes and lists
    <source>#<discr.>    rule#<rule id>   a copy in each partition the rule lies in; none while it is DISABLED
    <source>#*  or  *    rule#<rule id>   the same for a pattern that names no discriminator, or no one source
    (of the latter two)  head             generation: raised by one with every change in this partition
    namespaces           namespace#<name> the allow-list of a namespace
    namespaces           head             as above
    history/<rule id>    <version>        every version of a rule, for the operator's command
    namespace-history/<name>  <version>   every version of an allow-list, likewise

Read heads first, then the copies of a partition whose head moved, and remember the generation read *before*
the copies: a change that happens in between is then seen at the next refresh, and none is missed.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from mwaa_gateway.aws.errors import unavailable_unless_answered
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.routing.live_rules import NAMESPACES_PARTITION, UNREADABLE_HEAD, StoredRule

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

__all__ = [
    "COPY_PREFIX",
    "HEAD_SORT",
    "NAMESPACE_PREFIX",
    "RULES_PARTITION",
    "RulesTable",
]

RULES_PARTITION: Final = "rules"  # no event's partition: those hold a "#" or are "*"
COPY_PREFIX: Final = "rule#"
HEAD_SORT: Final = "head"
NAMESPACE_PREFIX: Final = "namespace#"

_BATCH_GET_KEYS: Final = 100  # DynamoDB's limit; an event concerns three partitions
_PAUSES: Final = (0.05, 0.1, 0.2)  # seconds before asking again for keys that DynamoDB left unprocessed


class RulesTable:
    """Implements `mwaa_gateway.routing.live_rules.RuleSource`.

    A read that is refused, throttled or not answered raises `Unavailable`; it never comes back as "no rules".
    """

    def __init__(
        self, client: "DynamoDBClient", table: str, *, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._table = table
        self._pause = pause

    def heads(self, partitions: Sequence[str]) -> dict[str, int]:
        """Return each partition's generation in one BatchGetItem; 0 where no rule has ever lain.

        Eventually consistent, at half the price: a moved head is seen a moment later, and until then perhaps
        lower than before. So ask whether a generation is another one, not whether it is greater.
        """
        generations = dict.fromkeys(partitions, 0)
        wanted = list(generations)
        for start in range(0, len(wanted), _BATCH_GET_KEYS):
            for item in self._batch_get(wanted[start : start + _BATCH_GET_KEYS]):
                generations[item["partition"]["S"]] = _generation(item)
        return generations

    def copies(self, partition: str) -> list[StoredRule]:
        """Return the partition's rules in the order of their ids, all pages of them.

        Consistent reads: what a moved head announced is seen. Of a change between two pages a part may be
        seen; its head has then moved past the one read before.
        """
        return [_stored_rule(item) for item in self._under(partition, COPY_PREFIX)]

    def namespaces(self) -> dict[str, str]:
        """Return every allow-list by its namespace, as JSON text that nobody has looked at yet."""
        items = self._under(NAMESPACES_PARTITION, NAMESPACE_PREFIX)
        return {
            item["sort"]["S"].removeprefix(NAMESPACE_PREFIX): item.get("document", {}).get("S", "")
            for item in items
        }

    def _under(self, partition: str, prefix: str) -> Iterator[Mapping[str, "AttributeValueTypeDef"]]:
        start: dict[str, Any] = {}
        while True:
            with unavailable_unless_answered(f"reading the rules of partition {partition!r}"):
                page = self._client.query(
                    TableName=self._table,
                    KeyConditionExpression="#partition = :partition AND begins_with(#sort, :prefix)",
                    ExpressionAttributeNames={"#partition": "partition", "#sort": "sort"},
                    ExpressionAttributeValues={":partition": {"S": partition}, ":prefix": {"S": prefix}},
                    ConsistentRead=True,
                    **start,
                )
            yield from page["Items"]
            if not page.get("LastEvaluatedKey"):
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _batch_get(self, partitions: Sequence[str]) -> Iterator[Mapping[str, "AttributeValueTypeDef"]]:
        keys = [{"partition": {"S": partition}, "sort": {"S": HEAD_SORT}} for partition in partitions]
        wanted: Mapping[str, Any] = {self._table: {"Keys": keys}}
        for pause in (*_PAUSES, None):
            with unavailable_unless_answered("reading the heads of the rules table"):
                answer = self._client.batch_get_item(RequestItems=wanted)
            yield from answer["Responses"].get(self._table, [])
            wanted = answer.get("UnprocessedKeys", {})
            if not wanted:
                return
            if pause is not None:
                self._pause(pause)
        raise Unavailable("reading the heads of the rules table: DynamoDB leaves keys unprocessed")


def _generation(head: Mapping[str, "AttributeValueTypeDef"]) -> int:
    try:
        return int(head["generation"]["N"])
    except (KeyError, ValueError):
        return UNREADABLE_HEAD  # somebody changed it by hand; the rules themselves can still be read


def _stored_rule(item: Mapping[str, "AttributeValueTypeDef"]) -> StoredRule:
    # A copy that somebody broke by hand must not hide the others of its partition: it goes on as version 0,
    # or with an empty document, which no parser accepts, and its reader reports it.
    version = item.get("version", {}).get("N", "0")
    return StoredRule(
        id=item["sort"]["S"].removeprefix(COPY_PREFIX),
        version=int(version) if version.isdecimal() else 0,
        document=item.get("document", {}).get("S", ""),
    )
