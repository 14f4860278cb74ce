"""Draw the dashboard of template.yaml with figures of a running local stack: `python tests/template/dashboard.py SECONDS`.

It watches the stack for so long and then writes docs/dashboard.svg. CloudWatch's part is played here: MiniStack evaluates no
search and reads no metrics out of log lines. The queues are counted by SQS itself; of functions that fail, and of the age of
messages, the local stack has no figures.
"""

import json
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import takewhile
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import boto3

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from template.expansion import ROOT, expand_template, read_source

__all__ = ["Series", "draw", "matches"]

PICTURE = ROOT / "docs" / "dashboard.svg"
SEARCH = re.compile(r"""SEARCH\('\{([\w/]+),([\w,]+)\} MetricName="(\w+)" ([^']+)', '(\w+)', (\d+)\)""")
BIN = 10.0  # seconds of one point; AWS shows minutes
POLL = 2.0
WIDTH, HEIGHT, CELL = 1200, 34, 50  # pixels: of the picture, of a row of the grid, and of a column
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b")

Point = tuple[float, float]  # seconds since the epoch, and the figure
Series = Mapping[
    tuple[str, str, str], Sequence[Point]
]  # by namespace, metric, and what its last dimension names


def collect(stack: Mapping[str, Any], seconds: float) -> Series:
    """Watch the stack's queues, then read the metrics in the log lines of that time."""
    credentials = stack["credentials"]
    session = boto3.Session(
        aws_access_key_id=credentials["access_key_id"],
        aws_secret_access_key=credentials["secret_access_key"],
        region_name=stack["region"],
    )
    sqs, logs = (session.client(name, endpoint_url=stack["aws_endpoint_url"]) for name in ("sqs", "logs"))
    found: defaultdict[tuple[str, str, str], list[Point]] = defaultdict(list)
    began = time.time()
    while time.time() < began + seconds:
        for url in sqs.list_queues()["QueueUrls"]:
            attributes = sqs.get_queue_attributes(
                QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
            )
            visible = float(attributes["Attributes"]["ApproximateNumberOfMessages"])
            name = url.rpartition("/")[2]
            found["AWS/SQS", "ApproximateNumberOfMessagesVisible", name].append((time.time(), visible))
        time.sleep(POLL)
    for group in logs.describe_log_groups()["logGroups"]:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group["logGroupName"], startTime=int(began * 1000)
        )
        for page in pages:
            for event in page["events"]:
                for metric, name, value in _metrics(event["message"]):
                    found["MwaaTriggerGateway", metric, name].append((event["timestamp"] / 1000, value))
    return found


def _metrics(line: str) -> Iterator[tuple[str, str, float]]:
    """Yield the metrics of a log line in CloudWatch's embedded format: name, environment or service, and value."""
    try:
        document = json.loads(line)
        [directive] = document["_aws"]["CloudWatchMetrics"]
    except (ValueError, KeyError, TypeError):
        return
    for metric in directive["Metrics"]:
        values = document[metric["Name"]]
        for value in values if isinstance(values, list) else [values]:
            yield metric["Name"], document.get("environment", document["service"]), float(value)


