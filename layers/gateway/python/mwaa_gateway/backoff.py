"""How long a message that was given back stays away."""

from typing import Final

__all__ = ["backoff_seconds", "probe_wait_seconds"]

FIRST_BACKOFF_SECONDS: Final = 5
LONGEST_BACKOFF_SECONDS: Final = 900
SHUT_FOR_LONG_SECONDS: Final = 120
LONG_WAIT_SECONDS: Final = (45, 55)


def backoff_seconds(attempt: int, jitter: float) -> float:
    """Exponential with full jitter: up to 5 s after the first attempt, doubling, never above 15 minutes.

    `jitter` is random in [0, 1). Full jitter spreads the messages that failed together
    (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter).
    """
    return jitter * min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS << min(attempt - 1, 10))


def probe_wait_seconds(until_probe: float, open_for: float, jitter: float) -> float:
    """Evenly spread: one to four times what is left until the next probe, and 45 to 55 s once it is shut for two minutes.

    At most 55 s, so that the first run is there within a minute of the environment, also where one message waits alone;
    at least 45 s, as each wait is one of the 1,000 times that SQS delivers a message: 12 hours are some 870 of them.
    `jitter` is random in [0, 1).
    """
    shortest, longest = LONG_WAIT_SECONDS
    if open_for >= SHUT_FOR_LONG_SECONDS:
        return shortest + jitter * (longest - shortest)
    return min(longest, until_probe * (1 + 3 * jitter))
