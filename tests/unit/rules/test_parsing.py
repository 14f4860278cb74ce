"""A rule is checked as a whole: everything wrong with it at once, each with its field and what to write."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mwaa_gateway.errors import InvalidRule
from mwaa_gateway.events import from_eventbridge, from_s3_notification, from_sns_notification
from mwaa_gateway.patterns.pattern import compile_pattern
from mwaa_gateway.rules import Rule, Target, parse_rule

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "rules").glob("*.yaml"))
RULE = {
    "id": "finance.orders",
    "description": "Ingest orders",
    "state": "ENABLED",
    "pattern": {"source": ["aws.s3"], "detail": {"bucket": {"name": ["acme"]}}},
    "targets": [
        {
            "id": "load",
            "environment": "analytics",
            "dag_id": "ingest_orders",
            "input_transformer": {
                "input_paths": {"key": "$.detail.object.key"},
                "input_template": {"key": "<key>"},
            },
            "when_paused": "queue",
        },
        {"id": "audit", "environment": "legacy", "dag_id": "audit.orders", "when_paused": "queue"},
    ],
    "maximum_event_age": "3h",
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the rule with one field set, or removed with `...`."""
    rule: Any = copy.deepcopy(RULE)
    *steps, last = (int(step) if step.isdigit() else step for step in path.split("/"))
    place = rule
    for step in steps:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return rule


def problems(document: Any, environments: set[str] | None = None) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRule) as refusal:
        parse_rule(document, environments=environments)
    return [(problem.field, problem.message) for problem in refusal.value.problems]


class TestValid:
    """What a rule becomes."""

    def test_becomes(self):
        """Every field arrives, parsed."""
        rule = parse_rule(RULE, environments={"analytics", "legacy"}, version=7)
        assert rule == Rule(
            id="finance.orders",
            description="Ingest orders",
            state="ENABLED",
            pattern=compile_pattern(RULE["pattern"]),  # type: ignore[arg-type]
            targets=(
                Target(
                    "load",
                    "analytics",
                    "ingest_orders",
                    input_transformer=rule.targets[0].input_transformer,
                ),
                Target("audit", "legacy", "audit.orders"),
            ),
            maximum_event_age_seconds=10_800,
            version=7,
        )
        assert rule.targets[0].input_transformer is not None

    def test_document_is_the_rule_itself(self):
        """Nothing is left to a default, and reading it again gives an equal rule."""
        rule = parse_rule(RULE, environments=None)
        assert rule.document() == RULE
        assert parse_rule(rule.document(), environments=None) == rule

    @pytest.mark.parametrize(
        ("written", "document"),
        [
            ({"state": "SHADOW"}, {}),
            ({"captures": {"detail.object.key": "in/{file}.csv", "detail.x": "{y*}"}}, {}),
            ({"dedupe_key": "<$.a>-b"}, {"dedupe_key": {"key": ["<$.a>-b"]}}),
            ({"dedupe_key": ["<$.a>", "<$.b>"]}, {"dedupe_key": {"key": ["<$.a>", "<$.b>"]}}),
            (
                {"dedupe_key": {"key": "<$.a>", "window": "24h"}},
                {"dedupe_key": {"key": ["<$.a>"], "window": "1d"}},
            ),
            ({"on_replay": "rerun"}, {}),
            ({"format": 1}, {"format": ...}),
        ],
    )
    def test_every_field_is_written_again(self, written: dict[str, Any], document: dict[str, Any]):
        """Sugar resolved; and reading it again gives an equal rule."""
        rule = parse_rule(RULE | written, environments=None)
        expected = {name: value for name, value in (RULE | written | document).items() if value is not ...}
        assert rule.document() == expected
        assert parse_rule(rule.document(), environments=None) == rule

    def test_every_field_of_a_target_is_written_again(self):
        """The DAGs an event may name, and what becomes of a large conf."""
        target = {
            "id": "load",
            "environment": "analytics",
            "dag_id": "in_<$.region>",
            "allowed_dag_ids": ["in_*", "in_eu"],
            "large_conf": "claim_check",
            "when_paused": "queue",
        }
        rule = parse_rule(RULE | {"targets": [target]}, environments=None)
        assert rule.document()["targets"] == [target]
        assert parse_rule(rule.document(), environments=None) == rule

    def test_least_rule(self):
        """Defaults and sugar are resolved."""
        rule = parse_rule(
            {"id": "a", "pattern": {"source": ["x"]}, "target": {"environment": "e", "dag_id": "d"}},
            environments=None,
        )
        assert rule.document() == {
            "id": "a",
            "state": "ENABLED",
            "pattern": {"source": ["x"]},
            "targets": [{"id": "default", "environment": "e", "dag_id": "d", "when_paused": "queue"}],
        }
        assert (rule.description, rule.maximum_event_age_seconds, rule.version) == ("", None, 0)

    @pytest.mark.parametrize(
        ("written", "seconds", "again"),
        [
            ("30s", 30, "30s"),
            ("90s", 90, "90s"),
            ("15m", 900, "15m"),
            ("24h", 86_400, "1d"),
            ("3d", 259_200, "3d"),
        ],
    )
    def test_maximum_event_age(self, written: str, seconds: int, again: str):
        """Seconds, minutes, hours or days; written back in the largest unit without a remainder."""
        rule = parse_rule(changed("maximum_event_age", written), environments=None)
        assert (rule.maximum_event_age_seconds, rule.document()["maximum_event_age"]) == (seconds, again)

    @pytest.mark.parametrize(
        ("uri", "key"),
        [
            ("s3://acme", None),
            ("s3://acme/", None),
            ("s3://acme/*", None),
            ("s3://acme/orders/1.csv", "orders/1.csv"),
            ("s3://acme/orders/*", {"prefix": "orders/"}),
            ("s3://acme/*.csv", {"suffix": ".csv"}),
            ("s3://acme/orders/*.csv", {"wildcard": "orders/*.csv"}),
            ("s3://acme/*/x/*", {"wildcard": "*/x/*"}),
            ("s3://acme/a\\*b", {"wildcard": "a\\*b"}),
            ("s3://acme/{}/{a b}/{1", "{}/{a b}/{1"),
        ],
    )
    def test_s3_sugar(self, uri: str, key: Any):
        """`s3:` is short for uploads to a bucket, in the simplest pattern that says it."""
        rule = changed("pattern", ...) | {"s3": uri}
        detail = {"bucket": {"name": ["acme"]}} | ({} if key is None else {"object": {"key": [key]}})
        assert parse_rule(rule, environments=None).pattern.document == {
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": detail,
        }


