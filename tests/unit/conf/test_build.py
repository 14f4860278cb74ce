"""The input transformer: EventBridge's rules, filled structurally, refused where events would be lost."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mwaa_gateway.conf.build import MAXIMUM_CONF_BYTES, build_conf
from mwaa_gateway.conf.input_transformer import STRING_OR_PLACEHOLDER, InputTransformer, validate_transformer
from mwaa_gateway.errors import ConfError
from mwaa_gateway.events import Event

ORIGIN = {"event_id": "e-1", "rule_id": "finance.orders", "generation": 0}
ENVELOPE = {
    "version": "0",
    "id": "e-1",
    "source": "acme",
    "detail-type": "Done",
    "account": "123456789012",
    "time": "2026-11-22T10:00:00Z",
    "region": "eu-west-1",
    "resources": ["arn:one", "arn:two"],
    "detail": {
        "name": 'a "b" <name> \\ \n\0 é',
        "count": 3,
        "ratio": 1.5,
        "ok": True,
        "nothing": None,
        "empty": "",
        "items": [{"id": 1}, {"no": 2}, {"id": 3}],
        "object": {"x-y": {"a/b": [10, [20]]}},
    },
}
PATHS = {
    "name": "$.detail.name",
    "count": "$.detail.count",
    "ratio": "$.detail.ratio",
    "ok": "$.detail.ok",
    "nothing": "$.detail.nothing",
    "ids": "$.detail.items[*].id",
    "first": "$.resources[0]",
    "deep": "$.detail.object.x-y.a/b[1][0]",
    "object": "$.detail.object",
    "missing": "$.detail.nowhere",
    "beyond": "$.resources[2]",
    "not-a-list": "$.detail.name[*]",
    "all": "$",
}


@dataclass
class FakeTarget:
    """Implements `mwaa_gateway.conf.build.ConfTarget`."""

    input_transformer: InputTransformer | None
    id: str = "default"


def transformer(template: Any, paths: Any = PATHS) -> InputTransformer:
    built, problems = validate_transformer({"input_paths": paths, "input_template": template})
    assert problems == []
    assert built is not None
    return built


def conf(template: Any, detail: Any = None) -> Any:
    event = Event(ENVELOPE | ({} if detail is None else {"detail": detail}), "identity")
    built = build_conf(FakeTarget(transformer(template)), event, ORIGIN)
    assert built.pop("mwaa_gateway") == ORIGIN
    return built


def problems(template: Any, paths: Any = PATHS) -> list[str]:
    built, found = validate_transformer(
        {"input_paths": paths, "input_template": template}, field="t", target_id="audit"
    )
    assert built is None
    return [str(problem) for problem in found]


class TestFilling:
    """What a template becomes."""

    @pytest.mark.parametrize(
        ("template", "expected"),
        [
            ("<name>", ENVELOPE["detail"]["name"]),  # type: ignore[index]
            ("<count>", 3),
            ("<ratio>", 1.5),
            ("<ok>", True),
            ("<nothing>", None),
            ("<ids>", [1, 3]),
            ("<first>", "arn:one"),
            ("<deep>", 20),
            ("<object>", {"x-y": {"a/b": [10, [20]]}}),
            ("<missing>", ""),
            ("<beyond>", ""),
            ("<not-a-list>", ""),
            ("<all>", ENVELOPE),
            ("<aws.events.rule-name>", "finance.orders"),
            ("<aws.events.event>", {name: value for name, value in ENVELOPE.items() if name != "detail"}),
            ("<aws.events.event.json>", ENVELOPE),
            ("n=<count>, r=<ratio>, <ok>/<nothing>[<missing>]", "n=3, r=1.5, true/null[]"),
            ("by <aws.events.rule-name>", "by finance.orders"),
            ("<count><count>", "33"),
            ("a < b > c <not a placeholder> <", "a < b > c <not a placeholder> <"),
            (["<count>", {"x": ["<first>"]}, 1, None], [3, {"x": ["arn:one"]}, 1, None]),
        ],
    )
    def test_value(self, template: Any, expected: Any):
        """A whole value keeps its type, inside text it is text, a missing path is empty text."""
        assert conf({"v": template}) == {"v": expected}

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('{"v": <count>}', {"v": 3}),
            ('{"v": "<count>"}', {"v": "3"}),
            ('{"v": [<object>, <missing>]}', {"v": [{"x-y": {"a/b": [10, [20]]}}, ""]}),
            ('{"v": "\\"<first>\\" \\u00e9"}', {"v": '"arn:one" é'}),
            ('\n {\n "v" : <aws.events.rule-name> }', {"v": "finance.orders"}),
        ],
    )
    def test_json_text(self, text: str, expected: Any):
        """EventBridge's own form: bare keeps the type, quoted is text."""
        assert conf(text) == expected

    def test_without_transformer_the_event_is_the_conf(self):
        """With where it came from beside it."""
        built = build_conf(FakeTarget(None), Event(ENVELOPE, "identity"), ORIGIN)
        assert built == ENVELOPE | {"mwaa_gateway": ORIGIN}
        assert "mwaa_gateway" not in ENVELOPE

    @given(st.text() | st.dictionaries(st.text(), st.text()))
    def test_values_stay_values(self, value: Any):
        """Whatever a stranger sends, it is the one value it was named as: no field is added or changed."""
        assert conf({"a": "<name>", "b": 1}, {"name": value}) == {"a": value, "b": 1}
        assert conf('{"a": <name>, "b": 1}', {"name": value}) == {"a": value, "b": 1}
        if isinstance(value, str):
            assert conf({"a": "x<name>y<name>"}, {"name": value}) == {"a": f"x{value}y{value}"}

    @pytest.mark.parametrize(("value", "kind"), [({"a": 1}, "an object"), ([1], "a list")])
    def test_object_inside_text_is_refused(self, value: Any, kind: str):
        """EventBridge would drop the event without a word; we name the field and the way out."""
        with pytest.raises(ConfError, match=f"<name> is {kind} in this event, but inside text"):
            conf({"v": "it is <name>"}, {"name": value})

    def test_reserved_key_of_the_event(self):
        """An event that brings the key along does not overwrite where it came from, nor is it overwritten."""
        with pytest.raises(ConfError, match="the event has a field 'mwaa_gateway'"):
            build_conf(FakeTarget(None), Event(ENVELOPE | {"mwaa_gateway": 1}, "identity"), ORIGIN)


