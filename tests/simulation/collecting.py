"""Rules that collect, and a seed's events for them: what each event is to its rule, known by construction."""

import random
from collections.abc import Callable, Iterator
from typing import Any

from mwaa_gateway.routing.members import SHADOW_SUFFIX
from simulation.workload import (
    BUCKET,
    UNWRAPPED_TOPIC,
    Piece,
    Sent,
    Workload,
    a_notification,
    an_event,
    an_upload,
    sequencer,
    target,
    the_same_upload_through_eventbridge,
    uploads,
    with_faults,
)

__all__ = ["COLLECTED", "MOVED_KEY", "a_closing", "a_marker", "a_member", "a_sale", "add_feeds"]

_BATCH = {
    "input_template": {"late": "<batch.late>", "files": "<batch.members>"},
    "member_template": "<uri>",
}
_COUNT = {"input_paths": {"count": "$.detail.count"}, "input_template": {"count": "<count>"}}
_SALES = {"source": ["acme.shop"], "detail-type": ["Sale"]}


def _files(name: str, form: str, collect: dict[str, Any], *targets: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"feed.{name}",
        "pattern": uploads(f"{name}/"),
        "captures": {"detail.object.key": f"{name}/{form}"},
        "collect": collect,
        "targets": [*targets] or [target("default", "legacy", "load_batch", _BATCH)],
    }


COLLECTED: dict[str, dict[str, Any]] = {
    rule["id"]: rule
    for rule in (
        _files(
            "nightly",
            "{date}/{file}",
            {"key": ["<date>"], "quiet_period": "10m", "max_wait": "2h"},
            target("default", "legacy", "load_batch"),  # its conf is the whole event
        ),
        _files(
            "export",
            "{date}/{file}",
            {
                "key": ["<date>"],
                "max_wait": "3h",
                "complete_when": {
                    "event": {
                        "pattern": {"source": ["acme.exporter"], "detail-type": ["Export Done"]},
                        "captures": {"detail.day": "{date}"},
                        "count": "<$.detail.files>",
                    }
                },
            },
            target("a", "analytics", "load_batch", _BATCH),
            target("b", "science", "load_batch", _BATCH),
        ),
        _files(
            "parts", "{date}/{file}", {"key": ["<date>"], "max_wait": "2h", "complete_when": {"count": 6}}
        ),
        _files(
            "hourly",
            "{date}/{hour}-{version}",
            {"key": ["<date>"], "max_wait": "2h", "complete_when": {"count": 5, "of": "<hour>"}},
        ),
        _files(
            "regions",
            "{date}/{region}-{version}",
            {
                "key": ["<date>"],
                "max_wait": "2h",
                "quiet_period": "1m",
                "complete_when": {"values": {"of": "<region>", "all_of": ["eu", "us", "ap"]}},
            },
        ),
        _files("bulk", "{date}/{file}", {"key": ["<date>"], "quiet_period": "5m", "max_items": 8}),
        _files("moved", "{date}/{region}/{file}", {"key": ["<date>"], "quiet_period": "15m"}),
        _files("any", "{date}/{file}", {"quiet_period": "5m", "max_wait": "1h"}),
        {
            "id": "feed.join",
            "collect": {
                "key": ["<date>"],
                "max_wait": "2h",
                "complete_when": {
                    "parts": {
                        "orders": {
                            "pattern": uploads("join/orders/"),
                            "captures": {"detail.object.key": "join/orders/{date}/{file}"},
                            "at_least": 3,
                        },
                        "stock": {
                            "pattern": uploads("join/stock/"),
                            "captures": {"detail.object.key": "join/stock/{date}/{file}"},
                        },
                        "customers": {
                            "pattern": {"source": ["acme.crm"], "detail-type": ["Customers Loaded"]},
                            "captures": {"detail.day": "{date}"},
                        },
                    },
                    "require": 2,
                },
            },
            "targets": [target("default", "analytics", "load_batch", _COUNT)],
        },
        _files(
            "latest",
            "{date}/{file}",
            {"key": ["<date>"], "quiet_period": "5m", "max_wait": "2h", "versions": "latest"},
        ),
        _files(
            "strict",
            "{date}/{file}",
            {"key": ["<date>"], "max_wait": "2h", "complete_when": {"count": 3}, "late": "ignore"},
        ),
        {
            "id": "feed.closing",
            "pattern": {"source": ["acme.books"], "detail-type": ["Entry"]},
            "collect": {
                "key": ["<$.detail.book>"],
                "max_wait": "2h",
                "complete_when": {"count": 4},
                "due": {"after": "20m"},
                "when_due": "release",
                "late": "dead_letter",
            },
            "dedupe_key": {"key": ["<$.detail.entry>"]},
            "targets": [target("default", "science", "load_batch", _COUNT)],
        },
        {
            **_files(
                "trial", "{date}/{file}", {"key": ["<date>"], "max_wait": "1h", "complete_when": {"count": 2}}
            ),
            "state": "SHADOW",
        },
        {
            "id": "feed.shop",
            "pattern": _SALES,
            "collect": {
                "key": ["<$.detail.shop>"],
                "max_wait": "1h",
                "quiet_period": "20s",
                "complete_when": {
                    "event": {"pattern": {"source": ["acme.shop"], "detail-type": ["Shop Closed"]}}
                },
            },
            "targets": [target("default", "analytics", "load_batch", _COUNT)],
        },
        {
            "id": "feed.slow",
            "pattern": {"source": ["acme.desk"], "detail-type": ["Trade"]},
            "collect": {"key": ["<$.detail.desk>"], "max_wait": "30m"},
            "dedupe_key": {"key": ["<$.detail.trade>"]},
            "targets": [target("default", "science", "load_batch", _COUNT)],
        },
    )
}
MOVED_KEY = COLLECTED["feed.moved"] | {"collect": {"key": ["<date>", "<region>"], "quiet_period": "15m"}}


