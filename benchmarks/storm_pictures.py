"""Two pictures of a storm: how it drains, and how long each event waits."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

from benchmarks.storm_result import Storm

WIDTH, HEIGHT, LEFT, BOTTOM = 760, 380, 60, 50  # pixels
COLOURS: Final = ("#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#ff7f0e", "#17becf", "#7f7f7f")

Line = Sequence[tuple[float, float]]


def draw(storms: Mapping[str, Storm], folder: Path) -> None:
    """Write storm-drain.svg and storm-latency.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    drained, waited = {}, {}
    for name, each in storms.items():
        shares = [100 * (place + 1) / each.events for place in range(len(each.accepted))]
        line = f"{name}, {each.events:,} events"
        drained[line] = list(zip(each.accepted, shares, strict=True))
        waited[line] = list(zip(each.latencies, shares, strict=True))
    (folder / "storm-drain.svg").write_text(_chart("Runs accepted", "seconds since the first event", drained))
    (folder / "storm-latency.svg").write_text(
        _chart("Events whose run was accepted within so many seconds", "seconds", waited)
    )


def _chart(title: str, unit: str, lines: Mapping[str, Line]) -> str:
    longest = max(at for line in lines.values() for at, _ in line)
    wide, high = WIDTH - LEFT - 20, HEIGHT - BOTTOM - 40

    def place(at: float, share: float) -> str:
        return f"{LEFT + wide * at / longest:.1f},{40 + high * (1 - share / 100):.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="15" fill="#222">{escape(title)}</text>',
        f'<text x="{LEFT + wide / 2}" y="{HEIGHT - 12}" text-anchor="middle" fill="#444">{escape(unit)}</text>',
    ]
    for share in (0, 25, 50, 75, 100):
        x, y = place(0, share).split(",")
        parts.append(
            f'<path d="M{x} {y} h{wide}" stroke="#ddd"/>'
            f'<text x="{LEFT - 8}" y="{y}" text-anchor="end" fill="#444">{share} %</text>'
        )
    for tick in range(5):
        at = longest * tick / 4
        x, y = place(at, 0).split(",")
        parts.append(
            f'<text x="{x}" y="{float(y) + 18:.1f}" text-anchor="middle" fill="#444">{at:.0f}</text>'
        )
    for row, (name, line) in enumerate(lines.items()):
        colour = COLOURS[row % len(COLOURS)]
        step = max(1, len(line) // 500)
        points = " ".join(place(*point) for point in (*line[::step], line[-1]))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        top = HEIGHT - BOTTOM - 18 * (len(lines) - row) + 8
        parts.append(
            f'<text x="{WIDTH - 30}" y="{top}" text-anchor="end" fill="{colour}">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])
