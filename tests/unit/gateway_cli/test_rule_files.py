"""Rule files: what people write is read as they mean it, or refused with the line that says otherwise."""

import errno
import json
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway_cli.documents.json_documents import read_json
from gateway_cli.documents.yaml_documents import read_yaml, write_yaml
from gateway_cli.rules.files import Mistake, RulesRefused, check_rules, read_rules

RULE = """\
id: finance.orders
s3: s3://acme-landing/orders/*
target: {environment: analytics, dag_id: ingest_orders}
"""


def a_rule(rule_id: str) -> dict:
    return {
        "id": rule_id,
        "s3": "s3://acme-landing/*",
        "target": {"environment": "analytics", "dag_id": "ingest"},
    }


def written(folder: Path, text: str, name: str = "rules.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def ids_of(*paths: Path) -> list[str | None]:
    rules, mistakes = read_rules(paths)
    assert mistakes == []
    return [rule.id for rule in rules]


def mistakes_of(*paths: Path, environments: set[str] | None = None) -> list[str]:
    """Every mistake, without the folder in front."""
    _, mistakes = check_rules(paths, environments=environments)
    return [str(mistake).removeprefix(f"{paths[0].parent}/") for mistake in mistakes]


class TestShapes:
    """One rule, or several, in every form that a file may have."""

    @pytest.mark.parametrize(
        ("name", "text", "expected"),
        [
            ("one.yaml", RULE, ["finance.orders"]),
            ("one.yml", RULE, ["finance.orders"]),
            (
                "documents.yaml",
                f"{RULE}---\n---\n{RULE.replace('orders', 'refunds')}",
                ["finance.orders", "finance.refunds"],
            ),
            ("list.yaml", yaml.safe_dump([a_rule("a"), a_rule("b")]), ["a", "b"]),
            ("rules.yaml", yaml.safe_dump({"rules": [a_rule("a"), a_rule("b")]}), ["a", "b"]),
            ("one.json", json.dumps(a_rule("a")), ["a"]),
            ("list.json", json.dumps([a_rule("a"), a_rule("b")]), ["a", "b"]),
            ("rules.json", json.dumps({"rules": [a_rule("a")]}), ["a"]),
            ("tabs.json", json.dumps(a_rule("a"), indent="\t"), ["a"]),
            ("mark.yaml", "\ufeff" + RULE, ["finance.orders"]),
            ("anchors.yaml", "- &base {id: a, s3: 's3://bucket/*'}\n- {<<: *base, id: b}\n", ["a", "b"]),
        ],
    )
    def test_rules_are_read(self, tmp_path: Path, name: str, text: str, expected: list[str]) -> None:
        """In the order they are written."""
        assert expected == ids_of(written(tmp_path, text, name))

    def test_a_folder_stands_for_the_files_below_it(self, tmp_path: Path) -> None:
        """YAML and JSON by name, in order, without what is hidden or of another kind."""
        for name in ("b.yaml", "a.json", "deep/c.yml", ".git/d.yaml", ".e.yaml", "notes.txt"):
            text = json.dumps(a_rule(Path(name).stem.strip(".")))
            written(tmp_path, text, name)
        assert ids_of(tmp_path) == ["a", "b", "c"]

    def test_a_file_named_twice_is_read_once(self, tmp_path: Path) -> None:
        """By itself and through its folder: its rules are no duplicates."""
        path = written(tmp_path, RULE)
        assert ids_of(path, tmp_path, path) == ["finance.orders"]

    def test_an_empty_file_among_others_is_nobodys_mistake(self, tmp_path: Path) -> None:
        """A file whose rules are commented out may stay where it is."""
        written(tmp_path, "# nothing any more\n", "old.yaml")
        written(tmp_path, RULE)
        assert ids_of(tmp_path) == ["finance.orders"]

    @pytest.mark.parametrize(
        ("name", "text", "expected"),
        [
            ("rules.yaml", "# nothing\n", "contains no rule"),
            (
                "rules.yaml",
                "just text",
                "rules.yaml:1: a rule must be a mapping with id, pattern and targets",
            ),
            ("rules.yaml", f"- {json.dumps(a_rule('a'))}\n- 5\n", "rules.yaml:2: a rule must be a mapping"),
            ("rules.yaml", "rules:\n  id: a\n", "rules.yaml:1: rules: must be a list of rules"),
            (
                "rules.yaml",
                "rules: []\nothers:\n  x: 1\n",
                "rules.yaml:2: others: 'others' has no meaning beside",
            ),
            ("rules.txt", RULE, "rules.txt: a rule file must be named *.yaml, *.yml or *.json"),
            ("rules.yaml", "id: [\n", "rules.yaml:2: this is not YAML: "),
            ("rules.yaml", "id: \x01\n", "rules.yaml:1: this is not YAML: "),
            ("rules.yaml", 'id: "\\ud83d"\n', "rules.yaml:1: "),
            ("rules.json", '{"id": "\\ud83d"}', "rules.json:1: half a surrogate pair"),
            ("rules.json", '{"id":\n,}', "rules.json:2: this is not JSON: Expecting value"),
            ("rules.json", '{"id": NaN}', "rules.json:1: this is not JSON: NaN is not a number in JSON"),
            ("rules.json", '{"id": 1e999}', "rules.json:1: this is not JSON: 1e999 is too large a number"),
        ],
    )
    def test_what_is_no_rule_is_refused(self, tmp_path: Path, name: str, text: str, expected: str) -> None:
        """With the line, where there is one."""
        path = written(tmp_path, text, name)
        _, mistakes = read_rules([path])
        assert any(expected in str(mistake) for mistake in mistakes), mistakes

    @pytest.mark.parametrize(
        ("text", "remedy"),
        [
            ("id: a\ntarget: {environment: ${var.environment}}\n", "put ${var.name} in quotes"),
            ("id: a\ntags: [x, ${var.stage}-y]\n", "put ${var.name} in quotes"),
            ("id: a\n\ttarget: {}\n", "indent with spaces"),
            ("id: a\npattern: {detail: {key: [{suffix: *.csv}]}}\n", "put text that begins with *"),
            ("id: a\ndescription: Orders: the daily ones\n", "put text that contains a colon"),
        ],
    )
    def test_what_yaml_reads_in_another_way_has_its_remedy(
        self, tmp_path: Path, text: str, remedy: str
    ) -> None:
        """YAML's own message names the place and not the cause."""
        (mistake,) = read_rules([written(tmp_path, text)])[1]
        assert "rules.yaml:2: this is not YAML: " in str(mistake)
        assert remedy in str(mistake)

    def test_a_path_without_rules_is_reported(self, tmp_path: Path) -> None:
        """A typing error must not read as "nothing to do"."""
        assert [
            str(mistake).removeprefix(f"{tmp_path}/")
            for mistake in read_rules([tmp_path / "nowhere", Path(written(tmp_path, "", "empty/x").parent)])[
                1
            ]
        ] == ["nowhere: no such file", "empty: this folder contains no *.yaml, *.yml or *.json file"]

    def test_a_file_that_is_no_text_is_reported(self, tmp_path: Path) -> None:
        """Latin-1 is the usual one."""
        path = tmp_path / "rules.yaml"
        path.write_bytes(b"id: caf\xe9")
        assert mistakes_of(path) == ["rules.yaml: is not UTF-8 text: save it as UTF-8"]

    def test_a_file_that_cannot_be_opened_is_reported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the system's reason."""

        def denied(*_: object, **__: object) -> str:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        path = written(tmp_path, RULE)
        monkeypatch.setattr(Path, "read_text", denied)
        assert mistakes_of(path) == ["rules.yaml: cannot read the file: Permission denied"]


class TestSurprises:
    """Where two readers of the same text could disagree, the file is refused."""

    @pytest.mark.parametrize("word", ["no", "on", "Yes", "OFF"])
    def test_words_that_yaml_1_1_takes_for_booleans(self, tmp_path: Path, word: str) -> None:
        """`country: [no]` is Norway to its author."""
        path = written(tmp_path, f"{RULE}description:\n  {word}\n")
        assert [f"rules.yaml:5: some readers take '{word}' for a boolean, others for text"] == [
            mistake.rpartition(": ")[0] for mistake in mistakes_of(path)
        ]

    @pytest.mark.parametrize("number", ["012", "0x1F", "1_000", "12:30", "+5", ".5", "1.", ".inf", "1e3"])
    def test_numbers_that_are_not_the_same_to_every_reader(self, number: str) -> None:
        """`012` is ten, twelve or text; an account id with a leading zero is the usual victim."""
        _, flaws = read_yaml(f"a:\n- {number}\n")
        assert [flaw.line for flaw in flaws] == [2]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("true", True),
            ("False", False),
            ("~", None),
            ("null", None),
            ("", None),
            ("0", 0),
            ("-12", -12),
            ("1.5", 1.5),
            ("-1.5e+3", -1500.0),
            ("2026-11-22", "2026-11-22"),
            ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
            ("'no'", "no"),
            ('"012"', "012"),
            ("!!str 12", "12"),
            ("=", "="),
            ("s3://bucket/*", "s3://bucket/*"),
            ("|\n  two\n  lines", "two\nlines"),
        ],
    )
    def test_scalars_that_everybody_reads_alike(self, text: str, expected: object) -> None:
        """JSON's own, and text; a date is text, as JSON has none."""
        [document], flaws = read_yaml(f"a: {text}")
        assert ({"a": expected}, [], type(expected)) == (document.value, flaws, type(document.value["a"]))

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("id: a\ns3: s3://b/*\nid: b\n", 3),
            ("target:\n  dag_id: a\n  dag_id: a\n", 3),
            ("a: 1\n1: a\n", 2),
            ("a: 1\ntrue: a\n", 2),
            ("a: 1\n? [b]\n: c\n", 2),
            ("a: 1\nb: !Ref c\n", 2),
            ("a: 1\nb: !!binary aGk=\n", 2),
            ("a: 1\n<<: text\n", 2),
            ("a: 1\nb: &b [*b]\n", 2),
        ],
        ids=["key", "deep-key", "number-key", "boolean-key", "list-key", "tag", "binary", "merge", "endless"],
    )
    def test_yaml_that_json_does_not_know_is_refused_with_its_line(self, text: str, line: int) -> None:
        """Keys given twice are the dangerous ones: most readers silently take the last."""
        _, flaws = read_yaml(text)
        assert [line] == [flaw.line for flaw in flaws]

    def test_aliases_that_multiply_are_stopped(self) -> None:
        """Nine lines that stand for a billion values."""
        text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
            for before, name in zip("abcdefgh", "bcdefghi", strict=True)
        )
        _, flaws = read_yaml(text)
        assert [flaw.message for flaw in flaws] == [
            "this is not YAML: an alias contains itself, or aliases multiply without end"
        ]

    @pytest.mark.parametrize("read", [read_json, read_yaml])
    def test_endless_nesting_is_reported(self, read) -> None:
        """Not by a stack that runs out."""
        documents, flaws = read("[" * 5_000 + "]" * 5_000)
        assert (documents, [flaw.message for flaw in flaws]) == ([], ["this is nested too deeply"])

    def test_yaml_is_too_deep_for_us_before_it_is_for_the_interpreter(self) -> None:
        """Whose limit another part of the process may have raised."""
        assert [] == read_yaml("[" * 200 + "]" * 200)[1]
        assert ["this is nested too deeply"] == [each.message for each in read_yaml("[" * 202 + "]" * 202)[1]]

    def test_a_number_that_no_float_holds_is_refused(self) -> None:
        """It would be stored as Infinity, which is no JSON."""
        _, flaws = read_yaml("a: 1.0e+999")
        assert [flaw.message for flaw in flaws] == ["1.0e+999 is too large a number"]

    def test_keys_given_twice_in_json(self, tmp_path: Path) -> None:
        """With their lines, at any depth; the same key in two objects, or as a value, is no duplicate."""
        text = """\
[{"id": "a", "s3": "s3://bucket/*",
  "target": {"environment": "e", "dag_id": "id", "dag_id": "id",
             "id": "{\\"id\\": ["},
  "description": "id",
  "id": "a"}, {"id": "b"}]
"""
        _, mistakes = read_rules([written(tmp_path, text, "rules.json")])
        assert [(mistake.line, mistake.message.split()[2]) for mistake in mistakes] == [
            (2, "'dag_id'"),
            (5, "'id'"),
        ]

    def test_what_a_merge_brings_gives_way_to_what_is_written(self) -> None:
        """And of several mappings, the first that has a key gives it, as YAML's merge key is defined."""
        [document], flaws = read_yaml("x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz:\n  <<: [*x, *y]\n  c: 3\n")
        assert (document.value["z"], flaws) == ({"a": 1, "b": 1, "c": 3}, [])

    @given(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(st.characters(exclude_categories=["Cs"])),
            lambda inner: (
                st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
            ),
        )
    )
    def test_every_json_value_comes_back(self, value: object) -> None:
        """Through a JSON file, and through what `rules show` prints: a shown rule can be applied again."""
        [document], flaws = read_json(json.dumps(value, indent=1))
        assert (value, []) == (document.value, flaws)
        documents, flaws = read_yaml(write_yaml({"a": value}))
        assert ([{"a": value}], []) == ([document.value for document in documents], flaws)


