"""`mwaa-gateway rules test | explain`: what the functions would do, before any event is sent."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result

from gateway_cli.rules.event_files import events_of, read_events
from gateway_cli.rules.trial import try_events
from mwaa_gateway.errors import MalformedEvent
from mwaa_gateway.events import from_eventbridge, from_s3_notification, from_sns_notification
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.trigger_request import derive_run_id

EVENTS = Path(__file__).parent.parent.parent / "events"
Gateway = Callable[..., Result]
RULES = """\
- id: finance.orders
  s3: s3://acme-landing/orders/*
  target:
    environment: analytics
    dag_id: ingest_orders
    input_transformer:
      input_paths: {key: $.detail.object.key, size: $.detail.object.size}
      input_template: {key: <key>, size: <size>}
- id: finance.stopped
  state: DISABLED
  s3: s3://acme-landing/*
  target: {environment: analytics, dag_id: never}
- id: sales.exports
  pattern: {source: [aws.sns], detail: {subject: [nightly export]}}
  target:
    environment: reporting
    dag_id: exports
    input_transformer:
      input_paths: {message: $.detail.message}
      input_template: {text: "it says <message>"}
"""


@pytest.fixture
def rules(folder: Path) -> Path:
    file = folder / "rules.yaml"
    file.write_text(RULES)
    return file


def document(result: Result) -> Any:
    return json.loads(result.stdout)


class TestTest:
    """Which rules match, and what of it would be sent."""

    def test_an_event_of_s3(self, gateway: Gateway, rules: Path) -> None:
        """The notification as the bucket sends it: the key is decoded, the run_id is the one it would have."""
        event = EVENTS / "s3_put.json"
        [expected] = from_s3_notification(json.loads(event.read_text()))
        output = document(gateway("rules", "test", str(rules), "--event", str(event), "-o", "json"))
        [result] = output["events"][0]["results"]
        origin = result["conf"].pop("mwaa_gateway")
        assert (origin["rule_id"], origin["event_id"]) == ("finance.orders", expected.id)
        assert result == {
            "outcome": "run",
            "rule_id": "finance.orders",
            "target_id": "default",
            "environment": "analytics",
            "dag_id": "ingest_orders",
            "run_id": derive_run_id(expected.identity, "finance.orders", "default"),
            "conf": {"key": expected.envelope["detail"]["object"]["key"], "size": 1024},
        }

    def test_for_people(self, gateway: Gateway, rules: Path) -> None:
        """Each event with what it comes to; a conf that cannot be made says so, as it would in the DLQ."""
        names = [str(EVENTS / name) for name in ("s3_put.json", "sns_json.json", "eventbridge_custom.json")]
        output = gateway(
            "rules", "test", str(rules), *(word for name in names for word in ("--event", name))
        ).stdout
        upload, notification, custom = output.rstrip("\n").split("\n\n")
        assert upload.splitlines()[:2] == [
            f"{names[0]}  aws.s3 · Object Created",
            "  ✓ finance.orders → analytics:ingest_orders  target default",
        ]
        assert "✗ sales.exports: " in notification
        assert "<message> is an object in this event" in notification
        assert custom.splitlines()[1] == "  no rule matches"

    def test_a_disabled_rule_is_named(self, gateway: Gateway, rules: Path, folder: Path) -> None:
        """It matches and starts nothing, which is not the same as no match."""
        upload = json.loads((EVENTS / "eventbridge_s3_put.json").read_text())
        upload["detail"]["bucket"]["name"], upload["detail"]["object"]["key"] = (
            "acme-landing",
            "refunds/a.csv",
        )
        (folder / "event.json").write_text(json.dumps(upload))
        words = ("rules", "test", str(rules), "--event", "event.json")
        output = gateway(*words)
        assert "○ finance.stopped matches, but is DISABLED: it starts nothing" in output.stdout
        assert "no rule matches" not in output.stdout
        [event] = document(gateway(*words, "-o", "json"))["events"]
        assert ([], ["finance.stopped"]) == (event["results"], event["disabled"])

    def test_where_no_rule_matches_the_next_command_is_named(self, gateway: Gateway, rules: Path) -> None:
        """It says why."""
        output = gateway("rules", "test", str(rules), "--event", str(EVENTS / "eventbridge_custom.json"))
        assert "no rule matches" in output.stdout
        assert "`mwaa-gateway rules explain ID --event FILE` shows why" in output.stderr

    def test_it_needs_events(self, gateway: Gateway, rules: Path) -> None:
        """Or cases."""
        assert "--event" in gateway("rules", "test", str(rules), exit_code=2).stderr

    def test_rules_that_are_wrong_are_not_tried(self, gateway: Gateway, rules: Path) -> None:
        """The command lists every mistake instead."""
        rules.write_text("id: X\n")
        output = gateway(
            "rules", "test", str(rules), "--event", str(EVENTS / "s3_put.json"), "-o", "json", exit_code=1
        )
        assert len(document(output)["problems"]) == 3

    def test_a_malformed_event_is_reported(self, gateway: Gateway, rules: Path) -> None:
        """With the reason it would be kept with; the good ones beside it are tried."""
        event = str(EVENTS / "s3_poison_among_good.json")
        output = document(gateway("rules", "test", str(rules), "--event", event, "-o", "json"))
        refused = [
            one for tried in output["events"] for one in tried["results"] if one["outcome"] == "refused"
        ]
        assert ["Records[" in one["reason"] for one in refused] == [True]
        assert len(output["events"]) > 1


COLLECTS = """\
id: sales.exports
pattern: {source: [aws.s3], detail: {bucket: {name: [acme-landing]}, object: {key: [{wildcard: "exports/*/*.csv"}]}}}
captures: {detail.object.key: "exports/{day}/{region}.csv"}
collect:
  key: [<day>]
  complete_when:
    event:
      pattern: {source: [acme.exports]}
      captures: {detail.day: "{day}", detail.files: "{total}"}
      count: <total>
  max_wait: 6h
