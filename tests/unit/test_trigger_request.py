"""Trigger requests: what they are called and how they travel."""

import json
import re
from dataclasses import replace

import pytest

from fakes.requests import a_request
from mwaa_gateway.trigger_request import TriggerRequest, UnreadableRequest, derive_run_id


def test_a_request_survives_the_queue() -> None:
    """What is written is read back equal."""
    assert a_request() == TriggerRequest.from_json(a_request().to_json())


def test_a_message_is_one_line_of_ascii() -> None:
    """SQS refuses some characters; ASCII JSON has none of them."""
    text = a_request("s3|b|naïve \x00 \ufffe key|Object Created|0A").to_json()
    assert text.isascii()
    assert "\n" not in text


def test_what_was_read_is_written_as_it_was() -> None:
    """The ledger stores the body of the message, and nobody writes 250 KB of JSON anew for that; a change is written."""
    text = a_request().to_json() + " "
    request = TriggerRequest.from_json(text)
    assert text is request.to_json()
    from_bytes = TriggerRequest.from_json(text.encode()).to_json()
    assert isinstance(from_bytes, str)
    assert json.loads(text) == json.loads(from_bytes)
    changed = replace(request, redrive=2)
    assert 2 == TriggerRequest.from_json(changed.to_json()).redrive


@pytest.mark.guarantee(1)
def test_the_run_id_is_the_same_for_every_delivery_of_an_event() -> None:
    """Derived from identity, rule and target; pinned here because a change would double every run in flight."""
    assert derive_run_id("sns|t|1", "a.b", "default") == "evt__a.b__118cb9a4b56a604f57f6e94dc5414151"


@pytest.mark.parametrize(
    ("identity", "rule", "target"),
    [("sns|t|2", "a.b", "default"), ("sns|t|1", "a.c", "default"), ("sns|t|1", "a.b", "x")],
)
def test_another_event_rule_or_target_is_another_run(identity: str, rule: str, target: str) -> None:
    """Each of the three is part of the name."""
    assert derive_run_id("sns|t|1", "a.b", "default") != derive_run_id(identity, rule, target)


def test_a_rerun_has_a_name_of_its_own() -> None:
    """A generation above 0 is a deliberate further run."""
    first, second = derive_run_id("i", "r", "t"), derive_run_id("i", "r", "t", 1)
    assert f"{first}__r1" == second


def test_the_longest_run_id_fits_airflow() -> None:
    """At most 250 characters of Airflow's pattern, and none of its reserved beginnings."""
    run_id = derive_run_id("i", "r" * 80, "t", 99_999)
    assert re.fullmatch(r"[A-Za-z0-9_.~:+-]{1,250}", run_id)
    assert run_id.startswith("evt__")


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", '"x"', '{"format": 1}', "null"])
def test_what_is_no_request_is_refused(text: str) -> None:
    """An unreadable message is distinguished from an outage."""
    with pytest.raises(UnreadableRequest):
        TriggerRequest.from_json(text)


@pytest.mark.guarantee(31)
def test_a_newer_format_is_refused_with_the_remedy() -> None:
    """A rolled back deployment must not misread what the newer one wrote."""
    newer = json.dumps(json.loads(a_request().to_json()) | {"format": 3})
    with pytest.raises(UnreadableRequest, match=r"format 3; .* redrive"):
        TriggerRequest.from_json(newer)


@pytest.mark.guarantee(31)
@pytest.mark.parametrize("field", ["redrive", "when_paused", "watched"])
def test_a_message_of_the_version_before_a_field_is_read(field: str) -> None:
    """What is in the queue while the new version is deployed: not redriven, queued while paused, not waited for."""
    old = {key: value for key, value in json.loads(a_request().to_json()).items() if key != field}
    assert a_request() == TriggerRequest.from_json(json.dumps(old))


@pytest.mark.guarantee(31)
def test_a_request_without_dates_is_one_that_the_version_before_reads() -> None:
    """The same format, and not a field more: after a rollback the queue is still read."""
    written = json.loads(a_request().to_json())
    assert written["format"] == 1
    assert written.keys().isdisjoint({"logical_date", "partition_key"})


@pytest.mark.guarantee(31)
@pytest.mark.parametrize(
    "dates",
    [{"logical_date": "2026-11-22T00:00:00+00:00"}, {"partition_key": "2026-11-22"}],
    ids=["logical_date", "partition_key"],
)
def test_a_request_with_dates_is_unreadable_to_the_version_before(dates: dict[str, str]) -> None:
    """It would start a run without them: a format of its own makes it a dead letter that can be redriven."""
    dated = replace(a_request(), target=replace(a_request().target, **dates))
    written = json.loads(dated.to_json())
    assert written["format"] == 2
    assert dates.items() <= written.items()
    assert TriggerRequest.from_json(dated.to_json()) == dated


def test_a_redrive_is_the_same_request_of_the_same_generation() -> None:
    """One row, one run_id; the number survives the queue."""
    redriven = replace(a_request(), redrive=3)
    assert redriven == TriggerRequest.from_json(redriven.to_json())
    assert (a_request().ledger_key, a_request().target) == (redriven.ledger_key, redriven.target)


@pytest.mark.parametrize("redrive", ["two", None, [], {}])
def test_a_redrive_that_is_no_number_is_refused(redrive: object) -> None:
    """Not carried on into the ledger, which would refuse it again and again."""
    with pytest.raises(UnreadableRequest):
        TriggerRequest.from_json(json.dumps(json.loads(a_request().to_json()) | {"redrive": redrive}))


def test_ledger_rows_are_one_per_event_rule_target_and_generation() -> None:
    """Duplicates meet in one row; rules do not."""
    event, sort = a_request().ledger_key
    assert re.fullmatch("[0-9a-f]{64}", event)
    assert sort == "finance.orders#default#0"
