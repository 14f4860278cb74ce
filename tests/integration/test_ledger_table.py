"""The ledger's promises, kept by DynamoDB (moto's) and by the in-memory fake alike, so that the fake can be trusted."""

import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from fakes.ledger import FakeLedger
from fakes.requests import a_request
from gateway_cli.ledger_rows import LedgerRows
from mwaa_gateway.aws.dynamodb.ledger_items import DEAD_SHARDS, HELD_SHARDS, REMEMBERED_SECONDS
from mwaa_gateway.aws.dynamodb.ledger_table import LedgerTable
from mwaa_gateway.dispatch.ledger import Attempt, Finished, Ledger, PinnedElsewhere, UnreadableRow
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Held,
    NotRunnable,
    OutcomeUnknown,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)

BUSY = Retryable(Reason.WEB_SERVER_BUSY, "busy")
LOST = OutcomeUnknown(Reason.UNCLEAR_ANSWER, "lost")
RULE_PAUSED = Held(Reason.RULE_DISABLED, "somebody disabled it")
NO = Rejected(Reason.CONF_REFUSED, "no")


@pytest.fixture(params=["dynamodb", "fake"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    if request.param == "fake":
        return FakeLedger()
    return LedgerTable(request.getfixturevalue("dynamodb"), "ledger")


def claimed(ledger: Ledger, request=None, now: float = 1_000.0) -> Attempt:
    attempt = ledger.begin_attempt(request or a_request(), now)
    assert isinstance(attempt, Attempt)
    return attempt


def test_the_first_claim_stores_the_request(ledger: Ledger) -> None:
    """Attempt 1 of a request that nobody has seen."""
    assert Attempt(
        a_request(), 1, 1, outcome_unknown=False, first_attempt_at=1_000.0, ages_from=1_000.0
    ) == claimed(ledger)


@pytest.mark.guarantee(36)
def test_a_later_claim_gets_what_the_first_one_pinned(ledger: Ledger) -> None:
    """Another DAG in the meantime changes nothing; the age counts from the first attempt."""
    claimed(ledger)
    second = claimed(ledger, a_request(dag_id="other"), now=2_000.0)
    assert (
        Attempt(a_request(), 2, 2, outcome_unknown=False, first_attempt_at=1_000.0, ages_from=1_000.0)
        == second
    )


def test_attempts_without_an_outcome_are_counted_from_the_last_outcome_on(ledger: Ledger) -> None:
    """None of a request that nobody has seen."""
    assert 0 == ledger.attempts_without_outcome(a_request())
    claimed(ledger)
    second = claimed(ledger)
    assert 2 == ledger.attempts_without_outcome(a_request())
    assert ledger.record_attempt(second, BUSY, 1_001.0)
    assert 0 == ledger.attempts_without_outcome(a_request())


def test_a_finished_request_cannot_be_claimed(ledger: Ledger) -> None:
    """The caller learns the outcome, and its run."""
    assert ledger.finish(claimed(ledger), Triggered(), 1_001.0)
    finished = ledger.begin_attempt(a_request(), 1_002.0)
    assert isinstance(finished, Finished)
    assert isinstance(finished.outcome, AlreadyTriggered)
    assert a_request().target.run_id == finished.run_id


def test_a_dead_request_says_why(ledger: Ledger) -> None:
    """The reason stays with it."""
    assert ledger.finish(claimed(ledger), NO, 1_001.0)
    assert Finished(a_request().target.run_id, NO) == ledger.begin_attempt(a_request(), 1_002.0)


@pytest.mark.guarantee(23)
def test_a_finished_row_is_not_finished_again(ledger: Ledger) -> None:
    """Whoever comes late changes nothing."""
    first, second = claimed(ledger), claimed(ledger)
    assert ledger.finish(second, Triggered(), 1_001.0)
    assert not ledger.finish(first, NO, 1_002.0)
    assert not ledger.record_attempt(first, BUSY, 1_002.0)
    finished = ledger.begin_attempt(a_request(), 1_003.0)
    assert isinstance(finished, Finished)
    assert isinstance(finished.outcome, AlreadyTriggered)


def test_an_open_row_belongs_to_the_latest_attempt(ledger: Ledger) -> None:
    """Fenced by the attempt number, before anything is finished."""
    first, second = claimed(ledger), claimed(ledger)
    assert not ledger.finish(first, NO, 1_001.0)
    assert ledger.record_attempt(second, BUSY, 1_002.0)


@pytest.mark.parametrize(
    ("outcome", "outcome_unknown"), [(BUSY, False), (LOST, True)], ids=["retryable", "unknown"]
)
def test_a_noted_attempt_is_answered_and_its_doubt_remembered(
    ledger: Ledger, outcome: Retryable | OutcomeUnknown, *, outcome_unknown: bool
) -> None:
    """The next claim counts itself alone as unanswered, and knows whether to look up first."""
    assert ledger.record_attempt(claimed(ledger), outcome, 1_001.0)
    following = claimed(ledger)
    assert (2, 1, outcome_unknown) == (
        following.number,
        following.attempts_without_outcome,
        following.outcome_unknown,
    )


def test_a_doubt_ends_with_a_clear_answer(ledger: Ledger) -> None:
    """Unknown, then surely not done."""
    ledger.record_attempt(claimed(ledger), LOST, 1_001.0)
    ledger.record_attempt(claimed(ledger), BUSY, 1_002.0)
    assert not claimed(ledger).outcome_unknown


def test_an_overtaken_attempt_counts_as_answered(ledger: Ledger) -> None:
    """Duplicates that overlap for ever are not a message that kills its process."""
    attempt = claimed(ledger)
    for _ in range(10):
        overtaken, attempt = attempt, claimed(ledger)
        assert not ledger.record_attempt(overtaken, BUSY, 1_001.0)
    assert 11 == attempt.number
    assert attempt.attempts_without_outcome <= 2


def test_an_open_request_of_another_environment_is_left_alone(ledger: Ledger) -> None:
    """Its own queue has it; claiming it here would fence the attempt that is under way there."""
    there = claimed(ledger, a_request(environment="marketing"))
    assert PinnedElsewhere("marketing") == ledger.begin_attempt(a_request(environment="analytics"), 1_001.0)
    assert ledger.finish(there, Triggered(), 1_002.0)


def test_two_events_two_rows(ledger: Ledger) -> None:
    """Identity decides."""
    claimed(ledger)
    assert 1 == claimed(ledger, a_request("another")).number


# --- redrive --------------------------------------------------------------------------------------------------------

FIVE_DAYS = 5 * 86_400.0
MAYBE = Rejected(Reason.TOO_OLD, "the run may exist", run_may_exist=True)


def redriven(redrive: int = 1, **changes):
    return replace(a_request(**changes), redrive=redrive)


def dead(ledger: Ledger, rejected: Rejected = NO) -> None:
    assert ledger.finish(claimed(ledger), rejected, 1_001.0)


def test_a_dead_request_is_reopened_with_a_fresh_age(ledger: Ledger) -> None:
    """The attempt number goes on, so that whoever comes late stays fenced; everything that counts up starts again."""
    for _ in range(4):
        claimed(ledger)
    dead(ledger)
    attempt = claimed(ledger, redriven(), now=FIVE_DAYS)
    assert (
        Attempt(
            redriven(),
            6,
            1,
            outcome_unknown=False,
            first_attempt_at=FIVE_DAYS,
            reopened_after=5,
            ages_from=FIVE_DAYS,
        )
        == attempt
    )
    assert 1 == attempt.tries


@pytest.mark.parametrize("ageing", [True, False], ids=["ageing", "away"])
def test_a_request_that_died_of_old_age_is_redriven_with_no_age(ledger: Ledger, *, ageing: bool) -> None:
    """Else it would die again at its first 503, whatever the operator has repaired."""
    ledger.record_attempt(claimed(ledger), BUSY, 1_600.0)
    ledger.record_attempt(claimed(ledger, now=2_000.0), BUSY, 2_001.0, ageing=ageing)
    last = claimed(ledger, now=2_100.0)
    assert last.age(2_100.0) > 600
    assert ledger.finish(last, Rejected(Reason.TOO_OLD, "tried for too long"), 2_101.0)
    assert 0 == claimed(ledger, redriven(), now=FIVE_DAYS).age(FIVE_DAYS)


def test_a_redriven_request_is_what_was_pinned(ledger: Ledger) -> None:
    """Whatever the message says."""
    dead(ledger)
    assert redriven() == claimed(ledger, redriven(dag_id="other")).request


@pytest.mark.parametrize(("rejected", "outcome_unknown"), [(MAYBE, True), (NO, False)])
def test_a_doubt_outlives_death(ledger: Ledger, rejected: Rejected, *, outcome_unknown: bool) -> None:
    """A request that died while nobody knew whether it had run is looked up first; a clear no is not."""
    ledger.record_attempt(claimed(ledger), LOST, 1_000.5)
    dead(ledger, rejected)
    assert Finished(a_request().target.run_id, rejected) == ledger.begin_attempt(a_request(), 1_002.0)
    assert outcome_unknown == claimed(ledger, redriven()).outcome_unknown


@pytest.mark.guarantee(26)
def test_one_redrive_reopens_once(ledger: Ledger) -> None:
    """A second message of the same redrive finds the request that died again dead; the next redrive reopens it."""
    dead(ledger)
    assert ledger.finish(claimed(ledger, redriven()), MAYBE, 1_002.0)
    assert isinstance(ledger.begin_attempt(redriven(), FIVE_DAYS), Finished)
    assert 3 == claimed(ledger, redriven(2)).number


def test_a_redrive_of_what_runs_or_ran_starts_nothing_new(ledger: Ledger) -> None:
    """While the original is in flight it is one more attempt of it; after it was triggered it is a duplicate."""
    original = claimed(ledger)
    attempt = claimed(ledger, redriven(), now=2_000.0)
    assert (2, 1_000.0) == (attempt.number, attempt.first_attempt_at)
    assert not ledger.finish(original, NO, 2_001.0)
    assert ledger.finish(attempt, Triggered(), 2_002.0)
    for redrive in (0, 1, 2):
        finished = ledger.begin_attempt(redriven(redrive), FIVE_DAYS)
        assert isinstance(finished, Finished)
        assert isinstance(finished.outcome, AlreadyTriggered)


def test_two_messages_of_one_redrive_are_two_attempts_of_it(ledger: Ledger) -> None:
    """The second overtakes the first, as any duplicate does; the age is the first one's."""
    dead(ledger)
    first, second = claimed(ledger, redriven(), now=2_000.0), claimed(ledger, redriven(), now=3_000.0)
    assert (2, 3, 2_000.0) == (first.number, second.number, second.first_attempt_at)
    assert not ledger.finish(first, Triggered(), 3_001.0)


def test_an_attempt_from_before_the_redrive_changes_nothing(ledger: Ledger) -> None:
    """It was overtaken when the request died, and stays so."""
    late = claimed(ledger)
    dead(ledger)
    attempt = claimed(ledger, redriven())
    assert not ledger.finish(late, MAYBE, 2_001.0)
    assert not ledger.record_attempt(late, LOST, 2_002.0)
    assert ledger.finish(attempt, Triggered(), 2_003.0)


def test_a_dead_request_is_redriven_in_its_own_environment_only(ledger: Ledger) -> None:
    """Reopened elsewhere, its pinned DAG would be started in another Airflow."""
    dead(ledger)
    assert isinstance(ledger.begin_attempt(redriven(environment="marketing"), 2_000.0), Finished)
    assert 2 == claimed(ledger, redriven()).number


def test_a_redrive_of_what_the_ledger_has_forgotten_is_a_first_attempt(ledger: Ledger) -> None:
    """Its row went by TTL between the command and the dispatcher; the redrive counts all the same."""
    attempt = claimed(ledger, redriven(2))
    assert (1, 0, 2) == (attempt.number, attempt.reopened_after, attempt.request.redrive)
    assert ledger.finish(attempt, NO, 1_001.0)
    assert isinstance(ledger.begin_attempt(redriven(2), 1_002.0), Finished)
    assert 2 == claimed(ledger, redriven(3)).number


def test_a_late_message_does_not_lower_the_number_of_redrives(ledger: Ledger) -> None:
    """The row keeps the highest number it has seen: an old redrive that arrives later reopens nothing."""
    claimed(ledger, redriven(2))
    attempt = claimed(ledger, now=1_001.0)
    assert 2 == attempt.request.redrive
    assert ledger.finish(attempt, NO, 1_002.0)
    assert isinstance(ledger.begin_attempt(redriven(1), 1_003.0), Finished)


def test_an_accepted_run_is_untold_until_the_row_says_that_it_will_not_start(ledger: Ledger) -> None:
    """A redelivery reads from `untold_since` that it still has to report the run, and since when."""
    assert ledger.finish(claimed(ledger), Triggered(), 1_001.0)
    accepted = ledger.begin_attempt(a_request(), 1_002.0)
    assert isinstance(accepted, Finished)
    assert 1_001.0 == accepted.accepted_at
    ledger.mark_not_runnable(a_request(), NotRunnable.PAUSED)
    reported = ledger.begin_attempt(a_request(), 1_003.0)
    assert isinstance(reported, Finished)
    assert reported.accepted_at is None


# --- held -----------------------------------------------------------------------------------------------------------


def held(ledger: Ledger, request=None, now: float = 1_000.0) -> Finished:
    finished = ledger.hold(request or a_request(), RULE_PAUSED, now)
    assert isinstance(finished, Finished)
    return finished


def test_a_held_request_is_parked_and_pinned(ledger: Ledger) -> None:
    """Nobody attempts it any more, whoever comes; it is what the first message of it said."""
    assert Finished(a_request().target.run_id, RULE_PAUSED) == held(ledger)
    assert Finished(a_request().target.run_id, RULE_PAUSED) == ledger.begin_attempt(
        a_request(dag_id="other"), 1_001.0
    )
    assert redriven() == claimed(ledger, redriven(dag_id="other")).request


def test_a_claimed_request_can_be_held(ledger: Ledger) -> None:
    """`when_paused: hold` holds what the claim returned, which was read back from the row."""
    attempt = claimed(ledger)
    ledger.record_attempt(attempt, Retryable(Reason.DAG_PAUSED, "paused"), 1_001.0)
    assert Finished(a_request().target.run_id, RULE_PAUSED) == held(ledger, attempt.request)


def test_what_was_never_tried_is_released_as_new(ledger: Ledger) -> None:
    """First attempt, fresh age, no doubt: being held is no attempt."""
    held(ledger)
    assert Attempt(
        redriven(), 1, 1, outcome_unknown=False, first_attempt_at=FIVE_DAYS, ages_from=FIVE_DAYS
    ) == claimed(ledger, redriven(), now=FIVE_DAYS)


def test_a_release_counts_once(ledger: Ledger) -> None:
    """Held anew, the request waits for the next number; a second message of the old one releases nothing."""
    held(ledger)
    assert Finished(a_request().target.run_id, RULE_PAUSED, 1) == held(ledger, redriven())
    assert isinstance(ledger.begin_attempt(redriven(), 1_002.0), Finished)
    assert isinstance(ledger.begin_attempt(redriven(2), 1_003.0), Attempt)


def test_an_attempt_under_way_ends_a_held_request(ledger: Ledger) -> None:
    """Airflow's answer counts, even if somebody paused the rule meanwhile."""
    attempt = claimed(ledger)
    held(ledger)
    assert ledger.finish(attempt, Triggered(), 1_002.0)
    finished = ledger.begin_attempt(redriven(), 1_003.0)
    assert isinstance(finished, Finished)
    assert isinstance(finished.outcome, AlreadyTriggered)


@pytest.mark.parametrize("noted", [None, LOST], ids=["never answered", "unknown"])
def test_a_doubt_outlives_being_held(ledger: Ledger, noted: OutcomeUnknown | None) -> None:
    """An attempt that was under way, or whose outcome is unknown: the released request is looked up first."""
    attempt = claimed(ledger)
    if noted:
        ledger.record_attempt(attempt, noted, 1_001.0)
    held(ledger)
    released = claimed(ledger, redriven())
    assert released.outcome_unknown or released.attempts_without_outcome > 1


def test_a_late_attempt_does_not_end_what_was_held_twice(ledger: Ledger) -> None:
    """A write of the death that a redrive was held after: it arrives late, and changes nothing."""
    attempt = claimed(ledger)
    assert ledger.finish(attempt, NO, 1_001.0)
    held(ledger, redriven())
    assert not ledger.finish(attempt, NO, 1_002.0)
    assert 1 == held(ledger).redrives


def test_what_ran_or_is_dead_is_not_held(ledger: Ledger) -> None:
    """During a pause a duplicate learns the outcome; only a redrive of a dead request is held."""
    ledger.finish(claimed(ledger), Triggered(), 1_001.0)
    assert isinstance(held(ledger, redriven()).outcome, AlreadyTriggered)
    other = a_request("two")
    ledger.finish(claimed(ledger, other), NO, 1_001.0)
    assert NO == held(ledger, other).outcome
    assert RULE_PAUSED == held(ledger, replace(other, redrive=1)).outcome


def test_a_request_is_held_in_its_own_environment_only(ledger: Ledger) -> None:
    """While it is open elsewhere, it is that dispatcher's."""
    claimed(ledger)
    elsewhere = a_request(environment="marketing")
    assert PinnedElsewhere("analytics") == ledger.hold(elsewhere, RULE_PAUSED, 1_001.0)
    assert isinstance(ledger.begin_attempt(a_request(), 1_002.0), Attempt)


# --- what only the real table can show ------------------------------------------------------------------------------


def item(dynamodb) -> dict:
    (only,) = dynamodb.scan(TableName="ledger")["Items"]
    return only


def test_a_row_shows_a_person_its_outcome(dynamodb) -> None:
    """State, run, outcome, reason and times are plain attributes; TTL is 90 days after the first attempt."""
    table = LedgerTable(dynamodb, "ledger")
    table.record_attempt(claimed(table), BUSY, 1_001.0)
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
        float(row[name]["N"]) for name in ("first_attempt_at", "last_attempt_at", "stopped_at")
    ]


def indexed(dynamodb) -> list[dict]:
    """What lies in the index, by any shard."""
    return [
        found
        for shard in (*DEAD_SHARDS, *HELD_SHARDS)
        for found in dynamodb.query(
            TableName="ledger",
            IndexName="stopped",
            KeyConditionExpression="stopped_shard = :shard",
            ExpressionAttributeValues={":shard": {"S": shard}},
        )["Items"]
    ]


def test_the_index_holds_the_dead_alone(dynamodb) -> None:
    """It costs nothing while all goes well, and what is reopened leaves it."""
    table = LedgerTable(dynamodb, "ledger")
    open_claim = claimed(table)
    assert [] == indexed(dynamodb)
    table.finish(open_claim, NO, 1_001.0)
    (found,) = indexed(dynamodb)
    assert {
        "run_id": {"S": a_request().target.run_id},
        "rule_id": {"S": "finance.orders"},
        "rule_version": {"N": "3"},
        "environment": {"S": "analytics"},
        "dag_id": {"S": "ingest_orders"},
        "reason": {"S": "conf_refused"},
        "reason_text": {"S": "no"},
        "attempt": {"N": "1"},
        "redrives": {"N": "0"},
    }.items() <= found.items()
    again = claimed(table, redriven())
    assert [] == indexed(dynamodb)
    table.finish(again, Triggered(), 2_000.0)
    assert [] == indexed(dynamodb)


def test_what_is_held_lies_in_the_index_and_is_never_forgotten(dynamodb) -> None:
    """Among its own kind, and without an end of its time; both change when it is released."""
    table = LedgerTable(dynamodb, "ledger")
    held(table)
    (found,) = indexed(dynamodb)
    assert found["stopped_shard"]["S"] in HELD_SHARDS
    assert ("rule_disabled", "0") == (found["reason"]["S"], found["attempt"]["N"])
    assert "expires_at" not in item(dynamodb)
    attempt = claimed(table, redriven(), now=FIVE_DAYS)
    assert ([], str(int(FIVE_DAYS) + REMEMBERED_SECONDS)) == (
        indexed(dynamodb),
        item(dynamodb)["expires_at"]["N"],
    )
    held(table)
    assert "expires_at" not in item(dynamodb)
    assert table.finish(attempt, Triggered(), FIVE_DAYS)
    assert ([], True) == (indexed(dynamodb), "expires_at" in item(dynamodb))


def test_a_redrive_that_is_held_is_never_forgotten(dynamodb) -> None:
    """It was dead, with an end of its time; DynamoDB must not delete it while somebody may still release it."""
    table = LedgerTable(dynamodb, "ledger")
    dead(table)
    assert "expires_at" in item(dynamodb)
    held(table, redriven())
    assert ("held", False) == (item(dynamodb)["state"]["S"], "expires_at" in item(dynamodb))


def test_a_cancelled_request_is_dead_and_its_release_on_the_way_opens_nothing(dynamodb) -> None:
    """By the operator's command; only a redrive after it counts, and it knows of the doubt."""
    table, rows = LedgerTable(dynamodb, "ledger"), LedgerRows(dynamodb, "ledger")
    claimed(table)  # never answers
    held(table)
    (row,) = rows.held()
    assert rows.cancel(row, "by me", 2_000.0)
    assert not rows.cancel(row, "by me, again", 2_001.0)
    assert ([], [row.run_id]) == (list(rows.held()), [dead.run_id for dead in rows.dead()])
    finished = table.begin_attempt(redriven(), 2_002.0)
    assert Finished(row.run_id, Rejected(Reason.CANCELLED, "by me"), 1) == finished
    assert 2 == claimed(table, redriven(2)).attempts_without_outcome


def test_the_dead_are_spread_over_all_shards(dynamodb) -> None:
    """A storm of deaths is no hot key."""
    table = LedgerTable(dynamodb, "ledger")
    for number in range(64):
        table.finish(claimed(table, a_request(str(number))), NO, 1_001.0)
    assert set(DEAD_SHARDS) == {found["stopped_shard"]["S"] for found in indexed(dynamodb)}


def test_a_run_costs_two_writes(dynamodb, monkeypatch: pytest.MonkeyPatch) -> None:
    """And neither of them touches the index."""
    writes: list[str] = []
    real = dynamodb.update_item
    monkeypatch.setattr(
        dynamodb, "update_item", lambda **call: writes.append(call["UpdateExpression"]) or real(**call)
    )
    table = LedgerTable(dynamodb, "ledger")
    table.finish(claimed(table), Triggered(), 1_001.0)
    assert 2 == len(writes)
    assert not any("SET stopped_" in expression or ", stopped_" in expression for expression in writes[:1])
    assert "stopped_shard" not in item(dynamodb)


def test_a_reopened_row_is_remembered_anew(dynamodb) -> None:
    """Ninety days from the redrive; when it was first tried stays for people to see."""
    table = LedgerTable(dynamodb, "ledger")
    dead(table)
    claimed(table, redriven(), now=FIVE_DAYS)
    row = item(dynamodb)
    assert str(int(FIVE_DAYS) + REMEMBERED_SECONDS) == row["expires_at"]["N"]
    assert (1_000.0, FIVE_DAYS) == tuple(float(row[at]["N"]) for at in ("first_attempt_at", "reopened_at"))
    assert {"stopped_shard", "stopped_at"}.isdisjoint(row)


@pytest.mark.guarantee(31)
def test_rows_of_the_version_before_are_read_and_redriven(dynamodb) -> None:
    """They have no rule, no redrives, no shard, and contain a message without `redrive`."""
    table = LedgerTable(dynamodb, "ledger")
    dead(table)
    key = {name: item(dynamodb)[name] for name in ("event", "request")}
    old_body = json.dumps({k: v for k, v in json.loads(a_request().to_json()).items() if k != "redrive"})
    dynamodb.update_item(
        TableName="ledger",
        Key=key,
        UpdateExpression="SET request_body = :body REMOVE rule_id, rule_version, redrives, stopped_shard, doubtful",
        ExpressionAttributeValues={":body": {"B": zlib.compress(old_body.encode())}},
    )
    assert Finished(a_request().target.run_id, NO, redrives=0) == table.begin_attempt(a_request(), 1_002.0)
    assert redriven() == claimed(table, redriven()).request


@pytest.fixture
def lost_answers(dynamodb, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """Every write is applied and then sent again, as botocore does when the first answer is lost on the way."""
    real = dynamodb.update_item

    def sent_twice(**arguments):
        real(**arguments)
        return real(**arguments)

    monkeypatch.setattr(dynamodb, "update_item", sent_twice)
    return dynamodb


@pytest.mark.guarantee(13)
def test_an_own_claim_is_recognised_when_its_answer_was_lost(lost_answers) -> None:
    """One attempt, not two: a second number would look like a crash and cost a look-up."""
    assert (1, 1) == (
        (attempt := claimed(LedgerTable(lost_answers, "ledger"))).number,
        attempt.attempts_without_outcome,
    )


def test_an_own_reopening_is_recognised_when_its_answer_was_lost(lost_answers) -> None:
    """The same for a redrive: the row is open, by us."""
    table = LedgerTable(lost_answers, "ledger")
    dead(table)
    assert (2, 1, 1) == (
        (attempt := claimed(table, redriven())).number,
        attempt.tries,
        attempt.attempts_without_outcome,
    )


@pytest.mark.guarantee(13)
def test_an_own_end_is_recognised_when_its_answer_was_lost(lost_answers) -> None:
    """The row is finished, by us: no needless round."""
    table = LedgerTable(lost_answers, "ledger")
    assert table.finish(claimed(table), Triggered(), 1_001.0)


@dataclass
class Trouble:
    """Botocore's client of a table in trouble: the next `refusals` calls fail after `takes` seconds, `applied` or not."""

    client: Any
    refusals: int = 0
    takes: float = 2.0
    applied: bool = False
    time: float = 0.0
    tries_at: list[float] = field(default_factory=list)

    @property
    def exceptions(self) -> Any:
        return self.client.exceptions

    def update_item(self, **update: Any) -> Any:
        self.tries_at.append(self.time)
        if not self.refusals:
            return self.client.update_item(**update)
        self.refusals -= 1
        self.time += self.takes
        if self.applied:
            with suppress(self.client.exceptions.ConditionalCheckFailedException):
                self.client.update_item(**update)
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    def pause(self, seconds: float) -> None:
        self.time += seconds

    def table(self, name: str = "ledger") -> LedgerTable:
        return LedgerTable(self, name, monotonic=lambda: self.time, pause=self.pause)


@pytest.fixture
def trouble(dynamodb) -> Trouble:
    return Trouble(dynamodb)


@pytest.mark.parametrize("end", [BUSY, LOST, Triggered(), NO])
def test_the_end_of_an_attempt_is_recorded_although_it_is_refused_at_first(trouble: Trouble, end) -> None:
    """Else the attempt would count as one that was killed, and the next would have to look the run up."""
    table = trouble.table()
    attempt = claimed(table)
    trouble.refusals = 3
    assert (
        table.record_attempt(attempt, end, 1_001.0)
        if end in (BUSY, LOST)
        else table.finish(attempt, end, 1_001.0)
    )
    if end in (BUSY, LOST):
        assert 1 == claimed(table).attempts_without_outcome


def test_a_claim_whose_answers_are_lost_is_one_attempt(trouble: Trouble) -> None:
    """However often it is sent again: nobody was killed, so nothing is in doubt."""
    trouble.refusals, trouble.applied = 3, True
    assert (1, 1) == ((attempt := claimed(trouble.table())).number, attempt.attempts_without_outcome)


@pytest.mark.parametrize(
    ("takes", "tries_at"),
    [(0.0, [float(second) for second in range(11)]), (2.0, [0.0, 3.0, 6.0, 9.0]), (9.5, [0.0])],
    ids=["refused at once", "throttled", "hanging"],
)
@pytest.mark.parametrize("method", ["begin_attempt", "finish", "record_attempt"])
def test_no_answer_for_ten_seconds_is_unavailable(
    trouble: Trouble, method: str, takes: float, tries_at: list[float]
) -> None:
    """No slot is held for longer. Whatever botocore raises, the text names it and holds no part of the request."""
    table = trouble.table()
    attempt = claimed(table)
    trouble.tries_at.clear()
    trouble.refusals, trouble.takes = 1_000, takes
    with pytest.raises(Unavailable, match="EndpointConnectionError"):
        {
            "begin_attempt": lambda: table.begin_attempt(a_request(), 1_001.0),
            "finish": lambda: table.finish(attempt, Triggered(), 1_001.0),
            "record_attempt": lambda: table.record_attempt(attempt, BUSY, 1_001.0),
        }[method]()
    assert tries_at == trouble.tries_at


@pytest.mark.parametrize("state", ["open", "dead", "triggered"])
@pytest.mark.parametrize("broken", ["request_body", "attempt", "state", "run_id"])
def test_a_row_that_was_changed_by_hand_is_named(dynamodb, state: str, broken: str) -> None:
    """One request's trouble: its message is put aside with the row to repair, and no other is touched."""
    waited: list[float] = []
    table = LedgerTable(dynamodb, "ledger", monotonic=lambda: sum(waited), pause=waited.append)
    attempt = claimed(table)
    if state != "open":
        table.finish(attempt, NO if state == "dead" else Triggered(), 1_001.0)
    key = {name: item(dynamodb)[name] for name in ("event", "request")}
    dynamodb.update_item(
        TableName="ledger",
        Key=key,
        UpdateExpression="SET #broken = :nonsense",
        ExpressionAttributeNames={"#broken": broken},
        ExpressionAttributeValues={":nonsense": {"BOOL": True}},
    )
    if broken == "attempt" and state == "open":
        with pytest.raises(Unavailable, match="ValidationException"):  # DynamoDB cannot add to it
            table.begin_attempt(a_request(), 2_000.0)
    elif (state == "open" and broken != "run_id") or (state != "open" and broken in ("state", "run_id")):
        with pytest.raises(UnreadableRow, match=f"{key['event']['S']}.*repair it"):
            table.begin_attempt(a_request(), 2_000.0)
    claimed(table, a_request("another"))


def test_a_row_that_is_deleted_during_an_attempt_is_looked_for_again(dynamodb) -> None:
    """By TTL, say: DynamoDB then has no row to show for its refusal, and the next attempt is a first one."""
    table = LedgerTable(dynamodb, "ledger")
    attempt = claimed(table)
    key = {name: item(dynamodb)[name] for name in ("event", "request")}
    dynamodb.delete_item(TableName="ledger", Key=key)
    with pytest.raises(Unavailable, match="disappeared during the attempt"):
        table.finish(attempt, Triggered(), 1_001.0)
    assert not table.record_attempt(attempt, BUSY, 1_001.0)
    assert 1 == claimed(table).number


def test_a_missing_table_is_unavailable(trouble: Trouble) -> None:
    """A wrong deployment keeps the messages in the queue until somebody repairs it."""
    with pytest.raises(Unavailable, match="ResourceNotFoundException"):
        trouble.table("elsewhere").begin_attempt(a_request(), 1_000.0)
