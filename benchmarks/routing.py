"""How fast events find their rules: the index against asking every rule, and against moto's matcher.

    python -m benchmarks.routing                            every kind at 1,000 rules, the standard shape at all sizes
    python -m benchmarks.routing --kind numeric --rules 10000 --rules 100000

Each line is a process of its own, which measures everything side by side, in processor time. Build goes from the
patterns' JSON text to the index; memory is what the process grew by, patterns and index together. The linear scan
flattens the event once and asks all compiled patterns; moto asks each pattern with the parsed event. All read the
event's JSON text with json.loads; two columns beside it tell what a faster decoder reaches, which the gateway does
not carry, and what is left for an event that is parsed already, as Lambda hands it over.

`benchmarks.event_ruler` holds the index against event-ruler, the Java engine that EventBridge runs.
"""

import gc
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from benchmarks.measure import latency, per_second, rate, resident_megabytes
from benchmarks.rule_sets import rule_set
from benchmarks.table import print_table
from mwaa_gateway.patterns.flat_event import Wanted
from mwaa_gateway.patterns.index import RuleIndex
from mwaa_gateway.patterns.pattern import Pattern, compile_pattern

COLUMNS = {
    "kind": "kind",
    "rules": "rules",
    "events_per_second": "events/s",
    "p50_microseconds": "p50 µs",
    "p99_microseconds": "p99 µs",
    "undisturbed_p99_microseconds": "p99 µs, each event's best",
    "json_p99_microseconds": "p99 µs of json.loads alone",
    "json_share": "of it json.loads",
    "orjson_events_per_second": "events/s, orjson",
    "match_events_per_second": "events/s, parsed",
    "found_per_event": "found/event",
    "build_seconds": "build s",
    "megabytes": "MB",
    "times_scan": "times the scan",
    "times_moto": "times moto",
}


def measured(kind: str, rules: int, *, events: int = 2_000, seconds: float = 1.0) -> dict[str, Any]:
    """Measure one kind at one size; `seconds` is for each of the slow ones."""
    shape = rule_set(kind, rules, events=events)
    index, build, megabytes = built(shape.patterns)
    found = sum(len(index.match(json.loads(text))) for text in shape.events)
    ours = rate(shape.events, lambda text: index.match(json.loads(text)))
    with_orjson = rate(shape.events, lambda text: index.match(orjson.loads(text)))
    parsing = rate(shape.events, json.loads)
    parsed = rate([json.loads(text) for text in shape.events], index.match)
    each = latency(shape.events, lambda text: index.match(json.loads(text)))
    decoding = latency(shape.events, json.loads)
    scan = per_second(
        shape.events, _scan([compile_pattern(text) for text in shape.patterns]), seconds=seconds
    )
    moto = per_second(shape.events, _moto(shape.patterns), seconds=seconds)
    return {
        "kind": kind,
        "rules": rules,
        "events_per_second": round(ours),
        "p50_microseconds": round(each.p50_microseconds, 1),
        "p99_microseconds": round(each.p99_microseconds, 1),
        "undisturbed_p99_microseconds": round(each.undisturbed_p99_microseconds, 1),
        "json_p99_microseconds": round(decoding.p99_microseconds, 1),
        "json_share": f"{ours / parsing:.0%}",
        "orjson_events_per_second": round(with_orjson),
        "match_events_per_second": round(parsed),
        "found_per_event": round(found / events, 2),
        "build_seconds": round(build, 3),
        "megabytes": round(megabytes, 1),
        "times_scan": round(ours / scan, 1),
        "times_moto": round(ours / moto),
    }


def built(patterns: Sequence[str]) -> tuple[RuleIndex[int], float, float]:
    """Return the index of patterns, given as JSON text, with the seconds that it took and the megabytes that it takes."""
    gc.collect()
    before = resident_megabytes()
    begun = time.process_time()
    index = RuleIndex((number, compile_pattern(text)) for number, text in enumerate(patterns))
    build = time.process_time() - begun
    gc.collect()
    return index, build, resident_megabytes() - before


def _scan(patterns: list[Pattern]) -> Any:
    wanted = Wanted(path for pattern in patterns for branch in pattern.branches for path, _ in branch)

    def match(event: Mapping[str, Any]) -> list[int]:
        fields = wanted.fields(event)
        return [number for number, pattern in enumerate(patterns) if pattern.matches_fields(fields)]

    return match


def _moto(texts: tuple[str, ...]) -> Any:
    from moto.events.models import EventPattern  # noqa: PLC0415 (takes a second)

    patterns = [EventPattern(text, json.loads(text)) for text in texts]
    return lambda event: [number for number, each in enumerate(patterns) if each.matches_event(event)]


if __name__ == "__main__":
    print_table("benchmarks.routing", __doc__ or "", COLUMNS, measured)
