"""Reads the rules table: a partition's head shows whether its rules changed, its copies are the rules.

    partition            sort             content
    rules                <rule id>        the rule itself, which the operator's command writes and lists
    <source>#<discr.>    rule#<rule id>   a copy in each partition of the rule; none while it is DISABLED
    <source>#*  or  *    rule#<rule id>   the same for a pattern without an exact discriminator, or without an exact source
    (of the latter two)  head             generation: each change in this partition adds one
    expected             rule#<rule id>   the same for a rule that expects days; the tick of the batches reads it
    namespaces           namespace#<name> the allow-list of a namespace
    namespaces           head             as above
    history/<rule id>    <version>        every version of a rule, for the operator's command
    namespace-history/<name>  <version>   every version of an allow-list, likewise

Read the heads first, then the copies of each partition whose head changed, and remember the generation read *before* the
copies. A change in between then shows at the next refresh, and none is missed.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from mwaa_gateway.aws.dynamodb.batch_get import batch_get
from mwaa_gateway.aws.dynamodb.values import attributes, rules_key, text, version
from mwaa_gateway.aws.errors import unavailable_unless_answered
from mwaa_gateway.routing.live_rules import NAMESPACES_PARTITION, UNREADABLE_HEAD, StoredRule

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

RULES_PARTITION: Final = "rules"  # no event's partition: those contain a "#" or are "*"
COPY_PREFIX: Final = "rule#"
HEAD_SORT: Final = "head"
NAMESPACE_PREFIX: Final = "namespace#"


class RulesTable:
    """Implements `mwaa_gateway.routing.live_rules.RuleSource`.

    A refused, throttled or unanswered read raises `Unavailable`; it never looks like "no rules".
    """

    def __init__(
        self, client: "DynamoDBClient", table: str, *, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._table = table
        self._pause = pause

    def heads(self, partitions: Sequence[str]) -> dict[str, int]:
        """Return each partition's generation with one BatchGetItem; 0 for a partition that never had a rule.

        The read is eventually consistent, at half the price: a change shows a moment later, and the generation may even go
        back in between. So compare generations for inequality, not for order.
        """
        generations = dict.fromkeys(partitions, 0)
        keys = [rules_key(partition, HEAD_SORT) for partition in generations]
        for item in batch_get(
            self._client, self._table, keys, "reading the heads of the rules table", self._pause
        ):
            generations[item["partition"]["S"]] = head_generation(item)
        return generations

    def copies(self, partition: str) -> list[StoredRule]:
        """Return all of the partition's rules, ordered by id.

        The reads are consistent: they see the change that a head announced. They may see half of a change that happens
        between two pages; its head has then passed the one read before.
        """
        return [_stored_rule(item) for item in self._under(partition, COPY_PREFIX)]

    def namespaces(self) -> dict[str, str]:
        """Return every allow-list by its namespace, as JSON text that is not validated."""
        items = self._under(NAMESPACES_PARTITION, NAMESPACE_PREFIX)
        return {item["sort"]["S"].removeprefix(NAMESPACE_PREFIX): text(item, "document") for item in items}

    def _under(self, partition: str, prefix: str) -> Iterator[Mapping[str, "AttributeValueTypeDef"]]:
        start: dict[str, Any] = {}
        while True:
            with unavailable_unless_answered(f"reading the rules of partition {partition!r}"):
                page = self._client.query(
                    TableName=self._table,
                    KeyConditionExpression="#partition = :partition AND begins_with(#sort, :prefix)",
                    ExpressionAttributeNames={"#partition": "partition", "#sort": "sort"},
                    ExpressionAttributeValues=attributes({":partition": partition, ":prefix": prefix}),
                    ConsistentRead=True,
                    **start,
                )
            yield from page["Items"]
            if not page.get("LastEvaluatedKey"):
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def head_generation(head: Mapping[str, "AttributeValueTypeDef"]) -> int:
    """Return a head's generation; UNREADABLE_HEAD if it is no number."""
    try:
        return int(head["generation"]["N"])
    except (KeyError, ValueError):
        return UNREADABLE_HEAD  # changed by hand; the rules themselves are still readable


def _stored_rule(item: Mapping[str, "AttributeValueTypeDef"]) -> StoredRule:
    # A copy that somebody broke by hand must not hide the others of its partition: it becomes version 0, or an empty
    # document that no parser accepts, and the reader reports it.
    return StoredRule(
        id=item["sort"]["S"].removeprefix(COPY_PREFIX),
        version=version(item),
        document=text(item, "document"),
        updated_at=text(item, "updated_at"),
    )
