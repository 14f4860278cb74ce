"""Fault matrix, row 47: killed at every I/O point of collecting and releasing, and at every pair of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from simulation.collecting import COLLECTED, a_closing, a_marker, a_member, a_sale
from simulation.crash_plans import Plan, PlannedCrashes, described, plans_after
from simulation.scenario import Scenario
from simulation.scheduler import Process
from simulation.speed import texts_read_once

MINUTE, HOUR = 60.0, 3600.0
PAIR = COLLECTED["feed.parts"] | {
    "collect": {"key": ["<date>"], "max_wait": "6h", "complete_when": {"count": 2}}
}
QUIET = COLLECTED["feed.nightly"] | {"collect": {"key": ["<date>"], "quiet_period": "1m"}}


@pytest.fixture(autouse=True)
def _texts_read_once() -> Iterator[None]:
    with texts_read_once():
        yield


def complete(scenario: Scenario) -> None:
    """Two members complete a batch; one of them is delivered again when it is released."""
    scenario.gateway.put_rule(PAIR)
    scenario.collect(1, a_member(1, "feed.parts", "d1", "1"), again_at=(3 * HOUR,))
    scenario.collect(2, a_member(2, "feed.parts", "d1", "2"))


def overtaken(scenario: Scenario) -> None:
    """A member arrives in the very moment in which the release of its batch begins, and two days later again."""
    scenario.gateway.put_rule(QUIET)
    scenario.gateway.feeds.collector.window = 0.0
    scenario.collect(1, a_member(1, "feed.nightly", "d1", "1"))

    def arrives(key: tuple[str, str], _old: object, new: dict) -> None:
        if key[1] == "batch" and new["state"]["S"] == "releasing" and 2 not in scenario.expected.pieces:
            made = a_member(2, "feed.nightly", "d1", "2")
            scenario.collect(2, made, at=scenario.now, again_at=(scenario.now + 3 * HOUR,))

    scenario.gateway.feeds.table.watches.append(arrives)


def marked(scenario: Scenario) -> None:
    """A marker overtakes its two members; a late member comes an hour later."""
    scenario.gateway.put_rule(COLLECTED["feed.export"])
    scenario.collect(1, a_marker(1, "d1", 2))
    scenario.collect(2, a_member(2, "feed.export", "d1", "2"), at=10)
    scenario.collect(3, a_member(3, "feed.export", "d1", "3"), at=11)
    scenario.collect(4, a_member(4, "feed.export", "d1", "4"), at=HOUR)


def cancelled(scenario: Scenario) -> None:
    """An operator cancels the batch, and gives the command again if it came to no end; a member is delivered again."""
    feeds = scenario.gateway.feeds
    scenario.gateway.put_rule(COLLECTED["feed.shop"])
    scenario.collect(1, a_sale(1, "a"), again_at=(3 * HOUR,))
    scenario.collect(2, a_closing(2, "b"))

    def cancel() -> None:
        if not feeds.done:
            feeds.operate(cancel=True, rule="feed.shop")
            scenario.at(scenario.now + 5 * MINUTE, cancel)

    scenario.at(10 * MINUTE, cancel)


@dataclass(frozen=True, slots=True)
class Story:
    """What happens, how many batches become runs, and which calls it has at least."""

    happens: Callable[[Scenario], None]
    batches: range
    calls: frozenset[str]

    def play(self, plan: Plan, meant: Callable[[Process], bool]) -> list[str]:
        """Play it, killed as planned; returns the calls of those that are meant."""
        crashes = PlannedCrashes(plan, meant)
        scenario = Scenario(crashes=crashes)
        self.happens(scenario)
        verdict = scenario.play()
        assert verdict.ok, f"killed at {described(plan, crashes.calls)}: {verdict.problems}"
        assert verdict.batches in self.batches, f"killed at {described(plan, crashes.calls)}"
        return crashes.calls


def decides(process: Process) -> bool:
    """Whether it is a collector, a releaser or the operator; what they send to is not."""
    functions = process.chain.keys() - {"batch_timers"}
    return not any(name.startswith("dispatcher") for name in functions) and any(
        name.startswith(("batch_", "operator")) for name in functions
    )


def decides_or_ticks(process: Process) -> bool:
    return decides(process) or process.chain.keys() == {"batch_timers"}


RELEASE = {"GetItem", "Query", "BatchGetItem", "UpdateItem", "PutObject", "PutItem", "SendMessageBatch"}
STORIES = {
    story.happens.__name__: story
    for story in (
        Story(complete, range(1, 2), frozenset(RELEASE | {"GetObject"})),
        Story(overtaken, range(1, 3), frozenset(RELEASE)),
        # A member that a kill delays by hours is in time for no batch of its marker, or late.
        Story(marked, range(1, 4), frozenset(RELEASE)),
        Story(
            cancelled, range(1), frozenset({"GetItem", "Query", "BatchGetItem", "UpdateItem", "PutObject"})
        ),
    )
}
Record = Callable[[str, dict[str, int]], None]


def killed_everywhere(story: Story, *, pairs: bool) -> dict[str, int]:
    meant = decides if pairs else decides_or_ticks  # most of a tick reads: a kill there leaves nothing behind
    calls = story.play({}, meant)
    assert story.calls <= set(calls)
    counts = {"points": 0, "pairs": 0}
    for single in plans_after({}, calls):
        counts["points"] += 1
        calls_then = story.play(single, meant)
        for pair in plans_after(single, calls_then) if pairs else ():
            story.play(pair, meant)
            counts["pairs"] += 1
    assert counts["points"] > len(calls)
    return counts


@pytest.mark.guarantee(47)
@pytest.mark.parametrize("story", STORIES)
def test_row_47_killed_at_every_point(story: str, record_property: Record) -> None:
    """Each event in one batch, each batch one run, and nothing left open."""
    record_property("counts", killed_everywhere(STORIES[story], pairs=False))


@pytest.mark.full
@pytest.mark.guarantee(47)
@pytest.mark.parametrize("story", STORIES)
def test_row_47_killed_at_every_pair_of_points(story: str, record_property: Record) -> None:
    record_property("counts", killed_everywhere(STORIES[story], pairs=True))
