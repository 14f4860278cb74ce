"""Defaults and variables: what a file says once, and what differs from stage to stage."""

from pathlib import Path
from typing import Any

import pytest

from gateway_cli.rules.files import check_rules, read_rules

DEFAULTS = """\
defaults:
  state: DISABLED
  maximum_event_age: 6h
  target:
    environment: ${var.environment}
rules:
  - id: finance.orders
    s3: s3://acme-${var.stage}/orders/*
    target: {dag_id: ingest_orders}
  - id: finance.refunds
    s3: s3://acme-${var.stage}/refunds/*
    state: ENABLED
    targets:
      - {id: one, dag_id: ingest_refunds}
      - {id: two, dag_id: audit, environment: reporting}
"""
PROD = "environment: analytics\nstage: prod\n"


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / "rules.yaml"


def mistakes_of(path: Path, *variable_files: Path) -> list[str]:
    _, mistakes = check_rules([path], environments=None, variable_files=variable_files)
    return [str(mistake).replace(f"{path.parent}/", "") for mistake in mistakes]


def documents_of(path: Path, *variable_files: Path) -> list[Any]:
    rules, mistakes = read_rules([path], variable_files=variable_files)
    assert mistakes == []
    return [rule.document for rule in rules]


class TestDefaults:
    """What a rule leaves out, and nothing that it says."""

    def test_they_fill_in_what_a_rule_leaves_out(self, tmp_path: Path) -> None:
        """Whole fields; under `target` for each of its targets."""
        orders, refunds = documents_of(written(tmp_path, rules=DEFAULTS, prod=PROD), tmp_path / "prod.yaml")
        assert orders == {
            "id": "finance.orders",
            "s3": "s3://acme-prod/orders/*",
            "state": "DISABLED",
            "maximum_event_age": "6h",
            "target": {"dag_id": "ingest_orders", "environment": "analytics"},
        }
        assert (refunds["state"], refunds["maximum_event_age"]) == ("ENABLED", "6h")
        assert [target["environment"] for target in refunds["targets"]] == ["analytics", "reporting"]

    def test_a_rule_that_says_s3_takes_no_pattern_of_the_defaults(self, tmp_path: Path) -> None:
        """The two are one thing, said in two ways."""
        text = "defaults: {pattern: {source: [acme]}}\nrules:\n- {id: a, s3: 's3://b/*'}\n- {id: b}\n"
        a, b = documents_of(written(tmp_path, rules=text))
        assert ("pattern" in a, b["pattern"]) == (False, {"source": ["acme"]})

    def test_a_mistake_in_a_default_is_reported_on_its_line(self, tmp_path: Path) -> None:
        """Once, however many rules it spoils, at the place to correct."""
        text = DEFAULTS.replace("6h", "6 hours").replace("environment: ${", "enviroment: ${")
        shown = mistakes_of(written(tmp_path, rules=text, prod=PROD), tmp_path / "prod.yaml")
        assert [mistake.split(" is ")[0] for mistake in shown] == [
            "rules.yaml:3: maximum_event_age:",
            "rules.yaml:5: target.enviroment:",
            "rules.yaml:9: finance.orders: target.environment:",
            "rules.yaml:14: finance.refunds: targets[0].environment:",
        ]

    @pytest.mark.parametrize(
        ("defaults", "expected"),
        [
            (
                "{id: a}",
                "rules.yaml:1: defaults: 'id' must be in each rule; defaults are description,",
            ),
            ("{colour: red}", "rules.yaml:1: defaults: 'colour' is no default; defaults are description,"),
            (
                "[a]",
                "rules.yaml:1: defaults: must be a mapping of the fields that the rules of this file leave out",
            ),
            ("{target: [a]}", "rules.yaml:1: defaults: `target` must be a mapping"),
        ],
    )
    def test_what_cannot_be_a_default(self, tmp_path: Path, defaults: str, expected: str) -> None:
        """With what can be."""
        [mistake, *_] = mistakes_of(written(tmp_path, rules=f"defaults: {defaults}\nrules: []\n"))
        assert mistake.startswith(expected)

    def test_a_state_that_the_defaults_name_is_named(self, tmp_path: Path) -> None:
        """The file says it, if only once."""
        path = written(tmp_path, rules=DEFAULTS, prod=PROD)
        checked, _ = check_rules([path], environments=None, variable_files=[tmp_path / "prod.yaml"])
        assert [rule.names_state for rule in checked] == [True, True]


