"""The schema for editors: what it allows is what the code knows."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gateway_cli.rules.schema import document
from mwaa_gateway.rules import Rule, Target
from mwaa_gateway.rules.fields import names_of

ROOT = Path(__file__).parents[3]
RULE: dict[str, Any] = {
    "id": "finance.orders",
    "s3": "s3://acme-landing/*",
    "target": {"environment": "analytics", "dag_id": "ingest"},
}

PARTS: dict[str, Any] = {
    "orders": {"s3": "s3://acme/orders/*", "captures": {"detail.object.key": "orders/{date}/{file}"}},
    "customers": {"pattern": {"source": ["crm"]}, "captures": {"detail.day": "{date}"}, "at_least": 3},
}


def join(**parts: Any) -> dict[str, Any]:
    """A rule of several feeds, which has no pattern of its own."""
    when = {"parts": PARTS | parts, "require": 1}
    collect = {"key": ["<date>"], "max_wait": "2d", "complete_when": when}
    return {"id": "sales.join", "collect": collect, "target": RULE["target"]}


def mistakes(value: Any) -> list[str]:
    return [error.message for error in jsonschema.Draft7Validator(document()).iter_errors(value)]


@pytest.mark.parametrize(("record", "place"), [(Rule, "`{}`"), (Target, "`targets[].{}`")])
def test_every_field_is_in_the_docs(record: type, place: str) -> None:
    """In the table of the page that authors read."""
    page = (ROOT / "docs" / "rules.md").read_text()
    assert [] == [name for name in names_of(record) if place.format(name) not in page]


def test_it_has_every_field_that_the_parser_knows() -> None:
    """With its text, in the order of the rule."""
    definitions = document()["definitions"]
    for name, record in (("rule", Rule), ("target", Target)):
        properties = definitions[name]["properties"]
        assert tuple(properties) == names_of(record)
        assert all(field["description"] for field in properties.values())


def test_the_schema_is_one() -> None:
    """Of draft 7, which editors read best."""
    jsonschema.Draft7Validator.check_schema(document())


@pytest.mark.parametrize(
    "file", sorted((ROOT / "examples" / "rules").glob("*.yaml")), ids=lambda file: file.name
)
def test_it_allows_the_examples(file: Path) -> None:
    """No red lines under what is right."""
    assert mistakes(yaml.safe_load(file.read_text())) == []


@pytest.mark.parametrize(
    "value",
    [
        RULE,
        [RULE, RULE],
        {"rules": [RULE]},
        {
            "defaults": {"target": {"environment": "${var.environment}"}},
            "rules": [{"id": "a", "target": {"dag_id": "b"}}],
        },
        RULE | {"state": "${var.state}", "maximum_event_age": "6h"},
        {
            "id": "a",
            "pattern": {"source": ["x"], "detail": {"$or": [{"a": [1]}, {"b": [None]}]}},
            "targets": [{"id": "a"}],
        },
        {"id": "a", "pattern": "${var.pattern}", "targets": "${var.targets}"},
        join(),
        RULE | {"collect": {"quiet_period": "10m", "due": {"at": "06:00", "timezone": "Europe/Zurich"}}},
    ],
)
def test_it_allows_what_is_right(value: Any) -> None:
    """In every form that a file may have."""
    assert mistakes(value) == []


@pytest.mark.parametrize(
    "value",
    [
        "text",
        {"id": "a"},
        RULE | {"id": "Finance Orders"},
        RULE | {"pattern": {"source": ["a"]}},
        RULE | {"state": "ON"},
        RULE | {"colour": "red"},
        RULE | {"target": {"dagid": "a"}},
        RULE | {"maximum_event_age": "6 hours"},
        {"id": "a", "pattern": {"source": "aws.s3"}, "target": {}},
        {"id": "a", "pattern": {"source": [{"prefx": "a"}]}, "target": {}},
        join(orders={"captures": {}}),
        join(orders={"pattern": {"source": ["a"]}, "at_last": 3}),
        join() | {"collect": {"max_wait": "2d", "complete_when": {"count": 3}}},
        {"rules": [RULE], "default": {}},
        {"rules": [RULE], "defaults": {"id": "a"}},
    ],
)
def test_it_refuses_what_an_editor_should_underline(value: Any) -> None:
    """The mistakes that people make."""
    assert mistakes(value) != []