class TestSize:
    """How large a conf may be."""

    def test_at_the_limit(self):
        """32 KB of ASCII JSON pass, one byte more does not."""
        used = len(json.dumps({"v": "", "mwaa_gateway": ORIGIN}, separators=(",", ":")))
        assert conf({"v": "<name>"}, {"name": "x" * (MAXIMUM_CONF_BYTES - used)})
        with pytest.raises(ConfError, match="would have 32769 bytes; at most 32768 are allowed"):
            conf({"v": "<name>"}, {"name": "x" * (MAXIMUM_CONF_BYTES - used + 1)})

    def test_counts_as_ascii(self):
        """The conf travels as ASCII: a letter may take six bytes, and an emoji twelve."""
        with pytest.raises(ConfError, match="at most 32768"):
            conf({"v": "<name>"}, {"name": "é" * 6_000})

    @pytest.mark.parametrize("placeholder", ["<all>", "<name>", "x<name>"])
    def test_repetition_is_stopped_early(self, placeholder: str):
        """A template that repeats a large event does not build what it then refuses."""
        template = {f"f{number}": placeholder for number in range(300)}
        with pytest.raises(ConfError, match="would have more than"):
            conf(template, {"name": "x" * 20_000})

    def test_the_event_itself(self):
        """Without a transformer the same limit holds, with the same remedy."""
        event = Event(ENVELOPE | {"detail": {"x": "x" * 40_000}}, "identity")
        with pytest.raises(ConfError, match="Name only the fields the DAG needs in its input_transformer"):
            build_conf(FakeTarget(None), event, ORIGIN)


