"""Small days of rules that collect, each with the fault of one safeguard; each returns what the checker found."""

from dataclasses import replace
from typing import Any

from simulation.checker import Bounds
from simulation.collecting import COLLECTED, MOVED_KEY, a_member, a_part, an_entry
from simulation.scenario import ANY, Scenario
from simulation.world import Rates

__all__ = [
    "a_blocked_queue",
    "a_head_expires",
    "a_join",
    "a_key_changes",
    "a_stream",
    "a_stream_of_trouble",
    "a_trial",
    "killed_collectors",
    "killed_releasers",
    "slow_writes",
    "too_late",
    "written_twice",
]

DAY, HOUR = 86_400.0, 3600.0
# A collector's window, a look, and a flush; two releasers may meet, and send a request twice.
ON_TIME = Bounds(commands_per_run=20, deliveries_per_request=20, longest_delay=30, batch_delay=10)
QUIET = COLLECTED["feed.bulk"] | {"collect": {"key": ["<date>"], "quiet_period": "5m"}}
HASTY = COLLECTED["feed.bulk"] | {"collect": {"key": ["<date>"], "quiet_period": "1m", "max_items": 3}}


def a_stream(rates: Rates | None = None) -> list[str]:
    """Members arrive without a pause while their batches are being released."""
    scenario = Scenario(rates)
    scenario.gateway.put_rule(HASTY)
    _one_at_a_time(scenario)
    for n in range(1, 151):
        again_at = (0.05 * n + 2, HOUR + n) if rates else ()  # a redelivery would find a member that was lost
        scenario.collect(n, a_member(n, "feed.bulk", "d1", f"{n}"), at=0.05 * n, again_at=again_at)
    return scenario.play(ANY).problems


def a_stream_of_trouble() -> list[str]:
    """The same with two releasers for each batch, and everybody dies often."""
    return a_stream(Rates(killed=0.1, delivered_twice=0.5, delete_failed=0.2, answer_lost=0.05))


def slow_writes() -> list[str]:
    """Two releasers have each batch; pointers and manifests take seconds, so that the two count different members."""
    scenario = Scenario(Rates(delivered_twice=0.5))
    scenario.gateway.put_rule(HASTY)
    _one_at_a_time(scenario)
    world, dynamodb, s3 = scenario.world, scenario.gateway.dynamodb, scenario.gateway.s3
    put_item, put_object = dynamodb.put_item, s3.put_object

    def put_item_slowly(**request: Any) -> Any:
        if request["Item"].get("sort") == {"S": "member"}:
            world.scheduler.wait(3 * world.random.random())
        return put_item(**request)

    def put_object_slowly(**request: Any) -> Any:
        world.scheduler.wait(5 * world.random.random())
        return put_object(**request)

    scenario.gateway.feeds.releaser.batch_size = 1
    dynamodb.put_item, s3.put_object = put_item_slowly, put_object_slowly  # type: ignore[method-assign]
    for n in range(1, 61):
        scenario.collect(n, a_member(n, "feed.bulk", "d1", f"{n}"), at=0.2 * n, again_at=(HOUR + n,))
    return scenario.play(ANY).problems


def killed_collectors() -> list[str]:
    """Collectors die often, and their members come again while the batch is still open."""
    scenario = Scenario(Rates(killed=0.1))
    scenario.gateway.put_rule(COLLECTED["feed.nightly"])
    for n in range(1, 61):
        scenario.collect(n, a_member(n, "feed.nightly", f"d{n % 10}", f"{n}"), at=n)
    return scenario.play(ANY).problems


def _one_at_a_time(scenario: Scenario) -> None:
    collector = scenario.gateway.feeds.collector
    collector.window, collector.batch_size, collector.maximum_concurrency = 0.0, 1, 20


def a_key_changes() -> list[str]:
    """A redeploy changes the rule's key while its events are delivered twice in the same moment."""
    scenario = Scenario()
    rule = COLLECTED["feed.moved"]
    _one_at_a_time(scenario)
    scenario.gateway.put_rule(rule)
    for n in range(1, 41):
        scenario.at(
            10.0 * n, lambda n=n: scenario.gateway.put_rule(MOVED_KEY if n % 2 else rule, version=n + 1)
        )
        for m in range(5 * n, 5 * n + 5):
            at = 10 * n + m % 5 * 2
            again_at = tuple(at + 0.01 * again for again in range(1, 8))
            scenario.collect(m, a_member(m, "feed.moved", "d1", f"{m % 3}/{m}"), at=at, again_at=again_at)
    return scenario.play(ANY).problems


