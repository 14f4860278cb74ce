"""The doctor's answer: complete where it fits into what Lambda returns, and bounded where it does not."""

import json
from typing import Any

import pytest

from mwaa_gateway.airflow.dag_list import ListedDag
from mwaa_gateway.doctor.doctor import LONGEST_LIST, Doctor, StepResult

LAMBDAS_LIMIT = 6 * 1024 * 1024  # bytes of a synchronous answer
LONGEST_NAME = 250  # Airflow's limit


class Airflow:
    """Lists so many DAGs of each kind; over `rest`, where nobody signs in."""

    transport = "rest"
    server_time_offset = None

    def __init__(self, runnable: int, paused: int, stale: int) -> None:
        kinds = {"r": (runnable, False, False), "p": (paused, True, False), "s": (stale, False, True)}
        self.dags = tuple(
            ListedDag(f"{kind}{number:05}".ljust(LONGEST_NAME, "x"), is_paused, is_stale)
            for kind, (count, is_paused, is_stale) in kinds.items()
            for number in range(count)
        )

    def sign_in(self) -> str:
        return ""

    def list_dags(self) -> tuple[ListedDag, ...]:
        return self.dags


class Network:
    """Reaches everything."""

    def reach(self, url: str, ca_bundle: str = "") -> StepResult:  # noqa: ARG002
        return StepResult("reached")

    def reach_all(self, urls: Any) -> list[StepResult]:
        return [self.reach(url) for url in urls]


@pytest.mark.parametrize(
    ("listed", "named"),
    [
        ((LONGEST_LIST - 2, 1, 1), (LONGEST_LIST - 2, 1, 1)),
        ((LONGEST_LIST - 1, 1, 1), (0, 1, 1)),  # one too many: a name that is not there says nothing then
        ((1, LONGEST_LIST - 1, 2), (0, LONGEST_LIST - 1, 1)),
        ((5, LONGEST_LIST + 1, 7), (0, LONGEST_LIST, 0)),
    ],
)
def test_the_answer_is_bounded(listed: tuple[int, int, int], named: tuple[int, int, int]) -> None:
    """The runnable DAGs are listed all or not at all; the number is always the true one."""
    doctor = Doctor(
        endpoints=(),
        network=Network(),
        airflow=Airflow(*listed),
        ca_bundle="",
        monotonic=lambda: 0.0,
        now=lambda: 7.0,
    )
    answer = doctor.examine("analytics")
    dags = answer["dags"]
    assert tuple(len(dags[kind]) for kind in ("runnable", "paused", "stale")) == named
    assert (dags["count"], dags["taken_at"]) == (sum(listed), 7.0)
    assert all(name.startswith(kind[0]) for kind in ("runnable", "paused", "stale") for name in dags[kind])
    assert len(json.dumps(answer)) < LAMBDAS_LIMIT
