"""A rules table as `template.yaml` declares it, empty, in whatever AWS the client speaks to."""

from typing import Any

RULES_TABLE = "rules"


def create_rules_table(client: Any, name: str = RULES_TABLE) -> None:
    """Create the table."""
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "partition", "AttributeType": "S"},
            {"AttributeName": "sort", "AttributeType": "S"},
        ],
        KeySchema=[
            {"AttributeName": "partition", "KeyType": "HASH"},
            {"AttributeName": "sort", "KeyType": "RANGE"},
        ],
    )


def rules_table_items(client: Any, name: str = RULES_TABLE) -> dict[tuple[str, str], dict[str, Any]]:
    """Return every item by its partition and sort key, attributes without DynamoDB's type letters."""
    pages = client.get_paginator("scan").paginate(TableName=name)
    items = [{key: _plain(value) for key, value in item.items()} for page in pages for item in page["Items"]]
    return {(item["partition"], item["sort"]): item for item in items}


def _plain(value: dict[str, Any]) -> Any:
    [(letter, plain)] = value.items()
    match letter:
        case "N":
            return int(plain)
        case "L":
            return [_plain(element) for element in plain]
        case _:
            return plain
