"""The short-lived tokens of `CreateCliToken` and `CreateWebLoginToken`, and the sessions that the latter open."""

import secrets
import threading
from collections.abc import Callable
from typing import Final

TOKEN_SECONDS: Final = 60.0
SESSION_SECONDS: Final = 12 * 3600.0


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


class WebSessions:
    """One environment's web login tokens, each for one login within 60 s, and sessions of twelve hours. Thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[str, float]] = {}  # role and expiry
        self._sessions: dict[str, tuple[str, float]] = {}

    def issue(self, role: str) -> str:
        """Return a new token, for a session with this role of Airflow's."""
        return self._kept(self._tokens, role, TOKEN_SECONDS)

    def log_in(self, token: str) -> str | None:
        """Exchange a token for a session; None if it is too old, or was exchanged before."""
        with self._lock:
            role, expiry = self._tokens.pop(token, ("", 0.0))
        return self._kept(self._sessions, role, SESSION_SECONDS) if expiry > self._clock() else None

    def role(self, session: str) -> str | None:
        """Return the role of a session; None if it has ended."""
        with self._lock:
            role, expiry = self._sessions.get(session, ("", 0.0))
        return role if expiry > self._clock() else None

    def _kept(self, where: dict[str, tuple[str, float]], role: str, seconds: float) -> str:
        secret, now = secrets.token_urlsafe(48), self._clock()
        with self._lock:
            for old in [each for each, (_, expiry) in where.items() if expiry <= now]:
                del where[old]
            where[secret] = role, now + seconds
        return secret
