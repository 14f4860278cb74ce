"""Sets of rules, with events for them: the shapes that platform teams write, and one set for each operator.

A seed gives the same set every time. Patterns and events are JSON text, as they arrive.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

_DOMAINS = (
    "orders",
    "invoices",
    "clicks",
    "payments",
    "returns",
    "stock",
    "users",
    "sessions",
    "prices",
    "ads",
)
_SUFFIXES = (".csv", ".parquet", ".json", ".json.gz", ".avro", ".orc", ".txt", ".zip")
RULES_PER_BUCKET = 20


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Patterns and events of one shape."""

    kind: str
    patterns: tuple[str, ...]
    events: tuple[str, ...]


def rule_set(kind: str, rules: int, *, events: int = 2_000, seed: int = 1) -> RuleSet:
    """Return `rules` patterns of a kind, and events for them."""
    random = Random(f"{kind} {rules} {seed}")
    pattern, event = KINDS[kind](random, rules)
    return RuleSet(
        kind,
        tuple(json.dumps(pattern(number)) for number in range(rules)),
        tuple(json.dumps(event()) for _ in range(events)),
    )


def upload(bucket: str, key: str, size: Any = 1_000, **changes: Any) -> dict[str, Any]:
    """Return S3's own event of an upload."""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2026-11-12T00:00:00Z",
        "region": "eu-west-1",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {
                "key": key,
                "size": size,
                "etag": "b1946ac92492d2347c6235b4d2611184",
                "sequencer": "617f08299329d189",
            },
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "10.1.2.3",
            "reason": "PutObject",
        },
    } | changes


_Patterns = Callable[[int], dict[str, Any]]
_Events = Callable[[], dict[str, Any]]


# --- what teams write ----------------------------------------------------------------------------------------


def _uploads(random: Random, rules: int, buckets: int) -> tuple[_Patterns, _Events]:
    """The rule shapes of `docs/benchmarks.md`, about the objects of so many buckets."""
    written: list[tuple[str, str]] = []  # bucket and a key that the rule's key condition meets

    def pattern(number: int) -> dict[str, Any]:
        bucket = f"acme-{number * buckets // rules:05d}-landing"
        domain, table = random.choice(_DOMAINS), f"t{random.randrange(rules):05d}"
        tail = f"_{random.randrange(100)}{random.choice(_SUFFIXES)}"
        prefix = f"{domain}/{table}/"
        shape = random.random()
        key: list[Any]
        if shape < 0.40:
            key = [{"prefix": prefix}]
        elif shape < 0.55:
            key = [{"suffix": f"{table}{tail}"}]
        elif shape < 0.85:
            key = [{"wildcard": f"{prefix}*{tail}"}]
        elif shape < 0.95:
            key = (
                [{"prefix": f"{domain}/{table}{end}/"} for end in "abc"]
                if random.random() < 0.5
                else [{"suffix": f"{table}{end}"} for end in random.sample(_SUFFIXES, 3)]
            )
            prefix, tail = f"{domain}/{table}a/", f"{table}{key[0].get('suffix', '')[len(table) :]}"
        else:
            key = [{"anything-but": {"prefix": prefix}}]
        written.append((bucket, f"{prefix}dt=2026-11-22/part-{table}{tail}"))
        detail: dict[str, Any] = {"bucket": {"name": [bucket]}, "object": {"key": key}}
        if random.random() < 0.5:
            detail["object"]["size"] = [{"numeric": [">", random.choice((0, 100, 1_000, 100_000))]}]
        types = ["Object Created", "Object Deleted"] if random.random() < 0.1 else ["Object Created"]
        return {"source": ["aws.s3"], "detail-type": types, "detail": detail}

    def event() -> dict[str, Any]:
        bucket, key = random.choice(written)
        if random.random() < 0.2:
            bucket = f"other-{random.randrange(10_000)}"
        if random.random() < 0.3:
            key = f"{random.choice(_DOMAINS)}/misc/{random.randrange(10**6)}.csv"
        return upload(bucket, key, random.choice((10, 500, 5_000, 500_000)))

    return pattern, event


