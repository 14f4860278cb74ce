"""Which uploads made an object that is listed, and what the dispatcher does while a command claims it."""

from dataclasses import replace
from typing import Any

import pytest

from fakes.dispatching import Gateway
from fakes.requests import a_request
from mwaa_gateway.dispatch.s3_objects import (
    CLOCK_SECONDS,
    DOUBT_SECONDS,
    Claim,
    ListedObject,
    Upload,
    claim_on,
    claims_text,
    read_claims,
)
from mwaa_gateway.outcomes import AlreadyTriggered, Reason, Rejected, Retryable, Triggered
from mwaa_gateway.trigger_request import TriggerRequest, derive_run_id

MODIFIED, LISTED = 1_000.0, 9_000.0
OBJECT = ListedObject("acme", "a.csv", "e1", "", MODIFIED, LISTED)
VERSION = replace(OBJECT, version_id="v1")
UPLOAD = Upload("acme", "a.csv", "e1", "", MODIFIED + 0.4)
RULE = a_request().rule_id


@pytest.mark.parametrize(
    ("listed", "changes", "same"),
    [
        pytest.param(OBJECT, {}, "yes", id="same etag, time"),
        pytest.param(OBJECT, {"time": MODIFIED - 1.9}, "yes", id="rounded up"),
        pytest.param(OBJECT, {"time": LISTED}, "yes", id="a multipart upload that took hours"),
        pytest.param(OBJECT, {"time": LISTED + CLOCK_SECONDS}, "yes", id="seen by a clock that is behind"),
        pytest.param(
            OBJECT, {"time": LISTED + CLOCK_SECONDS + 1}, "no", id="a later upload of the same bytes"
        ),
        pytest.param(OBJECT, {"time": MODIFIED - 3}, "unsure", id="the same bytes a moment before"),
        pytest.param(OBJECT, {"time": MODIFIED - DOUBT_SECONDS - 1}, "no", id="the same bytes long before"),
        pytest.param(OBJECT, {"time": None}, "unsure", id="no time"),
        pytest.param(OBJECT, {"etag": ""}, "unsure", id="no etag"),
        pytest.param(OBJECT, {"etag": "e2"}, "no", id="other bytes"),
        pytest.param(OBJECT, {"key": "b.csv"}, "no", id="another key"),
        pytest.param(OBJECT, {"bucket": "b"}, "no", id="another bucket"),
        pytest.param(OBJECT, {"version_id": "v1"}, "no", id="an event with a version, an object without"),
        pytest.param(
            VERSION, {"version_id": "v1", "time": None}, "yes", id="same version, whatever the time"
        ),
        pytest.param(VERSION, {"version_id": "v2"}, "no", id="another version of the same bytes"),
        pytest.param(VERSION, {}, "unsure", id="an event of that moment without a version"),
        pytest.param(
            VERSION, {"time": MODIFIED - DOUBT_SECONDS - 1}, "no", id="an event from before versioning"
        ),
    ],
)
def test_which_upload_made_an_object(listed: ListedObject, changes: dict[str, Any], same: str) -> None:
    assert same == listed.is_of(replace(UPLOAD, **changes))


@pytest.mark.parametrize("version", [None, "null", ""])
def test_a_suspended_bucket_has_no_version_ids(version: str | None) -> None:
    """There every upload has the literal `null`, and its name is that of an object without a version."""
    upload = Upload.of_item({"bucket": "acme", "key": "a.csv", "etag": "e1", "version-id": version})
    assert upload is not None
    assert OBJECT.name == upload.name


def test_no_two_objects_share_a_name() -> None:
    names = {
        replace(OBJECT, **changes).name
        for changes in ({}, {"bucket": "a|b"}, {"key": "b"}, {"etag": "v1"}, {"version_id": "v1"})
    }
    assert 5 == len(names)


def test_only_uploads_have_claims() -> None:
    """An event of another source, or a deletion, never does."""
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": "b"}, "object": {"key": "k"}},
    }
    assert Upload.of_event(event) is not None
    assert Upload.of_event(event | {"detail-type": "Object Deleted"}) is None
    assert Upload.of_event(event | {"source": "acme"}) is None
    assert Upload.of_event({"source": "aws.s3", "detail-type": "Object Created", "detail": {}}) is None


def test_claims_are_read_as_they_were_written() -> None:
    claims = (Claim(MODIFIED, LISTED, "started", "me"), Claim(MODIFIED + 1, LISTED, "reserved", "you", 5.0))
    assert claims == read_claims(claims_text(claims))
    assert () == read_claims(claims_text(()))


