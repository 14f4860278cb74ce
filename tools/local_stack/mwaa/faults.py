"""What can go wrong between a client and MWAA's web server or REST API, on demand and reproducibly."""

import random
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any, Final, Self


class Fault(Enum):
    """How one request goes wrong; the value is the field of `Faults` with its probability."""

    ERROR_503 = "error_503"  # 503, nothing ran
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 - 403, nothing ran
    RESET_BEFORE = "reset_before"  # connection reset, nothing ran
    LOST_RESPONSE = "lost_response"  # the command took effect; the connection is closed without an answer
    RESET_AFTER = "reset_after"  # the command took effect; the connection is reset
    GARBLED = "garbled"  # the command took effect; status 200 with a body that cannot be read
    ERROR_500 = "error_500"  # the command took effect; status 500 in place of its answer


APPLIED: Final = frozenset({Fault.LOST_RESPONSE, Fault.RESET_AFTER, Fault.GARBLED, Fault.ERROR_500})


@dataclass(frozen=True, slots=True)
class Faults:
    """The probability of each fault per request, and the extra seconds of each command.

    At most one fault happens to a request, so the probabilities may add up to at most 1; ValueError
    otherwise.
    """

    error_503: float = 0.0
    lost_response: float = 0.0
    reset_before: float = 0.0
    reset_after: float = 0.0
    garbled: float = 0.0
    expired_token: float = 0.0
    error_500: float = 0.0
    latency_milliseconds: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        probabilities = [self.probability(fault) for fault in Fault]
        if min(probabilities) < 0 or sum(probabilities) > 1 + 1e-9:
            raise ValueError("Each probability of a fault is at least 0, and together they are at most 1")
        if self.latency_milliseconds < 0:
            raise ValueError("latency_milliseconds is at least 0")

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Read the output of `document`. Raises ValueError, which names the problem."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(document) - known):
            raise ValueError(f"Unknown: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        for name, value in document.items():
            if isinstance(value, bool) or not isinstance(value, int if name == "seed" else int | float):
                raise ValueError(f"{name} must be a number, not {value!r}")  # noqa: TRY004 - a bad document
        return cls(**document)

    def document(self) -> dict[str, float]:
        """Return the faults as a JSON object."""
        return asdict(self)

    def probability(self, fault: Fault) -> float:
        """Return the probability of a fault."""
        probability: float = getattr(self, fault.value)
        return probability


class FaultSchedule:
    """Decides request by request what goes wrong; equal faults and seeds decide alike. Thread-safe."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._random = random.Random(faults.seed)  # noqa: S311 - reproducible on purpose
        self._lock = threading.Lock()

    def next(self) -> tuple[Fault | None, float]:
        """Return the fault of the next request, if any, and a number in [0, 1) that chooses its details."""
        with self._lock:
            chance, detail = self._random.random(), self._random.random()
        for fault in Fault:
            chance -= self.faults.probability(fault)
            if chance < 0:
                return fault, detail
        return None, detail


def garble(body: bytes, detail: float) -> bytes:
    """Damage a JSON answer in one of the ways a broken proxy does; `detail` in [0, 1) chooses which."""
    damages = (
        body[: len(body) // 2],  # cut short
        # invalid base64; a run with another name
        body.replace(b'"stdout": "', b'"stdout": "*').replace(b'run_id": "', b'run_id": "*'),
        b"<html><body>Bad gateway</body></html>",
        b"",
    )
    return damages[int(detail * len(damages))]
