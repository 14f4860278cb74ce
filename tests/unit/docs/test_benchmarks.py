"""The benchmarks run; what they time, the tests count."""

import json
import sys

import pytest

from benchmarks import hops, ingest, routing, simple_index
from benchmarks.rule_sets import rule_set
from fakes.work import counted_calls
from mwaa_gateway.patterns.index import RuleIndex
from mwaa_gateway.patterns.pattern import compile_pattern
from mwaa_gateway.routing.live_rules import LiveRules

pytestmark = pytest.mark.no_cover  # benchmarks measure times


@pytest.mark.parametrize("kind", ["standard", "wildcard, no ends"])
def test_a_row_of_the_routing_benchmark(kind: str):
    """Every column has its figure, of events that find their rules."""
    row = routing.measured(kind, 100, events=20, seconds=0.01)
    assert row.keys() == routing.COLUMNS.keys()
    assert row["found_per_event"] >= 1
    assert all(row[name] > 0 for name in ("events_per_second", "times_scan", "times_moto"))


@pytest.mark.parametrize("kind", ["standard", "wildcard, no ends"])
def test_the_index_is_far_ahead_of_asking_every_rule(kind: str):
    """A hundredth of the calls, at a thousand rules."""
    shape = rule_set(kind, 1_000, events=5)
    patterns = [compile_pattern(text) for text in shape.patterns]
    index = RuleIndex(enumerate(patterns))
    events = [json.loads(text) for text in shape.events]
    for event in events:
        index.match(event)
    with counted_calls() as asked:
        found = [index.match(event) for event in events]
    with counted_calls() as scanned:
        expected = [
            [number for number, pattern in enumerate(patterns) if pattern.matches(event)] for event in events
        ]
    assert found == expected
    assert asked.count * 100 < scanned.count


def test_ingesting_an_event_takes_as_much_work_among_a_thousand_rules_as_among_ten():
    """Parsed, matched, resolved and encoded: the other rules of its partition are not asked."""

    def calls_per_event(rules: int) -> float:
        shape = rule_set("exact", rules, events=20)
        live = LiveRules(ingest.RulesInMemory(shape), environments={"analytics"}, refresh_seconds=5)
        for text in shape.events:
            ingest.ingested(text, live)
        with counted_calls() as calls:
            for text in shape.events:
                ingest.ingested(text, live)
        return calls.count / len(shape.events)

    assert calls_per_event(1_000) < 1.2 * calls_per_event(10)


def test_a_row_of_the_ingest_benchmark():
    """The order of its figures: a median is no more than the worst hundredth."""
    row = ingest.milliseconds_per_event("exact", 100, events=20)
    assert 0 < row["p50"] <= row["p99"]


@pytest.mark.parametrize("kind", simple_index.KINDS)
def test_a_row_of_the_benchmark_of_a_simple_index(kind: str):
    """Both find the same rules, or the row is refused; only rules with a hashable condition are spared."""
    row = simple_index.measured(kind, 30, events=20)
    assert row.keys() == simple_index.COLUMNS.keys()
    assert row["found_per_event"] <= row["evaluated_per_event"] <= 30
    if kind in {"exact", "prefix", "suffix"}:
        assert row["evaluated_per_event"] < 5
    if kind in {"wildcard", "numeric", "anything-but"}:
        assert row["evaluated_per_event"] == 30


def test_the_rows_of_the_benchmark_of_hops(monkeypatch: pytest.MonkeyPatch):
    """The functions that ship make these calls a run; tokens, pauses and the list of DAGs come once in many runs."""
    monkeypatch.setattr(hops, "PYTHON", sys.executable)  # what a sandbox holds is here too
    monkeypatch.setattr(hops, "WARM", 2)
    expected = {
        "event → nothing, no rule matches": (0, 0),
        "event → message": (1, 0),
        "message → recorded run, `cli`": (2, 1),
        "message → recorded run, `rest`": (3, 0),
        "message → recorded run, `web`, 10 at once": (2, 1),
    }
    measured = {
        hop.name: hop for hop in hops.HOPS
    }  # in order: the first dispatcher leaves the list of DAGs to the others
    with hops.measuring() as functions:
        rows = {name: functions.row(measured[name], 10) for name in expected}
    calls = {name: (int(row["AWS calls"]), int(row["HTTPS requests"])) for name, row in rows.items()}
    assert expected == calls
    assert all(0 < row["p50"] <= row["p99"] for row in rows.values())
