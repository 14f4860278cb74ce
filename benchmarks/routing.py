"""How fast events find their rules: the index against asking every rule, and against moto's matcher.

    python -m benchmarks.routing                            every kind at 1,000 rules, the standard shape at all sizes
    python -m benchmarks.routing --kind numeric --rules 10000 --rules 100000

Each line is a process of its own, which measures everything side by side, in processor time. Build goes from the
patterns' JSON text to the index; memory is what the process grew by, patterns and index together. The linear scan
flattens the event once and asks all compiled patterns; moto asks each pattern with the parsed event. All read the
event's JSON text with json.loads; two columns beside it tell what a faster decoder reaches, which the gateway does
not carry, and what is left for an event that is parsed already, as Lambda hands it over.

The last column is no part of the run: event-ruler 2.0.1, the Java engine that EventBridge runs, was measured on rules
of the same shapes on another machine, JSON text in. It is printed as it was, not scaled.
"""

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import orjson

from benchmarks.measure import latency, per_second, rate, resident_megabytes
from benchmarks.rule_sets import KINDS, rule_set
from mwaa_gateway.flat_event import Wanted
from mwaa_gateway.patterns import Pattern, compile_pattern
from mwaa_gateway.rule_index import RuleIndex

__all__ = ["measured"]

SIZES = (10, 1_000, 10_000, 100_000)
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
    "event_ruler": "event-ruler elsewhere: events/s, build s, MB",
}
EVENT_RULER = {
    ("standard", 10): "366,000, -, 0.3",
    ("standard", 1_000): "167,000, 0.6, 9",
    ("standard", 10_000): "78,000, 2-6, 88",
    ("standard", 100_000): "37,000, 28-33, 882",
    ("one bucket", 1_000): "57,000, 0.4, 7.5",
    ("one bucket", 10_000): "8,200, 2.6, 73",
}


def measured(kind: str, rules: int, *, events: int = 2_000, seconds: float = 1.0) -> dict[str, Any]:
    """Measure one kind at one size; `seconds` is for each of the slow ones."""
    shape = rule_set(kind, rules, events=events)
    gc.collect()
    before = resident_megabytes()
    begun = time.process_time()
    index = RuleIndex((number, compile_pattern(text)) for number, text in enumerate(shape.patterns))
    build = time.process_time() - begun
    gc.collect()
    megabytes = resident_megabytes() - before
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
        "event_ruler": EVENT_RULER.get((kind, rules), ""),
    }


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


def main() -> None:
    """Print a table, one process for each line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", action="append", choices=[*KINDS], help="a shape of rules; more than once")
    parser.add_argument("--rules", action="append", type=int, help="how many rules; more than once")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object, of one kind and size, in this process"
    )
    options = parser.parse_args()
    if options.json:
        print(json.dumps(measured(options.kind[0], options.rules[0])))
        return
    print(
        f"Python {sys.version.split()[0]}, one thread, JSON text in: json.loads and match, unless a column says otherwise.\n"
        "event-ruler was not part of this run: its figures are those of another machine, as they were.\n"
    )
    print("| " + " | ".join(COLUMNS.values()) + " |\n|" + "---|" * len(COLUMNS))
    for kind in options.kind or KINDS:
        for rules in options.rules or (SIZES if kind in {"standard", "one bucket"} else (1_000,)):
            command = [
                sys.executable,
                "-m",
                "benchmarks.routing",
                "--json",
                "--kind",
                kind,
                "--rules",
                str(rules),
            ]
            row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print("| " + " | ".join(str(row[column]) for column in COLUMNS) + " |", flush=True)


if __name__ == "__main__":
    main()