class TestVariables:
    """One file of rules, a file of values for each stage."""

    @pytest.mark.parametrize(
        ("written_value", "value", "expected"),
        [
            ("${var.x}", "text", "text"),
            ("${var.x}", 12, 12),
            ("${var.x}", True, True),
            ("${var.x}", ["eu", "us"], ["eu", "us"]),
            ("${var.x}", {"prefix": "a"}, {"prefix": "a"}),
            ("a-${var.x}-b", "text", "a-text-b"),
            ("a-${var.x}-b", 12, "a-12-b"),
            ("a-${var.x}-b", True, "a-true-b"),
            ("${var.x}${var.x}", "ab", "abab"),
            ("$${var.x}", "ab", "${var.x}"),
            ("${var.x}", "${var.x}", "${var.x}"),
            ("$var.x {var.x} ${x}", "ab", "$var.x {var.x} ${x}"),
        ],
    )
    def test_values(self, tmp_path: Path, written_value: str, value: Any, expected: Any) -> None:
        """Whole values keep their type; inside text they are written as JSON has them; never resolved twice."""
        path = written(tmp_path, rules=f"id: a\ndescription: '{written_value}'\n")
        (tmp_path / "stage.json").write_text(__import__("json").dumps({"x": value}))
        [document] = documents_of(path, tmp_path / "stage.json")
        assert (expected, type(expected)) == (document["description"], type(document["description"]))

    @pytest.mark.parametrize(
        ("variables", "expected"),
        [
            (
                None,
                "rules.yaml:2: ${var.bucket} has no value; name the stage's file with --vars, and write `bucket: …`",
            ),
            ("x: 1\n", "rules.yaml:2: ${var.bucket} has no value; write `bucket: …` in "),
            ("buckets: a\n", "rules.yaml:2: ${var.bucket} has no value; did you mean ${var.buckets}?"),
            ("bucket: [a]\n", "rules.yaml:2: ${var.bucket} is a list, but stands inside text"),
            ("- a\n", "vars.yaml:1: a file of variables is a mapping of names to values"),
            ("a b: 1\n", "vars.yaml:1: 'a b' is no variable name"),
            ("bucket: no\n", "vars.yaml:1: some readers take 'no' for a boolean, others for text"),
            ("bucket: a\nbucket: b\n", "vars.yaml:2: the key 'bucket' is given twice"),
        ],
    )
    def test_what_has_no_value_is_reported_with_its_line(
        self, tmp_path: Path, variables: str | None, expected: str
    ) -> None:
        """And what to write where."""
        text = "id: a\ns3: s3://acme-${var.bucket}/*\ntarget: {environment: e, dag_id: d}\n"
        path = written(tmp_path, rules=text, **({"vars": variables} if variables else {}))
        shown = mistakes_of(path, *([tmp_path / "vars.yaml"] if variables else []))
        assert any(mistake.startswith(expected) for mistake in shown), shown

    def test_where_a_variable_has_no_value_nothing_else_is_reported(self, tmp_path: Path) -> None:
        """The bucket is wrong because of it."""
        path = written(tmp_path, rules=DEFAULTS, prod="environment: a\nx: y\n")
        assert [mistake.split(";")[0] for mistake in mistakes_of(path, tmp_path / "prod.yaml")] == [
            "rules.yaml:8: ${var.stage} has no value",
            "rules.yaml:11: ${var.stage} has no value",
        ]

    def test_without_a_file_of_values_each_variable_is_reported_once(self, tmp_path: Path) -> None:
        """Who forgets --vars has made one mistake, in however many rules; those that follow from it are not listed."""
        lists = "- {id: a, pattern: {source: '${var.sources}'}, target: {environment: '${var.stage}', dag_id: d}}\n"
        path = written(tmp_path, rules=lists * 3)
        assert [mistake.split(";")[0] + mistake[-23:] for mistake in mistakes_of(path)[:2]] == [
            "rules.yaml:1: ${var.sources} has no value (and in 2 more places)",
            "rules.yaml:1: ${var.stage} has no value (and in 2 more places)",
        ]
        assert not any("must be an object" in mistake for mistake in mistakes_of(path))

    def test_a_missing_file_is_reported(self, tmp_path: Path) -> None:
        """A stage that was misspelt must not deploy another."""
        path = written(tmp_path, rules="id: a\n")
        assert "prdo.yaml: no such file" in mistakes_of(path, tmp_path / "prdo.yaml")

    def test_a_name_cannot_hold_a_variable(self, tmp_path: Path) -> None:
        """Only values can; the line says where."""
        path = written(tmp_path, rules="id: a\npattern:\n  ${var.x}: [a]\n", vars="x: y\n")
        shown = mistakes_of(path, tmp_path / "vars.yaml")
        assert "rules.yaml:3: '${var.x}': only values can contain variables" in shown

    def test_the_later_file_outweighs_and_neither_is_a_rule_file(self, tmp_path: Path) -> None:
        """`--vars common.yaml --vars prod.yaml`, kept in the folder of the rules."""
        written(
            tmp_path, rules="id: a\ndescription: ${var.a}${var.b}\n", common="a: 1\nb: 1\n", prod="b: 2\n"
        )
        [document] = documents_of(tmp_path, tmp_path / "common.yaml", tmp_path / "prod.yaml")
        assert document["description"] == "12"
