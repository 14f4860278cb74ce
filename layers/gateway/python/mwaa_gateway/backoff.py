"""How long to wait before the next try."""

from typing import Final

FIRST_BACKOFF_SECONDS: Final = 5
LONGEST_BACKOFF_SECONDS: Final = 900
SOON_SECONDS: Final = 2
RECEIVES_TO_SPEND: Final = 150  # of SQS's 1,000, on short waits at the beginning of an outage
LONG_WAIT_SECONDS: Final = (45, 55)


def growing_pause(failures: int, first: float, longest: float) -> float:
    """Return the pause after so many failures in a row: `first`, then twice as long each time, at most `longest`."""
    return min(longest, first * (1 << min(failures - 1, 10)))


def backoff_seconds(attempt: int, jitter: float) -> float:
    """Return the exponential back-off with full jitter: up to 5 s after the first attempt, doubling up to 15 minutes.

    `jitter` is random in [0, 1). Full jitter spreads messages that failed together
    (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter).
    """
    return jitter * growing_pause(attempt, FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS)


def soon_seconds(jitter: float) -> float:
    """Return a wait of up to two seconds, for a message whose failure is not its own: the target paces the attempts."""
    return jitter * SOON_SECONDS


def probe_wait_seconds(until_probe: float, receives: int, jitter: float) -> float:
    """Return a wait of one to two times `until_probe`; 45 to 55 s once the message was received 150 times.

    At most 55 s: even a single waiting message then starts its run within a minute of the environment's return.
    At least 45 s: SQS delivers a message at most 1,000 times, and twelve hours of such waits take some 700 of them.
    `jitter` is random in [0, 1), and spreads the messages evenly.
    """
    shortest, longest = LONG_WAIT_SECONDS
    if receives >= RECEIVES_TO_SPEND:
        return shortest + jitter * (longest - shortest)
    return until_probe * (1 + jitter)
