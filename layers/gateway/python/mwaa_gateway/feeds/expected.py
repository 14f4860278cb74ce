"""Opens the batch of a day on which nothing has arrived, so that its absence is reported when it is due.

The gateway opens it up to TICK_AHEAD_SECONDS before it is due, if the key of the day has had no batch. It is a batch like
any other: members that arrive later join it, and until then it lacks them all.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from mwaa_gateway.errors import InvalidRule, Unavailable
from mwaa_gateway.feeds.batch import Batch, BatchStore, Head, key_digest
from mwaa_gateway.feeds.collect import TICK_AHEAD_SECONDS
from mwaa_gateway.routing.live_rules import UNREADABLE_HEAD, RuleSource, StoredRule
from mwaa_gateway.routing.members import feed_of
from mwaa_gateway.rules import Rule, parse_rule
from mwaa_gateway.rules.collect import Collect
from mwaa_gateway.rules.due import days_of
from mwaa_gateway.rules.partitions import EXPECTED_PARTITION
from mwaa_gateway.values import value

LOOK_BACK_SECONDS: Final = 86_400.0  # an outage of the tick may last so long, and no day is missed
_MAXIMUM_REMEMBERED: Final = 100_000


@value
class Opened:
    """What a tick opened: ids of batches, why a day could not be opened, and the rules that cannot be read."""

    batches: Sequence[tuple[str, float]] = ()
    failures: Sequence[str] = ()
    broken: Sequence[str] = ()


NOTHING_OPENED: Final = Opened()


@dataclass(slots=True, kw_only=True)
class ExpectedBatches:
    """The days that rules expect, of the rules in EXPECTED_PARTITION. `new_id` as in `Collector`."""

    rules: RuleSource
    store: BatchStore
    new_id: Callable[[], str]
    _generation: int = field(default=0, init=False)
    _stored: Sequence[StoredRule] = field(default=(), init=False)
    _settled: set[tuple[str, str]] = field(default_factory=set, init=False)

    def open(self, now: float) -> Opened:
        """Open the batch of each day that is due about now and has none; a rule or day that fails stops no other."""
        opened: list[tuple[str, float]] = []
        failures: list[str] = []
        broken: list[str] = []
        try:
            self._refresh()
        except Unavailable as error:
            failures.append(f"the rules that expect days: {error}")
        for stored in self._stored:
            try:
                rule = parse_rule(json.loads(stored.document), environments=None, version=stored.version)
            except (InvalidRule, ValueError) as error:
                broken.append(f"rule {stored.id!r}: {error}")
                continue
            for day, due_at in due_days(rule.collect, now):
                if due_at < _seconds(stored.updated_at):
                    continue  # nobody expected anything yet
                try:
                    opened += self._open(rule, day, due_at)
                except Exception as error:  # noqa: BLE001  bugs too
                    failures.append(f"rule {rule.id!r}, day {day}: {error}")
        return Opened(opened, failures, broken)

    def _refresh(self) -> None:
        generation = self.rules.heads([EXPECTED_PARTITION])[EXPECTED_PARTITION]
        if generation == UNREADABLE_HEAD or generation != self._generation:
            self._stored = self.rules.copies(EXPECTED_PARTITION) if generation else ()
            self._generation = generation

    def _open(self, rule: Rule, day: str, due_at: float) -> Iterator[tuple[str, float]]:
        """Yield the batch's id and due time if it has just been opened."""
        collect, feed = rule.collect, feed_of(rule)
        if collect is None or (feed, day) in self._settled:
            return
        key = ((collect.key_names[0], day),)
        digest = key_digest(key)
        head = self.store.head(feed, digest)
        if head is None:
            self.store.create_head(Head(feed, digest, self.new_id()))
            head = self.store.head(feed, digest)
        if head is not None and head.number == 1:
            batch = Batch(
                id=head.batch_id,
                rule_id=feed,
                rule_version=rule.version,
                document=json.dumps(rule.document()),
                key=key,
                number=head.number,
                first_at=due_at,
                due_at=due_at,
                is_expected=True,
            )
            if self.store.open_batch(batch):
                yield batch.id, due_at
        if len(self._settled) >= _MAXIMUM_REMEMBERED:
            self._settled.clear()
        self._settled.add((feed, day))


def due_days(collect: Collect | None, now: float) -> Iterator[tuple[str, float]]:
    """Yield each expected day that is due from LOOK_BACK_SECONDS ago to TICK_AHEAD_SECONDS from now, as the key has it."""
    if collect is None or collect.due is None or collect.expected is None:
        return
    days = days_of(collect.expected)
    last = collect.due.today(now + TICK_AHEAD_SECONDS) - dt.timedelta(days=collect.due.day)
    for back in range(3):
        day = last - dt.timedelta(days=back)
        due_at = collect.due.time_on(day)
        if day.weekday() in days and now - LOOK_BACK_SECONDS <= due_at <= now + TICK_AHEAD_SECONDS:
            yield collect.due.text_of(day), due_at


def _seconds(time: str) -> float:
    """Return an ISO time in seconds since the epoch; 0 if somebody broke it by hand."""
    try:
        return dt.datetime.fromisoformat(time).timestamp()
    except ValueError:
        return 0.0
