"""From an event and its rule to what runs: captures, keys, DAG ids and confs, or a reason."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mwaa_gateway.dead_events import DeadEventReason
from mwaa_gateway.events import Event
from mwaa_gateway.routing.resolve import Refused, Resolved, of_generation, resolve
from mwaa_gateway.rules import parse_rule
from mwaa_gateway.trigger_request import TriggerRequest, derive_run_id

KEY = "orders/eu/dt=2026-11-22/part-1.csv"
ORDERS = {"detail.object.key": "orders/{region}/dt={date}/{file}.csv"}


def upload(key: str = KEY, *, event_id: str = "1", time: str = "2026-11-22T10:00:00Z", **more: Any) -> Event:
    envelope = {
        "version": "0",
        "id": event_id,
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "123456789012",
        "time": time,
        "region": "eu-west-1",
        "resources": [],
        "detail": {
            "bucket": {"name": "acme"},
            "object": {"key": key, "size": 10},
            "flag": True,
            "none": None,
        },
        **more,
    }
    return Event(envelope, f"s3|acme|{key}|{event_id}")


def outcomes(event: Event, *, target: dict[str, Any] | None = None, **rule: Any) -> list[Resolved | Refused]:
    written = {
        "id": "sales.orders",
        "pattern": {"source": ["aws.s3"]},
        "target": {"environment": "analytics", "dag_id": "ingest"} | (target or {}),
        **rule,
    }
    return list(resolve(event, parse_rule(written, environments=None, version=3), now=1_763_805_600.25))


def request(event: Event, **rule: Any) -> TriggerRequest:
    (found,) = outcomes(event, **rule)
    assert isinstance(found, Resolved), found
    return found.request


def refused(event: Event, **rule: Any) -> tuple[DeadEventReason, str]:
    (found,) = outcomes(event, **rule)
    assert isinstance(found, Refused)
    return found.reason, found.text


class TestCaptures:
    """Named pieces, wherever a value may stand."""

    def test_fill_conf_and_dag_id(self):
        """As whole values and inside text, in the template and in the name of the DAG."""
        found = request(
            upload(),
            captures=ORDERS,
            target={
                "dag_id": "ingest_<region>",
                "allowed_dag_ids": ["ingest_eu", "ingest_us"],
                "input_transformer": {
                    "input_paths": {"size": "$.detail.object.size"},
                    "input_template": {"date": "<date>", "text": "<region>/<file>: <size>", "size": "<size>"},
                },
            },
        )
        assert "ingest_eu" == found.target.dag_id
        assert {"date": "2026-11-22", "text": "eu/part-1: 10", "size": 10} == {
            name: value for name, value in found.target.conf.items() if name != "mwaa_gateway"
        }

    def test_another_form_is_one_refusal_for_all_targets(self):
        """The pattern matches, so the refusal is reported, never skipped."""
        targets = [{"id": name, "environment": "a", "dag_id": "d"} for name in ("a", "b")]
        rule = {"id": "a.b", "pattern": {"source": ["aws.s3"]}, "captures": ORDERS, "targets": targets}
        (found,) = resolve(upload("orders/readme.csv"), parse_rule(rule, environments=None), now=0)
        assert isinstance(found, Refused)
        assert (DeadEventReason.CAPTURES_REFUSED, None) == (found.reason, found.target)

    def test_ingestion_time(self):
        """EventBridge's reserved variable: when the gateway took the event in."""
        template = {"input_template": {"at": "<aws.events.event.ingestion-time>"}}
        conf = request(upload(), target={"input_transformer": template}).target.conf
        assert "2025-11-22T10:00:00.250Z" == conf["at"]


