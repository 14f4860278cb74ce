"""A ledger table as `template.yaml` declares it, empty, in whatever AWS the client speaks to."""

from typing import Any

LEDGER_TABLE = "ledger"
# What `mwaa-gateway dlq list` shows without reading a row itself; tests/template holds the template to the same list.
DEAD_INDEX_ATTRIBUTES = [
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


def create_ledger_table(client: Any, name: str = LEDGER_TABLE) -> None:
    """Create the table."""
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "event", "AttributeType": "S"},
            {"AttributeName": "request", "AttributeType": "S"},
            {"AttributeName": "dead_shard", "AttributeType": "S"},
            {"AttributeName": "finished_at", "AttributeType": "N"},
        ],
        KeySchema=[
            {"AttributeName": "event", "KeyType": "HASH"},
            {"AttributeName": "request", "KeyType": "RANGE"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "dead",
                "KeySchema": [
                    {"AttributeName": "dead_shard", "KeyType": "HASH"},
                    {"AttributeName": "finished_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": DEAD_INDEX_ATTRIBUTES},
            }
        ],
    )
