"""What a released batch adds to a conf: the object under the reserved key, `<batch.…>` and `member_template`."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from mwaa_gateway.conf.batch_values import BatchValues
from mwaa_gateway.conf.build import MAXIMUM_CONF_BYTES, build_conf, conf_size
from mwaa_gateway.conf.claim_check import MAXIMUM_CLAIM_CHECK_BYTES, claim_check
from mwaa_gateway.conf.input_transformer import InputTransformer, validate_transformer
from mwaa_gateway.errors import ConfError, ConfTooLarge
from mwaa_gateway.events import Event

ORIGIN = {"event_id": "e-1", "rule_id": "sales.nightly", "generation": 0}
LINES = [
    {"uri": f"s3://landing/{name}.csv", "bucket": "landing", "key": f"{name}.csv", "size": size}
    for name, size in (("a", 1), ("b", 2))
]
FACTS: dict[str, Any] = {
    "rule_id": "sales.nightly",
    "id": "3b0c",
    "number": 2,
    "key": {"date": "2026-11-22", "region": "eu"},
    "reason": "max_wait",
    "complete": False,
    "late": True,
    "missing": ["us", "apac"],
    "count": 2,
    "bytes": 3,
    "first_at": "2026-11-22T10:00:00.000Z",
    "last_at": "2026-11-22T11:00:00.000Z",
    "manifest": "s3://claims/m.jsonl.gz",
    "members": LINES,
}


@dataclass
class FakeTarget:
    """Implements `mwaa_gateway.conf.build.ConfTarget`."""

    input_transformer: InputTransformer | None
    id: str = "default"


def checked(document: Any, key_names: Any = ("date", "region")) -> tuple[InputTransformer | None, list[str]]:
    built, problems = validate_transformer(document, field="t", captured=key_names or (), key_names=key_names)
    return built, [f"{problem.field}: {problem.message}" for problem in problems]


def conf(
    template: Any,
    member_template: Any = None,
    *,
    lines: Any = LINES,
    facts: Any = FACTS,
    maximum_bytes: int = MAXIMUM_CONF_BYTES,
) -> Any:
    """The conf of a batch."""
    document = {"input_template": template}
    if member_template is not None:
        document["member_template"] = member_template
    built, problems = (None, []) if template is None else checked(document)
    assert problems == []
    event = Event({"id": "e-1", "detail": facts}, "identity")
    batch = BatchValues(facts, lines)
    return build_conf(
        FakeTarget(built), event, ORIGIN, facts["key"], batch=batch, maximum_bytes=maximum_bytes
    )


def some_lines(count: int, size: int = 100) -> list[dict[str, Any]]:
    return [{"uri": f"s3://landing/{number:0{size}}"} for number in range(count)]


class TestReservedKey:
    @pytest.mark.parametrize("template", [None, {}, {"day": "<date>"}])
    def test_every_conf_has_the_batch(self, template: Any) -> None:
        """The very detail of the event, whatever the template names."""
        assert conf(template)["mwaa_gateway"] == ORIGIN | {"batch": FACTS}

    def test_an_event_alone_has_none(self) -> None:
        built = build_conf(FakeTarget(None), Event({"detail": {}}, "identity"), ORIGIN)
        assert built["mwaa_gateway"] == ORIGIN

    @pytest.mark.parametrize(("filler", "fits"), [(7_000, True), (15_000, True), (25_000, False)])
    def test_members_are_left_out_before_a_conf_is_too_large(self, filler: int, fits: bool) -> None:  # noqa: FBT001
        """And nothing else is."""
        facts = FACTS | {"members": some_lines(100), "id": "x" * filler}
        built = build_conf(
            FakeTarget(checked({"input_paths": {"x": "$.x"}, "input_template": {"x": "<x>"}})[0]),
            Event({"x": "x" * filler}, "identity"),
            ORIGIN,
            batch=BatchValues(facts | {"id": "b"}, []),
        )
        assert conf_size(built) <= MAXIMUM_CONF_BYTES
        assert built["x"] == "x" * filler
        batch = built["mwaa_gateway"]["batch"]
        assert batch == facts | {"id": "b", "members": facts["members"] if fits else None}

    def test_without_a_transformer_the_event_gives_its_members_up_last(self) -> None:
        """The object under the reserved key first: the event is what the target asked for."""
        once = FACTS | {"members": some_lines(100)}  # 13 KB
        built = conf(None, facts=once)
        assert built["mwaa_gateway"]["batch"]["members"] == once["members"] == built["detail"]["members"]

        twice = FACTS | {"members": some_lines(170)}  # 20 KB
        built = conf(None, facts=twice)
        assert built["mwaa_gateway"]["batch"]["members"] is None
        assert built["detail"]["members"] == twice["members"]

        never = FACTS | {"members": some_lines(300)}  # 35 KB
        built = conf(None, facts=never)
        assert built["mwaa_gateway"]["batch"]["members"] is None
        assert built["detail"] == never | {"members": None}

    def test_a_claim_checked_run_has_the_batch_in_its_small_conf(self) -> None:
        built = conf(
            {"all": "<batch.members>"}, lines=some_lines(3_000), maximum_bytes=MAXIMUM_CLAIM_CHECK_BYTES
        )
        small, check = claim_check(built, bucket="claims", environment="analytics", run_id="r")
        assert conf_size(small) < MAXIMUM_CONF_BYTES
        assert small["mwaa_gateway"]["batch"] == FACTS | {"members": None}
        assert len(json.loads(check.body)["all"]) == 3_000


class TestPlaceholders:
    @pytest.mark.parametrize("name", [name for name in FACTS if name not in ("rule_id", "key")])
    def test_each_value_keeps_its_type(self, name: str) -> None:
        assert conf({"v": f"<batch.{name}>"})["v"] == FACTS[name]

    def test_parts_of_the_key(self) -> None:
        built = conf(
            {"day": "<batch.key.date>", "text": "<batch.key.region> of <region>, <batch.count> files"}
        )
        assert (built["day"], built["text"]) == ("2026-11-22", "eu of eu, 2 files")

    def test_in_json_text(self) -> None:
        assert conf('{"n": <batch.count>, "files": <batch.members>}')["files"] == LINES

    @pytest.mark.parametrize(
        ("template", "expected"),
        [
            ("<batch.manifst>", "has <batch.manifst>, which is unknown; did you mean 'batch.manifest'?"),
            ("<batch.key.dat>", "has <batch.key.dat>, which is unknown; did you mean 'batch.key.date'?"),
            (
                "<batch.wxyzwxyzwxyz>",
                "has <batch.wxyzwxyzwxyz>, which is unknown; known are <batch.id>, <batch.number>, ",
            ),
            (
                "all: <batch.members>",
                "has <batch.members> inside text; it is a list, so write it as a whole value",
            ),
            (
                "all: <batch.missing>",
                "has <batch.missing> inside text; it is a list, so write it as a whole value",
            ),
        ],
    )
    def test_refused(self, template: str, expected: str) -> None:
        _, [problem] = checked({"input_template": {"v": template}})
        assert problem.startswith(f"t.input_template: {expected}")

    def test_a_rule_without_collect_has_none(self) -> None:
        document = {"input_template": {"v": "<batch.count>"}, "member_template": "<uri>"}
        assert checked(document, None)[1] == [
            (
                "t.input_template: has <batch.count>, which only a rule with collect has; name a path of the event in "
                "input_paths instead"
            ),
            "t.member_template: is only for a rule with collect; remove it",
        ]


class TestMembers:
    @pytest.mark.parametrize(
        ("template", "expected"),
        [
            ("<uri>", ["s3://landing/a.csv", "s3://landing/b.csv"]),
            (
                {"path": "<key>", "bytes": "<size>"},
                [{"path": "a.csv", "bytes": 1}, {"path": "b.csv", "bytes": 2}],
            ),
            (["<bucket>/<key>", "<$.size>"], [["landing/a.csv", 1], ["landing/b.csv", 2]]),
            ("<etag>|<$.detail.order>", ["|", "|"]),
            ({"all": "<$>"}, [{"all": line} for line in LINES]),
        ],
    )
    def test_the_form_of_an_entry(self, template: Any, expected: Any) -> None:
        assert conf({"files": "<batch.members>"}, template)["files"] == expected

    def test_a_path_into_an_event(self) -> None:
        lines = [{"source": "acme", "detail": {"order": {"id": number}}} for number in range(3)]
        assert conf({"v": "<batch.members>"}, "<$.detail.order.id>", lines=lines)["v"] == [0, 1, 2]

    def test_a_list_that_does_not_fit_is_null(self) -> None:
        """All or none; a short form lets more of them fit."""
        lines = some_lines(200)
        template = {"files": "<batch.members>"}
        assert conf(template, lines=lines)["files"] is None
        assert conf(template, {"path": "<uri>", "again": "<uri>"}, lines=lines)["files"] is None
        assert len(conf(template, "<uri>", lines=lines[:130])["files"]) == 130
        assert conf(template, lines=lines, maximum_bytes=MAXIMUM_CLAIM_CHECK_BYTES)["files"] == lines

    def test_no_more_members_are_filled_than_fit(self) -> None:
        """A batch of 100,000 costs what fits, not what it has."""

        class Counting(dict[str, Any]):
            asked = 0

            def get(self, name: str, default: Any = None) -> Any:
                Counting.asked += 1
                return super().get(name, default)

        lines = [Counting(line) for line in some_lines(10_000)]
        assert conf({"files": "<batch.members>"}, "<uri>", lines=lines)["files"] is None
        assert Counting.asked < 200

    def test_an_object_inside_text(self) -> None:
        """It would lose the others, too: the target is refused."""
        with pytest.raises(ConfError, match=r"<detail> is an object in this event, but inside text"):
            conf({"v": "<batch.members>"}, "x <detail>", lines=[{"detail": {}}])

    def test_a_conf_that_names_more_than_fits(self) -> None:
        """Twice the list: refused, as any other conf."""
        with pytest.raises(ConfTooLarge, match=r"set large_conf: claim_check"):
            conf({"a": ["<batch.members>"] * 3}, lines=some_lines(100))

    @pytest.mark.parametrize(
        ("template", "expected"),
        [
            (
                "<urn>",
                "has <urn>, which no member has; did you mean 'uri'?; or write a path into it, as in <$.detail.order>",
            ),
            ("<$.a[>", "has the path <$.a[>; write a path into a member, as in <$.detail.order>"),
            ("file", "is the same for every member; name a value of the member, as in {path: <uri>}"),
            (None, "is the same for every member; name a value of the member, as in {path: <uri>}"),
            ({"<uri>": 1}, "has a placeholder in the field name '<uri>'; use placeholders in values only"),
            ("<uri>" * 2_000, "has 10002 characters; at most 8192 are allowed"),
            (json.loads("[" * 200 + '"<uri>"' + "]" * 200), "is nested deeper than 32 levels"),
            (float("nan"), "is no JSON value (Out of range float values are not JSON compliant"),
        ],
    )
    def test_refused(self, template: Any, expected: str) -> None:
        document = {"input_template": {"v": "<batch.members>"}, "member_template": template}
        built, problems = checked(document)
        assert built is None
        assert problems[0].startswith(f"t.member_template: {expected}")

    def test_a_template_that_nothing_uses(self) -> None:
        _, problems = checked({"input_template": {"n": "<batch.count>"}, "member_template": "<uri>"})
        assert problems == [
            "t.member_template: has no effect: write <batch.members> in input_template, or remove it"
        ]

    def test_the_rules_document_keeps_it(self) -> None:
        document = {
            "input_paths": {},
            "input_template": {"v": "<batch.members>"},
            "member_template": ["<uri>"],
        }
        built, _ = checked(document)
        assert built is not None
        assert built.document() == document
