"""The pauses in DynamoDB (moto's): written by changes of a rule or an environment, read by every dispatcher."""

from datetime import UTC, datetime

import pytest
from botocore.exceptions import EndpointConnectionError

from fakes.rules_table import rules_table_items
from gateway_cli.rules.store import RulesStore
from mwaa_gateway.aws.dynamodb.pauses import PAUSE_PARTITION, PauseItems, environment_sort
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.outcomes import Reason
from mwaa_gateway.rules import parse_rule

NOW = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)
RULE = "finance.orders"


def a_rule(state: str = "ENABLED"):
    return parse_rule(
        {
            "id": RULE,
            "state": state,
            "pattern": {"source": ["acme.orders"]},
            "target": {"environment": "analytics", "dag_id": "ingest_orders"},
        },
        environments=None,
    )


@pytest.fixture
def store(dynamodb) -> RulesStore:
    return RulesStore(dynamodb, "rules")


def holds(dynamodb, environment: str = "analytics", rule_id: str = RULE) -> dict[Reason, str]:
    return dict(PauseItems(dynamodb, "rules").read(environment, rule_id).holds)


def test_disabling_a_rule_pauses_it_and_enabling_ends_the_pause(dynamodb, store: RulesStore) -> None:
    """In the same transaction; the text says who and when."""
    store.put(a_rule(), by="them", now=NOW)
    assert {} == holds(dynamodb)
    store.set_state(RULE, "DISABLED", by="me", now=NOW)
    text = f"rule {RULE!r} was disabled by me at 2026-11-23T01:02:03+00:00"
    assert {Reason.RULE_DISABLED: text} == holds(dynamodb)
    assert {} == holds(dynamodb, rule_id="finance.others")
    store.set_state(RULE, "ENABLED", by="me", now=NOW)
    assert {} == holds(dynamodb)


def test_a_file_that_says_disabled_pulls_it_too(dynamodb, store: RulesStore) -> None:
    """Applied as new or as a change; a file that says enabled lets go."""
    store.put(a_rule("DISABLED"), by="me", now=NOW)
    assert [Reason.RULE_DISABLED] == list(holds(dynamodb))
    store.put(a_rule(), by="me", now=NOW)
    assert {} == holds(dynamodb)
    store.put(a_rule("DISABLED"), by="me", now=NOW)
    assert [Reason.RULE_DISABLED] == list(holds(dynamodb))


def test_deleting_a_rule_lets_go(dynamodb, store: RulesStore) -> None:
    """Nothing is left behind that would hold the requests of a later rule of this name."""
    store.put(a_rule("DISABLED"), by="me", now=NOW)
    store.delete(RULE, by="me", now=NOW)
    assert [] == [sort for partition, sort in rules_table_items(dynamodb) if partition == PAUSE_PARTITION]


def test_a_paused_environment_is_its_own_dispatchers_alone(dynamodb) -> None:
    """With the reason that somebody gave."""
    dynamodb.put_item(
        TableName="rules",
        Item={
            "partition": {"S": PAUSE_PARTITION},
            "sort": {"S": environment_sort("analytics")},
            "updated_by": {"S": "me"},
            "updated_at": {"S": "noon"},
            "reason": {"S": "the warehouse is full"},
        },
    )
    text = "environment 'analytics' was paused by me at noon: the warehouse is full"
    assert {Reason.ENVIRONMENT_PAUSED: text} == holds(dynamodb)
    assert {} == holds(dynamodb, "legacy")


def test_no_answer_is_unavailable(dynamodb, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an error nor a key that DynamoDB leaves out reads as "nobody pulled it"."""

    def fail(**_):
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    monkeypatch.setattr(dynamodb, "batch_get_item", fail)
    with pytest.raises(Unavailable, match="EndpointConnectionError"):
        holds(dynamodb)
    monkeypatch.setattr(
        dynamodb, "batch_get_item", lambda **_: {"Responses": {}, "UnprocessedKeys": {"r": 1}}
    )
    with pytest.raises(Unavailable, match="unprocessed"):
        holds(dynamodb)
