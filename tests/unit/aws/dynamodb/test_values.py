"""Attribute values follow from Python's types, in the forms that rows of earlier releases have."""

from typing import Any

import pytest

from mwaa_gateway.aws.dynamodb.values import Value, attributes, ledger_key, rules_key, text, version
from mwaa_gateway.outcomes import Reason


@pytest.mark.parametrize(
    ("value", "attribute"),
    [
        ("a", {"S": "a"}),
        ("", {"S": ""}),
        (Reason.CANCELLED, {"S": "cancelled"}),
        (7, {"N": "7"}),
        (1_700_000_000.1234567, {"N": "1700000000.123457"}),
        (0.0, {"N": "0.000000"}),
        (True, {"BOOL": True}),
        (False, {"BOOL": False}),
        (b"\x00", {"B": b"\x00"}),
        (("a#b", "*"), {"L": [{"S": "a#b"}, {"S": "*"}]}),
        ((), {"L": []}),
    ],
)
def test_attributes(value: Value, attribute: Any) -> None:
    """A bool is no number, though Python's is; a float is a time."""
    assert attributes({"name": value}) == {"name": attribute}


def test_keys() -> None:
    """Of the two tables."""
    assert ledger_key("e", "r") == {"event": {"S": "e"}, "request": {"S": "r"}}
    assert rules_key("p", "s") == {"partition": {"S": "p"}, "sort": {"S": "s"}}


@pytest.mark.parametrize(("item", "expected"), [({"a": {"S": "x"}}, "x"), ({}, ""), ({"a": {"N": "1"}}, "")])
def test_text(item: Any, expected: str) -> None:
    """One attribute that somebody changed by hand must not hide the other rows."""
    assert text(item, "a") == expected


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"version": {"N": "3"}}, 3),
        ({}, 9),
        ({"version": {"S": "3"}}, 9),
        ({"version": {"N": "-1"}}, 9),
        ({"version": {"N": "1.5"}}, 9),
    ],
)
def test_version(item: Any, expected: int) -> None:
    """Whatever is no version is the default."""
    assert version(item, default=9) == expected
