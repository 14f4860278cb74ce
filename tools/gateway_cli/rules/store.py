"""Writes the rules table: a change of a rule is one transaction over the rule, its copies and heads."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from botocore.exceptions import ClientError

from gateway_cli.documents.json_documents import json_object
from gateway_cli.rules.items import (
    StoredRuleItem,
    change_actions,
    history_partition,
    read_item,
    rule_key,
    version_key,
)
from gateway_cli.versions import changed_at, in_partition
from mwaa_gateway.aws.dynamodb.batch_get import batch_get
from mwaa_gateway.aws.dynamodb.rules_table import HEAD_SORT, RULES_PARTITION, head_generation
from mwaa_gateway.aws.dynamodb.values import rules_key, text
from mwaa_gateway.errors import GatewayError, InvalidRule, nearest
from mwaa_gateway.rules import Rule, State
from mwaa_gateway.rules.partitions import document_partitions

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

# The limit of a transaction is 4 MB, with up to 25 copies of a rule's document: this leaves a fifth of it free.
DOCUMENT_BYTES: Final = 128 * 1024
_PAUSES: Final = (0.05, 0.2, 0.8)  # seconds before a transaction that conflicted with another one is retried


class RuleChanged(GatewayError):
    """Somebody else changed the rule between reading and writing; nothing was written."""


class RuleMissing(GatewayError):
    """The table has no rule with this id (any more)."""


class TableBusy(GatewayError):
    """Others keep writing to the same partitions, or the table is throttled; nothing was written."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome for one rule, and its version and state now."""

    rule_id: str
    outcome: Literal["created", "updated", "unchanged", "deleted"]
    version: int
    state: str