class TestChecking:
    """All mistakes at once, each with its place."""

    def test_every_mistake_of_every_rule_and_file(self, tmp_path: Path) -> None:
        """Sorted by place, so that an author can correct them from top to bottom."""
        written(tmp_path, f"{RULE}maximum_event_age: 10d\nstate: ON\n", "a.yaml")
        written(
            tmp_path,
            json.dumps(
                {"rules": [a_rule("b"), {"id": "C!", "s3": "bucket", "targets": [{"dag_id": "x"}]}]}, indent=1
            ),
            "b.json",
        )
        written(tmp_path, "id: [\n", "c.yaml")
        checked, mistakes = check_rules([tmp_path], environments={"analytics"})
        assert [(Path(m.file).name, m.line, m.rule_id, m.field) for m in mistakes] == [
            ("a.yaml", 4, "finance.orders", "maximum_event_age"),
            ("a.yaml", 5, None, None),
            ("a.yaml", 5, "finance.orders", "state"),
            ("b.json", 12, "C!", "id"),
            ("b.json", 13, "C!", "s3"),
            ("b.json", 15, "C!", "targets[0].id"),
            ("b.json", 15, "C!", "targets[0].environment"),
            ("c.yaml", 2, None, None),
        ]
        assert [rule.rule.id for rule in checked] == ["b"]

    def test_an_unknown_environment_is_refused_where_the_names_are_known(self, tmp_path: Path) -> None:
        """With the nearest name, on its line."""
        path = written(tmp_path, RULE.replace("analytics", "analytic"))
        [mistake] = mistakes_of(path, environments={"analytics"})
        assert mistake.startswith("rules.yaml:3: finance.orders: target.environment: 'analytic' is not")
        assert mistakes_of(path) == []

    def test_an_id_used_twice_is_refused(self, tmp_path: Path) -> None:
        """In one file or in two; the message of the later one says where the first is."""
        written(tmp_path, RULE, "a.yaml")
        written(tmp_path, f"{RULE}---\n{RULE}", "b.yaml")
        _, mistakes = check_rules([tmp_path], environments=None)
        assert [(Path(m.file).name, m.line) for m in mistakes] == [("b.yaml", 1), ("b.yaml", 5)]
        assert all("a.yaml:1 has the same id" in m.message for m in mistakes)

    def test_a_rule_too_large_for_the_table_is_refused_before_anything_is_written(
        self, tmp_path: Path
    ) -> None:
        """On the line where it begins."""
        path = written(tmp_path, f"---\n{RULE}description: {'x' * 140_000}\n")
        [mistake] = mistakes_of(path)
        assert mistake.startswith("rules.yaml:2: finance.orders: has 140,")

    def test_whether_a_state_is_written_is_remembered(self, tmp_path: Path) -> None:
        """A rule that leaves it open keeps the table's."""
        path = written(tmp_path, f"{RULE}---\n{RULE.replace('orders', 'refunds')}state: ENABLED\n")
        checked, _ = check_rules([path], environments=None)
        assert [rule.names_state for rule in checked] == [False, True]

    def test_the_nearest_field_gives_the_line_of_one_that_is_missing(self, tmp_path: Path) -> None:
        """A missing dag_id is reported at the line where its target begins."""
        path = written(tmp_path, "id: a\ns3: s3://bucket/*\ntargets:\n- id: x\n  environment: e\n")
        assert [mistake.split(";")[0] for mistake in mistakes_of(path)] == [
            "rules.yaml:4: a: targets[0].dag_id: is missing"
        ]

    def test_refused_rules_say_every_mistake_in_their_text(self) -> None:
        """So that whoever catches the error shows all of it."""
        mistakes = [Mistake("a.yaml", 3, "a", "id", "x"), Mistake("b.yaml", None, None, None, "y")]
        assert str(RulesRefused(mistakes)) == "a.yaml:3: a: id: x\nb.yaml: y"