Made = tuple[float, Sent, Piece]  # when it is first delivered, in seconds from the feed's first


def a_file(n: int, key: str, rng: random.Random | None = None) -> Sent:
    """Return an upload whose line in a manifest says its number, by one of the routes or by two."""
    etag = sequencer(n)
    direct = an_upload(n, key)
    direct["Records"][0]["s3"]["object"]["eTag"] = etag
    bridged = the_same_upload_through_eventbridge(n, key)
    bridged["detail"]["object"]["etag"] = etag
    routes: list[tuple[str, dict[str, Any]]] = [
        ("s3_events", direct),
        ("eventbridge_events", bridged),
        ("sns_events", a_notification(n, UNWRAPPED_TOPIC, direct)),
    ]
    if rng is None:
        return routes[:1]
    return rng.choices((routes[:1], routes[1:2], routes[2:], routes[:2]), (60, 20, 10, 10))[0]


def a_sale(n: int, shop: str) -> tuple[Sent, Piece]:
    """Return a sale: a member that is no file."""
    event = an_event(f"s-{n}", "acme.shop", "Sale", {"n": sequencer(n), "shop": shop})
    return [("eventbridge_events", event)], Piece("feed.shop", shop, str(n))


def a_member(n: int, rule: str, date: str, name: str, rng: random.Random | None = None) -> tuple[Sent, Piece]:
    """Return an upload for one of the rules of files. `name` is the rest of its key."""
    key = f"{rule.removeprefix('feed.')}/{date}/{name}"
    distinct = name.partition("-")[0] if rule in ("feed.hourly", "feed.regions") else f"s3://{BUCKET}/{key}"
    feed = f"{rule}{SHADOW_SUFFIX}" if rule == "feed.trial" else rule
    return a_file(n, key, rng), Piece(feed, "" if rule == "feed.any" else date, distinct)


def a_part(n: int, date: str, part: str, rng: random.Random | None = None) -> tuple[Sent, Piece]:
    """Return a member of one part of the join: a file, or an event."""
    if part == "customers":
        event = an_event(f"l-{n}", "acme.crm", "Customers Loaded", {"n": sequencer(n), "day": date})
        return [("eventbridge_events", event)], Piece("feed.join", date, f"l-{n}", part)
    key = f"join/{part}/{date}/{n}"
    return a_file(n, key, rng), Piece("feed.join", date, f"s3://{BUCKET}/{key}", part)


