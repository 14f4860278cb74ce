"""A ledger table as `template.yaml` declares it, empty, in whatever AWS the client speaks to."""

from typing import Any

LEDGER_TABLE = "ledger"
# What `mwaa-gateway dlq list` and `held list` show without reading a row itself; tests/template holds the template to the
# same list.
STOPPED_INDEX_ATTRIBUTES = [
    "attempt",
    "dag_id",
    "doubtful",
    "environment",
    "first_attempt_at",
    "identity",
    "reason",
    "reason_text",
    "redrives",
    "rule_id",
    "rule_version",
    "run_id",
]
WATCHES_INDEX_ATTRIBUTES = [
    "dag_id",
    "ending",
    "environment",
    "execution_arn",
    "ledger_request",
    "run_id",
    "token_mark",
    "wait",
    "waiting_since",
]


def create_ledger_table(client: Any, name: str = LEDGER_TABLE) -> None:
    """Create the table."""
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "event", "AttributeType": "S"},
            {"AttributeName": "request", "AttributeType": "S"},
            {"AttributeName": "stopped_shard", "AttributeType": "S"},
            {"AttributeName": "stopped_at", "AttributeType": "N"},
            {"AttributeName": "watched_in", "AttributeType": "S"},
            {"AttributeName": "since", "AttributeType": "N"},
        ],
        KeySchema=[
            {"AttributeName": "event", "KeyType": "HASH"},
            {"AttributeName": "request", "KeyType": "RANGE"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "stopped",
                "KeySchema": [
                    {"AttributeName": "stopped_shard", "KeyType": "HASH"},
                    {"AttributeName": "stopped_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": STOPPED_INDEX_ATTRIBUTES},
            },
            {
                "IndexName": "watches",
                "KeySchema": [
                    {"AttributeName": "watched_in", "KeyType": "HASH"},
                    {"AttributeName": "since", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": WATCHES_INDEX_ATTRIBUTES},
            },
        ],
    )
