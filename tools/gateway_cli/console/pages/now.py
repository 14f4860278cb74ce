"""Now: the state of the gateway and its figures of three hours, in at most five calls to AWS.

One more asks MWAA about each environment whose circuit breaker is open.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from gateway_cli.answers.evidence import QueueNow
from gateway_cli.answers.mwaa_status import MwaaStatus, mwaa_status
from gateway_cli.answers.now import EnvironmentNow
from gateway_cli.answers.stopped import Stopped, read_open_batches, read_stopped
from gateway_cli.answers.switches import Switches, read_switches
from gateway_cli.console.figures import PRICE, Figures, Series, events_in, matched, read_figures, unmatched
from gateway_cli.console.gateway import Gateway, Reading

EVERY_SECONDS: Final = 60  # CloudWatch has a data point a minute
_NEWEST: Final = 5
_MOST_LINES: Final = 4  # environments in one chart


def table(gateway: Gateway) -> dict[str, Any]:
    """Return the environments, the other figures and the newest troubles."""
    stack = gateway.stack()
    names = stack.value.environments if stack.value else ()
    slots = stack.value.parameters.get("SlotsPerEnvironment", "") if stack.value else ""
    figures = _figures(gateway, names)
    switches = gateway.read("switches", lambda of: read_switches(of, names))
    stopped = gateway.read("stopped", read_stopped)
    batches = gateway.read("batches", read_open_batches)
    dead = _counts(stopped, "dead")
    held = _counts(stopped, "held")
    away = switches.value.circuits if switches.value else ()
    mwaa = {name: _mwaa(gateway, name) for name in names if name in away}
    return {
        "environments": [
            replace(
                _environment(name, gateway.now(), slots, figures.value, switches.value, held, dead),
                mwaa=mwaa[name].value if name in mwaa else None,
            )
            for name in names
        ],
        "others": _others(gateway.now(), figures.value),
        "batches": batches,
        "stopped": stopped,
        "newest": stopped.value.dead[:_NEWEST] if stopped.value else (),
        "age": _age(figures.value, names, gateway.now()),
        "read_at": min(reading.at for reading in (figures, switches, stopped, batches)),
        "unread": _unread(stack, figures, switches, stopped, batches, *mwaa.values()),
        "every": EVERY_SECONDS,
        "price": _price(figures.value),
        "asked": figures.value.asked if figures.value else None,
    }


def charts(gateway: Gateway) -> dict[str, Any]:
    """Return the charts: events in, runs started, waiting, and latency."""
    stack = gateway.stack()
    names = stack.value.environments if stack.value else ()
    figures, now = _figures(gateway, names), gateway.now()
    found = figures.value or Figures({}, 0)
    shown = names[:_MOST_LINES]
    every = {
        "Events in": ("a minute", {"all sources": events_in(found)}),
        "Runs started": ("a minute", {name: found.of(f"started {name}") for name in shown}),
        "Waiting requests": ("", {name: found.of(f"waiting {name}") for name in shown}),
        "Event to accepted": (
            "s",
            {f"{name} {stat}": found.of(f"{stat} {name}") for name in shown[:2] for stat in ("p50", "p99")},
        ),
    }
    return {
        "charts": [_chart(title, unit, lines, now) for title, (unit, lines) in every.items()],
        "left_out": names[_MOST_LINES:],
        "unread": _unread(stack, figures),
        "read_at": figures.at,
    }


def _figures(gateway: Gateway, names: Sequence[str]) -> Reading[Figures]:
    return gateway.read("figures", lambda of: read_figures(of, names, gateway.now()), fresh=30)


def _mwaa(gateway: Gateway, name: str) -> Reading[MwaaStatus]:
    return gateway.read(f"MWAA's status of {name}", lambda of: mwaa_status(of, name), fresh=30)


def _counts(stopped: Reading[Stopped], state: str) -> Counter[str] | None:
    if stopped.value is None or not stopped.value.is_whole:
        return None
    return Counter(row.environment for row in getattr(stopped.value, state))


def _environment(  # noqa: PLR0917  what each source found
    name: str,
    now: float,
    slots: str,
    figures: Figures | None,
    switches: Switches | None,
    held: Counter[str] | None,
    dead: Counter[str] | None,
) -> EnvironmentNow:
    found = figures or Figures({}, 0)
    starts = found.counted(found.of(f"started {name}").recently(now), now)
    return EnvironmentNow(
        name=name,
        queue=QueueNow(
            waiting=_whole(_latest(found.of(f"waiting {name}"), now)),
            in_flight=_whole(_latest(found.of(f"tried {name}"), now)),
            oldest_seconds=_latest(found.of(f"oldest {name}"), now),
            starts_per_minute=None if starts is None else starts / 10,
        ),
        busy=_whole(found.counted(_latest(found.of(f"busy {name}"), now), now)),
        slots=int(slots) if slots.isdecimal() else None,
        held=None if held is None else held[name],
        dead=None if dead is None else dead[name],
        watched=_whole(found.counted(_latest(found.of(f"watched {name}"), now), now)),
        circuit=switches.circuits.get(name) if switches else None,
        paused=switches.pauses.get(name, "") if switches else "",
        is_read=switches is not None,
    )


def _others(now: float, figures: Figures | None) -> dict[str, int | None]:
    """Return the figures that belong to no environment."""
    found = figures or Figures({}, 0)
    recent = {"matched": matched(found), "unmatched": unmatched(found)}
    return {
        **{name: _whole(found.counted(series.recently(now), now)) for name, series in recent.items()},
        **{
            name.replace(" ", "_"): _whole(_latest(found.of(name), now))
            for name in ("retries", "dead events", "members")
        },
    }


def _age(figures: Figures | None, names: Iterable[str], now: float) -> float | None:
    """Return the age of CloudWatch's newest data point about the queues."""
    found = figures or Figures({}, 0)
    ages = [latest[1] for name in names if (latest := found.of(f"waiting {name}").latest(now)) is not None]
    return min(ages, default=None)


def _price(figures: Figures | None) -> float | None:
    """Return the dollars of an hour of polling."""
    return None if figures is None else figures.asked * PRICE * 3_600 / EVERY_SECONDS


def _chart(title: str, unit: str, lines: dict[str, Series], now: float) -> dict[str, Any]:
    known = {
        name: series for name, series in lines.items() if any(value is not None for value in series.values)
    }
    start = next(iter(known.values())).start if known else 0.0
    minutes = max((len(series.values) for series in known.values()), default=0)
    return {
        "title": title,
        "unit": unit,
        "latest": {name: series.latest(now) for name, series in lines.items()},
        "data": {
            "times": [start + 60 * number for number in range(minutes)],
            "lines": [
                {"name": name, "values": series.values, "colour": number}
                for number, (name, series) in enumerate(lines.items())
                if name in known
            ],
            "unit": unit,
        },
    }


def _latest(series: Series, now: float) -> float | None:
    found = series.latest(now)
    return None if found is None else found[0]


def _whole(figure: float | None) -> int | None:
    return None if figure is None else int(figure)


def _unread(*readings: Reading[Any]) -> list[str]:
    return list(dict.fromkeys(reading.why for reading in readings if reading.why))