def _standard(random: Random, rules: int) -> tuple[_Patterns, _Events]:
    return _uploads(random, rules, max(1, rules // RULES_PER_BUCKET))


def _one_bucket(random: Random, rules: int) -> tuple[_Patterns, _Events]:
    return _uploads(random, rules, 1)


# --- one operator each, all rules on one field: `entries` of a rule by its number, values from the same words --


def _field(
    entries: Callable[[Random, int, int], list[Any]], values: Callable[[Random, int], Any]
) -> Callable[[Random, int], tuple[_Patterns, _Events]]:
    def kind(random: Random, rules: int) -> tuple[_Patterns, _Events]:
        return (
            lambda number: {
                "source": ["aws.s3"],
                "detail": {"object": {"key": entries(random, number, rules)}},
            },
            lambda: upload("acme-landing", values(random, rules)),
        )

    return kind


def _word(random: Random, rules: int) -> str:
    return f"w{random.randrange(rules):06d}"


def _key(random: Random, rules: int) -> str:
    return f"{_word(random, rules)}/dt=2026-11-22/{_word(random, rules)}-x-{_word(random, rules)}"


def _present(random: Random, rules: int) -> tuple[_Patterns, _Events]:
    """Exists true, each rule on a field of its own."""
    return (
        lambda number: {"detail": {f"f{number}": [{"exists": True}]}},
        lambda: upload("b", "k") | {"detail": {f"f{random.randrange(rules)}": 1 for _ in range(5)}},
    )


def _absent(random: Random, rules: int) -> tuple[_Patterns, _Events]:
    """Exists false, each rule on a field of its own beside one on a shared field that few events lack."""
    return (
        lambda number: {"detail": {f"f{number}": [{"exists": False}], "draft": [{"exists": False}]}},
        lambda: (
            upload("b", "k") | {"detail": {f"f{random.randrange(rules)}": 1 for _ in range(5)} | {"draft": 1}}
        ),
    )


def _anything_but_two(random: Random, rules: int) -> tuple[_Patterns, _Events]:
    """Anything-but on two fields: each rule excludes a word of its own, and one that nearly all events have."""
    return (
        lambda number: {
            "detail": {"object": {"key": [{"anything-but": [f"w{number:06d}"]}]}},
            "region": [{"anything-but": [f"r{number}", "eu-west-1"]}],
        },
        lambda: upload("b", _word(random, rules)),
    )


def _objects_in_lists(random: Random, rules: int) -> tuple[_Patterns, _Events]:
    """Two fields of the objects of one list: the rule is met when one object meets both."""
    return (
        lambda number: {"detail": {"lines": {"sku": [f"w{number:06d}"], "amount": [{"numeric": [">", 5]}]}}},
        lambda: (
            upload("b", "k")
            | {
                "detail": {
                    "lines": [{"sku": _word(random, rules), "amount": random.randrange(10)} for _ in range(5)]
                }
            }
        ),
    )


def _alternatives(random: Random, rules: int) -> tuple[_Patterns, _Events]:
    return (
        lambda number: {
            "source": ["aws.s3"],
            "detail": {
                "$or": [{"object": {"key": [f"w{number:06d}"]}}, {"bucket": {"name": [f"b{number:06d}"]}}]
            },
        },
        lambda: upload(f"b{random.randrange(rules):06d}", _word(random, rules)),
    )


def _ranges(random: Random, number: int, rules: int) -> list[Any]:
    start = number * 10 + random.randrange(10)
    return [{"numeric": [">=", start, "<", min(start + random.choice((5, 20, 80)), rules * 10 + 100)]}]


KINDS: dict[str, Callable[[Random, int], tuple[_Patterns, _Events]]] = {
    "standard": _standard,
    "one bucket": _one_bucket,
    "exact": _field(lambda _, number, __: [f"w{number:06d}"], _word),
    "number": _field(lambda _, number, __: [number], lambda random, rules: random.randrange(rules)),
    "prefix": _field(lambda _, number, __: [{"prefix": f"w{number:06d}/"}], _key),
    "suffix": _field(lambda _, number, __: [{"suffix": f"-w{number:06d}"}], _key),
    "wildcard": _field(lambda _, number, __: [{"wildcard": f"w{number:06d}/*-x-*"}], _key),
    "wildcard, shared ends": _field(
        lambda _, number, __: [{"wildcard": f"*/dt=2026-11-22/w{number:06d}-x-*"}], _key
    ),
    "wildcard, no ends": _field(lambda _, number, __: [{"wildcard": f"*/w{number:06d}-*"}], _key),
    "equals-ignore-case": _field(lambda _, number, __: [{"equals-ignore-case": f"W{number:06d}"}], _word),
    "prefix ignoring case": _field(
        lambda _, number, __: [{"prefix": {"equals-ignore-case": f"W{number:06d}/DT"}}], _key
    ),
    "suffix ignoring case": _field(
        lambda _, number, __: [{"suffix": {"equals-ignore-case": f"-X-W{number:06d}"}}], _key
    ),
    "numeric": _field(_ranges, lambda random, rules: random.randrange(rules * 10)),
    "cidr": _field(
        lambda _, number, __: [{"cidr": f"10.{number // 256 % 256}.{number % 256}.0/24"}],
        lambda random, rules: f"10.{random.randrange(rules) // 256 % 256}.{random.randrange(256)}.7",
    ),
    "long lists": _field(
        lambda random, _, rules: [_word(random, rules * 50) for _ in range(50)],
        lambda random, rules: _word(random, rules * 50),
    ),
    "anything-but": _field(
        lambda random, number, rules: [
            {"anything-but": [f"w{number:06d}", *(_word(random, rules) for _ in range(4))]}
        ],
        _word,
    ),
    "anything-but, two fields": _anything_but_two,
    "anything-but prefix": _field(
        lambda _, number, __: [{"anything-but": {"prefix": f"w{number:06d}"}}], _key
    ),
    "exists": _present,
    "exists false": _absent,
    "$or": _alternatives,
    "objects in lists": _objects_in_lists,
}


def kinds() -> Iterator[str]:
    """Yield the names of all kinds."""
    yield from KINDS
