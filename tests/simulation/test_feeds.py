"""Fault matrix, rows 47 to 50, in the simulation: rules that collect; and what fails without each of their safeguards."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from simulation import feeds_days
from simulation.collecting import COLLECTED, a_marker, a_member
from simulation.safeguards import Off, Safeguard, goes_red_without
from simulation.scenario import Scenario
from simulation.simulate import simulate
from simulation.world import Rates

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
COLLECT, RELEASE = "feeds.collect", "feeds.release"
ADD_SEGMENT = "        self.store.add_segment(head.batch_id, segment)\n"
POINT = """        pointers = [Pointer(head.rule_id, each.member, head.batch_id, segment.id, head.key) for each in listed]
        self.store.point(pointers)
"""
CLOSE = "        self._close(batch, batch.reason)\n"
DECIDE = """\
        decision = self.store.decision(batch.id) or self.store.decide(self._decision(batch, batch.reason))
"""
DECISION_ITEM = """self._expires(DECISION_KEPT_SECONDS))
        found = self._put_if(item, "attribute_not_exists(#partition)\
"""


LEASES: tuple[Off, ...] = (
    (RELEASE, "if batch.due_at == lease else", "if True else"),
    (RELEASE, "and self.now() < batch.due_at", "and False"),
)


def _without(
    where: str, piece: str, instead: str, day: Callable[[], list[str]], red: str, *more: Off
) -> Safeguard:
    return Safeguard(((where, piece, instead), *more), day, red)


SAFEGUARDS = {
    "the head is read again after the pointers": _without(
        COLLECT,
        "if head is not None and head.batch_id == pointers[0].batch_id:",
        "if True:",
        feeds_days.a_stream_of_trouble,
        "lost",
        *LEASES,
    ),
    "a segment is written before its pointers": _without(
        COLLECT, ADD_SEGMENT, POINT + ADD_SEGMENT, feeds_days.killed_collectors, "lost"
    ),
    "the head moves before members are counted": _without(
        RELEASE, CLOSE + DECIDE, DECIDE + CLOSE, feeds_days.a_stream, "lost"
    ),
    "a pointer is the membership": _without(
        RELEASE,
        "if pointer.batch_id == batch.id and (pointer.segment, member) in listed",
        "if True",
        feeds_days.a_key_changes,
        "doubled",
        (RELEASE, "arrivals[pointer.segment]", "arrivals.get(pointer.segment, 0.0)"),
    ),
    "the first decision stands": _without(
        "aws.dynamodb.batches",
        DECISION_ITEM,
        f"{DECISION_ITEM} OR attribute_exists(#partition)",
        feeds_days.slow_writes,
        "members, and its decision",
        *LEASES,
    ),
    "a batch's id is random, and pinned in the head": _without(
        COLLECT,
        "self.store.create_head(Head(message.rule_id, key, self.new_id()))",
        "self.store.create_head(Head(message.rule_id, key, key))",
        feeds_days.a_head_expires,
        "lost",
    ),
    "a quiet period ends behind a flush": _without(
        "feeds.condition",
        "if moment.is_quiet and batch.collected_until < moment.at:",
        "if False:",
        feeds_days.a_blocked_queue,
        "early",
    ),
    "a batch that is due lies in an index": _without(
        "feeds.delivery",
        "    batches = [*due]\n",
        "    batches = []\n",
        feeds_days.killed_releasers,
        "is left open",
    ),
    "a part needs so many different members": _without(
        "feeds.condition",
        "if (found := batch.parts.get(name, 0)) < part.at_least",
        "if not (found := batch.parts.get(name, 0))",
        feeds_days.a_join,
        "complete is True",
    ),
    "some of the parts are enough": _without(
        "feeds.condition",
        "if len(parts) - len(lacking) >= require:",
        "if not lacking:",
        feeds_days.a_join,
        "after its bound",
    ),
    "the latest version is listed": _without(
        RELEASE,
        'if collect.versions == "all":',
        "if True:",
        feeds_days.written_twice,
        "lists an object twice",
    ),
    "an object's versions are in S3's order": _without(
        RELEASE,
        "version_order(member), member.id)",
        "-int(version_order(member)[0], 16), member.id)",
        feeds_days.written_twice,
        "leaves out the latest version",
        (RELEASE, "for member in sorted(members, key=version_order)", "for member in members"),
    ),
    "a version that a later one replaces is in the batch": _without(
        RELEASE,
        "superseded=self.manifests.put(batch, superseded) if superseded",
        'superseded="" if superseded',
        feeds_days.written_twice,
        "is in no batch",
    ),
    "a version that a later one replaces stays in its batch": _without(
        COLLECT,
        "filter(None, (decision.manifest, decision.superseded))",
        "filter(None, (decision.manifest,))",
        feeds_days.written_twice,
        "doubled",
    ),
    "a late member that its rule drops opens no batch": _without(
        COLLECT,
        'and collect_of(message.document).late != "new_batch"',
        "and False",
        partial(feeds_days.too_late, "feed.strict"),
        "its rule drops late members",
    ),
    "only a late member is dropped": _without(
        COLLECT,
        "        head.follows_a_complete_one\n        and bool(message.key)",
        "        bool(message.key)",
        partial(feeds_days.too_late, "feed.strict"),
        "and not late",
    ),
    "a late member is a dead letter if its rule says so": _without(
        COLLECT,
        "            self.late_members.publish(messages)",
        "            pass",
        partial(feeds_days.too_late, "feed.closing"),
        "is late, and no dead letter",
    ),
    "a SHADOW rule collects apart": _without(
        "routing.members",
        'return rule.id + SHADOW_SUFFIX if rule.state == "SHADOW" else rule.id',
        "return rule.id",
        feeds_days.a_trial,
        "doubled",
    ),
    "a SHADOW rule starts no run": _without(
        RELEASE,
        'reason == "cancelled" or batch.is_shadow:',
        'reason == "cancelled":',
        feeds_days.a_trial,
        "doubled",
    ),
}


@pytest.mark.guarantee(47, 48)
@pytest.mark.parametrize("name", SAFEGUARDS)
def test_rows_47_and_48_without_it_the_suite_is_red(
    name: str, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, dict[str, str]], None]
) -> None:
    """With the safeguard its day is without a problem; without it, the observable named here goes red."""
    goes_red_without(name, SAFEGUARDS[name], monkeypatch, record_property)


