"""Any history of claims, ends, holds, releases, cancels and redrives: DynamoDB (moto's) and the fake answer alike.

And both keep the promises. Attempts come late and overlap, messages are redriven twice or out of turn, answers are lost
and sent again, or lost for good. A failing history is printed as the calls that repeat it.
"""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fakes.ledger import FakeLedger, Row
from fakes.ledger_table import create_ledger_table
from fakes.requests import a_request
from gateway_cli.ledger_rows import LedgerRows
from mwaa_gateway.aws.dynamodb.ledger_items import DEAD_SHARDS, HELD_SHARDS
from mwaa_gateway.aws.dynamodb.ledger_table import LedgerTable
from mwaa_gateway.dispatch.ledger import Attempt, Finished, PinnedElsewhere
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Held,
    OutcomeUnknown,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)
from mwaa_gateway.trigger_request import TriggerRequest

pytestmark = pytest.mark.no_cover  # hundreds of histories, of which measuring coverage would double the time

ENDS = [
    Triggered(),
    AlreadyTriggered("found"),
    Rejected(Reason.CONF_REFUSED, "no"),
    Rejected(Reason.TOO_OLD, "who knows", run_may_exist=True),
]
NOTES = [Retryable(Reason.WEB_SERVER_BUSY, "busy"), OutcomeUnknown(Reason.UNCLEAR_ANSWER, "lost")]
PAUSED = Held(Reason.RULE_DISABLED, "not now")
requests = st.builds(
    lambda identity, environment, dag_id, redrive: replace(
        a_request(identity, environment=environment, dag_id=dag_id), redrive=redrive
    ),
    st.sampled_from(["first", "first", "first", "second"]),
    st.sampled_from(["analytics", "analytics", "analytics", "marketing"]),
    st.sampled_from(["as_it_was", "edited"]),
    st.sampled_from([0, 0, 1, 1, 2, 3]),
)