def a_head_expires() -> list[str]:
    """The head of a key expires after its batches are released, and more members of the key come."""
    scenario = Scenario()
    scenario.gateway.put_rule(HASTY)
    table = scenario.gateway.feeds.table

    def expire() -> None:
        for key in [key for key in table.items if key[1] == "head"]:
            table.remove(key)

    for n in range(1, 21):
        scenario.collect(n, a_member(n, "feed.bulk", "d1", f"{n}"), at=DAY * n, again_at=(DAY * n + HOUR,))
        scenario.at(DAY * n + HOUR / 2, expire)
    return scenario.play(ANY).problems


def a_blocked_queue() -> list[str]:
    """Nobody takes members from the queue for ten minutes, and they arrive all the time."""
    scenario = Scenario()
    scenario.gateway.put_rule(QUIET)
    collector = scenario.gateway.feeds.collector
    for n in range(1, 31):
        scenario.collect(n, a_member(n, "feed.bulk", "d1", f"{n}"), at=30.0 * n)
    scenario.at(60, lambda: setattr(collector, "maximum_concurrency", 0))
    scenario.at(660, lambda: setattr(collector, "maximum_concurrency", 5))
    scenario.at(661, collector.queue.arrived)
    return scenario.play(ON_TIME).problems


def a_join() -> list[str]:
    """Of three parts two are enough, and one of them needs three files; the third one opens a late batch."""
    scenario = Scenario()
    scenario.gateway.put_rule(COLLECTED["feed.join"])
    for n, (part, at) in enumerate(
        (("orders", 0), ("orders", 10), ("customers", 20), ("orders", 600), ("stock", 1800)), 1
    ):
        scenario.collect(n, a_part(n, "d1", part), at=at, again_at=(at + HOUR,))
    return scenario.play(ON_TIME).problems


def written_twice() -> list[str]:
    """Versions of two objects in any order, each delivered again long after the batch is released."""
    scenario = Scenario()
    scenario.gateway.put_rule(COLLECTED["feed.latest"])
    for n, at in ((1, 20), (3, 0), (2, 10), (4, 5)):
        made = a_member(n, "feed.latest", "d1", "x" if n < 4 else "y")
        scenario.collect(n, made, at=at, again_at=(at + HOUR,))
    return scenario.play(ON_TIME).problems


def too_late(rule: str) -> list[str]:
    """Members of a rule that drops late ones: in time, then too late; each comes twice, and collectors die."""
    scenario = Scenario(Rates(killed=0.1))
    scenario.gateway.put_rule(COLLECTED[rule])
    for n in range(1, 61):
        key, place = f"d{n % 6}", n // 6  # ten members of a key, a minute apart
        made = a_member(n, rule, key, f"{n}") if rule == "feed.strict" else an_entry(n, key)
        scenario.collect(n, made, at=HOUR * (n % 6) + 60 * place, again_at=(HOUR * (n % 6) + 61 * place,))
    return scenario.play(ANY).problems


def a_trial() -> list[str]:
    """A SHADOW rule collects, and starts nothing; once it is enabled, it collects the same keys again."""
    scenario = Scenario()
    scenario.gateway.put_rule(COLLECTED["feed.trial"])
    for n in range(1, 7):
        scenario.collect(n, a_member(n, "feed.trial", f"d{n % 3}", f"{n}"), at=n, again_at=(60 + n,))
    enabled = COLLECTED["feed.trial"] | {"state": "ENABLED"}
    scenario.at(HOUR, lambda: scenario.gateway.put_rule(enabled, version=2))
    for n in range(7, 13):
        sent, piece = a_member(n, "feed.trial", f"d{n % 3}", f"{n}")
        scenario.collect(n, (sent, replace(piece, rule="feed.trial")), at=2 * HOUR + n)
    return scenario.play(ON_TIME).problems


def killed_releasers() -> list[str]:
    """Releasers die often."""
    scenario = Scenario(Rates(killed=0.1))
    scenario.gateway.put_rule(QUIET)
    for n in range(1, 61):
        scenario.collect(n, a_member(n, "feed.bulk", f"d{n % 20}", f"{n}"), at=n)
    return scenario.play(ANY, until=DAY).problems
