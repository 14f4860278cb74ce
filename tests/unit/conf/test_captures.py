"""Captures: one way to read a text, found in one pass, whatever strangers call their objects."""

import re
import string
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.work import counted_calls
from mwaa_gateway.conf.captures import Capture, captured, validate_captures
from mwaa_gateway.errors import ConfError


def capture(form: str) -> Capture:
    (found,), problems = validate_captures({"detail.object.key": form})
    assert [] == problems
    return found


class TestTaking:
    """What the pieces of a text are."""

    @pytest.mark.parametrize(
        ("form", "text", "pieces"),
        [
            ("{file}", "a", {"file": "a"}),
            ("{file}", "", None),
            ("{file}", "a/b", None),
            ("{all*}", "a/b/", {"all": "a/b/"}),
            ("{all*}", "", None),
            (
                "orders/{region}/dt={date}/{file}.csv",
                "orders/eu/dt=2026-11-22/a.b.csv",
                {"region": "eu", "date": "2026-11-22", "file": "a.b"},
            ),
            ("orders/{region}/dt={date}/{file}.csv", "orders/eu/dt=/a.csv", None),
            ("orders/{region}/dt={date}/{file}.csv", "orders/eu/x/dt=1/a.csv", None),
            ("orders/{region}/dt={date}/{file}.csv", "orders/eu/dt=1/.csv", None),
            ("orders/{region}/dt={date}/{file}.csv", "Orders/eu/dt=1/a.csv", None),
            ("{region}-{date}.csv", "eu-west-1-2026.csv", {"region": "eu", "date": "west-1-2026"}),
            ("{a}-{b}", "-a-b", {"a": "-a", "b": "b"}),
            ("{a}-{b}", "a-", None),
            ("{a}aa{b}", "xaaa", {"a": "x", "b": "a"}),
            ("x{a}x", "x", None),
            ("x{a}x", "xx", None),
            ("x{a}x", "xxx", {"a": "x"}),
            ("{dir*}/{file}", "a/b/c", {"dir": "a/b", "file": "c"}),
            ("{dir*}/{file}", "c", None),
            ("in/{rest*}", "in/", None),
            ("in/{rest*}", "in//", {"rest": "/"}),
            ("{a*}-{b}.csv", "x-y/z-w.csv", {"a": "x-y/z", "b": "w"}),
            ("{a*}-{b}.csv", "x-y/zw.csv", None),
            ("{a}-{b*}", "x/y-z", None),
            ("{a*}-{b}.csv", "x-.csv", None),
            ("{a*}-{b}.csv", "-w.csv", None),
            ("{a*}-{b}a-a", "a-a", None),
            ("{a*}-{b}-{c}z-z", "-cz-z", None),
            ("{a}-{b*}-{c}", "x-y-z", {"a": "x", "b": "y", "c": "z"}),
            ("{a}-{b*}-{c}", "x-yz", None),
            ("{a}-{b*}-{c}", "x--z", None),
            ("ab{a}ba", "aba", None),
            (
                "t/{x}_{y}-{rest*}-{z}.{kind}/_SUCCESS",
                "t/1_2-3/4-5/6-7.parquet/_SUCCESS",
                {"x": "1", "y": "2", "rest": "3/4-5/6", "z": "7", "kind": "parquet"},
            ),
            ("{_}/{_}/{file}", "a/b/c", {"file": "c"}),
            ("{_*}/{file}.{_}", "a/b/c.d", {"file": "c"}),
            (r"\{{a}\}\*\\", r"{x}*" + "\\", {"a": "x"}),
            (r"a\*b/{c}", "a*b/c", {"c": "c"}),
            ("{a}\n{b}", "x\ny", {"a": "x", "b": "y"}),
        ],
    )
    def test_pieces(self, form: str, text: str, pieces: dict[str, str] | None):
        """A piece is never empty, stays in its segment unless it says otherwise, and ends at the first chance."""
        assert pieces == capture(form).take(text)

    @pytest.mark.parametrize(
        "form",
        ["{a}-{b}-{c}-{d}{e*}b".replace("{d}{e*}", "{d}-{e*}"), "k/{a}-a-a-a-a{b}b", "{x*}-a-a-{y}-a-b"],
    )
    def test_hostile_text(self, form: str):
        """Text that nearly fits again and again: each piece is searched for once, however long it is."""
        hostile = capture(form)
        counts = []
        for times in (511, 5_110):
            with counted_calls() as calls:
                assert hostile.take("k/" + "-a" * times) is None
            assert calls.regular_expressions == 0  # they would search again inside one call
            counts.append(calls.count)
        assert counts[0] == counts[1]


