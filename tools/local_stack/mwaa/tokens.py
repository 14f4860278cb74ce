"""The short-lived tokens of `CreateCliToken`."""

import secrets
import threading
from collections.abc import Callable
from typing import Final

TOKEN_SECONDS: Final = 60.0


class TokenStore:
    """Tokens that each open one environment's command line, any number of times in 60 s. Thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._expiries: dict[tuple[str, str], float] = {}

    def issue(self, environment: str) -> str:
        """Return a new token of an environment."""
        token = secrets.token_urlsafe(48)
        now = self._clock()
        with self._lock:
            self._expiries = {key: expiry for key, expiry in self._expiries.items() if expiry > now}
            self._expiries[environment, token] = now + TOKEN_SECONDS
        return token

    def accepts(self, environment: str, token: str) -> bool:
        """Whether a token was issued for this environment less than 60 seconds ago."""
        with self._lock:
            return self._expiries.get((environment, token), 0.0) > self._clock()
