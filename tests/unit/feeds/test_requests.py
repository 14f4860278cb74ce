"""The conf of a released batch: from a rule and members to what each target's run gets."""

import json
from typing import Any

import pytest

from mwaa_gateway.conf.build import MAXIMUM_CONF_BYTES, conf_size
from mwaa_gateway.events import Event
from mwaa_gateway.feeds.batch import Batch, Decision
from mwaa_gateway.feeds.condition import Summary
from mwaa_gateway.feeds.requests import MAXIMUM_MISSING_BYTES, requests_of, resolve_batch
from mwaa_gateway.routing.members import Member
from mwaa_gateway.routing.resolve import MAXIMUM_KEY_CHARACTERS, Refused, Resolved
from mwaa_gateway.rules import parse_rule

TARGET = {"environment": "analytics", "dag_id": "load"}
RULE: dict[str, Any] = {
    "id": "sales.nightly",
    "s3": "s3://landing/*",
    "captures": {"detail.object.key": "{date}/{file}"},
    "collect": {"key": ["<date>"], "quiet_period": "10m", "max_wait": "1d"},
}
SUMMARY = Summary(1, frozenset(), first_at=0.0, last_at=0.0)
MANIFEST = "s3://claims/feeds/sales.nightly/b/m.jsonl.gz"


def members(count: int) -> list[Member]:
    return [Member(f"{n}", {"uri": f"s3://landing/{n:0100}", "size": 1}, f"{n}") for n in range(count)]


def released(
    *targets: dict[str, Any],
    some: list[Member],
    key: dict[str, str] | None = None,
    missing: tuple[str, ...] = (),
    number: int = 1,
) -> list[Resolved | Refused]:
    rule = RULE | {"targets": [{"id": f"t{n}", **TARGET, **target} for n, target in enumerate(targets)]}
    document = json.dumps(parse_rule(rule, environments=None).document())
    parts = tuple((key or {"date": "2026-11-22"}).items())
    batch = Batch(
        id="b",
        rule_id="sales.nightly",
        rule_version=1,
        document=document,
        key=parts,
        number=number,
        first_at=0,
        due_at=0,
    )
    decision = Decision(
        "b", "max_wait", is_complete=False, count=len(some), manifest=MANIFEST, missing=missing
    )
    return list(requests_of(batch, SUMMARY, decision, some, bucket="claims"))


def confs(*targets: dict[str, Any], some: list[Member], **more: Any) -> list[Any]:
    found = released(*targets, some=some, **more)
    return [each.request.target.conf for each in found if isinstance(each, Resolved)]


def test_every_target_finds_the_manifest_and_the_members_while_they_fit() -> None:
    """Whatever its input_transformer names, as a claim check, too."""
    targets: list[dict[str, Any]] = [
        {},
        {"input_transformer": {"input_template": {}}},
        {"input_transformer": {"input_template": {"all": "<batch.members>"}, "member_template": "<uri>"}},
        {"large_conf": "claim_check"},
    ]
    some = members(3)
    for conf in confs(*targets, some=some):
        batch = conf["mwaa_gateway"]["batch"]
        assert (batch["manifest"], batch["count"]) == (MANIFEST, 3)
        assert batch["members"] == [member.item for member in some]


@pytest.mark.parametrize("count", [1, 100, 130, 2_000])
@pytest.mark.parametrize("large_conf", ["reject", "claim_check"])
@pytest.mark.parametrize("template", [None, {"files": "<batch.members>"}])
def test_no_list_makes_a_conf_too_large(count: int, large_conf: str, template: Any) -> None:
    """With the longest key and the longest list of what is missing, of characters that JSON writes with six."""
    target: dict[str, Any] = {"large_conf": large_conf}
    if template is not None:
        target["input_transformer"] = {"input_template": template}
    [found] = released(
        target, some=members(count), key={"date": "é" * MAXIMUM_KEY_CHARACTERS}, missing=("é" * 200,) * 500
    )
    assert isinstance(found, Resolved), found
    conf = found.request.target.conf
    assert conf_size(conf) <= MAXIMUM_CONF_BYTES
    batch = conf["mwaa_gateway"]["batch"]
    assert batch["manifest"] == MANIFEST
    assert len(json.dumps(batch["missing"])) <= MAXIMUM_MISSING_BYTES + 100
    assert len(found.request.to_json()) < 100_000


def test_missing_names_as_many_as_fit_and_counts_the_rest() -> None:
    [conf] = confs({}, some=members(1), missing=tuple(f"shop-{n:04}" for n in range(1_000)))
    missing = conf["mwaa_gateway"]["batch"]["missing"]
    assert missing[0] == "shop-0000"
    assert missing[-1] == f"and {1_000 - len(missing) + 1} more"
    [conf] = confs({}, some=members(1), missing=("eu", "us"))
    assert conf["mwaa_gateway"]["batch"]["missing"] == ["eu", "us"]


def test_the_detail_of_the_event_is_the_same_object() -> None:
    [conf] = confs({}, some=members(2))
    assert conf["detail"] == conf["mwaa_gateway"]["batch"]


@pytest.mark.parametrize("date", ["<date>", "<batch.key.date>", "<$.detail.key.date>"])
def test_each_batch_of_a_key_has_a_logical_date_of_its_own(date: str) -> None:
    """A microsecond apart, a late one as well: Airflow has one run per date."""
    target = {"logical_date": date, "partition_key": date}
    for number, expected in ((1, "2026-11-22T00:00:00+00:00"), (3, "2026-11-22T00:00:00.000002+00:00")):
        [found] = released(target, some=members(1), number=number)
        assert isinstance(found, Resolved)
        assert found.request.target.logical_date == expected
        assert found.request.target.partition_key == "2026-11-22"


def test_a_key_that_is_no_date_starts_no_run() -> None:
    [found] = released({"logical_date": "<date>"}, some=members(1), key={"date": "tuesday"})
    assert isinstance(found, Refused)
    assert "logical_date of target 't0' is 'tuesday'" in found.text


def test_a_batch_is_resolved_again_without_its_members() -> None:
    """As `rerun --with-current-rule` does: the event may have no list of them."""
    template = {"files": "<batch.members>", "count": "<batch.count>"}
    [first] = released({"input_transformer": {"input_template": template}}, some=members(2))
    assert isinstance(first, Resolved)
    event = Event(first.request.event, first.request.identity)
    target = {"id": "t0", **TARGET, "input_transformer": {"input_template": template}}
    rule = parse_rule(RULE | {"targets": [target]}, environments=None)
    [again] = resolve_batch(event, rule, None, now=0.0, bucket="")
    assert isinstance(again, Resolved)
    conf = again.request.target.conf
    assert (conf["files"], conf["count"]) == (None, 2)
    assert conf["mwaa_gateway"]["batch"] == first.request.target.conf["mwaa_gateway"]["batch"]
    assert again.request.target.run_id == first.request.target.run_id
