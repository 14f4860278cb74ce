"""One MWAA environment as its clients see it: Airflow, tokens, slots, faults, and counts of their use."""

import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from local_stack.mwaa.faults import Faults, FaultSchedule
from local_stack.mwaa.slots import Slots
from local_stack.mwaa.throttle import Throttle
from local_stack.mwaa.tokens import TokenStore, WebSessions
from local_stack.mwaa.versions import AirflowVersion
from local_stack.mwaa.warm_cli import CommandAnswer

WRITES_AT_ONCE: Final = 8


class CommandLine(Protocol):
    """Runs Airflow commands."""

    def run(self, words: list[str]) -> CommandAnswer:
        """Run `airflow <words>`; raises CommandInterrupted if its outcome is unknown."""


class Count:
    """Counts of what happened. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: Counter[str] = Counter()

    def add(self, name: str) -> None:
        """Count one more."""
        with self._lock:
            self._times[name] += 1

    def __getitem__(self, name: str) -> int:
        with self._lock:
            return self._times[name]

    def forget(self) -> None:
        """Reset the counts."""
        with self._lock:
            self._times.clear()


@dataclass(slots=True)
class Environment:
    """The state that the API and the web server of one environment share."""

    name: str
    arn: str
    version: AirflowVersion
    command_line: CommandLine
    clock: Callable[[], float]
    status_on_error: int = 400
    web_server_hostname: str = ""
    airflow_url: str = ""
    status: str = "AVAILABLE"  # what GetEnvironment says; nothing else here depends on it
    slots: Slots = field(default_factory=Slots)
    throttle: Throttle = field(default_factory=Throttle)
    web_calls: Slots = field(default_factory=lambda: Slots(sys.maxsize))  # counts them; refuses none
    # Calls that change something, side by side as on MWAA. They are few, because with forty at once SQLite's writers
    # starved each other until their client gave up; MWAA has PostgreSQL.
    rest_writes: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(WRITES_AT_ONCE))
    count: Count = field(default_factory=Count)
    schedule: FaultSchedule = field(default_factory=lambda: FaultSchedule(Faults()))
    tokens: TokenStore = field(init=False)
    web_sessions: WebSessions = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = TokenStore(self.clock)
        self.web_sessions = WebSessions(self.clock)

    def statistics(self) -> dict[str, Any]:
        """What happened since the start or the last `forget`. Never a token."""
        return {
            "tokens_issued": self.count["token"],
            "commands": self.count["command"],
            "run_starts": self.count["run start"],
            "commands_in_flight": self.slots.taken,
            "most_commands_at_once": self.slots.most_taken,
            "commands_begun_before_most_at_once": self.slots.begun_before_most,
            "seconds_in_slots": round(self.slots.held_seconds, 3),
            "refused_no_free_slot": self.count["no free slot"],
            "refused_token": self.count["bad token"],
            "refused_command": self.count["unsupported"],
            "web_logins": self.count["web login"],
            "web_calls": self.count["web call"],
            "most_web_calls_at_once": self.web_calls.most_taken,
            "refused_session": self.count["bad session"],
            "rest_calls": self.count["rest call"],
            "most_rest_calls_in_a_second": self.throttle.most_in_a_second,
            "seconds_of_rest_calls": round(self.throttle.seconds, 3),
            "refused_throttled": self.count["throttled"],
            "faults": {
                name: times
                for name in _fault_names(self.schedule.faults)
                if (times := self.count[f"fault {name}"])
            },
        }

    def forget(self) -> None:
        """Reset the counts."""
        self.count.forget()
        self.slots.forget()
        self.web_calls.forget()
        self.throttle.forget()


def _fault_names(faults: Faults) -> list[str]:
    return [name for name in faults.document() if name not in {"seed", "latency_milliseconds"}]