class TestInvalid:
    """What a rule must not be."""

    @pytest.mark.parametrize(
        ("path", "value", "field", "message"),
        [
            ("id", ..., "id", "is missing; write a-z, 0-9"),
            ("id", "Finance", "id", "is 'Finance'; write a-z, 0-9"),
            ("id", "a" * 81, "id", "at most 80"),
            ("id", "a\n", "id", "write a-z"),
            ("id", "a..b", "id", "write single dots"),
            ("id", 7, "id", "is 7; write"),
            ("description", ["x"], "description", "write text"),
            ("state", "enabled", "state", "is 'enabled'; write ENABLED, DISABLED or SHADOW"),
            ("state", [], "state", "is []; write ENABLED, DISABLED or SHADOW"),
            ("format", 2, "format", "is 2, and this version of the gateway reads format 1"),
            ("format", True, "format", "is True, and this version"),
            ("pattern", ..., "pattern", "write either `pattern`"),
            ("pattern", None, "pattern", "Filter is not an object"),
            ("pattern", "{}", "pattern", "Filter is not an object"),
            (
                "pattern",
                {"a": [{"foo": 1}]},
                "pattern.a[0]",
                "Unrecognized match type foo; known are: exactly",
            ),
            ("pattern", {"a": [{"prefx": "x"}]}, "pattern.a[0]", "match type prefx; did you mean 'prefix'?"),
            ("pattern", {"a": {"prefix": "x"}}, "pattern.a.prefix", "as in [{prefix: orders/}]"),
            ("pattern", {"source": ["a", "mwaa-gateway"]}, "pattern", "the gateway's own events"),
            ("pattern", {"$or": [{"source": ["mwaa-gateway"]}, {"source": ["b"]}]}, "pattern", "own events"),
            ("patern", {}, "patern", "is an unknown field; did you mean 'pattern'?"),
            ("zzz", {}, "zzz", "is an unknown field; known are: id, description"),
            ("captures", {}, "captures", "must be an object: a form for each field"),
            ("captures", {"$.x": "{a}"}, "captures", "has the field '$.x'; write one like detail.object.key"),
            ("captures", {"x[*]": "{a}"}, "captures", "has the field 'x[*]'"),
            ("captures", {f"f{n}": f"{{a{n}}}" for n in range(11)}, "captures", "has 11 fields; at most 10"),
            ("captures", {"a": "{x}", "b": "{x}"}, "captures.b", "has the name 'x' twice"),
            (
                "captures",
                {"a": "{key}"},
                "targets[0].input_transformer.input_paths.key",
                "is also the name of a capture",
            ),
            ("dedupe_key", "x", "dedupe_key.key", "is the same for every event"),
            ("dedupe_key", "<y>", "dedupe_key.key", "has <y>, which is unknown; known names: none"),
            ("dedupe_key", "<key>", "dedupe_key.key", "has <key>, which is unknown"),
            ("dedupe_key", "<$.a[*]>", "dedupe_key.key", "write a path to one value"),
            ("dedupe_key", "<$.a", "dedupe_key.key", "with a single < or >"),
            ("dedupe_key", "", "dedupe_key.key", "is ''; write text with values of the event"),
            ("dedupe_key", [], "dedupe_key.key", "is []; write text"),
            ("dedupe_key", ["<$.a>", 7], "dedupe_key.key", "a list of 1 to 10 such texts"),
            ("dedupe_key", {"keys": "<$.a>", "key": "<$.a>"}, "dedupe_key.keys", "did you mean 'key'?"),
            ("dedupe_key", {"key": "<$.a>", "window": "31d"}, "dedupe_key.window", "at most 30d"),
            ("dedupe_key", {"key": "<$.a>", "window": 60}, "dedupe_key.window", "is 60; write 15m"),
            ("on_replay", "again", "on_replay", "is 'again'; write dedupe or rerun"),
            ("collect", {}, "collect.max_wait", "nothing ends the collection"),
            ("targets/0/large_conf", "drop", "targets[0].large_conf", "write reject or claim_check"),
            ("targets/1/dag_id", "a_<$.b>", "targets[1].allowed_dag_ids", "is missing: dag_id takes values"),
            (
                "targets/1/allowed_dag_ids",
                ["a"],
                "targets[1].allowed_dag_ids",
                "is only for a dag_id with placeholders",
            ),
            (
                "targets/1/when_paused",
                "wait",
                "targets[1].when_paused",
                "is 'wait'; write queue, hold or reject",
            ),
            ("targets/1/when_paused", ["hold"], "targets[1].when_paused", "write queue, hold or reject"),
            ("targets", ..., "targets", "write either `targets`"),
            ("targets", [], "targets", "1 to 5 targets"),
            ("targets", {}, "targets", "1 to 5 targets"),
            ("targets/0", "x", "targets[0]", "must be an object"),
            ("targets/1/id", "load", "targets[1].id", "'load' is the id of another target"),
            ("targets/1/id", ..., "targets[1].id", "is missing"),
            ("targets/1/id", "A", "targets[1].id", "at most 40"),
            ("targets/1/environment", "1st", "targets[1].environment", "the name of an MWAA environment"),
            ("targets/1/dag_id", "a b", "targets[1].dag_id", "letters, digits"),
            ("targets/1/dag_id", "münchen", "targets[1].dag_id", "letters, digits"),
            ("targets/1/dag_id", "-daily", "targets[1].dag_id", "the first a letter, a digit or '_'"),
            ("targets/1/dag_id", ".daily", "targets[1].dag_id", "the first a letter, a digit or '_'"),
            ("targets/1/dag_ID", "x", "targets[1].dag_ID", "did you mean 'dag_id'?"),
            ("targets/0/input_transformer", {}, "targets[0].input_transformer.input_template", "is missing"),
            ("maximum_event_age", "4d", "maximum_event_age", "at most 3d"),
            ("maximum_event_age", "0s", "maximum_event_age", "write 30s"),
            ("maximum_event_age", 300, "maximum_event_age", "is 300; write 30s"),
            ("maximum_event_age", None, "maximum_event_age", "is None; write 30s"),
        ],
    )
    def test_refused(self, path: str, value: Any, field: str, message: str):
        """One mistake is one problem: its field as the author wrote it, and the remedy."""
        ((found, text),) = problems(changed(path, value))
        assert (found, True) == (field, message in text), text

    @pytest.mark.parametrize(
        ("dag_id", "allowed", "field", "message"),
        [
            ("a_<b>", ["a_b"], "dag_id", "has <b>, which is unknown; known names: none"),
            (
                "a b_<$.b>",
                ["a_b"],
                "dag_id",
                "is 'a b_<$.b>'; around its placeholders, write letters, digits, '_', '.' and '-', at most 250",
            ),
            ("-<$.b>", ["a_*"], "dag_id", "around its placeholders, write letters"),
            ("a_<$.b>", ["-a"], "allowed_dag_ids[0]", "is '-a'; write a dag_id"),
            ("a_<$.b[*]>", ["a_b"], "dag_id", "write a path to one value"),
            ("a_<$.b>", [], "allowed_dag_ids", "must be a list of 1 to 100 dag_ids"),
            ("a_<$.b>", "a_b", "allowed_dag_ids", "must be a list of 1 to 100 dag_ids"),
            ("a_<$.b>", ["a_b", "*"], "allowed_dag_ids[1]", "is '*'; write a dag_id, where * matches"),
            ("a_<$.b>", ["a b"], "allowed_dag_ids[0]", "is 'a b'"),
        ],
    )
    def test_refused_dag_of_the_event(self, dag_id: str, allowed: Any, field: str, message: str):
        """A dag_id that events fill, and the list it has to stay within."""
        target = {"id": "a", "environment": "e", "dag_id": dag_id, "allowed_dag_ids": allowed}
        ((found, text),) = problems(changed("targets", [target]))
        assert (found, True) == (f"targets[0].{field}", message in text), text

    def test_everything_at_once(self):
        """An author corrects all mistakes of a rule at once."""
        document = {
            "id": "A",
            "stat": "ENABLED",
            "pattern": {},
            "targets": [{"id": "x", "environment": "analitics", "dag_id": "d!"}],
            "maximum_event_age": "1w",
        }
        assert [field for field, _ in problems(document, {"analytics"})] == [
            "stat",
            "id",
            "maximum_event_age",
            "pattern",
            "targets[0].environment",
            "targets[0].dag_id",
        ]

    @pytest.mark.parametrize(
        ("dag_id", "allowed", "field"),
        [
            ("d" * 51, ..., "dag_id"),
            ("a_<$.b>", ["a_b", "d" * 51], "allowed_dag_ids"),
            ("a_<$.b>", ["*" + "d" * 51], "allowed_dag_ids"),
        ],
    )
    @pytest.mark.parametrize("used", [("rest",), ("web", "rest")])
    def test_a_dag_id_too_long_for_invoke_rest_api(
        self, dag_id: str, allowed: Any, field: str, used: tuple[str, ...]
    ):
        """Refused for an environment that is reached by it, if only as a fallback, and for no other."""
        target = {"id": "a", "environment": "analytics", "dag_id": dag_id}
        document = changed("targets", [target | ({} if allowed is ... else {"allowed_dag_ids": allowed})])
        with pytest.raises(InvalidRule) as refusal:
            parse_rule(document, environments=None, transports={"analytics": used})
        ((found, text),) = [(problem.field, problem.message) for problem in refusal.value.problems]
        assert (found, True) == (f"targets[0].{field}", "51 characters" in text and "allows 50" in text)
        for others in ({"analytics": ("cli",)}, {"analytics": ("web", "cli")}, {"legacy": ("rest",)}):
            assert parse_rule(document, environments=None, transports=others)

    def test_fifty_characters_fit(self):
        """As many as MWAA's path has room for; a `*` stands for none."""
        target = {"id": "a", "environment": "analytics", "dag_id": "d" * 50}
        assert parse_rule(
            changed("targets", [target]), environments=None, transports={"analytics": ("rest",)}
        )
        target |= {"dag_id": "a_<$.b>", "allowed_dag_ids": ["d" * 50 + "*"]}
        assert parse_rule(
            changed("targets", [target]), environments=None, transports={"analytics": ("rest",)}
        )

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            (
                "logical_date",
                "2026-11-22",
                "is the same for every event, and a DAG has one run per logical date",
            ),
            ("logical_date", "<day>", "has <day>, which is unknown; known names: <date>"),
            ("logical_date", 20261122, "is 20261122; write text with values of the event, as in <date>"),
            ("partition_key", "", "is ''; write text with values of the event, as in <date>"),
            ("partition_key", "<a", "with a single < or >"),
            ("partition_key", None, "is None; write text"),
        ],
    )
    def test_dates_of_a_run(self, field: str, value: Any, message: str):
        """Refused by the field; a partition key may be the same for every event."""
        target = {"id": "a", "environment": "analytics", "dag_id": "d", field: value}
        document = changed("targets", [target]) | {"captures": {"detail.name": "{date}"}}
        ((found, text),) = problems(document)
        assert (found, True) == (f"targets[0].{field}", message in text), text
        target |= {"logical_date": "<date>", "partition_key": "daily"}
        rule = parse_rule(document, environments=None)
        assert parse_rule(rule.document(), environments=None) == rule
        written = rule.document()["targets"][0]
        assert (written["logical_date"], written["partition_key"]) == ("<date>", "daily")

    @pytest.mark.parametrize("used", [("cli",), ("web", "cli")])
    def test_a_partition_key_needs_the_rest_api(self, used: tuple[str, ...]):
        """Refused where the environment uses CLI tokens, or falls back to them; unknown, the dispatcher decides."""
        target = {"id": "a", "environment": "analytics", "dag_id": "d", "partition_key": "<$.detail.day>"}
        document = changed("targets", [target])
        with pytest.raises(
            InvalidRule, match=r"environment 'analytics' uses CLI tokens: remove it, or set"
        ) as refusal:
            parse_rule(document, environments=None, transports={"analytics": used})
        assert [problem.field for problem in refusal.value.problems] == ["targets[0].partition_key"]
        for others in (("rest",), ("web",), ("web", "rest")):
            assert parse_rule(document, environments=None, transports={"analytics": others})
        assert parse_rule(document, environments=None)

    @pytest.mark.parametrize("dag_id", ["<$.region>-daily", "<$.region>.daily", "_<$.region>"])
    def test_a_dag_id_may_begin_with_a_value(self, dag_id: str):
        """What follows a value begins nothing."""
        target = {"id": "a", "environment": "e", "dag_id": dag_id, "allowed_dag_ids": ["*-daily"]}
        assert parse_rule(changed("targets", [target]), environments=None).targets[0].dag_id == dag_id

    @pytest.mark.parametrize(
        ("environments", "hint"),
        [
            ({"legacy-1"}, "did you mean 'legacy-1'?"),
            ({"b", "a"}, "known are: a, b"),
            (set(), "known are: none"),
        ],
    )
    def test_unknown_environment(self, environments: set[str], hint: str):
        """A name the gateway was not deployed for is refused, with the nearest that it was."""
        document = changed("targets", [RULE["targets"][1]])  # type: ignore[index]
        assert problems(document, environments) == [
            ("targets[0].environment", f"'legacy' is not an environment of this gateway; {hint}")
        ]

    def test_every_mistake_of_a_pattern_is_reported_with_its_place(self):
        """As many as there are, in the order they stand in; nothing in it hides the next."""
        pattern = {
            "source": "acme",
            "detail": {"key": ["a", {"prefx": "b"}, {"wildcard": "**"}], "size": [], "ok": [1]},
            "$or": [{"detail": {"n": [{"numeric": [">", "1"]}]}}, {}],
        }
        found = problems(changed("pattern", pattern))
        assert [(field, message.split(";")[0]) for field, message in found] == [
            ("pattern.source", '"source" must be an object or an array'),
            ("pattern.detail.key[1]", "Unrecognized match type prefx"),
            ("pattern.detail.key[2]", "Consecutive wildcard characters at pos 1"),
            ("pattern.detail.size", "Empty arrays are not allowed"),
            ("pattern.$or[0].detail.n[0]", "Value of > must be numeric"),
            ("pattern.$or[1]", "Empty objects are not allowed"),
        ]

    @pytest.mark.parametrize(
        ("uri", "remedy"),
        [
            (
                "s3://acme/{region}/dt={date}/*.csv",
                'captures: {detail.object.key: "{region}/dt={date}/{_*}.csv"}',
            ),
            ("s3://acme/{folder*}/x", 'captures: {detail.object.key: "{folder*}/x"}'),
        ],
    )
    def test_s3_uri_with_named_pieces_is_refused(self, uri: str, remedy: str) -> None:
        """As literal text, the braces would match no upload, silently."""
        ((field, message),) = problems(changed("pattern", ...) | {"s3": uri})
        assert field == "s3"
        assert remedy in message

    @pytest.mark.parametrize("uri", ["http://x", "s3://", "s3://a*/b", "s3:///key", 7])
    def test_s3_refused(self, uri: Any):
        """What is no bucket and key says what is."""
        ((field, message),) = problems(changed("pattern", ...) | {"s3": uri})
        assert (field, True) == ("s3", "write s3://bucket/key" in message)

    def test_s3_wildcards_are_eventbridges(self):
        """Two stars in a row are refused as EventBridge does, under the field the author wrote."""
        ((field, message),) = problems(changed("pattern", ...) | {"s3": "s3://acme/a/**/b"})
        assert (field, message) == (
            "s3",
            "Consecutive wildcard characters at pos 3; one * matches any run of characters",
        )

    def test_sugar_is_never_mixed(self):
        """Of `pattern` and `s3`, of `target` and `targets`, one is meant."""
        document = RULE | {"s3": "s3://acme/*", "target": {}}
        assert [field for field, _ in problems(document)] == ["pattern", "targets"]

    @pytest.mark.parametrize("document", [None, [], "rule"])
    def test_no_object(self, document: Any):
        """Whatever lies in the table is refused, never an exception of another kind."""
        assert problems(document) == [("", "a rule is an object with id, pattern and targets")]

    def test_error_names_the_rule(self):
        """The exception's own text says which rule and all that is wrong."""
        with pytest.raises(InvalidRule, match=r"rule 'finance.orders' is invalid: state: is 'on'"):
            parse_rule(changed("state", "on"), environments=None)


