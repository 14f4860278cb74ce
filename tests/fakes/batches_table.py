"""A batches table as `template.yaml` declares it, empty, in whatever AWS the client speaks to."""

from typing import Any

BATCHES_TABLE = "batches"


def create_batches_table(client: Any, name: str = BATCHES_TABLE) -> None:
    """Create the table with its index."""
    names = {"partition": "S", "sort": "S", "due_shard": "S", "due_at": "N"}
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": of} for key, of in names.items()],
        KeySchema=_keys("partition", "sort"),
        GlobalSecondaryIndexes=[
            {
                "IndexName": "due",
                "KeySchema": _keys("due_shard", "due_at"),
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )


def _keys(partition: str, sort: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": sort, "KeyType": "RANGE"},
    ]
