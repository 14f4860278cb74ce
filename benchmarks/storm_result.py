"""What became of a storm over one transport, and the goals it is held against."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.measure import percentile
from benchmarks.other_users import p95_milliseconds

WEB_TIMES_REST: Final = 2.0
OF_RAW: Final = 0.8
OF_REST_SHARE: Final = 0.95
OF_SLOTS: Final = 0.97
PROTECTION_OFF: Final = ("web-20", "web-20-far")
TIMES_IDLE: Final = 2.0  # the p95 of the web server's other users


@dataclass(frozen=True, slots=True)
class Baseline:
    """What became of the same events with the function that AWS documents."""

    events: int
    lost: int
    doubled: int
    per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """One storm. Times are in seconds since its first event; `*_users` are the seconds of the other users' reads."""

    name: str  # the transport; web-20 for `web` with WebConcurrency 20; web-20-far if its calls take longer
    at: str
    events: int
    queued_seconds: float  # until the last event was in the trigger queue
    lost: int
    doubled: int
    too_many: int  # commands or calls beyond the first for a run
    refused: int  # answers 503 and 429
    most_at_once: int  # commands; with web, calls; with rest, calls within a second
    allowed_at_once: int  # 0 with rest: a busy machine delays calls, so that more of them arrive together
    accepted: list[float]  # when each run was accepted
    latencies: list[float]  # from each event to its accepted run
    of_slots: (
        float  # the time that the same commands need without a gap, of the time they took; 0 without slots
    )
    rest_share: float  # calls a second; 0 without
    raw_per_second: float
    cpu_milliseconds: Mapping[str, float]  # of each run, by what spent it
    idle_users: list[float]
    storm_users: list[float]
    raw_users: list[float]
    unprotected_per_second: float
    unprotected_users: list[float]
    baseline: Baseline | None = None
    # With Airflow's web servers on a processor of their own; 0 if not measured
    backlog_per_second: float = 0.0  # runs of further events that all waited in the queue
    raw_backlog_per_second: float = 0.0

    @property
    def transport(self) -> str:
        """How Airflow is reached."""
        return self.name.partition("-")[0]

    @property
    def per_second(self) -> float:
        """Runs a second once all events are queued: on this machine, ingress takes processors from what is measured."""
        if self.backlog_per_second:
            return self.backlog_per_second
        after = [at for at in self.accepted if at >= self.queued_seconds]
        if len(after) < len(self.accepted) / 4:
            after = self.accepted
        return (len(after) - 1) / (after[-1] - after[0]) if len(after) > 1 else 0.0

    @property
    def of_raw(self) -> float:
        """Runs a second, of what Airflow starts for plain clients."""
        return self.per_second / (self.raw_backlog_per_second or self.raw_per_second)

    @property
    def times_idle(self) -> float:
        """The p95 of the other users' reads, of the same without a storm."""
        return p95_milliseconds(self.storm_users) / p95_milliseconds(self.idle_users)


def lost_and_doubled(sent: Iterable[str], runs: Iterable[str]) -> tuple[int, int]:
    """Return how many events have no run, and how many runs are one too many; `runs` has the event of each run."""
    number = Counter(runs)
    return sum(not number[event] for event in set(sent)), sum(times - 1 for times in number.values())


def goals(storms: Mapping[str, Storm]) -> list[tuple[str, str, bool]]:
    """Return each goal with what was measured, and whether it is met."""
    found: list[tuple[str, str, bool]] = []

    def at_least(goal: str, measured: float, least: float) -> None:
        found.append((f"{goal} at least {least:g}", f"{measured:.3f}", measured >= least))

    for name, each in storms.items():
        wrong = (each.lost, each.doubled, each.too_many, each.refused)
        nothing = f"`{name}`: lost, doubled, commands too many, refused: 0, 0, 0, 0"
        found.append((nothing, f"{wrong}"[1:-1], not any(wrong)))
        if each.allowed_at_once:
            most = f"`{name}`: at most {each.allowed_at_once} at once"
            found.append((most, str(each.most_at_once), each.most_at_once <= each.allowed_at_once))
        if each.rest_share:
            at_least(f"`{name}`: of `RestShare`", each.per_second / each.rest_share, OF_REST_SHARE)
        if each.of_slots:
            at_least(f"`{name}`: of what the slots allow", each.of_slots, OF_SLOTS)
        if name in PROTECTION_OFF:
            at_least(f"`{name}`: of Airflow's raw rate", each.of_raw, OF_RAW)
        elif name == each.transport:
            users = f"`{name}`: p95 of the other users' reads, at most {TIMES_IDLE:g} times idle"
            found.append((users, f"{each.times_idle:.2f}", each.times_idle <= TIMES_IDLE))
    if {"web", "rest"} <= storms.keys():
        at_least("`web`: times `rest`", storms["web"].per_second / storms["rest"].per_second, WEB_TIMES_REST)
    return found


def print_tables(storms: Mapping[str, Storm]) -> None:
    """Print the storms side by side, the other users, the baselines and the goals."""
    print(
        "\n| transport | events | lost | doubled | too many | 503s, 429s | most at once | runs a second | Airflow, raw |"
        " times raw | p50 s | p99 s | longest s |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    for name, each in storms.items():
        p50, p99 = (percentile(each.latencies, percent) for percent in (50, 99))
        print(
            f"| `{name}` | {each.events:,} | {each.lost} | {each.doubled} | {each.too_many} | {each.refused} |"
            f" {each.most_at_once} | {each.per_second:.1f} |"
            f" {each.raw_backlog_per_second or each.raw_per_second:.1f} | {each.of_raw:.2f} |"
            f" {p50:.1f} | {p99:.1f} | {each.latencies[-1]:.1f} |"
        )
    print(
        "\n| other users' reads, p95 in ms | idle | in the storm | times | raw, as many at once | its runs a second |"
        " raw, 40 at once | its runs a second |\n|---|--:|--:|--:|--:|--:|--:|--:|"
    )
    for name, each in storms.items():
        idle, storm, raw, free = map(
            p95_milliseconds, (each.idle_users, each.storm_users, each.raw_users, each.unprotected_users)
        )
        print(
            f"| `{name}` | {idle:.0f} | {storm:.0f} | {each.times_idle:.2f} | {raw:.0f} |"
            f" {each.raw_per_second:.1f} | {free:.0f} | {each.unprotected_per_second:.1f} |"
        )
    print("\n| ms of processor time a run | " + " | ".join(kinds := _kinds(storms.values())) + " |")
    print("|---|" + "--:|" * len(kinds))
    for name, each in storms.items():
        print(
            f"| `{name}` | "
            + " | ".join(f"{each.cpu_milliseconds.get(kind, 0):.0f}" for kind in kinds)
            + " |"
        )
    for name, each in storms.items():
        if each.baseline is not None:
            print(
                f"\nThe function that AWS documents, `{name}`: {each.baseline.events:,} events,"
                f" {each.baseline.lost:,} lost, {each.baseline.doubled:,} doubled,"
                f" {each.baseline.per_second:.1f} runs a second"
            )
    print("\n| goal | measured | |\n|---|--:|---|")
    for goal, measured, met in goals(storms):
        print(f"| {goal} | {measured} | {'met' if met else '**missed**'} |")


def _kinds(storms: Iterable[Storm]) -> Sequence[str]:
    return sorted({kind for each in storms for kind in each.cpu_milliseconds})