class SentTwice:
    """A DynamoDB client whose next write is applied and sent again, as botocore does when the first answer is lost."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.due = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def update_item(self, **arguments: Any) -> Any:
        if self.due:
            self.due = False
            self._client.update_item(**arguments)
        return self._client.update_item(**arguments)


class Histories(RuleBasedStateMachine):
    """The ledger in DynamoDB and the fake, side by side; each history gets a table of its own."""

    dynamodb: Any
    numbers = itertools.count()
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.table = f"ledger-{next(self.numbers)}"
        create_ledger_table(self.dynamodb, self.table)
        self.client = SentTwice(self.dynamodb)
        self.real, self.fake = LedgerTable(self.client, self.table), FakeLedger()
        self.now = 1_000.0
        self.latest: Attempt | None = None
        self.reopened: set[tuple[tuple[str, str], int]] = set()
        self.triggered: dict[tuple[str, str], Row] = {}

    def teardown(self) -> None:
        indexed = {
            (item["event"]["S"], item["request"]["S"], shard.partition("#")[0])
            for shard in (*DEAD_SHARDS, *HELD_SHARDS)
            for item in self.dynamodb.query(
                TableName=self.table,
                IndexName="stopped",
                KeyConditionExpression="stopped_shard = :shard",
                ExpressionAttributeValues={":shard": {"S": shard}},
            )["Items"]
        }
        self.dynamodb.delete_table(TableName=self.table)
        stopped = {(*key, row.state) for key, row in self.fake.rows.items() if row.state in ("dead", "held")}
        assert stopped == indexed

    @rule(seconds=st.sampled_from([1.0, 3_600.0, 5 * 86_400.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=claims, request=requests, sent_twice=st.booleans(), answer_lost=st.booleans())
    def begin_attempt(self, request: TriggerRequest, *, sent_twice: bool, answer_lost: bool) -> Any:
        before = self.fake.rows.get(request.ledger_key)
        before = before and replace(before)
        self.client.due = sent_twice
        real, fake = self.real.begin_attempt(request, self.now), self.fake.begin_attempt(request, self.now)
        self.client.due = False
        assert without_text(fake) == without_text(real)
        self.check_claim(request, before, fake)
        self.latest = fake if isinstance(fake, Attempt) else self.latest
        return fake if isinstance(fake, Attempt) and not answer_lost else multiple()

    def check_claim(
        self, request: TriggerRequest, before: Row | None, answer: Attempt | Finished | PinnedElsewhere
    ) -> None:
        if not isinstance(answer, Attempt):
            return
        assert request.ledger_key not in self.triggered  # what ran is never claimed again
        if before is None:
            return
        assert before.attempt + 1 == answer.number
        assert before.request.target == answer.request.target  # pinned
        if before.state in ("dead", "held"):
            reopening = request.ledger_key, request.redrive
            assert reopening not in self.reopened  # once for each number
            self.reopened.add(reopening)
            assert (self.now, 1) == (answer.first_attempt_at, answer.tries)
            # The doubt is kept: whoever never answered is counted on, unless an end of it was written.
            assert (before.outcome_unknown, before.attempts_without_outcome + 1) == (
                answer.outcome_unknown,
                answer.attempts_without_outcome,
            )

    @rule(attempt=claims, outcome=st.sampled_from(ENDS), sent_twice=st.booleans())
    def finish(self, attempt: Attempt, outcome: Any, *, sent_twice: bool) -> None:
        self.client.due = sent_twice
        real, fake = (ledger.finish(attempt, outcome, self.now) for ledger in (self.real, self.fake))
        self.client.due = False
        # That a late attempt's end was its own or another's says nothing where both left the same.
        assert fake == real or self.fake.rows[attempt.request.ledger_key].attempt == attempt.number

    @rule(request=requests, sent_twice=st.booleans())
    def hold(self, request: TriggerRequest, *, sent_twice: bool) -> None:
        before = self.fake.rows.get(request.ledger_key)
        before = before and replace(before)
        self.client.due = sent_twice
        real, fake = (ledger.hold(request, PAUSED, self.now) for ledger in (self.real, self.fake))
        self.client.due = False
        assert without_text(fake) == without_text(real)
        after = self.fake.rows[request.ledger_key]
        if before is not None:
            assert (before.attempts_without_outcome, before.outcome_unknown) == (
                after.attempts_without_outcome,
                after.outcome_unknown,
            )
            assert before.request == after.request  # pinned
            if before.state == "dead" and after.state == "held":  # only by a redrive, once for each number
                reopening = request.ledger_key, request.redrive
                assert reopening not in self.reopened
                self.reopened.add(reopening)

    @rule(request=requests)
    def cancel(self, request: TriggerRequest) -> None:
        row = LedgerRows(self.client, self.table).read(request.ledger_key)
        if row is not None:
            before = self.fake.rows[request.ledger_key].state
            cancelled = LedgerRows(self.client, self.table).cancel(row, "cancelled", self.now)
            assert (before == "held") == cancelled
            self.fake.cancel(request)

    @precondition(lambda self: self.latest is not None)
    @rule(sent_twice=st.booleans())
    def the_latest_attempt_dies(self, *, sent_twice: bool) -> None:
        self.finish(attempt=self.latest, outcome=ENDS[2], sent_twice=sent_twice)
        self.latest = None

    @rule(attempt=claims, outcome=st.sampled_from(NOTES), sent_twice=st.booleans(), ageing=st.booleans())
    def record_attempt(self, attempt: Attempt, outcome: Any, *, sent_twice: bool, ageing: bool) -> None:
        self.client.due = sent_twice
        real, fake = (
            ledger.record_attempt(attempt, outcome, self.now, ageing=ageing)
            for ledger in (self.real, self.fake)
        )
        self.client.due = False
        assert fake == real

    @invariant()
    def rows_are_the_same(self) -> None:
        items = self.dynamodb.scan(TableName=self.table)["Items"]
        assert {key: row_of(row) for key, row in self.fake.rows.items()} == {
            (item["event"]["S"], item["request"]["S"]): row_of_item(item) for item in items
        }

    @invariant()
    def what_ran_stays_as_it_is(self) -> None:
        for key, row in self.triggered.items():
            assert row == self.fake.rows[key]
        for key, row in self.fake.rows.items():
            if row.state == "triggered":
                self.triggered.setdefault(key, replace(row))


def without_text(answer: Any) -> Any:
    """An answer without the words for people that `AlreadyTriggered` has."""
    if isinstance(answer, Finished) and isinstance(answer.outcome, AlreadyTriggered):
        return replace(answer, outcome=AlreadyTriggered())
    return answer


def row_of(row: Row) -> tuple[Any, ...]:
    """What a row of the fake says."""
    return (
        row.state,
        row.state if row.state in ("dead", "held") else "",  # lies in the index
        row.state != "held",  # is forgotten one day
        row.attempt,
        row.attempts_without_outcome,
        row.outcome_unknown,
        row.redrives,
        row.reopened_after,
        row.first_attempt_at,
        row.aged,
        row.ages_from,
        row.request.target.environment,
        row.request.target.dag_id,
        getattr(row.outcome, "reason", ""),
    )


def row_of_item(item: dict[str, Any]) -> tuple[Any, ...]:
    """The same of an item."""
    return (
        item["state"]["S"],
        item.get("stopped_shard", {}).get("S", "").partition("#")[0],
        "expires_at" in item,
        int(item["attempt"]["N"]),
        int(item["unanswered"]["N"]),
        item.get("doubtful", {}).get("BOOL", False),
        int(item["redrives"]["N"]),
        int(item.get("reopened_after", {}).get("N", 0)),
        first_attempt_at(item),
        *age(item),
        item["environment"]["S"],
        item["dag_id"]["S"],
        item.get("reason", {}).get("S", ""),
    )


def first_attempt_at(item: dict[str, Any]) -> float | None:
    at = item.get("reopened_at") or item.get("first_attempt_at")
    return None if at is None else float(at["N"])


def age(item: dict[str, Any]) -> tuple[float, float | None]:
    """How old it was when it was last noted, and since when it has aged; None while its environment is away."""
    if "aged" not in item:
        return 0.0, first_attempt_at(item)
    return float(item["aged"]["N"]), float(item["ages_from"]["N"]) if "ages_from" in item else None


@pytest.mark.guarantee(12, 13, 23)
def test_every_history_is_the_same_in_dynamodb_and_in_the_fake(dynamodb: Any) -> None:
    """Equal answers, equal rows, and the promises: what ran is never claimed again, a redrive reopens once."""
    run_state_machine_as_test(
        type("HistoriesInMoto", (Histories,), {"dynamodb": dynamodb}),
        settings=settings(max_examples=15, stateful_step_count=25),
    )
