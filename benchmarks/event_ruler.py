"""The index beside event-ruler, the Java engine that EventBridge runs: the same rules, the same events, in one run.

    CLASSPATH=event-ruler.jar:jackson-databind.jar:… python -m benchmarks.event_ruler --kind standard

Needs Java 17 and event-ruler with what it depends on, as Maven has them (`software.amazon.event.ruler:event-ruler`). A
line is right only if both find the same rules for every event: what differs is counted, and the engine's own bugs show
there too.

JSON text in, in processor time of one thread, the best of many passes over the same events, after seconds of warming up.
Three decoders stand before the index: json.loads, what the gateway reads the body of a message with, and orjson, which it
does not carry. The engine has its own, and takes from the text only what rules ask for. `times` is the index's rate by
the engine's; build and memory are the engine's by the index's.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from benchmarks.measure import rate
from benchmarks.routing import built
from benchmarks.rule_sets import rule_set
from benchmarks.table import print_table
from mwaa_gateway.json_values import json_or_text
from mwaa_gateway.patterns.index import RuleIndex

SECONDS = 12.0  # until Java has compiled what it runs; it gains nothing after
COLUMNS = {
    "kind": "kind",
    "rules": "rules",
    "engine_events_per_second": "event-ruler, events/s",
    "events_per_second": "json.loads, events/s",
    "times": "times",
    "own_events_per_second": "the gateway's reading, events/s",
    "own_times": "times",
    "orjson_events_per_second": "orjson, events/s",
    "orjson_times": "times",
    "engine_build_seconds": "event-ruler, build s",
    "build_times": "times the index's",
    "engine_megabytes": "event-ruler, MB",
    "megabytes_times": "times the index's",
    "different": "events with other rules",
}


def measured(kind: str, rules: int, *, events: int = 2_000, seconds: float = SECONDS) -> dict[str, Any]:
    """Measure both with one rule set."""
    shape = rule_set(kind, rules, events=events)
    index, build, megabytes = built(shape.patterns)
    engine, found = _engine(shape.patterns, shape.events, seconds)
    engine_rate = engine["events_per_second"]
    decoders: tuple[Callable[[str], Any], ...] = (json.loads, json_or_text, orjson.loads)
    rates = [rate(shape.events, _reading(decode, index)) for decode in decoders]
    ours = [index.match(json.loads(text)) for text in shape.events]
    return {
        "kind": kind,
        "rules": rules,
        "engine_events_per_second": round(engine_rate),
        "events_per_second": round(rates[0]),
        "times": round(rates[0] / engine_rate, 2),
        "own_events_per_second": round(rates[1]),
        "own_times": round(rates[1] / engine_rate, 2),
        "orjson_events_per_second": round(rates[2]),
        "orjson_times": round(rates[2] / engine_rate, 2),
        "engine_build_seconds": round(engine["build_seconds"], 2),
        "build_times": round(engine["build_seconds"] / build, 1),
        "engine_megabytes": round(engine["megabytes"], 1),
        "megabytes_times": round(engine["megabytes"] / megabytes, 1) if megabytes > 1 else "",
        "different": sum(a != b for a, b in zip(ours, found, strict=True)),
    }


def _reading(decode: Callable[[str], Any], index: RuleIndex[int]) -> Callable[[str], list[int]]:
    return lambda text: index.match(decode(text))


def _engine(
    patterns: tuple[str, ...], events: tuple[str, ...], seconds: float
) -> tuple[dict[str, float], list[list[int]]]:
    """Return event-ruler's figures, and the numbers of the rules that it finds for each event."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("rules", "events", "found")]
        for file, texts in zip(files, (patterns, events), strict=False):
            file.write_text("\n".join(texts), encoding="utf-8")
        command = [
            "java",
            "-Xmx4g",
            str(Path(__file__).with_name("EventRuler.java")),
            *map(str, files),
            str(seconds),
        ]
        try:
            java = subprocess.run(command, check=False, capture_output=True, text=True)
        except FileNotFoundError:
            sys.exit("no java was found: Java 17 or newer is needed")
        if java.returncode:
            sys.exit(f"{java.stderr}\nIs event-ruler, with what it depends on, in CLASSPATH?")
        return json.loads(java.stdout), [json.loads(line) for line in files[2].read_text().splitlines()]


if __name__ == "__main__":
    print_table("benchmarks.event_ruler", __doc__ or "", COLUMNS, measured)
