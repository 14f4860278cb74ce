"""Shadow records in the ledger table: kept beside the requests, in nobody's way."""

from dataclasses import replace

import pytest

from fakes.ledger_table import LEDGER_TABLE
from fakes.requests import a_request
from mwaa_gateway.aws.dynamodb.ledger_table import LedgerTable
from mwaa_gateway.aws.dynamodb.shadow_records import ShadowRecords
from mwaa_gateway.dispatch.ledger import Attempt
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.ingress.shadow import ShadowRecord

RECORD = ShadowRecord(
    rule_id="trial.orders",
    rule_version=3,
    target_id="default",
    event_hash=a_request().ledger_key[0],
    event_id="e-1",
    event_time="2026-11-22T10:00:00Z",
    source="aws.s3",
    detail_type="Object Created",
    recorded_at=1_000.5,
    environment="analytics",
    dag_id="ingest_orders",
    run_id="evt__trial.orders__0123",
    ledger_key=("ab", "trial.orders#default#0"),
    conf={"key": "é", "mwaa_gateway": {"rule_id": "trial.orders"}},
)
REFUSED = replace(
    RECORD,
    target_id="*",
    environment="",
    dag_id="",
    run_id="",
    ledger_key=("", ""),
    conf=None,
    reason="captures_refused",
    reason_text="has another form",
)


@pytest.fixture
def shadows(dynamodb) -> ShadowRecords:
    return ShadowRecords(dynamodb, LEDGER_TABLE)


@pytest.mark.parametrize("record", [RECORD, REFUSED], ids=["would run", "would be dead"])
def test_round_trip(shadows: ShadowRecords, record: ShadowRecord) -> None:
    """Everything that was recorded is read again; of this rule alone."""
    shadows.record(
        [record, replace(record, rule_id="trial.other"), replace(record, rule_id="trial.orders-2")]
    )
    assert [record] == list(shadows.of_rule("trial.orders"))


def test_a_repeated_delivery_is_one_record(shadows: ShadowRecords) -> None:
    """One event, rule and target, however often."""
    shadows.record([RECORD, RECORD])
    shadows.record([RECORD])
    assert 1 == len(list(shadows.of_rule("trial.orders")))


def test_a_storm_is_spread_over_partitions_and_all_of_it_is_read(shadows: ShadowRecords, dynamodb) -> None:
    """One rule's shadows are no hot key; each has its end in 30 days."""
    shadows.record([replace(RECORD, event_hash=f"{n:08x}" + "0" * 56) for n in range(40)])
    assert 40 == len({record.event_hash for record in shadows.of_rule("trial.orders")})
    items = dynamodb.scan(TableName=LEDGER_TABLE)["Items"]
    assert {f"shadow#trial.orders#{n}" for n in range(8)} == {item["event"]["S"] for item in items}
    assert {"2593000"} == {item["expires_at"]["N"] for item in items}


def test_a_shadow_never_blocks_the_real_run(shadows: ShadowRecords, dynamodb) -> None:
    """The same rule, event and target as in the record are claimed as if there were none."""
    request = a_request()
    shadows.record([replace(RECORD, rule_id=request.rule_id, target_id=request.target_id)])
    assert isinstance(LedgerTable(dynamodb, LEDGER_TABLE).begin_attempt(request, 2_000.0), Attempt)


def test_a_table_that_does_not_answer(dynamodb) -> None:
    """The caller gets the error."""
    with pytest.raises(Unavailable, match=r"cannot record a match of SHADOW rule 'trial.orders'"):
        ShadowRecords(dynamodb, "no-such-table").record([RECORD])