_TEXT = st.text(alphabet="ab/-", max_size=12)
_LITERAL = st.text(alphabet="ab/-", min_size=1, max_size=3)


@st.composite
def forms(draw: st.DrawFn) -> str:
    """Forms of up to four pieces, at most one of them crossing, with text between any two."""
    names = string.ascii_lowercase[: draw(st.integers(1, 4))]
    crossing = draw(st.sampled_from([None, *names]))
    pieces = [f"{{{name}*}}" if name == crossing else f"{{{name}}}" for name in names]
    literals = [draw(st.text(alphabet="ab/-", max_size=3)), *(draw(_LITERAL) for _ in names[1:])]
    return "".join(part for pair in zip(literals, pieces, strict=True) for part in pair) + draw(
        st.text(alphabet="ab/-", max_size=3)
    )


@given(forms(), _TEXT)
def test_a_text_is_taken_apart_if_there_is_any_way(form: str, text: str):
    """It fits exactly when a regular expression finds a way, and its pieces put together again are the text."""
    pieces = capture(form).take(text)
    expression = re.sub(r"\\\{(\w)(\\\*)?\\\}", lambda m: ".+" if m[2] else "[^/]+", re.escape(form))
    assert (pieces is not None) == (re.fullmatch(expression, text, re.DOTALL) is not None)
    if pieces is not None:
        assert text == re.sub(r"\{(\w)\*?\}", lambda match: pieces[match[1]], form)


class TestEvent:
    """Where the texts come from."""

    ENVELOPE: ClassVar[dict[str, Any]] = {
        "detail": {"object": {"key": "in/a.csv", "size": 3}},
        "resources": ["arn:x"],
    }

    def test_of_several_fields(self):
        """Each field gives its pieces; positions are fields too."""
        captures, _ = validate_captures({"detail.object.key": "in/{file}.csv", "resources[0]": "arn:{name}"})
        assert {"file": "a", "name": "x"} == captured(captures, self.ENVELOPE)

    @pytest.mark.parametrize(
        ("field", "form", "reason"),
        [
            (
                "detail.object.key",
                "out/{file}",
                "detail.object.key of this event does not have the form 'out/{file}'",
            ),
            ("detail.object.version", "{v}", "detail.object.version is missing in this event"),
            ("detail.object.size", "{v}", "detail.object.size is a number in this event"),
        ],
    )
    def test_refused(self, field: str, form: str, reason: str):
        """The field, and what is wrong with it; never the text itself, which may be anybody's."""
        captures, _ = validate_captures({field: form})
        with pytest.raises(ConfError) as refusal:
            captured(captures, self.ENVELOPE)
        assert str(refusal.value).startswith(reason)
        assert "a.csv" not in str(refusal.value)


def test_a_rule_may_capture_from_ten_fields():
    """As many as are promised."""
    captures, problems = validate_captures({f"f{number}": f"{{a{number}}}" for number in range(10)})
    assert (len(captures), problems) == (10, [])


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ("{a}{b}", "has {a} and {b} side by side; write the text that separates them"),
        ("{a*}{b}", "side by side"),
        ("{a}/{a}", "has the name 'a' twice"),
        ("{a*}/{b*}", "has more than one {name*}; only one piece may contain `/`"),
        ("{_*}/{b*}", "has more than one {name*}; only one piece may contain `/`"),
        (
            "in/*.csv",
            r"has a single * at character 4; write a piece as {name} or {name*}, or the character itself as \*",
        ),
        ("in/{a", "has a single { at character 4"),
        ("in/a}", "has a single } at character 5"),
        ("\\x{a}", "has a single \\ at character 1"),
        ("{}", "has the piece {}; write {name} or {name*}: a name has letters, digits, - and _"),
        ("{a.b}", "has the piece {a.b}"),
        ("{" + "a" * 65 + "}", "at most 64"),
        ("in/a.csv", "without a piece"),
        ("", "is ''; write the field's form"),
        (7, "is 7; write the field's form"),
        ("{a}" + "x" * 1_024, "has 1027 characters; at most 1024"),
    ],
)
def test_a_form_that_cannot_be_used_is_refused(form: object, problem: str):
    """When the rule is applied, with what to write instead."""
    _, problems = validate_captures({"detail.object.key": form})
    assert [True] == [problem in str(found) for found in problems], problems
    assert all(found.field == "captures.detail.object.key" for found in problems)
