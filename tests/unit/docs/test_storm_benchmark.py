"""The storm's counts can show what went wrong, and each goal can be missed."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks.storm import read_storms
from benchmarks.storm_pictures import draw
from benchmarks.storm_result import Baseline, Storm, goals, lost_and_doubled, print_tables

pytestmark = pytest.mark.no_cover  # benchmarks measure times


def a_storm(name: str, per_second: float) -> Storm:
    """A storm of a hundred events without a fault."""
    accepted = [1 + number / per_second for number in range(100)]
    return Storm(
        name=name,
        at="2026-11-30T01:00+00:00",
        events=100,
        queued_seconds=0.5,
        lost=0,
        doubled=0,
        too_many=0,
        refused=0,
        most_at_once=2,
        allowed_at_once=2,
        accepted=accepted,
        latencies=accepted,
        of_slots=0.98 if name == "cli" else 0.0,
        rest_share=8 if name == "rest" else 0.0,
        raw_per_second=20.0,
        cpu_milliseconds={"Airflow": 40.0, "functions": 10.0},
        idle_users=[0.02] * 20,
        storm_users=[0.03] * 20,
        raw_users=[0.05] * 20,
        unprotected_per_second=20.0,
        unprotected_users=[0.1] * 20,
        baseline=Baseline(100, 90, 0, 1.2) if name == "cli" else None,
    )


STORMS = {
    name: a_storm(name, rate)
    for name, rate in {"rest": 7.9, "web": 16.0, "web-20": 17.0, "web-20-far": 18.0, "cli": 0.6}.items()
}


def test_every_goal_that_is_met_says_so() -> None:
    """Those of each transport, and those of two."""
    assert [goal for goal, _, met in goals(STORMS) if not met] == []


@pytest.mark.parametrize(
    ("name", "changed", "goal"),
    [
        ("rest", {"lost": 1}, "lost"),
        ("web", {"doubled": 1}, "lost"),
        ("cli", {"too_many": 1}, "lost"),
        ("cli", {"refused": 1}, "lost"),
        ("web", {"most_at_once": 3}, "at once"),
        ("rest", {"rest_share": 8.4}, "`RestShare`"),
        ("web-20", {"raw_per_second": 22.0}, "raw"),
        ("web-20-far", {"raw_per_second": 23.0}, "raw"),
        ("cli", {"of_slots": 0.96}, "slots"),
        ("web", {"storm_users": [0.05] * 20}, "reads"),
        ("web", {"accepted": STORMS["rest"].accepted}, "times `rest`"),
    ],
)
def test_each_goal_can_be_missed(name: str, changed: dict[str, object], goal: str) -> None:
    """That one alone."""
    storms = STORMS | {name: replace(STORMS[name], **changed)}  # type: ignore[arg-type]
    (missed,) = [text for text, _, met in goals(storms) if not met]
    assert goal in missed


def test_a_backlog_says_how_fast_the_dispatchers_are() -> None:
    """Dispatchers that keep up with ingress are as slow as ingress."""
    storms = STORMS | {"web-20": replace(STORMS["web-20"], backlog_per_second=15.9)}
    assert [text for text, _, met in goals(storms) if not met] == [
        "`web-20`: of Airflow's raw rate at least 0.8"
    ]


def test_lost_and_doubled_are_counted_by_event() -> None:
    """A run too many makes up for no lost event, and a run of something else for nothing."""
    assert lost_and_doubled(["a", "b", "c"], ["a", "b", "b", "b"]) == (1, 2)
    assert lost_and_doubled(["a"], ["a"]) == (0, 0)


def test_results_are_kept_printed_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was measured comes back as it was, in the order of the transports."""
    file = tmp_path / "storm.json"
    file.write_text(json.dumps({name: asdict(each) for name, each in reversed(STORMS.items())}))
    assert read_storms(file) == STORMS
    assert list(read_storms(file)) == list(STORMS)
    print_tables(STORMS)
    assert "90 lost" in capsys.readouterr().out
    draw(STORMS, tmp_path)
    assert "cli, 100 events" in (tmp_path / "storm-drain.svg").read_text()