class TestExamples:
    """The rules that we show."""

    @pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
    def test_are_valid(self, path: Path):
        """What we show applies as it stands."""
        rule = parse_rule(yaml.safe_load(path.read_text()), environments={"analytics"})
        assert parse_rule(rule.document(), environments=None) == rule

    @pytest.mark.parametrize(
        ("name", "sample", "expected"),
        [
            ("orders-landing", "s3_put", True),
            ("orders-landing", "eventbridge_s3_put", True),
            ("orders-landing", "s3_delete", False),
            ("customer-exports", "sns_json", True),
            ("customer-exports", "sns_text", False),
            ("business-day-closed", "eventbridge_custom", True),
        ],
    )
    def test_match_the_samples(self, name: str, sample: str, *, expected: bool):
        """Each example is about the sample event that it speaks of."""
        root = Path(__file__).parents[3]
        rule = parse_rule(
            yaml.safe_load((root / "examples/rules" / f"{name}.yaml").read_text()), environments=None
        )
        payload = json.loads((root / "events" / f"{sample}.json").read_text())
        match sample.partition("_")[0]:
            case "s3":
                (event,) = from_s3_notification(payload)
            case "sns":
                (event,) = from_sns_notification(payload, frozenset())
            case _:
                (event,) = from_eventbridge(payload)
        assert rule.pattern.matches(event.envelope) is expected  # type: ignore[union-attr]