target:
  environment: analytics
  dag_id: load_<day>
  allowed_dag_ids: [load_*]
  logical_date: <day>
  input_transformer: {input_paths: {files: $.detail.count}, input_template: {day: <day>, files: <files>}}
"""


JOIN = """\
id: sales.join
collect:
  key: [<day>]
  max_wait: 2d
  due: {at: "06:00", day: 1, date: <day>, timezone: Europe/Zurich}
  complete_when:
    parts:
      orders:
        s3: "s3://acme-landing/exports/*/*.csv"
        captures: {detail.object.key: "exports/{day}/{region}.csv"}
        at_least: 2
      customers: {pattern: {source: [acme.exports]}, captures: {detail.day: "{day}"}}
target: {environment: analytics, dag_id: join}
"""


def exported(key: str) -> Any:
    event = json.loads((EVENTS / "eventbridge_s3_put.json").read_text())
    event["detail"] |= {"bucket": {"name": "acme-landing"}, "object": {"key": key, "size": 1}}
    return event


def export_done(**detail: str) -> Any:
    event = json.loads((EVENTS / "eventbridge_custom.json").read_text())
    return event | {"source": "acme.exports", "detail": detail}


class TestCollected:
    """An event of a rule that collects: its batch, and what the batch becomes."""

    @pytest.fixture
    def collects(self, folder: Path) -> Path:
        (folder / "member.json").write_text(json.dumps(exported("exports/2026-11-22/eu.csv")))
        (folder / "marker.json").write_text(json.dumps(export_done(day="2026-11-22", files="3")))
        (folder / "rules.yaml").write_text(COLLECTS)
        return folder / "rules.yaml"

    def tried(self, gateway: Gateway, event: str) -> Any:
        output = document(gateway("rules", "test", "rules.yaml", "--event", event, "-o", "json"))
        return output["events"][0]["results"]

    def test_a_member_with_its_batch_and_what_that_becomes(self, gateway: Gateway, collects: Path) -> None:
        assert collects.exists()
        assert self.tried(gateway, "member.json") == [
            {
                "outcome": "member",
                "rule_id": "sales.exports",
                "batch": {"day": "2026-11-22"},
                "missing": ["the marker"],
                "counts_as": "s3://acme-landing/exports/2026-11-22/eu.csv",
                "released": [
                    {
                        "environment": "analytics",
                        "dag_id": "load_2026-11-22",
                        "logical_date": "2026-11-22T00:00:00+00:00",
                        "conf": {"day": "2026-11-22", "files": 1},
                    }
                ],
            }
        ]

    def test_a_marker_with_the_number_it_names(self, gateway: Gateway, collects: Path) -> None:
        assert collects.exists()
        assert self.tried(gateway, "marker.json") == [
            {
                "outcome": "marker",
                "rule_id": "sales.exports",
                "batch": {"day": "2026-11-22"},
                "members_needed": 3,
                "missing": ["3 of 3 members"],
            }
        ]

    def test_for_people(self, gateway: Gateway, collects: Path) -> None:
        output = gateway(
            "rules", "test", str(collects), "--event", "member.json", "--event", "marker.json"
        ).stdout
        lines = [line.strip() for line in output.splitlines()]
        assert "✓ sales.exports → member of the batch day=2026-11-22; no run by itself" in lines
        assert "✓ sales.exports → marker of the batch day=2026-11-22; no run by itself" in lines
        assert "released with this member alone: a run of analytics:load_2026-11-22" in lines
        assert "logical_date  2026-11-22T00:00:00+00:00" in lines
        assert "members needed  3" in lines

    def test_the_part_that_an_event_is_in_what_the_batch_lacks_and_when_it_is_due(
        self, gateway: Gateway, collects: Path
    ) -> None:
        """In SHADOW, too: there the rule collects apart."""
        collects.write_text(JOIN)
        [orders] = self.tried(gateway, "member.json")
        [customers] = self.tried(gateway, "marker.json")
        assert (orders["part"], orders["missing"]) == ("orders", ["1 of 2 members of orders", "customers"])
        assert (customers["part"], customers["missing"]) == ("customers", ["2 of 2 members of orders"])
        assert orders["due"] == customers["due"] == "2026-11-23T05:00:00.000Z"
        for state, line in (
            ("ENABLED", "✓ sales.join → member of the batch day=2026-11-22; no run by itself"),
            (
                "SHADOW",
                "◌ sales.join → member of the batch day=2026-11-22; in SHADOW: it collects apart, and starts nothing",
            ),
        ):
            collects.write_text(JOIN + f"state: {state}\n")
            output = gateway("rules", "test", str(collects), "--event", "member.json").stdout
            lines = [line.strip() for line in output.splitlines()]
            assert line in lines
            assert "part  orders" in lines
            assert "with this event alone, the batch waits for  1 of 2 members of orders, customers" in lines
            assert "due  2026-11-23T05:00:00.000Z" in lines

    @pytest.mark.parametrize(
        ("due", "shown"),
        [
            ("{after: 3h}", "3h after its first member"),
            (
                '{at: "06:00", timezone: Europe/Zurich}',
                "the first 06:00 Europe/Zurich after its first member",
            ),
        ],
    )
    def test_a_due_time_without_a_date(self, gateway: Gateway, collects: Path, due: str, shown: str) -> None:
        collects.write_text(COLLECTS.replace("  max_wait: 6h", f"  max_wait: 6h\n  due: {due}"))
        [result] = self.tried(gateway, "member.json")
        assert result["due"] == shown

    def test_explain_names_the_part(self, gateway: Gateway, collects: Path) -> None:
        collects.write_text(JOIN)
        words = ("rules", "explain", "sales.join", "--file", "rules.yaml", "--event", "marker.json")
        [explanation] = document(gateway(*words, "-o", "json"))
        assert explanation["pattern_field"] == "collect.complete_when.parts.customers.pattern"
        [result] = explanation["results"]
        assert (result["part"], result["missing"]) == ("customers", ["2 of 2 members of orders"])

    def test_a_target_that_would_refuse_the_batch(self, gateway: Gateway, collects: Path) -> None:
        """It is shown before the first batch is released, and not hours after its first member."""
        collects.write_text(COLLECTS.replace("[load_*]", "[load_2025*]"))
        [result] = self.tried(gateway, "member.json")
        [target] = result["released"]
        assert "'load_2026-11-22'" in target["reason"]
        output = gateway("rules", "test", str(collects), "--event", "member.json").stdout
        assert "✗ released, the batch starts no run: " in output

    def test_a_suite_names_the_batch_and_any_other_result_fails(
        self, gateway: Gateway, collects: Path, folder: Path
    ) -> None:
        suite = (
            "- {event: member.json, expect: [{rule: sales.exports, batch: {day: '2026-11-22'}}]}\n"
            "- {event: marker.json, expect: [{rule: sales.exports, outcome: marker}]}\n"
        )
        (folder / "suite.yaml").write_text(suite)
        words = ("rules", "test", str(collects), "--expect", "suite.yaml")
        assert "2 cases passed" in gateway(*words).stderr
        for was, becomes, why in (
            ("2026-11-22", "2026-11-23", "batch.day"),
            ("outcome: marker", "outcome: member", "outcome"),
            (
                "[{rule: sales.exports, outcome: marker}]",
                "[]",
                "collects it as a marker of a batch, which is not expected",
            ),
        ):
            (folder / "suite.yaml").write_text(suite.replace(was, becomes))
            assert why in gateway(*words, exit_code=1).stdout

    def test_a_disabled_rule_is_named_for_its_marker_too(self, gateway: Gateway, collects: Path) -> None:
        collects.write_text(COLLECTS + "state: DISABLED\n")
        for event in ("member.json", "marker.json"):
            output = gateway("rules", "test", str(collects), "--event", event).stdout
            assert "○ sales.exports matches, but is DISABLED" in output

    def explained(self, gateway: Gateway, event: str) -> Any:
        words = ("rules", "explain", "sales.exports", "--file", "rules.yaml", "--event", event)
        [explanation] = document(gateway(*words, "-o", "json"))
        shown = gateway(*words).stdout
        assert (explanation["pattern_field"] != "pattern") == ("compared with collect.complete_when" in shown)
        return explanation

    def test_explain_compares_with_the_pattern_that_is_meant(
        self, gateway: Gateway, collects: Path, folder: Path
    ) -> None:
        """The one that matches, else the closer one."""
        assert collects.exists()
        (folder / "other.json").write_text(json.dumps(exported("refunds/2026-11-22/eu.csv")))
        found = {name: self.explained(gateway, name) for name in ("member.json", "marker.json", "other.json")}
        assert {name: (one["pattern_field"], one["matches"]) for name, one in found.items()} == {
            "member.json": ("pattern", True),
            "marker.json": ("collect.complete_when.event.pattern", True),
            "other.json": ("pattern", False),
        }
        assert [one["outcome"] for one in found["marker.json"]["results"]] == ["marker"]

    def test_a_markers_pattern_that_can_never_match_is_a_warning(
        self, gateway: Gateway, collects: Path
    ) -> None:
        collects.write_text(
            COLLECTS.replace("{source: [acme.exports]}", "{source: [aws.s3], detail-type: [Done]}")
        )
        output = gateway("rules", "validate", str(collects))
        assert "collect.complete_when.event.pattern.detail-type: no event of aws.s3" in output.stderr


class TestEventFiles:
    """Whatever a source sends, by the production parsers."""

    @pytest.mark.parametrize("name", sorted(file.name for file in EVENTS.glob("*.json")))
    def test_every_sample_event_is_read(self, name: str) -> None:
        """None of them is refused as a file; what is malformed in them is one of the events."""
        events = read_events([EVENTS / name])
        malformed = [one for one in events if isinstance(one.event, MalformedEvent)]
        assert bool(malformed) == any(
            word in name for word in ("malformed", "poison", "unknown_version", "raw", "redriven_forged")
        )

    @pytest.mark.parametrize(
        ("name", "parse"),
        [
            ("s3_put.json", from_s3_notification),
            ("sns_json.json", lambda payload: from_sns_notification(payload, frozenset())),
            ("eventbridge_custom.json", from_eventbridge),
        ],
    )
    def test_it_is_the_event_that_its_function_makes(
        self, name: str, parse: Callable[[Any], list[Any]]
    ) -> None:
        """With the same identity, so that the run_id is the real one."""
        [named] = read_events([EVENTS / name])
        assert parse(json.loads((EVENTS / name).read_text())) == [named.event]

    def test_an_inner_event_of_a_topic_that_is_believed(self) -> None:
        """Only where the topic is named, as in the deployment."""
        payload = json.loads((EVENTS / "sns_s3_put.json").read_text())
        topic = payload["Records"][0]["Sns"]["TopicArn"]
        sources = [
            events_of(payload, "x", unwrap_topics=topics)[0].event.envelope["source"]
            for topics in (frozenset(), frozenset({topic}))
        ]
        assert sources == ["aws.sns", "aws.s3"]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("{", "event.json:1: this is not JSON"),
            ('{"a": 1, "a": 2}', "event.json:1: the key 'a' is given twice"),
        ],
    )
    def test_a_file_that_is_no_json(
        self, gateway: Gateway, rules: Path, folder: Path, text: str, expected: str
    ) -> None:
        """With the line."""
        (folder / "event.json").write_text(text)
        output = gateway("rules", "test", str(rules), "--event", "event.json", exit_code=1)
        assert expected in output.stderr

    def test_a_list_of_events_and_a_folder(self, folder: Path) -> None:
        """Each event has a name that says where it is from."""
        custom = json.loads((EVENTS / "eventbridge_custom.json").read_text())
        (folder / "a.json").write_text(json.dumps([custom, custom]))
        (folder / "b.json").write_text(json.dumps(custom))
        assert [named.name for named in read_events([Path()])] == ["a.json[0]", "a.json[1]", "b.json"]


CASES = f"""\
- name: an order lands
  event: {EVENTS}/s3_put.json
  expect:
    - rule: finance.orders
      environment: analytics
      dag_id: ingest_orders
      conf_includes: {{size: 1024}}