def test_a_claim_that_is_surely_meant_goes_before_a_doubtful_one() -> None:
    doubtful = Claim(MODIFIED + 60, LISTED, "started", "later")
    sure = Claim(MODIFIED, LISTED, "started", "this")
    assert sure == claim_on(UPLOAD, (doubtful, sure))
    assert doubtful == claim_on(UPLOAD, (doubtful,))
    assert None is claim_on(UPLOAD, ())


# --- the dispatcher


def upload_request(time: float = MODIFIED) -> TriggerRequest:
    event = {
        "id": "e-1",
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": f"1970-01-01T00:{int(time) // 60:02}:{int(time) % 60:02}Z",
        "detail": {"bucket": {"name": "acme"}, "object": {"key": "a.csv", "etag": "e1"}},
    }
    return replace(a_request("s3|acme|a.csv|Object Created|0A"), event=event)


@pytest.fixture
def gateway() -> Gateway:
    gateway = Gateway()
    gateway.pause_store.may_be_claimed = True
    return gateway


def claim(gateway: Gateway, state: Any, until: float = 0.0) -> None:
    text = claims_text((Claim(MODIFIED, LISTED, state, "me", until),))
    gateway.claims.texts[OBJECT.name, RULE, "default"] = text


def test_nothing_is_read_before_any_object_was_claimed(gateway: Gateway) -> None:
    gateway.pause_store.may_be_claimed = False
    assert Triggered() == gateway.deliver(upload_request()).outcome
    assert 0 == gateway.claims.calls


def test_pauses_that_cannot_be_read_are_no_reason_to_start_a_second_run(gateway: Gateway) -> None:
    """It may be that objects are claimed."""
    gateway.pause_store.may_be_claimed = False
    gateway.pause_store.failures.coming["pulled"] = 1
    claim(gateway, "reserved", until=gateway.time + 1)
    assert isinstance(gateway.deliver(upload_request()).outcome, Retryable)


def test_an_object_that_is_reserved_waits(gateway: Gateway) -> None:
    """No row, no run, no failure of the environment; the message comes again."""
    claim(gateway, "reserved", until=gateway.time + 1)
    dispatched = gateway.deliver(upload_request())
    assert isinstance(dispatched.outcome, Retryable)
    assert Reason.OBJECT_RESERVED is dispatched.outcome.reason
    assert dispatched.redeliver_after is not None
    assert {} == gateway.ledger.rows
    assert [] == gateway.airflow.commands


def test_a_reservation_that_has_expired_is_removed(gateway: Gateway) -> None:
    claim(gateway, "reserved", until=gateway.time)
    assert Triggered() == gateway.deliver(upload_request()).outcome
    assert {""} == set(gateway.claims.texts.values())


def test_the_event_of_a_started_object_is_a_delivery_of_its_request(gateway: Gateway) -> None:
    """It starts the run if the command's own message was lost, and no other."""
    claim(gateway, "started")
    first = gateway.deliver(upload_request())
    assert Triggered() == first.outcome
    assert isinstance(gateway.deliver(upload_request()).outcome, AlreadyTriggered)
    run_id = derive_run_id(OBJECT.identity, RULE, "default")
    assert [("ingest_orders", run_id)] == [*gateway.airflow.runs]


def test_a_later_upload_is_not_claimed(gateway: Gateway) -> None:
    claim(gateway, "started")
    later = replace(upload_request(), event=upload_request().event | {"time": "1970-01-02T00:00:00Z"})
    assert Triggered() == gateway.deliver(later).outcome
    assert [("ingest_orders", later.target.run_id)] == [*gateway.airflow.runs]


@pytest.mark.parametrize(
    "request_of",
    [
        pytest.param(lambda: replace(upload_request(), identity="key|r||a"), id="a dedupe_key"),
        pytest.param(lambda: replace(upload_request(), identity=OBJECT.identity), id="the command's own"),
        pytest.param(a_request, id="no etag"),
    ],
)
def test_what_has_another_identity_is_not_looked_up(gateway: Gateway, request_of: Any) -> None:
    claim(gateway, "reserved", until=gateway.time + 1)
    assert Triggered() == gateway.deliver(request_of()).outcome
    assert 0 == gateway.claims.calls


def test_claims_that_cannot_be_read_start_nothing(gateway: Gateway) -> None:
    gateway.claims.failures.coming["claims"] = 1
    assert isinstance(gateway.deliver(upload_request()).outcome, Retryable)
    assert [] == gateway.airflow.commands


def test_claims_that_somebody_broke_by_hand_kill_the_message(gateway: Gateway) -> None:
    gateway.claims.texts[OBJECT.name, RULE, "default"] = "broken"
    dispatched = gateway.deliver(upload_request())
    assert isinstance(dispatched.outcome, Rejected)
    assert "object_claims" in dispatched.outcome.text