class RulesStore:
    """Reads and changes rules; every change is atomic, and fails if the rule is not the one that was read.

    botocore's errors come out unchanged, except for two with a meaning: `RuleChanged` and `TableBusy`.
    """

    def __init__(
        self, client: "DynamoDBClient", table: str, *, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._table = table
        self._pause = pause

    @property
    def table(self) -> str:
        """The table's name."""
        return self._table

    def get(self, rule_id: str) -> StoredRuleItem:
        """Return a rule, or raise `RuleMissing`."""
        stored = self._read(rule_id)
        if not stored.exists:
            raise self._missing(rule_id)
        return stored

    def knows(self, rule_id: str) -> bool:
        """Return whether a rule with this id exists or existed."""
        return self._read(rule_id).version > 0

    def put(
        self,
        rule: Rule,
        *,
        by: str,
        now: datetime,
        commit: str = "",
        keep_state: bool = False,
        read: StoredRuleItem | None = None,
        change: str | None = None,
    ) -> Applied:
        """Create or update a rule; an unchanged rule is not written.

        With `keep_state` an existing rule keeps its state in the table, whatever `rule.state` says. `read` is the rule as
        the caller has read it: it is not read again, and if the table has another version by now (0: never existed),
        `RuleChanged` is raised. `change` describes the change in the history, if it was not a plain edit.
        """
        stored = read or self._read(rule.id)
        if keep_state and stored.exists:
            rule = replace(rule, state=kept_state(stored.state))
        wanted = StoredRuleItem(
            id=rule.id,
            version=stored.version + 1,
            state=rule.state,
            document=document_text(rule),
            partitions=document_partitions(rule.document()),
            updated_at=changed_at(now),
            updated_by=by,
            change=change or ("updated" if stored.exists else "created"),
            commit=commit,
        )
        if _meaning(stored) == _meaning(wanted):
            return Applied(rule.id, "unchanged", stored.version, stored.state)
        self._write(stored, wanted)
        return Applied(rule.id, "updated" if stored.exists else "created", wanted.version, wanted.state)

    def set_state(self, rule_id: str, state: State, *, by: str, now: datetime) -> Applied:
        """Enable or disable a rule. Disabling pauses it, and works on a broken document too."""
        stored = self.get(rule_id)
        if stored.state == state:
            return Applied(rule_id, "unchanged", stored.version, stored.state)
        document = json_object(stored.document)
        wanted = replace(
            stored,
            version=stored.version + 1,
            state=state,
            document=_json({**document, "state": state}) if document else stored.document,
            updated_at=changed_at(now),
            updated_by=by,
            change=state.lower(),
            commit="",
        )
        self._write(stored, wanted)
        return Applied(rule_id, "updated", wanted.version, state)

    def delete(
        self, rule_id: str, *, by: str, now: datetime, commit: str = "", read: StoredRuleItem | None = None
    ) -> Applied:
        """Delete a rule and its copies, `read` as in `put`; the history and the version count stay."""
        stored = read or self._read(rule_id)
        if not stored.exists:
            raise self._missing(rule_id)
        wanted = StoredRuleItem.deleted(
            rule_id, version=stored.version + 1, at=changed_at(now), by=by, commit=commit
        )
        self._write(stored, wanted)
        return Applied(rule_id, "deleted", wanted.version, wanted.state)

    def list(self) -> list[StoredRuleItem]:
        """Return every existing rule, ordered by id."""
        return [item for item in self.everything().values() if item.exists]

    def everything(self) -> dict[str, StoredRuleItem]:
        """Return every rule by its id, ordered by id, including deleted ones."""
        items = (read_item(item) for item in self._query(RULES_PARTITION))
        return {item.id: item for item in items}

    def versions(self, rule_id: str) -> Sequence[StoredRuleItem]:
        """Return all versions of a rule, newest first; raises `RuleMissing` if there never was one."""
        versions = [read_item(item) for item in self._query(history_partition(rule_id), newest_first=True)]
        if not versions:
            raise self._missing(rule_id)
        return versions

    def version(self, rule_id: str, version: int) -> StoredRuleItem:
        """Return one version of a rule, or raise `RuleMissing`."""
        answer = self._client.get_item(
            TableName=self._table, Key=version_key(rule_id, version), ConsistentRead=True
        )
        if "Item" not in answer:
            self.versions(rule_id)  # raises if there never was such a rule
            raise RuleMissing(
                f"rule {rule_id!r} has no version {version}: `mwaa-gateway rules history {rule_id}` lists "
                "its versions"
            )
        return read_item(answer["Item"])

    def _missing(self, rule_id: str) -> RuleMissing:
        near = nearest(rule_id, [item.id for item in self.list()])
        return RuleMissing(
            f"there is no rule {rule_id!r}: {near or '`mwaa-gateway rules list` lists the rules'}"
        )

    def _query(
        self, partition: str, *, newest_first: bool = False
    ) -> "Iterator[dict[str, AttributeValueTypeDef]]":
        return in_partition(self._client, self._table, partition, newest_first=newest_first)

    def _read(self, rule_id: str) -> StoredRuleItem:
        answer = self._client.get_item(TableName=self._table, Key=rule_key(rule_id), ConsistentRead=True)
        return read_item(answer["Item"]) if "Item" in answer else StoredRuleItem.deleted(rule_id)

    def _changed(self, read: StoredRuleItem) -> RuleChanged:
        stored = self._read(read.id)
        return RuleChanged(
            f"{stored.updated_by or 'somebody else'} changed rule {read.id!r} meanwhile: it is now version "
            f"{stored.version}, and was {read.version}: run the command again"
        )

    def _write(self, read: StoredRuleItem, wanted: StoredRuleItem) -> None:
        for pause in (*_PAUSES, None):
            actions = change_actions(self._table, read, wanted, self._heads(read, wanted))
            try:
                # botocore adds a ClientRequestToken, so its own retry of a lost answer does not write twice.
                self._client.transact_write_items(TransactItems=actions)
            except ClientError as error:
                if error.response["Error"]["Code"] != "TransactionCanceledException":
                    raise
                reasons = [reason.get("Code") for reason in error.response.get("CancellationReasons", [])]
                if reasons[:1] == [
                    "ConditionalCheckFailed"
                ]:  # the rule's own item; a head's only says that it moved
                    raise self._changed(read) from error
                if not _PASSING_REASONS.intersection(reasons):
                    raise
                if pause is None:
                    raise TableBusy(
                        f"rule {wanted.id!r} was not written, other writes keep the table busy: run the command again"
                    ) from error
                self._pause(pause)
            else:
                return

    def _heads(self, read: StoredRuleItem, wanted: StoredRuleItem) -> dict[str, int]:
        """Return the generation of each partition that the change concerns; one that is no number is left out."""
        heads = dict.fromkeys(sorted({*read.copies, *wanted.copies}), 0)
        keys = [rules_key(partition, HEAD_SORT) for partition in heads]
        what = "reading the heads of the rules table"
        for item in batch_get(self._client, self._table, keys, what, self._pause, consistent=True):
            heads[text(item, "partition")] = head_generation(item)
        return {partition: generation for partition, generation in heads.items() if generation >= 0}


def kept_state(state: str) -> State:
    """Return the state of a rule whose file names none: its own; DISABLED if its item is broken."""
    match state:
        case "ENABLED" | "DISABLED" | "SHADOW":
            return state
        case _:
            return "DISABLED"


_PASSING_REASONS: Final = frozenset(
    {"ConditionalCheckFailed", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
)


def document_text(rule: Rule) -> str:
    """Return the JSON text of a rule for the table; raises `InvalidRule` if it is too large."""
    text = _json(rule.document())
    if len(text) > DOCUMENT_BYTES:
        message = (
            f"has {len(text):,} bytes of JSON, the limit is {DOCUMENT_BYTES:,}: split the rule into several"
        )
        raise InvalidRule.of(rule.id, ("", message))
    return text


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def _meaning(stored: StoredRuleItem) -> tuple[Any, ...]:
    # Compare as text: to Python `1 == True`, to a pattern they differ.
    document = json.dumps(json_object(stored.document), sort_keys=True)
    return stored.exists, stored.state, document, set(stored.partitions)
