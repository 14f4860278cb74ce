"""How long a message that was given back stays away."""

from typing import Final

__all__ = ["backoff_seconds"]

FIRST_BACKOFF_SECONDS: Final = 5
LONGEST_BACKOFF_SECONDS: Final = 900


def backoff_seconds(attempt: int, jitter: float) -> float:
    """Exponential with full jitter: up to 5 s after the first attempt, doubling, never above 15 minutes.

    `jitter` is random in [0, 1). Full jitter spreads the messages that failed together
    (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter).
    """
    return jitter * min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS << min(attempt - 1, 10))
