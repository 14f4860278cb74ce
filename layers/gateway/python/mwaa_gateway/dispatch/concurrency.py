"""How many attempts one sandbox makes side by side: fewer while the web server is under load."""

from mwaa_gateway.outcomes import Outcome, Reason, Retryable

SLOW_SECONDS = 10.0  # an attempt that takes so long met a time-out, or a web server that is close to one


class Concurrency:
    """At most `most` attempts at once; halved by a load signal, and one more for each second without one.

    A load signal is an answer 429 or 503, or an attempt that takes ten seconds. There is no latency gradient: a sandbox
    that starts under load would take the loaded latency for its best.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._limit = most
        self._since = 0.0  # the last load signal

    def limit(self, now: float) -> int:
        """Return how many attempts may be made at once."""
        return min(self.most, self._limit + int(max(0.0, now - self._since)))

    def record(self, outcome: Outcome, began: float, now: float) -> None:
        """Record how an attempt ended. Those that were under way at the last load signal say nothing new."""
        busy = isinstance(outcome, Retryable) and outcome.reason is Reason.WEB_SERVER_BUSY
        if (busy or now - began >= SLOW_SECONDS) and began >= self._since:
            self._halve(now)

    def record_load(self, now: float) -> None:
        """Record a load signal that the outcome of an attempt does not show; those within a second are one."""
        if now - self._since >= 1:
            self._halve(now)

    def _halve(self, now: float) -> None:
        self._limit, self._since = max(1, self.limit(now) // 2), now