def _binned(points: Sequence[Point], statistic: str, began: float) -> list[Point]:
    """Return one point for each bin that has any; a sum is shown per minute, as on AWS."""
    bins: defaultdict[int, list[float]] = defaultdict(list)
    for moment, value in points:
        bins[int((moment - began) // BIN)].append(value)
    figure = {
        "Sum": lambda of: sum(of) * 60 / BIN,
        "Maximum": max,
        "Average": lambda of: sum(of) / len(of),
        "p50": median,
        "p99": lambda of: quantiles(of, n=100, method="inclusive")[-1] if len(of) > 1 else of[0],
    }
    return [(number * BIN, figure[statistic](of)) for number, of in sorted(bins.items())]


def _lines(metric: Mapping[str, str], series: Series, began: float) -> Iterator[tuple[str, list[Point]]]:
    """Yield the lines of one search, each with its label."""
    [(namespace, _, of, terms, statistic, _)] = SEARCH.findall(metric["expression"])
    matching = {
        key[2]: points
        for key, points in series.items()
        if key[:2] == (namespace, of) and (namespace != "AWS/SQS" or matches(terms, key[2]))
    }
    if metric["expression"].startswith("SUM("):
        together = [point for points in matching.values() for point in points]
        matching = {metric["label"]: together} if together else {}
    for name, points in sorted(matching.items()):
        label = re.sub(r"\$\{PROP\([^)]*\)\}", name, metric["label"])
        yield label, _binned(points, statistic, began)


def matches(terms: str, name: str) -> bool:
    """Whether a name has one of the words of a search, and none after NOT; the parts of `a-b` follow one another in it."""
    wanted, _, unwanted = terms.partition(" NOT ")

    def has(word: str) -> bool:
        return f"-{word}-" in f"-{name}-"

    return any(map(has, wanted.strip("()").split(" OR "))) and not (unwanted and has(unwanted))


def draw(dashboard: Mapping[str, Any], series: Series) -> str:
    """Return the dashboard as SVG."""
    moments = [moment for points in series.values() for moment, _ in points]
    began, ended = min(moments), max(moments)
    rows = max(widget["y"] + widget["height"] for widget in dashboard["widgets"])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {rows * HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{rows * HEIGHT}" fill="#f2f3f3"/>',
    ]
    for widget in dashboard["widgets"]:
        left, top = widget["x"] * CELL, widget["y"] * HEIGHT
        if widget["type"] == "text":
            text = escape(widget["properties"]["markdown"].strip("# "))
            parts.append(
                f'<text x="{left + 10}" y="{top + 25}" font-size="20" font-weight="bold">{text}</text>'
            )
        else:
            parts += _graph(widget, (left, top), series, (began, ended))
    return "\n".join([*parts, "</svg>\n"])


def _graph(
    widget: Mapping[str, Any], corner: tuple[int, int], series: Series, span: tuple[float, float]
) -> Iterator[str]:
    shown, (left, top), (began, ended) = widget["properties"], corner, span
    width, height = widget["width"] * CELL, widget["height"] * HEIGHT
    lines = [line for [metric] in shown["metrics"] for line in _lines(metric, series, began)]
    most = max([1.0, *(value for _, points in lines for _, value in points)])
    x0, y0, across, up = left + 55, top + height - 45, width - 80, height - 95
    yield f'<rect x="{left + 4}" y="{top + 4}" width="{width - 8}" height="{height - 8}" fill="white" stroke="#d5dbdb"/>'
    yield f'<text x="{left + 14}" y="{top + 24}" font-size="14" font-weight="bold">{escape(shown["title"])}</text>'
    yield f'<text x="{left + 14}" y="{top + 41}" font-size="11" fill="#555">{escape(shown["yAxis"]["left"]["label"])}</text>'
    for part in (0, 0.5, 1):
        y = y0 - up * part
        yield f'<line x1="{x0}" x2="{x0 + across}" y1="{y:.0f}" y2="{y:.0f}" stroke="#eaeded"/>'
        yield f'<text x="{x0 - 6}" y="{y + 4:.0f}" font-size="10" text-anchor="end">{most * part:.3g}</text>'
    minutes = (ended - began) / 60
    for minute in range(int(minutes) + 1):
        x = x0 + across * minute / minutes
        yield f'<text x="{x:.0f}" y="{y0 + 14}" font-size="10" text-anchor="middle">{minute} min</text>'
    if not lines:
        yield f'<text x="{x0 + across / 2}" y="{y0 - up / 2}" font-size="12" fill="#888" text-anchor="middle">no data</text>'
    at = left + 14.0
    shared = takewhile(
        lambda words: len(set(words)) == 1, zip(*(name.split("-") for name, _ in lines), strict=False)
    )
    common = "-".join(words[0] for words in shared) if len(lines) > 1 else ""
    for number, (name, points) in enumerate(lines):
        label = f"…{name.removeprefix(common)}" if common else name
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(
            f"{x0 + across * moment / (ended - began):.1f},{y0 - up * value / most:.1f}"
            for moment, value in points
        )
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield from (
            f'<circle cx="{point.split(",")[0]}" cy="{point.split(",")[1]}" r="2.5" fill="{colour}"/>'
            for point in path.split()
        )
        yield f'<rect x="{at:.0f}" y="{y0 + 24}" width="10" height="10" fill="{colour}"/>'
        yield f'<text x="{at + 14:.0f}" y="{y0 + 33}" font-size="10">{escape(label)}</text>'
        at += 24 + 5.2 * len(label)


def _main(seconds: float) -> None:
    found = subprocess.check_output([ROOT / ".venv" / "bin" / "mwaa-gateway", "local", "status", "--json"])
    stack = json.loads(found)
    parameters = {"Environments": ",".join(stack["environments"])}
    [body] = expand_template(read_source(), parameters).of_type("AWS::CloudWatch::Dashboard").values()
    PICTURE.write_text(draw(json.loads(body["DashboardBody"]), collect(stack, seconds)), encoding="utf-8")


if __name__ == "__main__":
    _main(float(sys.argv[1]))