def an_entry(n: int, book: str, entry: int | None = None) -> tuple[Sent, Piece]:
    """Return an event about an entry, which is the member: of several about one entry the first counts."""
    entry = entry or n
    event = an_event(f"e-{n}", "acme.books", "Entry", {"n": sequencer(n), "book": book, "entry": entry})
    return [("eventbridge_events", event)], Piece("feed.closing", book, str(entry))


def a_marker(n: int, date: str, count: int) -> tuple[Sent, Piece]:
    """Return the marker of an export."""
    detail = {"n": sequencer(n), "day": date, "files": count}
    event = an_event(f"m-{n}", "acme.exporter", "Export Done", detail)
    return [("eventbridge_events", event)], Piece("feed.export", date, is_marker=True, count=count)


def a_closing(n: int, shop: str) -> tuple[Sent, Piece]:
    """Return the marker of a shop."""
    event = an_event(f"c-{n}", "acme.shop", "Shop Closed", {"n": sequencer(n), "shop": shop})
    return [("eventbridge_events", event)], Piece("feed.shop", shop, is_marker=True)


class _Feeds:
    """Makes the events of one key of a rule after the other."""

    def __init__(self, rng: random.Random, first: int) -> None:
        self.random = rng
        self.next = first
        self.dates = 0
        self.kinds: list[Callable[[], Iterator[tuple[int, Made]]]] = []

    def number(self) -> int:
        self.next += 1
        return self.next - 1

    def date(self) -> str:
        self.dates += 1
        return f"d{self.dates}"

    def a_key(self) -> Iterator[tuple[int, Made]]:
        """Return the events of a key; every kind of rule has its turn."""
        if not self.kinds:
            self.kinds = [self.files, self.files, self.export, self.shop, self.slow, self.named]
            self.kinds += [self.join, self.latest, self.strict, self.closing, self.trial]
            self.random.shuffle(self.kinds)
        return self.kinds.pop()()

    def _file(self, at: float, rule: str, date: str, name: str) -> tuple[int, Made]:
        n = self.number()
        return n, (at, *a_member(n, rule, date, name, self.random))

    def files(self) -> Iterator[tuple[int, Made]]:
        """Files of a rule that only counts them, or waits until they are quiet; some are written twice."""
        rule = f"feed.{self.random.choice(('nightly', 'parts', 'bulk', 'moved', 'any'))}"
        date, span = self.date(), self.random.choice((1.0, 300.0, 1500.0))
        names: list[str] = []
        for file in range(self.random.randrange(1, 16)):
            again = names and self.random.random() < 0.15
            names.append(self.random.choice(names) if again else f"{self.random.choice('ab')}/{file}")
            name = names[-1] if rule == "feed.moved" else names[-1].replace("/", "-")
            yield self._file(self.random.random() * span, rule, date, name)

    def named(self) -> Iterator[tuple[int, Made]]:
        """Files of which completeness counts a value: mostly all of them, some in several versions."""
        rule, values = self.random.choice(
            (("feed.hourly", ("00", "01", "02", "03", "04")), ("feed.regions", ("eu", "us", "ap")))
        )
        date, span = self.date(), self.random.choice((1.0, 300.0, 1500.0))
        for value in values:
            for version in range(self.random.choices((0, 1, 2), (1, 20, 5))[0]):
                yield self._file(self.random.random() * span, rule, date, f"{value}-{version}")

    def export(self) -> Iterator[tuple[int, Made]]:
        """An export and its markers, before its files, among them or after: also two, a wrong one, one of another day."""
        date, span, files = self.date(), self.random.choice((1.0, 600.0)), self.random.randrange(1, 13)
        for file in range(files):
            yield self._file(self.random.random() * span, "feed.export", date, f"{file}")
        said = [files]
        match self.random.randrange(6):
            case 0:
                said = [max(0, files - 2), files]
            case 1:
                said = [files, files]
            case 2:
                said = [files + 1]
        for count in said:
            n = self.number()
            yield n, (self.random.uniform(-0.2, 1.2) * span + 60, *a_marker(n, date, count))
        if self.random.random() < 0.2:
            n = self.number()
            yield n, (60.0, *a_marker(n, f"{date}-other", files))
        if self.random.random() < 0.4:
            yield self._file(span + 2000, "feed.export", date, "late")

    def join(self) -> Iterator[tuple[int, Made]]:
        """Two or three parts of a join, mostly with all that the rule asks of them."""
        date, span = self.date(), self.random.choice((1.0, 600.0))
        parts = self.random.sample(("orders", "stock", "customers"), self.random.choice((2, 2, 3)))
        for part in parts:
            for _ in range(self.random.choice((2, 3, 3, 4)) if part == "orders" else 1):
                n = self.number()
                yield n, (self.random.random() * span, *a_part(n, date, part, self.random))

    def latest(self) -> Iterator[tuple[int, Made]]:
        """Files of which a later version counts; any of them may arrive first, or after the batch is released."""
        date, span = self.date(), self.random.choice((1.0, 200.0, 1500.0))
        for _ in range(self.random.randrange(3, 9)):
            yield self._file(self.random.random() * span, "feed.latest", date, str(self.random.randrange(3)))

    def strict(self) -> Iterator[tuple[int, Made]]:
        """A complete batch, mostly, and files that come too late for it."""
        date, span = self.date(), self.random.choice((1.0, 300.0))
        for file in range(self.random.choice((2, 3, 4))):
            yield self._file(self.random.random() * span, "feed.strict", date, f"{file}")
        for file in range(self.random.randrange(1, 3)):
            yield self._file(span + 1500 * self.random.random(), "feed.strict", date, f"late-{file}")

    def closing(self) -> Iterator[tuple[int, Made]]:
        """Entries of a book, which is complete or due; some come too late, and some in two events."""
        book, entry = self.date(), 0
        for at in (
            *(self.random.random() * 600 for _ in range(self.random.choice((2, 3, 4)))),
            900,
            1800,
            3000,
        ):
            n = self.number()
            entry = entry if entry and self.random.random() < 0.3 else n
            yield n, (at, *an_entry(n, book, entry))

    def trial(self) -> Iterator[tuple[int, Made]]:
        """Files of a rule that only shows what it would do."""
        date = self.date()
        for file in range(self.random.randrange(1, 4)):
            yield self._file(self.random.random() * 300, "feed.trial", date, f"{file}")

    def shop(self) -> Iterator[tuple[int, Made]]:
        shop, span = self.date(), self.random.choice((1.0, 600.0))
        for _ in range(self.random.randrange(1, 10)):
            n = self.number()
            yield n, (self.random.random() * span, *a_sale(n, shop))
        for _ in range(self.random.choice((0, 1, 1, 1, 2))):
            n = self.number()
            yield n, (self.random.uniform(0, 1.2) * span, *a_closing(n, shop))

    def slow(self) -> Iterator[tuple[int, Made]]:
        """Trades, some of which come in two events: the first one counts."""
        desk = self.date()
        trade = 0
        for _ in range(self.random.randrange(2, 10)):
            if self.random.random() < 0.8:
                trade = self.number()
                n = trade
            else:
                n = self.number()
            detail = {"n": sequencer(n), "desk": desk, "trade": trade or n}
            event = an_event(f"t-{n}", "acme.desk", "Trade", detail)
            piece = Piece("feed.slow", desk, str(trade or n))
            yield n, (self.random.random() * 1200, [("eventbridge_events", event)], piece)


def add_feeds(
    workload: Workload,
    rng: random.Random,
    events: int,
    *,
    begins: float,
    seconds: float,
    duplicated: float,
    reordered: float,
) -> None:
    """Add so many events of rules that collect, or a few more, key after key, with their duplicates and delays."""
    expected = workload.expected
    feeds = _Feeds(rng, first := max(expected.arrived, default=0) + 1)
    while feeds.next < first + events:
        opens = begins + rng.random() * seconds * 0.7
        for n, (at, sent, piece) in feeds.a_key():
            expected.pieces[n] = piece
            if piece.rule in ("feed.slow", "feed.closing") and int(piece.distinct) != n:
                expected.stands_for[n] = int(piece.distinct)
            sent_at = max(begins, opens + at)
            expected.came(n, sent_at)
            workload.deliveries.extend(with_faults(rng, sent_at, sent, duplicated, reordered))
