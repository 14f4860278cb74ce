"""The operator's pauses as one sandbox knows them: seldom read, and a failed read stops no request."""

import pytest

from fakes.pauses import FakePauseStore
from mwaa_gateway.dispatch.pauses import Pauses
from mwaa_gateway.outcomes import Held, Reason

RULE = "finance.orders"


@pytest.fixture
def store() -> FakePauseStore:
    return FakePauseStore()


@pytest.fixture
def pauses(store: FakePauseStore) -> Pauses:
    return Pauses("analytics", store, refresh_seconds=5.0)


def reason(held: Held | None) -> Reason | None:
    return held and held.reason


def test_it_is_looked_at_every_few_seconds_and_not_for_every_message(
    pauses: Pauses, store: FakePauseStore
) -> None:
    """A thousand messages of one rule in ten seconds are two looks."""
    for n in range(1_000):
        assert pauses.holds(RULE, 100.0 + n / 100) is None
    assert 2 == store.calls


@pytest.mark.parametrize(
    ("rules", "environments", "expected"),
    [
        (set(), set(), None),
        ({"another.rule"}, {"another"}, None),
        ({RULE}, set(), Reason.RULE_DISABLED),
        (set(), {"analytics"}, Reason.ENVIRONMENT_PAUSED),
        ({RULE}, {"analytics"}, Reason.RULE_DISABLED),
    ],
)
def test_what_is_pulled_holds_its_own_requests_alone(
    pauses: Pauses, store: FakePauseStore, rules: set[str], environments: set[str], expected: Reason | None
) -> None:
    """With the reason."""
    store.rules, store.environments = rules, environments
    assert expected is reason(pauses.holds(RULE, 100.0))


def test_it_is_known_within_the_refresh(pauses: Pauses, store: FakePauseStore) -> None:
    """Pulled and let go of: each is seen five seconds later at the latest; a clock that was set back looks at once."""
    assert pauses.holds(RULE, 100.0) is None
    store.rules.add(RULE)
    assert pauses.holds(RULE, 104.9) is None
    assert Reason.RULE_DISABLED is reason(pauses.holds(RULE, 105.0))
    store.rules.clear()
    assert Reason.RULE_DISABLED is reason(pauses.holds(RULE, 109.9))
    assert pauses.holds(RULE, 50.0) is None


def test_an_outage_keeps_what_was_known_last(pauses: Pauses, store: FakePauseStore) -> None:
    """For as long as it lasts, asking no more often than else; who knows nothing goes ahead."""
    store.failures.coming["pulled"] = 1
    assert pauses.holds(RULE, 100.0) is None
    store.rules.add(RULE)
    assert pauses.holds(RULE, 105.0) is not None
    store.failures.coming["pulled"] = 10
    for n in range(100):
        assert pauses.holds(RULE, 110.0 + n / 10) is not None
    assert 4 == store.calls


def test_an_outage_is_reported(store: FakePauseStore) -> None:
    """While it lasts, a rule that somebody disables may still start runs: the one on call has to know."""
    reported: list[str] = []
    pauses = Pauses("analytics", store, refresh_seconds=5.0, report=reported.append)
    store.failures.coming["pulled"] = 2
    for now in (100.0, 101.0, 105.0, 110.0):
        pauses.holds(RULE, now)
    assert 2 == len(reported)


def test_whether_it_was_lifted_is_looked_up_anew(pauses: Pauses, store: FakePauseStore) -> None:
    """Now, and not as of five seconds ago; no answer is no."""
    store.rules.add(RULE)
    held = pauses.holds(RULE, 100.0)
    assert held is not None
    assert not pauses.is_over(held, RULE, 100.0)
    store.rules.clear()
    store.failures.coming["pulled"] = 1
    assert not pauses.is_over(held, RULE, 100.0)
    assert pauses.is_over(held, RULE, 100.0)
    assert pauses.holds(RULE, 100.0) is None


def test_a_sandbox_that_has_never_had_an_answer_lifts_nothing(pauses: Pauses, store: FakePauseStore) -> None:
    """The ledger says that the request is held: an outage of the rules table does not release it."""
    store.failures.coming["pulled"] = 1
    assert not pauses.is_over(Held(Reason.RULE_DISABLED, "held by another sandbox"), RULE, 100.0)


def test_it_lifts_only_what_it_held(pauses: Pauses) -> None:
    """What is held for another reason waits for that, or for a person."""
    assert not pauses.is_over(Held(Reason.DAG_MISSING, "another reason"), RULE, 100.0)
