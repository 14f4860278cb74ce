"""A pattern that can never match is a warning: with what its author probably meant."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway_cli.rules.files import check_rules
from gateway_cli.rules.never_matches import never_matches
from mwaa_gateway.events.s3 import DETAIL_TYPES
from mwaa_gateway.patterns.pattern import compile_pattern
from mwaa_gateway.rules import parse_rule

ROOT = Path(__file__).parents[3]


def upload(**detail: Any) -> dict[str, Any]:
    return {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": detail}


@pytest.mark.parametrize(
    ("pattern", "field", "said"),
    [
        (upload(object={"key": ["orders/*.csv"]}), "detail.object.key", '{wildcard: "orders/*.csv"}'),
        (upload(object={"key": [{"prefix": "orders/*"}]}), "detail.object.key", '{wildcard: "orders/*"}'),
        (upload(object={"key": [{"suffix": "*.csv"}]}), "detail.object.key", '{wildcard: "*.csv"}'),
        (upload(object={"key": ["s3://acme/orders/a"]}), "detail.object.key", "without the bucket"),
        (upload(bucket={"name": ["arn:aws:s3:::acme"]}), "detail.bucket.name", "the name alone, as in acme"),
        (upload(bucket={"name": ["s3://acme/orders"]}), "detail.bucket.name", "the name alone, as in acme"),
        (
            {"source": ["aws.s3"], "detail-type": ["Object created"]},
            "detail-type",
            "'Object created'; did you mean 'Object Created'?",
        ),
        ({"source": ["aws.s3"], "detail-type": ["ObjectCreated:*"]}, "detail-type", "'Object Created'?"),
        ({"source": ["aws.sns"], "detail-type": ["Message"]}, "detail-type", "known are Notification"),
        (
            {"source": ["aws.states"], "detail-type": ["DAG run requested"]},
            "detail-type",
            "'DAG Run Requested'?",
        ),
        ({"source": ["s3"]}, "source", "did you mean 'aws.s3'?"),
        ({"source": ["aws:sns"]}, "source", "did you mean 'aws.sns'?"),
        ({"$or": [{"source": ["x"]}, {"source": ["aws.S3"]}]}, "source", "did you mean 'aws.s3'?"),
    ],
)
def test_what_can_never_match(pattern: dict[str, Any], field: str, said: str) -> None:
    """One warning, which names its field."""
    found = never_matches(compile_pattern(pattern))
    assert [field] == list({problem.field for problem in found})
    assert any(said in problem.message for problem in found), found


@pytest.mark.parametrize(
    "pattern",
    [
        upload(object={"key": [{"wildcard": "orders/*.csv"}]}, bucket={"name": ["acme.landing_1"]}),
        {"source": ["aws.s3"], "detail-type": ["Replication:OperationNotTracked"]},
        {"source": ["aws.s3"], "detail-type": ["AWS API Call via CloudTrail"]},
        {"source": ["aws.glue"], "detail-type": ["Glue Job State Change"]},  # somebody may forward them
        {"source": [{"prefix": "aws."}], "detail-type": ["Anything"]},
        {"source": ["aws.s3", "acme"], "detail-type": ["Anything"]},
        {"source": ["acme.s3"], "detail": {"arn": ["arn:aws:s3:::acme"]}},
        {"source": ["aws.s3"], "detail-type": sorted(DETAIL_TYPES)},
    ],
)
def test_what_may_match_is_no_warning(pattern: dict[str, Any]) -> None:
    """Nobody learns to read past warnings."""
    assert [] == never_matches(compile_pattern(pattern))


def test_the_examples_warn_of_nothing() -> None:
    """The rules that a newcomer starts from."""
    checked, mistakes = check_rules([ROOT / "examples" / "rules"], environments=None)
    assert ([], []) == (mistakes, [warning for one in checked for warning in one.warnings])


def test_what_sources_send_is_known() -> None:
    """Each sample event could be asked for by its own source and detail-type."""
    for name in ("eventbridge_s3_put", "eventbridge_replay", "eventbridge_custom"):
        event = json.loads((ROOT / "events" / f"{name}.json").read_text())
        pattern = {"source": [event["source"]], "detail-type": [event["detail-type"]]}
        assert [] == never_matches(compile_pattern(pattern))


def test_a_warning_has_its_place(tmp_path: Path) -> None:
    """File and line, by the name that its author gave the field."""
    rule = {
        "id": "a",
        "pattern": upload(object={"key": ["a*"]}),
        "target": {"environment": "e", "dag_id": "d"},
    }
    assert parse_rule(rule, environments=None)
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(rule, sort_keys=False))
    [[warning]] = [one.warnings for one in check_rules([tmp_path], environments=None)[0]]
    assert ("a", "pattern.detail.object.key", 9) == (warning.rule_id, warning.field, warning.line)
