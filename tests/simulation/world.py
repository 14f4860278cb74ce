"""What everything in one simulation shares: the clock, the seed, the faults, and the history of what happened."""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from greenlet import getcurrent

from simulation.scheduler import Killed, Process, Scheduler

__all__ = ["Crash", "Crashes", "Outage", "Rates", "World"]

START = 1_800_000_000.0  # 2027-01-15
BOTOCORE_TRIES = 3  # as CLIENT_CONFIG has it
BOTOCORE_READ_TIMEOUT, CONNECT_TIMEOUT = 6.0, 3.0


class Crash(Enum):
    """Where in a call the process dies: before anything is sent, with the request on its way, with its effect done."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Rates:
    """How often what goes wrong, as a share of the calls (of the events for `duplicated`, `reordered`)."""

    duplicated: float = 0.0
    reordered: float = 0.0
    killed: float = 0.0
    stale_read: float = 0.0  # DynamoDB, where no consistent read was asked for
    throttled: float = 0.0  # DynamoDB; half of the resends too
    unprocessed: float = 0.0  # some keys of a BatchGetItem
    answer_lost: float = 0.0  # DynamoDB and SQS: applied, and botocore sends again
    queue_failed: float = 0.0
    delivered_twice: float = 0.0  # SQS
    delete_failed: float = 0.0
    web_server_error: float = 0.0  # 502, 504: half of them after the command was started
    response_lost: float = 0.0
    garbled: float = 0.0
    token_refused: float = 0.0
    slow_command: float = 0.0  # longer than the read timeout

    @classmethod
    def of_the_promise(cls) -> "Rates":
        """The rates that "0 lost, 0 doubled" is promised for."""
        return cls(
            duplicated=0.20,
            reordered=0.30,
            killed=0.05,
            stale_read=0.50,
            throttled=0.10,
            unprocessed=0.05,
            answer_lost=0.02,
            queue_failed=0.03,
            delivered_twice=0.02,
            delete_failed=0.02,
            web_server_error=0.10,
            response_lost=0.10,
            garbled=0.02,
            token_refused=0.05,
            slow_command=0.02,
        )


@dataclass(frozen=True, slots=True)
class Outage:
    """A service that does not answer for a while: "dynamodb", "sqs", "mwaa", or "web server <environment>"."""

    service: str
    begins: float
    ends: float


class Crashes(Protocol):
    """Decides which process dies where; records everything that is written to the ledger, and by whom."""

    def next(self, process: Process, operation: str) -> Crash | None: ...

    def written(self, old: dict[str, Any] | None, new: dict[str, Any]) -> None: ...


@dataclass
class RandomCrashes:
    """By chance, but never so often in a row that a request is taken for one that kills its process.

    In a row are the attempts since an end was last recorded in the ledger, by whomever: those that were killed, and those
    whose end, or whose claim's answer, was lost. Kills make a row of three at most; so that of the five which are a
    request's death two are left, for what is lost although nobody is killed.
    """

    random: random.Random
    rate: float
    longest_row: int = 3
    row: Counter[str] = field(default_factory=Counter)  # by run_id

    def next(self, process: Process, operation: str) -> Crash | None:  # noqa: ARG002
        if not self.rate or self.random.random() >= self.rate:
            return None
        # Killed before its claim, it may be killed in its claim, which arrives all the same.
        if any(self.row[one.subject] + (not one.claimed) > self.longest_row for one in process.threads):
            return None
        return self.random.choice((Crash.BEFORE, Crash.DURING, Crash.AFTER))

    def written(self, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        if "claim_id" not in new:
            return
        run_id = new["run_id"]["S"]
        if new["unanswered"] == {"N": "0"}:
            self.row.pop(run_id, None)
        elif old is None or old.get("claim_id") != new["claim_id"]:
            self.row[run_id] += 1
            if isinstance(process := getcurrent(), Process):  # else it was killed in this very call
                process.claimed = True


class World:
    """One simulation: clock, seed, faults. Fakes make their calls through `call` and `aws_call`."""

    def __init__(self, seed: int, rates: Rates, outages: tuple[Outage, ...] = ()) -> None:
        self.random = random.Random(seed)
        self.rates = rates
        self.outages = outages
        self.start = START
        self.clock_skew = 0.0  # of a sandbox's clock, in seconds, ahead or behind
        self.scheduler = Scheduler(START)
        self.faults: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.surprises: list[str] = []  # exceptions that no outage explains
        self.crashes: Crashes = RandomCrashes(random.Random(seed + 1), rates.killed)

    def clock(self) -> Callable[[], float]:
        """Return the clock of a new sandbox."""
        if not self.clock_skew:
            return self.scheduler.time
        skew = (2 * self.random.random() - 1) * self.clock_skew
        return lambda: self.scheduler.now + skew

    def chance(self, rate: float, what: str) -> bool:
        """Whether a fault happens now; it is counted."""
        if rate and self.random.random() < rate:
            self.faults[what] += 1
            return True
        return False

    def down(self, service: str) -> bool:
        for outage in self.outages:
            if outage.service == service and outage.begins <= self.scheduler.now < outage.ends:
                return True
        return False

    def next_crash(self, operation: str) -> Crash | None:
        """Begin a call of the running process, and say whether and where it dies in it."""
        process = getcurrent()
        if process.killed:
            raise Killed
        process.calls += 1
        self.calls[operation] += 1
        crash = self.crashes.next(process, operation)
        if crash is not None:
            self.faults[f"killed {crash.value}"] += 1
        return crash

    def latency(self) -> float:
        return 0.002 + self.random.random() * 0.01

    def aws_call(self, service: str, operation: str, effect: Callable[[], Any]) -> Any:
        """Call AWS as botocore does: throttled, timed out and refused calls are sent again, twice at most.

        `effect` is what the service does; its own errors are raised as they are.
        """
        crash = self.next_crash(operation)
        wait = self.scheduler.wait
        wait(self.latency())
        if crash is Crash.BEFORE:
            self.scheduler.kill()
        if crash is Crash.DURING:
            self._later(effect)
            self.scheduler.kill()
        throttled = self.rates.throttled if service == "dynamodb" else self.rates.queue_failed
        for resend in range(BOTOCORE_TRIES):
            if resend:
                wait(self.random.random() * 2**resend)
            # Who is throttled once is throttled again half of the time.
            failure = self._failure(service, operation, effect, 0.5 if resend and throttled else throttled)
            if failure is None:
                result = effect()
                if crash is Crash.AFTER:
                    self.scheduler.kill()
                return result
        assert failure is not None
        try:
            raise failure
        finally:
            del failure  # or it would hold this frame, which holds it

    def _failure(
        self, service: str, operation: str, effect: Callable[[], Any], throttled: float
    ) -> Exception | None:
        """What becomes of one send instead of an answer, if anything."""
        if self.down(service):
            self.faults[f"{service} down"] += 1
            self.scheduler.wait(CONNECT_TIMEOUT)
            return ConnectTimeoutError(endpoint_url=f"https://{service}")
        if self.chance(throttled, f"{service} throttled"):
            return ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, operation)
        if self.chance(self.rates.answer_lost, f"{service} answer lost"):
            if self.random.random() < 0.5:
                self._applied(effect)
            else:
                self._later(effect)
            self.scheduler.wait(BOTOCORE_READ_TIMEOUT)
            return ReadTimeoutError(endpoint_url=f"https://{service}")
        return None

    def _later(self, effect: Callable[[], Any]) -> None:
        """A request on its way when its sender is gone still arrives."""
        self.scheduler.after(min(self.random.expovariate(1 / 3), 60), lambda: self._applied(effect))

    @staticmethod
    def _applied(effect: Callable[[], Any]) -> None:
        with suppress(ClientError):  # nobody hears of it
            effect()
