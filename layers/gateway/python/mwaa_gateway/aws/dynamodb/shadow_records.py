"""Requests that SHADOW rules would have made, in the ledger table.

    event (partition)           request (sort)                   content
    shadow#<rule id>#<0 … 7>    <event's SHA-256>#<target id>    one `ShadowRecord`; target `*` stands for all targets

The shard is the first digits of the event's hash, modulo eight: a burst of one rule's matches spreads over eight keys, and
the rule's report is eight queries.
Attributes: state = "shadow"; rule_id, target_id, event_hash, event_id, event_time, source, detail_type, environment, dag_id,
run_id, ledger_event, ledger_request, reason, reason_text (text); rule_version, recorded_at, expires_at (numbers);
conf (binary: the conf's JSON, zlib). Empty attributes are not written. TTL: 30 days.

No trigger request has such a partition, and a row here has no `stopped_shard` and no `identity`: no attempt, list or redrive
sees it.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

from mwaa_gateway.aws.dynamodb.values import Item, Table, Value, attributes, text
from mwaa_gateway.aws.errors import unavailable_unless_answered
from mwaa_gateway.ingress.shadow import ShadowRecord

KEPT_SECONDS: Final = 30 * 24 * 3600
SHARDS: Final = 8

_TEXTS: Final = (
    "rule_id",
    "target_id",
    "event_hash",
    "event_id",
    "event_time",
    "source",
    "detail_type",
    "environment",
    "dag_id",
    "run_id",
    "reason",
    "reason_text",
)


class ShadowRecords(Table):
    """Implements `mwaa_gateway.ingress.shadow.ShadowLedger`, and reads a rule's records for its report."""

    def record(self, records: Sequence[ShadowRecord]) -> None:
        """Write every record; a repeated delivery overwrites its own rows."""
        for record in records:
            with unavailable_unless_answered(f"cannot record a match of SHADOW rule {record.rule_id!r}"):
                self._client.put_item(TableName=self._table, Item=_item(record))

    def of_rule(self, rule_id: str) -> Iterator[ShadowRecord]:
        """Yield every record of a rule; those of one event follow each other, there is no other order."""
        pages = self._client.get_paginator("query")
        for shard in range(SHARDS):
            with unavailable_unless_answered(f"cannot read the records of SHADOW rule {rule_id!r}"):
                for page in pages.paginate(
                    TableName=self._table,
                    KeyConditionExpression="event = :partition",
                    ExpressionAttributeValues=attributes({":partition": _partition(rule_id, shard)}),
                ):
                    yield from map(_record, page["Items"])


def _partition(rule_id: str, shard: int) -> str:
    return f"shadow#{rule_id}#{shard}"


def _item(record: ShadowRecord) -> Item:
    values: dict[str, Value] = {
        "event": _partition(record.rule_id, int(record.event_hash[:8], 16) % SHARDS),
        "request": f"{record.event_hash}#{record.target_id}",
        "state": "shadow",
        "rule_version": record.rule_version,
        "recorded_at": record.recorded_at,
        "expires_at": int(record.recorded_at) + KEPT_SECONDS,
    }
    values |= {name: written for name in _TEXTS if (written := getattr(record, name))}
    if record.run_id:
        values["ledger_event"], values["ledger_request"] = record.ledger_key
    if record.conf is not None:
        values["conf"] = zlib.compress(json.dumps(record.conf, separators=(",", ":")).encode())
    return attributes(values)


def _record(item: Item) -> ShadowRecord:
    return ShadowRecord(
        **{name: text(item, name) for name in _TEXTS},
        rule_version=int(item["rule_version"]["N"]),
        recorded_at=float(item["recorded_at"]["N"]),
        ledger_key=(text(item, "ledger_event"), text(item, "ledger_request")),
        conf=json.loads(zlib.decompress(item["conf"]["B"])) if "conf" in item else None,
    )