# --- completeness and clocks ---------------------------------------------------------------------------------------------


@pytest.mark.guarantee(48)
@pytest.mark.parametrize(
    ("markers", "runs"),
    [
        ([(0, 3)], 1),  # before its members
        ([(1000, 3)], 1),  # long after them
        ([(0, 2), (90, 3)], 1),  # the largest count stands
        ([(150, 3), (150, 3)], 1),
        ([(0, 5)], 1),  # more than ever come: max_wait
    ],
)
def test_row_48_a_marker_and_its_members_in_any_order(markers: list[tuple[int, int]], runs: int) -> None:
    """Three members of a day a minute apart, and a marker of another day, which opens a batch that starts no run."""
    scenario = Scenario()
    scenario.gateway.put_rule(COLLECTED["feed.export"])
    for n in (1, 2, 3):
        made = a_member(n, "feed.export", "d1", f"{n}")
        scenario.collect(n, made, at=MINUTE * n, again_at=(MINUTE * n + 1,))
    for n, (at, count) in enumerate(markers, 4):
        scenario.collect(n, a_marker(n, "d1", count), at=at)
    scenario.collect(9, a_marker(9, "d2", 3))
    verdict = scenario.play(feeds_days.ON_TIME)
    assert [] == verdict.problems
    assert runs == verdict.batches


@pytest.mark.guarantee(48)
@pytest.mark.parametrize("skew", [0.0, 300.0])
def test_row_48_on_time_and_never_early_whatever_the_clocks_say(skew: float) -> None:
    """Days without faults but duplicates and disorder; sandboxes whose clocks are five minutes ahead or behind."""
    bounds = replace(feeds_days.ON_TIME, longest_delay=HOUR, batch_delay=10 + 2 * skew)
    for seed in range(3):
        rates = Rates(duplicated=0.2, reordered=0.3)
        day = simulate(
            seed, 20, collected=150, rates=rates, outages=(), poison=0.0, bounds=bounds, clock_skew=skew
        )
        assert day.verdict.ok, day.explain()
        assert day.verdict.batches > 10
