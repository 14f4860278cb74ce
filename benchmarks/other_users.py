"""Other users of Airflow's web server: somebody who reads five times a second, with and without a storm.

They read the list of DAGs and a page of the user interface in turn, straight from Airflow, one after the other. They have
a process of their own, so that no thread of the benchmark delays them, and a connection for each read, so that each goes to
one of the web servers by chance.
"""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import requests

from benchmarks.measure import percentile

READS_PER_SECOND: Final = 5
PATHS: Final = ("/api/v2/dags?limit=50", "/")
ANSWER_SECONDS: Final = 30.0


@contextmanager
def other_users(airflow_url: str) -> Iterator[list[float]]:
    """Let them read; at the end of the block the list has the seconds of each answer."""
    answers: list[float] = []
    command = [sys.executable, "-m", "benchmarks.other_users", airflow_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        try:
            yield answers
        finally:
            reader.terminate()
            output, _ = reader.communicate()
            answers += [float(line) for line in output.splitlines()]


def p95_milliseconds(answers: list[float]) -> float:
    """Return the time that 95 % of the answers stay under."""
    return 1000 * percentile(answers, 95) if answers else 0.0


def main() -> None:
    """Read until terminated, and print the seconds of each answer."""
    (airflow_url,) = sys.argv[1:]
    # They have machines of their own, where nothing of the gateway runs. Only root may do this, and only on Linux.
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    for path in itertools.cycle(PATHS):
        began = time.perf_counter()
        refused = 0.0
        try:
            _read(airflow_url + path)
        except requests.RequestException as error:
            print(error, file=sys.stderr, flush=True)
            refused = ANSWER_SECONDS
        finally:  # also when it is terminated
            seconds = max(time.perf_counter() - began, refused)
            print(f"{seconds:.4f}", flush=True)
        time.sleep(max(0.0, 1 / READS_PER_SECOND - seconds))


def _read(url: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.get(url, timeout=ANSWER_SECONDS).raise_for_status()


if __name__ == "__main__":
    main()
