"""Trigger requests to test with."""

from mwaa_gateway.trigger_request import ResolvedTarget, TriggerRequest, derive_run_id


def a_request(
    identity: str = "s3|acme-landing|orders/1.csv|Object Created|0A",
    *,
    environment: str = "analytics",
    dag_id: str = "ingest_orders",
    rule_id: str = "finance.orders",
    maximum_event_age_seconds: int | None = None,
) -> TriggerRequest:
    """One upload and the target of one rule."""
    return TriggerRequest(
        identity=identity,
        event={"id": "e-1", "source": "aws.s3", "detail-type": "Object Created", "detail": {}},
        rule_id=rule_id,
        rule_version=3,
        target_id="default",
        target=ResolvedTarget(
            environment, dag_id, derive_run_id(identity, rule_id, "default"), {"key": "orders/1.csv"}
        ),
        maximum_event_age_seconds=maximum_event_age_seconds,
        requested_at=1_000.0,
    )