class TestDagId:
    """The DAG from the event, within the rule's own list."""

    @pytest.mark.parametrize(
        ("dag_id", "allowed", "expected"),
        [
            ("ingest_<region>", ["ingest_eu"], "ingest_eu"),
            ("ingest_<region>", ["ingest_*"], "ingest_eu"),
            ("<region>_<file>", ["*_part-1"], "eu_part-1"),
            ("<$.source>", ["aws.s3"], "aws.s3"),
            ("n_<$.detail.object.size>", ["n_*"], "n_10"),
            ("n_<$.detail.flag>", ["n_*"], "n_true"),
        ],
    )
    def test_allowed(self, dag_id: str, allowed: list[str], expected: str):
        """By name, or by a name with `*` in it; values are captures, and paths in place."""
        target = {"dag_id": dag_id, "allowed_dag_ids": allowed}
        assert expected == request(upload(), captures=ORDERS, target=target).target.dag_id

    @pytest.mark.parametrize(
        ("dag_id", "allowed", "key", "reason"),
        [
            (
                "ingest_<region>",
                ["ingest_us"],
                KEY,
                "'ingest_eu' for this event, which is not in allowed_dag_ids",
            ),
            ("ingest_<region>", ["ingest_*"], KEY.replace("eu", "e u"), "'ingest_e u' for this event"),
            ("ingest_<region>", ["ingest_*"], KEY.replace("eu", "\udc00"), "contains half a surrogate pair"),
            ("ingest_<region>", ["ingest_*"], KEY.replace("eu", "u" * 400), "'ingest_" + "u" * 93 + "'"),
            ("d_<$.detail.gone>", ["d_*"], KEY, "<$.detail.gone> is missing in this event"),
            ("d_<$.detail.none>", ["d_*"], KEY, "<$.detail.none> is null in this event"),
            ("d_<$.detail.object>", ["d_*"], KEY, "<$.detail.object> is an object in this event"),
        ],
    )
    def test_refused(self, dag_id: str, allowed: list[str], key: str, reason: str):
        """Dead, naming the value; nothing is started, and no DAG is guessed."""
        found, text = refused(
            upload(key), captures=ORDERS, target={"dag_id": dag_id, "allowed_dag_ids": allowed}
        )
        assert DeadEventReason.DAG_ID_REFUSED == found
        assert reason in text

    def test_input_paths_may_name_it(self):
        """What the target names for its conf, it may use in its dag_id."""
        target = {
            "dag_id": "d_<b>",
            "allowed_dag_ids": ["d_acme"],
            "input_transformer": {"input_paths": {"b": "$.detail.bucket.name"}, "input_template": {}},
        }
        assert "d_acme" == request(upload(), target=target).target.dag_id

    @given(st.text(max_size=20))
    def test_no_event_names_another_dag(self, region: str):
        """Whatever text stands there, the DAG is one of those listed, or none."""
        event = upload(detail={"region": region})
        target = {"dag_id": "in_<$.detail.region>", "allowed_dag_ids": ["in_eu", "in_a*z"]}
        (found,) = outcomes(event, target=target)
        if isinstance(found, Resolved):
            dag_id = found.request.target.dag_id
            assert dag_id == "in_eu" or (dag_id.startswith("in_a") and dag_id.endswith("z"))
            assert dag_id.isascii()

    def test_one_target_refused_leaves_the_others(self):
        """Each target stands for itself."""
        targets = [
            {"id": "a", "environment": "e", "dag_id": "d_<$.source>", "allowed_dag_ids": ["x"]},
            {"id": "b", "environment": "e", "dag_id": "d"},
        ]
        rule = {"id": "a.b", "pattern": {"source": ["aws.s3"]}, "targets": targets}
        first, second = resolve(upload(), parse_rule(rule, environments=None), now=0)
        assert (Refused, Resolved) == (type(first), type(second))


class TestDedupeKey:
    """What makes two events of a rule one run."""

    @pytest.mark.parametrize(
        ("key", "same"),
        [
            ("<region>-<date>", True),
            (["<region>", "<date>"], True),
            ("<file>", False),
            (["<region>", "<$.id>"], False),
        ],
    )
    def test_key(self, key: Any, same: bool):  # noqa: FBT001
        """Two events with one key have one run_id and one ledger row."""
        one, two = upload(), upload(KEY.replace("part-1", "part-2"), event_id="2")
        first, second = (request(event, captures=ORDERS, dedupe_key=key) for event in (one, two))
        assert same == (first.target.run_id == second.target.run_id)
        assert same == (first.ledger_key == second.ledger_key)
        assert ("1", "2") == (first.event["id"], second.event["id"])

    def test_parts_are_kept_apart(self):
        """("a", "b-c") is another key than ("a-b", "c"), whatever strangers write."""
        events = [upload(f"orders/{region}/dt={date}/x.csv") for region, date in (("a|b", "c"), ("a", "b|c"))]
        ids = {request(e, captures=ORDERS, dedupe_key=["<region>", "<date>"]).target.run_id for e in events}
        assert 2 == len(ids)

    def test_is_the_rules_own(self):
        """Two rules with the same key have a run each, and a key poses as no event's identity."""
        one, two = (request(upload(), id=rule, dedupe_key="<$.source>") for rule in ("a.one", "a.two"))
        assert one.identity != two.identity
        assert upload().identity != one.identity
        assert derive_run_id(one.identity, "a.one", "default") == one.target.run_id

    @pytest.mark.parametrize(
        ("window", "times", "runs"),
        [
            (None, ["2026-11-22T00:00:00Z", "2027-01-01T00:00:00Z"], 1),
            ("1d", ["2026-11-22T00:00:00Z", "2026-11-22T23:59:59.999Z"], 1),
            ("1d", ["2026-11-22T23:59:59Z", "2026-11-23T00:00:00Z"], 2),
            ("1d", ["2026-11-22T23:59:59Z", "2026-11-23T00:59:59+01:00"], 1),
            ("1h", ["2026-11-22T10:00:00Z", "2026-11-22T10:59:00Z", "2026-11-22T11:00:00Z"], 2),
            ("7d", ["2026-11-25T23:59:59Z", "2026-11-26T00:00:00Z"], 2),  # a Thursday, as 1 January 1970
        ],
    )
    def test_window(self, window: str | None, times: list[str], runs: int):
        """Fixed windows from the epoch on, by the event's own time: a late delivery finds its window again."""
        key = {"key": "<$.source>"} | ({"window": window} if window else {})
        ids = {
            request(upload(event_id=str(n), time=at), dedupe_key=key).target.run_id
            for n, at in enumerate(times)
        }
        assert runs == len(ids)

    @pytest.mark.parametrize(
        ("key", "event", "reason"),
        [
            ("<$.detail.gone>", upload(), "<$.detail.gone> is missing in this event"),
            (["<$.source>", "<$.detail.none>"], upload(), "<$.detail.none> is null"),
            ("<$.region>", upload(region=""), "<$.region> is empty in this event"),
            ("<$.detail>", upload(), "<$.detail> is an object in this event"),
            ("<$.region>", upload(region="x" * 1_025), "has 1025 characters for this event; at most 1024"),
            ({"key": "<$.id>", "window": "1d"}, upload(time="yesterday"), "the event's time must be a date"),
            ({"key": "<$.id>", "window": "1d"}, upload(time="2026-11-22T10:00:00"), "with an offset"),
        ],
    )
    def test_refused(self, key: Any, event: Event, reason: str):
        """An empty key would make every such event one run: an error, never a key."""
        found, text = refused(event, dedupe_key=key)
        assert DeadEventReason.DEDUPE_KEY_REFUSED == found
        assert reason in text


