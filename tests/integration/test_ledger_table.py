"""The ledger's promises, kept by DynamoDB (moto's) and by the in-memory fake alike, so that the fake can be trusted."""

import zlib
from collections.abc import Iterator

import pytest
from botocore.exceptions import EndpointConnectionError

from fakes.ledger import FakeLedger
from fakes.requests import a_request
from mwaa_gateway.aws.ledger_table import REMEMBERED_SECONDS, LedgerTable
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.ledger import Claim, Finished, Ledger, PinnedElsewhere
from mwaa_gateway.outcomes import AlreadyTriggered, OutcomeUnknown, Reason, Rejected, Retryable, Triggered

BUSY = Retryable(Reason.WEB_SERVER_BUSY, "busy")
LOST = OutcomeUnknown(Reason.UNCLEAR_ANSWER, "lost")
NO = Rejected(Reason.CONF_REFUSED, "no")


@pytest.fixture(params=["dynamodb", "fake"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    if request.param == "fake":
        return FakeLedger()
    return LedgerTable(request.getfixturevalue("dynamodb"), "ledger")


def claimed(ledger: Ledger, request=None, now: float = 1_000.0) -> Claim:
    claim = ledger.claim(request or a_request(), now)
    assert isinstance(claim, Claim)
    return claim


def test_the_first_claim_stores_the_request(ledger: Ledger) -> None:
    """Attempt 1 of a request that nobody has seen."""
    assert Claim(a_request(), 1, 1, doubtful=False, first_attempt_at=1_000.0) == claimed(ledger)


def test_a_later_claim_gets_what_the_first_one_pinned(ledger: Ledger) -> None:
    """Another DAG in the meantime changes nothing; the age counts from the first attempt."""
    claimed(ledger)
    second = claimed(ledger, a_request(dag_id="other"), now=2_000.0)
    assert Claim(a_request(), 2, 2, doubtful=False, first_attempt_at=1_000.0) == second


def test_a_finished_request_cannot_be_claimed(ledger: Ledger) -> None:
    """It is told how it ended, with the run it ended as."""
    assert ledger.finish(claimed(ledger), Triggered(), 1_001.0)
    finished = ledger.claim(a_request(), 1_002.0)
    assert isinstance(finished, Finished)
    assert isinstance(finished.outcome, AlreadyTriggered)
    assert a_request().target.run_id == finished.run_id


def test_a_dead_request_says_why(ledger: Ledger) -> None:
    """The reason stays with it."""
    assert ledger.finish(claimed(ledger), NO, 1_001.0)
    assert Finished(a_request().target.run_id, NO) == ledger.claim(a_request(), 1_002.0)


def test_a_finished_row_is_not_finished_again(ledger: Ledger) -> None:
    """Whoever comes late changes nothing."""
    first, second = claimed(ledger), claimed(ledger)
    assert ledger.finish(second, Triggered(), 1_001.0)
    assert not ledger.finish(first, NO, 1_002.0)
    assert not ledger.note(first, BUSY, 1_002.0)
    finished = ledger.claim(a_request(), 1_003.0)
    assert isinstance(finished, Finished)
    assert isinstance(finished.outcome, AlreadyTriggered)


def test_an_open_row_belongs_to_the_latest_attempt(ledger: Ledger) -> None:
    """Fenced by the attempt number, before anything is finished."""
    first, second = claimed(ledger), claimed(ledger)
    assert not ledger.finish(first, NO, 1_001.0)
    assert ledger.note(second, BUSY, 1_002.0)


@pytest.mark.parametrize(("outcome", "doubtful"), [(BUSY, False), (LOST, True)], ids=["retryable", "unknown"])
def test_a_noted_attempt_is_answered_and_its_doubt_remembered(
    ledger: Ledger, outcome: Retryable | OutcomeUnknown, *, doubtful: bool
) -> None:
    """The next claim counts itself alone as unanswered, and knows whether to look up first."""
    assert ledger.note(claimed(ledger), outcome, 1_001.0)
    following = claimed(ledger)
    assert (2, 1, doubtful) == (following.attempt, following.unanswered, following.doubtful)


def test_a_doubt_ends_with_a_clear_answer(ledger: Ledger) -> None:
    """Unknown, then surely not done."""
    ledger.note(claimed(ledger), LOST, 1_001.0)
    ledger.note(claimed(ledger), BUSY, 1_002.0)
    assert not claimed(ledger).doubtful


def test_an_overtaken_attempt_counts_as_answered(ledger: Ledger) -> None:
    """Duplicates that overlap for ever are not a message that kills its process."""
    claim = claimed(ledger)
    for _ in range(10):
        overtaken, claim = claim, claimed(ledger)
        assert not ledger.note(overtaken, BUSY, 1_001.0)
    assert 11 == claim.attempt
    assert claim.unanswered <= 2


def test_an_open_request_of_another_environment_is_left_alone(ledger: Ledger) -> None:
    """Its own queue holds it; claiming it here would fence the attempt that is under way there."""
    there = claimed(ledger, a_request(environment="marketing"))
    assert PinnedElsewhere("marketing") == ledger.claim(a_request(environment="analytics"), 1_001.0)
    assert ledger.finish(there, Triggered(), 1_002.0)


def test_two_events_two_rows(ledger: Ledger) -> None:
    """Identity decides."""
    claimed(ledger)
    assert 1 == claimed(ledger, a_request("another")).attempt


# --- what only the real table can show ------------------------------------------------------------------------------


def item(dynamodb) -> dict:
    (only,) = dynamodb.scan(TableName="ledger")["Items"]
    return only


def test_a_row_tells_a_person_what_became_of_it(dynamodb) -> None:
    """State, run, outcome, reason and times are plain attributes; TTL is 90 days after the first attempt."""
    table = LedgerTable(dynamodb, "ledger")
    table.note(claimed(table), BUSY, 1_001.0)
    table.finish(claimed(table, now=2_000.0), NO, 2_001.0)
    row = item(dynamodb)
    assert {
        "state": {"S": "dead"},
        "outcome": {"S": "Rejected"},
        "reason": {"S": "conf_refused"},
        "reason_text": {"S": "no"},
        "environment": {"S": "analytics"},
        "dag_id": {"S": "ingest_orders"},
        "run_id": {"S": a_request().target.run_id},
        "identity": {"S": a_request().identity},
        "attempt": {"N": "2"},
        "expires_at": {"N": str(1_000 + REMEMBERED_SECONDS)},
    }.items() <= row.items()
    assert a_request().to_json().encode() == zlib.decompress(row["request_body"]["B"])
    assert [1_000, 2_000, 2_001] == [
        float(row[name]["N"]) for name in ("first_attempt_at", "last_attempt_at", "finished_at")
    ]


@pytest.fixture
def lost_answers(dynamodb, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """Every write is applied and then sent again, as botocore does when the first answer is lost on the way."""
    real = dynamodb.update_item

    def sent_twice(**arguments):
        real(**arguments)
        return real(**arguments)

    monkeypatch.setattr(dynamodb, "update_item", sent_twice)
    return dynamodb


def test_an_own_claim_is_recognised_when_its_answer_was_lost(lost_answers) -> None:
    """One attempt, not two: a second number would look like a crash and cost a look-up."""
    assert (1, 1) == ((claim := claimed(LedgerTable(lost_answers, "ledger"))).attempt, claim.unanswered)


def test_an_own_end_is_recognised_when_its_answer_was_lost(lost_answers) -> None:
    """The row is finished, by us: no needless round."""
    table = LedgerTable(lost_answers, "ledger")
    assert table.finish(claimed(table), Triggered(), 1_001.0)


@pytest.mark.parametrize("method", ["claim", "finish", "note"])
def test_no_answer_is_unavailable(dynamodb, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever botocore raises; the text names it and holds no part of the request."""
    table = LedgerTable(dynamodb, "ledger")
    claim = claimed(table)

    def fail(**_):
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    monkeypatch.setattr(dynamodb, "update_item", fail)
    with pytest.raises(Unavailable, match="EndpointConnectionError"):
        {
            "claim": lambda: table.claim(a_request(), 1_001.0),
            "finish": lambda: table.finish(claim, Triggered(), 1_001.0),
            "note": lambda: table.note(claim, BUSY, 1_001.0),
        }[method]()


def test_a_missing_table_is_unavailable(dynamodb) -> None:
    """A wrong deployment keeps the messages in the queue until it is mended."""
    with pytest.raises(Unavailable, match="ResourceNotFoundException"):
        LedgerTable(dynamodb, "elsewhere").claim(a_request(), 1_000.0)