- name: an export that nobody can use
  event: {EVENTS}/sns_json.json
  expect: [{{rule: sales.exports, reason_includes: is an object}}]
- event: {{version: "0", id: "1", source: acme, detail-type: x, account: "1", region: r, time: t, detail: {{}}}}
  expect: []
"""


class TestExpectations:
    """A test suite for a pipeline: it fails when anything else happens, and says what."""

    def run(self, gateway: Gateway, folder: Path, cases: str, *words: str, exit_code: int = 0) -> Result:
        (folder / "cases.yaml").write_text(cases)
        return gateway("rules", "test", "rules.yaml", "--expect", "cases.yaml", *words, exit_code=exit_code)

    def test_what_is_as_expected(self, gateway: Gateway, rules: Path, folder: Path) -> None:
        """Exit code 0, a line for each case."""
        assert rules.exists()
        output = self.run(gateway, folder, CASES)
        assert [line[:2] for line in output.stdout.splitlines()] == ["✓ ", "✓ ", "✓ "]
        assert output.stderr == "3 cases passed\n"

    @pytest.mark.parametrize(
        ("before", "after", "expected"),
        [
            (
                "dag_id: ingest_orders",
                "dag_id: other",
                ["dag_id", 'expected  "other"', 'actual    "ingest_orders"'],
            ),
            ("{size: 1024}", "{size: 1}", ["conf.size", "expected  1", "actual    1024"]),
            ("{size: 1024}", "{colour: red}", ["conf.colour", 'expected  "red"', "actual    (none)"]),
            ("conf_includes: {size", "conf: {size", ["conf.key", "expected  (none)", "actual    "]),
            ("rule: finance.orders", "rule: finance.refunds", ["finance.refunds is expected to match"]),
            ("rule: finance.orders", "{target: x, rule: finance.orders", ["and target x does not"]),
            ("is an object", "is a list", ["reason", 'expected  "is a list"']),
            (
                "reason_includes: is an object",
                "dag_id: exports",
                ["outcome", 'expected  "run"', 'actual    "refused"'],
            ),
            (
                "[{rule: sales.exports, reason_includes: is an object}]",
                "[]",
                ["is refused, which is not expected"],
            ),
            ("expect: []", "expect: [{rule: finance.stopped}]", ["finance.stopped is expected to match"]),
        ],
    )
    def test_what_is_not(
        self, gateway: Gateway, rules: Path, folder: Path, *, before: str, after: str, expected: list[str]
    ) -> None:
        """Exit code 1; of the case that fails, what was expected and what came."""
        assert rules.exists()
        assert before in CASES
        cases = CASES.replace(before, after, 1)
        if after.startswith("{target"):
            cases = CASES.replace("- rule: finance.orders\n", "- rule: finance.orders\n      target: x\n", 1)
        output = self.run(gateway, folder, cases, exit_code=1)
        assert [text for text in expected if text not in output.stdout] == []
        assert "Error: 1 of 3 cases failed" in output.stderr

    def test_a_run_that_nobody_expects_is_a_failure(
        self, gateway: Gateway, rules: Path, folder: Path
    ) -> None:
        """A rule that matches too much is what a suite is for."""
        rules.write_text(RULES.replace("state: DISABLED", "state: ENABLED"))
        output = self.run(gateway, folder, CASES, "-o", "json", exit_code=1)
        [failed] = [case for case in document(output)["cases"] if not case["passed"]]
        assert failed["failures"] == [
            {
                "rule_id": "finance.stopped",
                "message": "starts analytics:never, which is not expected",
                "fields": [],
            }
        ]

    @pytest.mark.parametrize(
        ("cases", "expected"),
        [
            ("a: b\n", "cases.yaml:1: an expect file is a list of cases"),
            ("- event: a\n", "cases.yaml:1: a case has `event`"),
            (
                "- {event: a, expect: []}\n- {event: a, expect: [], nmae: x}\n",
                "cases.yaml:2: 'nmae' is no field",
            ),
            ("- {event: 1, expect: []}\n", "cases.yaml:1: `event` must be the name of a file"),
            ("- {event: a, expect: {}}\n", "cases.yaml:1: `expect` must be a list"),
            (
                "- {event: a, expect: [{dag_id: x}]}\n",
                "cases.yaml:1: each entry of `expect` must name its `rule`",
            ),
            (
                "- {event: a, expect: [{rule: x, dagid: x}]}\n",
                "'dagid' is no field of `expect`; did you mean 'dag_id'?",
            ),
            (
                "- {event: nowhere.json, expect: []}\n",
                "cases.yaml:1: cannot read nowhere.json: No such file",
            ),
        ],
    )
    def test_a_file_that_is_no_suite(
        self, gateway: Gateway, rules: Path, folder: Path, cases: str, expected: str
    ) -> None:
        """A case that is misspelt must not pass."""
        assert rules.exists()
        assert expected in self.run(gateway, folder, cases, exit_code=1).stderr

    def test_a_folder_of_suites_and_their_events(self, gateway: Gateway, rules: Path, folder: Path) -> None:
        """YAML files are suites; JSON files beside them are their events."""
        assert rules.exists()
        (folder / "suite").mkdir()
        (folder / "suite" / "put.json").write_text((EVENTS / "s3_put.json").read_text())
        (folder / "suite" / "orders.yaml").write_text(
            "- {event: put.json, expect: [{rule: finance.orders}]}\n"
        )
        assert gateway("rules", "test", "rules.yaml", "--expect", "suite").stderr == "1 case passed\n"


def test_a_trial_is_what_ingest_does() -> None:
    """Every rule of a generated set that matches one by one is in the trial, and no other."""
    rules = [parse_rule({**rule, "state": "ENABLED"}, environments=None) for rule in yaml.safe_load(RULES)]
    events = read_events([EVENTS])
    tried = matched = 0
    for trial in try_events(rules, events, environments=None):
        if isinstance(trial.event.event, MalformedEvent):
            continue
        matching = {rule.id for rule in rules if rule.pattern.matches(trial.event.event.envelope)}
        assert matching == {result.rule_id for result in trial.results}
        tried, matched = tried + 1, matched + bool(matching)
    assert 0 < matched < tried
    readable = [event for event in events if not isinstance(event.event, MalformedEvent)]
    assert len(readable) == tried


class TestExplain:
    """Field by field, with the value seen."""

    def explained(self, gateway: Gateway, event: Any, folder: Path, rule: str = "finance.orders") -> Any:
        (folder / "event.json").write_text(json.dumps(event))
        output = gateway(
            "rules", "explain", rule, "--event", "event.json", "--file", "rules.yaml", "-o", "json"
        )
        [explanation] = document(output)
        return explanation

    def upload(self, key: str) -> Any:
        event = json.loads((EVENTS / "eventbridge_s3_put.json").read_text())
        event["detail"]["object"]["key"] = key
        event["detail"]["bucket"]["name"] = "acme-landing"
        return event

    def test_the_field_that_does_not_match(self, gateway: Gateway, rules: Path, folder: Path) -> None:
        """The others do."""
        assert rules.exists()
        output = self.explained(gateway, self.upload("refunds/a.csv"), folder)
        assert (output["matches"], output["results"]) == (False, [])
        assert {field["field"]: field["matches"] for field in output["fields"]} == {
            "source": True,
            "detail-type": True,
            "detail.bucket.name": True,
            "detail.object.key": False,
        }
        assert output["fields"][-1]["seen"] == ["refunds/a.csv"]

    def test_for_people(self, gateway: Gateway, rules: Path, folder: Path) -> None:
        """The verdict, a line for each field, and what would be started."""
        assert rules.exists()
        self.explained(gateway, self.upload("orders/a.csv"), folder)
        words = ("rules", "explain", "finance.orders", "--event", "event.json", "--file", "rules.yaml")
        lines = gateway(*words).stdout.splitlines()
        assert lines[:3] == [
            "finance.orders  event.json: aws.s3 · Object Created",
            "  matches",
            '  ✓ source              ["aws.s3"]  has "aws.s3"',
        ]
        assert "    ✓ finance.orders → analytics:ingest_orders  target default" in lines

    def test_the_rule_in_the_table(self, gateway: Gateway, rules: Path, folder: Path) -> None:
        """Where no file is named; one that is stopped says so."""
        assert rules.exists()
        gateway("rules", "apply", "rules.yaml")
        (folder / "event.json").write_text(json.dumps(self.upload("orders/a.csv")))
        output = gateway("rules", "explain", "finance.stopped", "--event", "event.json").stdout
        assert "finance.stopped version 1" in output
        assert "the rule is DISABLED" in output

    def test_a_broken_rule_in_the_table(
        self, gateway: Gateway, gateway_outputs: dict[str, str], rules: Path, folder: Path
    ) -> None:
        """Its environment is gone since: the pattern matches, and what is said first is that it starts nothing."""
        assert rules.exists()
        gateway("rules", "apply", "rules.yaml")
        gateway_outputs["EnvironmentNames"] = "reporting"
        (folder / "event.json").write_text(json.dumps(self.upload("orders/a.csv")))
        words = ("rules", "explain", "finance.orders", "--event", "event.json")
        assert "the rule is broken and starts nothing: target" in gateway(*words).stdout
        [output] = document(gateway(*words, "-o", "json"))
        assert (True, True) == (output["matches"], "'analytics' is not an environment" in output["broken"])
        listed = gateway("rules", "list")
        assert "(broken)" in listed.stdout
        assert "finance.orders is broken, its events go to the ingress DLQ: target" in listed.stderr
        by_id = {rule["id"]: rule["broken"] for rule in document(gateway("rules", "list", "-o", "json"))}
        assert (None, True) == (by_id["sales.exports"], "'analytics'" in by_id["finance.orders"])

    @pytest.mark.parametrize(
        ("pattern", "event", "hint"),
        [
            ({"detail": {"name": ["Abc"]}}, {"name": "abc"}, "only upper and lower case differ"),
            ({"detail": {"name": [{"prefix": "Ab"}]}}, {"name": "abc"}, "only upper and lower case differ"),
            (
                {"detail": {"name": [{"suffix": ".CSV"}]}},
                {"name": "a.csv"},
                "only upper and lower case differ",
            ),
            (
                {"detail": {"name": [{"wildcard": "in/*.CSV"}]}},
                {"name": "in/a.csv"},
                "only upper and lower case",
            ),
            (
                {"detail": {"objectKey": ["a"]}},
                {"ObjectKey": "a"},
                "the event has detail.ObjectKey: only upper",
            ),
            ({"detail": {"name": ["a/b"]}}, {"name": "a/b/"}, "only slashes or blanks"),
            ({"detail": {"size": ["1"]}}, {"size": 1}, "the pattern has text: write 1"),
            ({"detail": {"size": [1]}}, {"size": "1"}, "the event has text here"),
            (
                {"detail": {"object_key": ["a"]}},
                {"object-key": "a"},
                "the event has detail.object-key: did you mean that?",
            ),
            ({"detail": {"colour": ["a"]}}, {"size": 1}, "the event has no such field"),
        ],
    )
    def test_what_a_person_would_notice(
        self, gateway: Gateway, folder: Path, pattern: Any, event: Any, hint: str
    ) -> None:
        """The usual mistakes are named."""
        rule = {"id": "a", "pattern": pattern, "target": {"environment": "e", "dag_id": "d"}}
        (folder / "rules.yaml").write_text(yaml.safe_dump(rule))
        envelope = json.loads((EVENTS / "eventbridge_custom.json").read_text()) | {"detail": event}
        [field] = self.explained(gateway, envelope, folder, "a")["fields"]
        assert hint in field["hint"]

    def test_the_alternative_that_comes_closest(self, gateway: Gateway, folder: Path) -> None:
        """Of several ways through `$or`."""
        pattern = {
            "$or": [
                {"source": ["x"], "detail-type": ["y"]},
                {"source": ["acme.ledger"], "detail-type": ["y"]},
            ]
        }
        rule = {"id": "a", "pattern": pattern, "target": {"environment": "e", "dag_id": "d"}}
        (folder / "rules.yaml").write_text(yaml.safe_dump(rule))
        envelope = json.loads((EVENTS / "eventbridge_custom.json").read_text()) | {"source": "acme.ledger"}
        output = self.explained(gateway, envelope, folder, "a")
        assert (
            output["alternative"],
            output["alternatives"],
            [field["matches"] for field in output["fields"]],
        ) == (2, 2, [False, True])

    def test_fields_of_one_list_that_lie_in_different_elements(self, gateway: Gateway, folder: Path) -> None:
        """Each matches by itself, and the event does not: the trap that nobody sees."""
        pattern = {"detail": {"items": {"name": ["a"], "price": [2]}}}
        rule = {"id": "a", "pattern": pattern, "target": {"environment": "e", "dag_id": "d"}}
        (folder / "rules.yaml").write_text(yaml.safe_dump(rule))
        items = [{"name": "a", "price": 1}, {"name": "b", "price": 2}]
        envelope = json.loads((EVENTS / "eventbridge_custom.json").read_text()) | {"detail": {"items": items}}
        output = self.explained(gateway, envelope, folder, "a")
        assert (output["matches"], [field["matches"] for field in output["fields"]]) == (False, [True, True])
        assert "must match within one object" in output["reason"]

    def test_a_rule_that_is_in_no_file(self, gateway: Gateway, rules: Path) -> None:
        """The command says so, and guesses nothing."""
        assert rules.exists()
        event = str(EVENTS / "s3_put.json")
        output = gateway(
            "rules", "explain", "finance.x", "--event", event, "--file", "rules.yaml", exit_code=1
        )
        assert "there is no valid rule 'finance.x' in rules.yaml" in output.stderr
