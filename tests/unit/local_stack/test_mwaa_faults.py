"""The faults of the local MWAA."""

import json
from collections import Counter

import pytest

from local_stack.mwaa.faults import APPLIED, Fault, Faults, FaultSchedule, garble

EVERY_KIND = Faults(
    error_503=0.1,
    lost_response=0.1,
    reset_before=0.1,
    reset_after=0.1,
    garbled=0.1,
    expired_token=0.1,
    error_500=0.1,
    seed=7,
)


def sequence(faults: Faults, length: int = 2000) -> list[tuple[Fault | None, float]]:
    schedule = FaultSchedule(faults)
    return [schedule.next() for _ in range(length)]


def test_the_same_seed_gives_the_same_sequence() -> None:
    """A run that failed can be repeated."""
    assert sequence(EVERY_KIND) == sequence(EVERY_KIND)
    assert sequence(EVERY_KIND) != sequence(Faults(**{**EVERY_KIND.document(), "seed": 8}))  # type: ignore[arg-type]


def test_each_fault_happens_as_often_as_asked() -> None:
    """Within what chance allows in 2,000 requests; and a fault that was not asked for never happens."""
    counted = Counter(fault for fault, _ in sequence(EVERY_KIND))
    assert all(140 < counted[fault] < 260 for fault in Fault)
    assert {fault for fault, _ in sequence(Faults(error_503=0.5))} == {None, Fault.ERROR_503}


def test_certainty_leaves_no_gap() -> None:
    """Probabilities that add up to 1 leave no request alone, rounding or not."""
    assert None not in {fault for fault, _ in sequence(Faults(error_503=0.7, garbled=0.2, reset_after=0.1))}


def test_faults_survive_their_document() -> None:
    """What is sent to the control path is what is switched on."""
    assert Faults.parse(json.loads(json.dumps(EVERY_KIND.document()))) == EVERY_KIND


@pytest.mark.parametrize(
    "document",
    [
        {"error_503": 1.1},
        {"error_503": -0.1},
        {"error_503": 0.6, "garbled": 0.6},
        {"error_503": "0.5"},
        {"error_503": True},
        {"seed": 1.5},
        {"latency_milliseconds": -1},
        {"no_such_fault": 0.5},
    ],
)
def test_a_document_that_makes_no_sense_is_refused(document: dict[str, object]) -> None:
    """Nothing is switched on by mistake, and the message says what is wrong."""
    with pytest.raises(ValueError, match=r"must be a number|at (least|most)|Unknown: no_such_fault"):
        Faults.parse(document)


@pytest.mark.parametrize("detail", [0.0, 0.3, 0.6, 0.9])
def test_a_garbled_answer_never_reads_as_the_true_one(detail: float) -> None:
    """Each way of damage destroys either the JSON or the base64 of stdout."""
    body = b'{"stdout": "b2s=", "stderr": ""}'
    damaged = garble(body, detail)
    assert damaged != body
    assert b'"b2s="' not in damaged


def test_which_faults_took_effect_is_known() -> None:
    """The names say it: what happens after or to the answer was applied."""
    assert {Fault.LOST_RESPONSE, Fault.RESET_AFTER, Fault.GARBLED, Fault.ERROR_500} == APPLIED