class TestValidation:
    """What a transformer must not be."""

    def test_document(self):
        """The rule keeps what its author wrote."""
        assert transformer({"v": "<count>"}, {"count": "$.x"}).document() == {
            "input_paths": {"count": "$.x"},
            "input_template": {"v": "<count>"},
        }

    def test_paths_are_optional(self):
        """A template may contain nothing but constants."""
        built, found = validate_transformer({"input_template": {"v": 1}})
        assert (found, built is not None) == ([], True)

    @pytest.mark.parametrize(
        ("template", "problem"),
        [
            (
                {"v": "<nme>"},
                "t.input_template: InputTemplate for target audit contains invalid placeholder nme.",
            ),
            (
                '{"v": <nme>}',
                "t.input_template: InputTemplate for target audit contains invalid placeholder nme.",
            ),
            ({"v": "<aws.events.rule-arn>"}, "the gateway's rules have no ARN; use <aws.events.rule-name>"),
            ({"v": "x <aws.events.event>"}, "it is an object, so write it as a whole value"),
            ('{"v": "<aws.events.event.json>"}', "it is an object, so write it as a whole value"),
            ({"<name>": 1}, "has a placeholder in the field name '<name>'; use placeholders in values only"),
            ("{<name>: 1}", "has a placeholder in the field name '<name>'; use placeholders in values only"),
            ({1: 1}, "has the field name 1; field names must be text"),
            ({"mwaa_gateway": 1}, "must not have a field 'mwaa_gateway'"),
            ([1], "must be an object, as the conf of a DAG run"),
            ("<all>", "must be an object, as the conf of a DAG run"),
            ("it is <name>", "is not JSON"),
            ("{", "is not JSON"),
            ('{"v": "\ue000mwaa-gateway-placeholder:x"}', "is not JSON"),
            ({"v": float("nan")}, "is not JSON"),
            ({"v": {1, 2}}, "is not JSON"),
            ({"v": "x" * 8192}, "at most 8192 are allowed"),
            ("[" * 8000, "is not JSON"),
        ],
    )
    def test_refused_template(self, template: Any, problem: str):
        """At validation, not when the event is there; with EventBridge's text where it has one."""
        (found,) = problems(template)
        assert problem in found

    def test_a_template_that_does_not_end_is_read_once(self):
        """No search for a string begins in vain: it would go to the end of the template, from each of its quotes."""
        endless = '{"v": "' + '\\"' * 4_000
        [problem] = problems(endless)
        assert "is not JSON" in problem
        assert '"' not in STRING_OR_PLACEHOLDER.sub("", endless)

    def test_a_template_that_is_too_long_is_not_read(self):
        """Or it would be called what it is besides: no JSON."""
        [problem] = problems('{"v": "' + '\\"' * 1_000_000)
        assert "at most 8192 are allowed" in problem

    def test_deep_template_is_refused(self):
        """Filling is as deep as the template."""
        template: Any = {"v": 1}
        for _ in range(40):
            template = {"v": template}
        assert problems(template) == ["t.input_template: is nested deeper than 32 levels"]

    @pytest.mark.parametrize(
        "path",
        [
            "detail",
            "",
            "$detail",
            "$.",
            "$..x",
            "$.a b",
            "$.*",
            "$.a[-1]",
            "$.a[x]",
            "$['a']",
            "$.a[1",
            7,
            None,
        ],
    )
    def test_refused_path(self, path: Any):
        """The paths that EventBridge reads, and no others."""
        (found,) = problems({"v": "<p>"}, {"p": path})
        assert found.startswith(f"t.input_paths.p: is {path!r}; write a path like")

    @pytest.mark.parametrize("name", ["AWS.x", "aws.events.event", "a b", "", 1])
    def test_refused_name(self, name: Any):
        """EventBridge's own names are not for authors, and no name has a dot."""
        (found,) = problems({"v": 1}, {name: "$.x"})
        assert found == f"t.input_paths: has the name {name!r}; use letters, digits, - and _"

    def test_too_many_names(self):
        """EventBridge's limit of 100."""
        assert len(transformer({"v": 1}, {f"p{n}": "$.x" for n in range(100)}).paths) == 100
        assert problems({"v": 1}, {f"p{n}": "$.x" for n in range(101)}) == [
            "t.input_paths: has 101 names; at most 100 are allowed"
        ]

    @pytest.mark.parametrize(
        ("document", "expected"),
        [
            (7, ["t: must be an object with input_paths and input_template"]),
            ({}, ["t.input_template: is missing; write the conf as an object"]),
            (
                {"input_template": {}, "input_path": {}},
                [
                    (
                        "t.input_path: is unknown; an input_transformer has input_paths, input_template and, with "
                        "collect, member_template"
                    )
                ],
            ),
            (
                {"input_paths": [], "input_template": {}},
                ["t.input_paths: must be an object: a name for each path, as in `key: $.detail.object.key`"],
            ),
        ],
    )
    def test_refused_document(self, document: Any, expected: list[str]):
        """The shape itself."""
        _, found = validate_transformer(document, field="t")
        assert [str(problem) for problem in found] == expected
