"""The schema for editors: what it allows is what the code knows."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gateway_cli.rules.schema import document, schema_text
from mwaa_gateway.errors import InvalidRule
from mwaa_gateway.rules import parse_rule

ROOT = Path(__file__).parents[3]
RULE: dict[str, Any] = {
    "id": "finance.orders",
    "s3": "s3://acme-landing/*",
    "target": {"environment": "analytics", "dag_id": "ingest"},
}


def mistakes(value: Any) -> list[str]:
    return [error.message for error in jsonschema.Draft7Validator(document()).iter_errors(value)]


def known_fields(rule: dict[str, Any], field: str) -> set[str]:
    """The fields that the code knows, as it tells whom it refuses."""
    with pytest.raises(InvalidRule) as refused:
        parse_rule(rule, environments=None)
    [told] = [problem.message for problem in refused.value.problems if problem.field == field]
    return set(told.partition("known are: ")[2].split(", "))


def test_the_shipped_file_is_the_schema() -> None:
    """Written by `python -m gateway_cli.rules.schema`; two spaces, so that a change can be read."""
    assert json.loads(schema_text()) == document()


def test_its_fields_are_those_of_the_code() -> None:
    """A field that is added to the language is added here, or this shows it; `format` is the gateway's own."""
    definitions = document()["definitions"]
    known = known_fields(RULE | {"qqqqqqqqqq": 1}, "qqqqqqqqqq")
    assert known - {"format"} == set(definitions["rule"]["properties"])
    target = RULE["target"] | {"qqqqqqqqqq": 1}
    known = known_fields(RULE | {"target": target}, "target.qqqqqqqqqq")
    assert known == set(definitions["target"]["properties"])


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
        {"rules": [RULE], "default": {}},
        {"rules": [RULE], "defaults": {"id": "a"}},
    ],
)
def test_it_refuses_what_an_editor_should_underline(value: Any) -> None:
    """The mistakes that people make."""
    assert mistakes(value) != []