class TestReplay:
    """Events that an archive sends again."""

    def test_dedupe_is_the_default(self):
        """A replayed event is the event that it was."""
        again = upload(**{"replay-name": "monday"})
        assert request(upload()).target.run_id == request(again).target.run_id

    @pytest.mark.parametrize("key", [None, "<$.source>"])
    def test_rerun(self, key: str | None):
        """Each replay by its name is a run of its own, once however often it is delivered."""
        rule = {"on_replay": "rerun"} | ({"dedupe_key": key} if key else {})
        events = [upload(), *(upload(**{"replay-name": name}) for name in ("monday", "monday", "tuesday"))]
        ids = [request(event, **rule).target.run_id for event in events]
        assert 3 == len(set(ids))
        assert ids[1] == ids[2]

    def test_a_name_that_is_none_changes_nothing(self):
        """Only text that says which replay it was is one."""
        events = [upload(), upload(**{"replay-name": ""}), upload(**{"replay-name": 7})]
        assert 1 == len({request(event, on_replay="rerun").target.run_id for event in events})


class TestDates:
    """The logical date and the partition key of a run."""

    @pytest.mark.parametrize(
        ("template", "expected"),
        [
            ("<date>", "2026-11-22T00:00:00+00:00"),
            ("<date>T06:30", "2026-11-22T06:30:00+00:00"),
            ("<date>T06:30:15.5+01:00", "2026-11-22T05:30:15.500000+00:00"),
            ("<$.time>", "2026-11-22T10:00:00+00:00"),
            ("<when>", "2026-11-22T10:00:00+00:00"),
        ],
    )
    def test_logical_date(self, template: str, expected: str):
        """A date is its midnight in UTC; captures, paths and input paths name it."""
        target = {
            "logical_date": template,
            "input_transformer": {"input_paths": {"when": "$.time"}, "input_template": {}},
        }
        assert request(upload(), captures=ORDERS, target=target).target.logical_date == expected

    @pytest.mark.parametrize(
        ("template", "text"),
        [
            ("<region>", "logical_date of target 'default' is 'eu' for this event, which is no date"),
            (
                "<date>T25:00",
                "logical_date of target 'default' is '2026-11-22T25:00' for this event, which is no date",
            ),
            ("0001-01-01T00:00+<$.detail.object.size>:00", "which is no date"),
            ("<$.detail.day>", "logical_date of target 'default': <$.detail.day> is missing in this event"),
            ("<$.detail.none>", "logical_date of target 'default': <$.detail.none> is null in this event"),
        ],
    )
    def test_no_date(self, template: str, text: str):
        """Refused as a conf that cannot be made, by its field."""
        reason, found = refused(upload(), captures=ORDERS, target={"logical_date": template})
        assert reason == DeadEventReason.CONF_NOT_MADE
        assert text in found

    def test_partition_key(self):
        found = request(upload(), captures=ORDERS, target={"partition_key": "<region>|<date>"})
        assert found.target.partition_key == "eu|2026-11-22"
        for key, text in ((" ", "is ' ' for this event"), ("x" * 251, "allows at most 250 characters")):
            event = upload(detail={"key": key})
            reason, refusal = refused(event, target={"partition_key": "<$.detail.key>"})
            assert (reason, True) == (DeadEventReason.CONF_NOT_MADE, text in refusal), refusal

    def test_without_them(self):
        """Airflow decides."""
        target = request(upload()).target
        assert (target.logical_date, target.partition_key) == (None, None)

    def test_a_rerun_has_a_date_of_its_own(self):
        """A millisecond for each generation: Airflow has one run per date, and `ds` stays."""
        first = request(
            upload(), captures=ORDERS, target={"logical_date": "<date>", "partition_key": "<date>"}
        )
        assert of_generation(first, 0) == first
        second = of_generation(first, 2).target
        assert (second.logical_date, second.partition_key) == (
            "2026-11-22T00:00:00.002000+00:00",
            "2026-11-22",
        )
        assert of_generation(request(upload()), 2).target.logical_date is None
