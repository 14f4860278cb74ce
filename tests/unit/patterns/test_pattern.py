"""EventBridge's pattern language: recorded verdicts, error texts, limits, and properties."""

import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fakes.work import steps_of
from mwaa_gateway.errors import InvalidPattern, MalformedEvent
from mwaa_gateway.patterns import pattern as patterns
from mwaa_gateway.patterns.operators import complexity_of
from mwaa_gateway.patterns.pattern import compile_pattern

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "event_patterns.jsonl").read_text().splitlines()
]


def verdict(case: Mapping[str, Any]) -> tuple[bool | str, str | None]:
    """Return what we say: true, false or "error", and the error's text where one was recorded."""
    try:
        return compile_pattern(case["pattern"]).matches(json.loads(case["event"])), None
    except InvalidPattern as error:
        return "error", str(error) if case.get("message") else None


def test_recorded_verdicts():
    """Every verdict recorded from the engine that EventBridge runs, and every error text."""
    wrong = [
        (case["pattern"], case["event"], case["expect"], case.get("message"), verdict(case))
        for case in CASES
        if verdict(case) != (case["expect"], case.get("message"))
    ]
    assert wrong == []
    assert len(CASES) > 2000


def matches(pattern: Any, event: Any) -> bool:
    return compile_pattern(pattern).matches(event)


@pytest.mark.parametrize(
    ("pattern", "event", "expected"),
    [
        # numbers
        ({"a": [300]}, {"a": 300.0}, True),
        ({"a": [0]}, {"a": -0.0}, True),
        ({"a": [1]}, {"a": True}, False),
        ({"a": [True]}, {"a": 1}, False),
        ({"a": [{"numeric": ["<", 0.3]}]}, {"a": 0.1 + 0.2}, False),
        ({"a": [2**53 + 1]}, {"a": 2**53 + 1}, True),
        ({"a": [2**53 + 1]}, {"a": 2**53}, False),
        ({"a": [{"numeric": [">", 0]}]}, {"a": 2**53 + 1}, False),
        ({"a": [{"numeric": [">", 0]}]}, {"a": 10**400}, False),
        ({"a": [{"anything-but": 1}]}, {"a": 10**400}, True),
        ({"a": [{"numeric": [">", 0, "<=", 5]}]}, {"a": 5}, True),
        ({"a": [{"numeric": [">", 0, "<", 5]}]}, {"a": 5}, False),
        ({"a": [{"numeric": [">", 0, "<", 5]}]}, {"a": 0}, False),
        ({"a": [{"numeric": [">=", 0]}]}, {"a": "1"}, False),
        # null, missing and empty
        ({"a": [None]}, {"a": None}, True),
        ({"a": [None]}, {}, False),
        ({"a": [None]}, {"a": []}, False),
        ({"a": [{"exists": False}]}, {"a": None}, False),
        ({"a": [{"exists": False}]}, {"a": {"b": 1}}, True),
        ({"a": [{"exists": True}]}, {"a": [{"b": 1}]}, False),
        ({"a": [{"exists": True}]}, {"a": [[1]]}, True),
        # lists
        ({"a": ["x"]}, {"a": ["w", ["x"]]}, True),
        ({"a": [{"anything-but": "x"}]}, {"a": ["x", "x"]}, False),
        ({"a": {"b": [1], "c": [2]}}, {"a": [{"b": 1, "c": 3}, {"b": 9, "c": 2}]}, False),
        ({"a": {"b": [1], "c": [2]}}, {"a": [{"b": 1, "c": 3}, {"b": 1, "c": 2}]}, True),
        ({"a": {"b": [1]}, "c": {"d": [2]}}, {"a": [{"b": 0}, {"b": 1}], "c": [{"d": 2}]}, True),
        ({"a": {"b": [1], "c": [{"exists": False}]}}, {"a": [{"b": 1}, {"c": 1}]}, True),
        (
            {"a": {"b": {"c": [1]}, "d": [2]}},
            {"a": [{"b": [{"c": 1}], "d": 3}, {"b": [{"c": 0}], "d": 2}]},
            False,
        ),
        # paths
        ({"a.b": [1]}, {"a": {"b": 1}}, True),
        ({"a": {"b": [1]}}, {"a.b": 1}, True),
        ({"a": {"b": [1]}}, {"a": [{"b": 1}]}, True),
        # words
        ({"a": ["10.0.0.1"]}, {"a": "010.0.0.1"}, True),
        ({"a": ["::1"]}, {"a": "0:0::0001"}, True),
        ({"a": ["::1"]}, {"a": "1::"}, False),
        ({"a": ["10.0.0.1"]}, {"a": "10.0.0.1" + "0" * 100}, False),
        ({"a": ["::1"]}, {"a": "0" * 61 + "::1"}, True),
        ({"a": ["::1"]}, {"a": "0" * 62 + "::1"}, False),
        ({"a": [{"prefix": 'x"'}]}, {"a": "x"}, False),
        ({"a": [{"suffix": "É"}]}, {"a": "caf\u00e9"}, False),
        ({"a": [{"anything-but": {"suffix": "É"}}]}, {"a": "caf\u00e9"}, True),
        ({"a": [{"equals-ignore-case": "Straße"}]}, {"a": "STRASSE"}, True),
        ({"a": [{"suffix": {"equals-ignore-case": ".CSV"}}]}, {"a": "x.cSv"}, True),
        ({"a": [{"prefix": {"equals-ignore-case": "AB"}}]}, {"a": "a"}, False),
        ({"a": [{"equals-ignore-case": "\U00010400"}]}, {"a": "\U00010428"}, False),
        ({"a": [{"wildcard": "a*b"}]}, {"a": "a\n\nb"}, True),
        ({"a": [{"wildcard": "ab*ba"}]}, {"a": "aba"}, False),
        ({"a": [{"wildcard": "*x*"}]}, {"a": 1}, False),
        ({"a": [{"wildcard": "\\**\\\\"}]}, {"a": "*x\\"}, True),
        ({"a": [{"cidr": "10.1.2.3/8"}]}, {"a": "10.0.0.1"}, True),
        ({"a": [{"cidr": "0.0.0.0/0"}]}, {"a": "2001:db8::1"}, False),
        ({"a": [{"cidr": "0.0.0.0/0"}]}, {"a": 7}, False),
        ({"a": [{"cidr": "2001:db8::/32"}]}, {"a": "2001:DB8::5"}, True),
        # $or
        ({"a": [1], "$or": [{"a": [2]}, {"b": [2]}]}, {"a": 1, "b": 2}, True),
        ({"a": [1], "$or": [{"a": [2]}, {"b": [2]}]}, {"a": 2}, True),
        ({"x": {"$or": [{"a": [1]}, {"$or": [{"b": [1]}, {"c": [1]}]}]}}, {"x": {"c": 1}}, True),
    ],
)
def test_semantics(pattern: Any, event: Any, *, expected: bool):
    """What the recorded verdicts leave open, as EventBridge documents it, without event-ruler's bugs."""
    assert matches(pattern, event) is expected


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"exists": False, "prefix": "a"}, "Only one key allowed in match expression"),
        ({"prefix": {}}, "Prefix expression name not found"),
        ({"suffix": {"prefix": "a"}}, "Unsupported suffix pattern: prefix"),
        ({"suffix": {"equals-ignore-case": 1}}, "equals-ignore-case match pattern must be a string"),
        ({"prefix": {"equals-ignore-case": "a", "x": 1}}, "Only one key allowed in match expression"),
        ({"suffix": 1}, "suffix match pattern must be a string"),
        ({"exactly": 1}, "exact match pattern must be a string"),
        ({"wildcard": 1}, "wildcard match pattern must be a string"),
        ({"wildcard": "é**"}, "Consecutive wildcard characters at pos 3"),
        ({"wildcard": "a\\"}, "Invalid escape character at pos 2"),
        ({"numeric": 1}, "Value of numeric must be an array."),
        ({"numeric": []}, "Invalid member in numeric match: ]"),
        ({"numeric": [1, 2]}, "Invalid member in numeric match: 1"),
        ({"numeric": ["=", "1"]}, "Value of equals must be numeric"),
        ({"numeric": [">"]}, "Value of > must be numeric"),
        ({"numeric": ["<", 1, ">", 0]}, "Too many elements in numeric expression"),
        ({"numeric": [">", 1, 2]}, "Bad value in numeric range: 2"),
        ({"numeric": [">", 1, "=", 2]}, "Bad numeric range operator: ="),
        ({"numeric": [">", 1, "<", True]}, "Value of < must be numeric"),
        ({"numeric": [">", 1, "<", 2, 3]}, "Too many terms in numeric range expression"),
        ({"numeric": [">", 1, "<", 1]}, "Bottom must be less than top"),
        ({"numeric": ["=", 1], "prefix": "a"}, "Too many elements in numeric expression"),
        ({"anything-but": {}}, "Anything-But expression name not found"),
        ({"anything-but": {"cidr": "10.0.0.0/8"}}, "Unsupported anything-but pattern: cidr"),
        ({"anything-but": {"prefix": "a", "x": 1}}, "Too many elements in numeric expression"),
        ({"anything-but": {"prefix": [1]}}, "prefix/suffix match pattern must be a string"),
        ({"anything-but": {"prefix": []}}, "Empty arrays are not allowed"),
        ({"anything-but": True}, "Value of anything-but must be an array or single string/number value."),
        ({"anything-but": [None]}, "Inside anything but list, start|null|boolean is not supported."),
        (
            {"anything-but": []},
            "Inside anything but list, either all values are number or string, mixed type is not supported",
        ),
        (
            {"anything-but": {"equals-ignore-case": [1]}},
            "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.",
        ),
        ({"cidr": "10.0.0.0"}, "Malformed CIDR, one '/' required"),
        ({"cidr": "10.0.0.0/x"}, "Malformed CIDR, mask bits must be an integer"),
        ({"cidr": "10.0.0.0/-1"}, "Malformed CIDR, mask bits must not be negative"),
        ({"cidr": "10.0.0.0/32"}, "IPv4 mask bits must be < 32"),
        ({"cidr": "::/128"}, "IPv6 mask bits must be < 128"),
        ({"cidr": "300.0.0.0/8"}, "Invalid IP address: 300.0.0.0"),
        ({"cidr": "host/8"}, "Nonstandard IP address: host"),
        ({"cidr": 1}, "prefix match pattern must be a string"),
    ],
)
def test_refused_entries(entry: Any, message: str):
    """EventBridge's own texts, so that its users know them."""
    with pytest.raises(InvalidPattern) as refusal:
        compile_pattern({"a": [entry]})
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ([], "Filter is not an object"),
        ("[1]", "Filter is not an object"),
        ({}, "Empty objects are not allowed"),
        ({"a": []}, "Empty arrays are not allowed"),
        ({"a": {"b": 1}}, '"b" must be an object or an array'),
        ({1: ["a"]}, "Field name 1 must be a string"),
        ({"$or": [{"a": [1]}]}, "There must have at least 2 Objects in $or relationship."),
        ({"$or": [1, 2]}, "Only JSON object is allowed in array of $or relationship."),
        ({"$or": {"a": [1]}}, "It must be an Array followed with $or."),
        (
            {"$or": [{"a": {"<": [1]}}, {"b": [1]}]},
            "< is Ruler reserved fieldName which cannot be used inside $or.",
        ),
        ({f"f{n}": [1] for n in range(257)}, "Pattern has more than 256 fields"),
        ({"a": [float("nan")]}, "Pattern is not JSON: it has a number that is not finite"),
        (
            {str(n): {"$or": [{"a": [1]}, {"b": [1]}]} for n in range(10)},
            "$or gives more than 1000 combinations; split the rule",
        ),
    ],
)
def test_refused_patterns(pattern: Any, message: str):
    """Whatever its shape, a pattern is compiled or refused with a reason."""
    with pytest.raises(InvalidPattern) as refusal:
        compile_pattern(pattern)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    "text", ["{'a': [1]}", '{"a": [NaN]}', '{"a": [1]} x', "", '{"a":[' + "9" * 5000 + "]}", "[" * 9999]
)
def test_refused_text(text: str):
    """What is not JSON, to the last character, is no pattern."""
    with pytest.raises(InvalidPattern, match="not JSON"):
        compile_pattern(text)


def test_a_pattern_may_have_as_many_branches_and_levels_as_that():
    """A thousand and a hundred; what is above is refused."""
    tens = {f"k{field}": {"$or": [{"a": [number]} for number in range(10)]} for field in range(3)}
    assert matches(tens, {"k0": {"a": 9}, "k1": {"a": 0}, "k2": {"a": 5}})
    deep: Any = [1]
    for _ in range(99):
        deep = {"a": deep}
    assert matches(deep, json.loads(json.dumps(deep)))
    with pytest.raises(InvalidPattern, match="nested too deeply"):
        compile_pattern({"a": deep})


def test_deep_pattern_ends_no_process():
    """Refused, however deep."""
    pattern: Any = [1]
    for _ in range(5000):
        pattern = {"a": pattern}
    with pytest.raises(InvalidPattern, match="nested too deeply"):
        compile_pattern(pattern)


@pytest.mark.parametrize("levels", [150, 450, 900, 5_000])
def test_deep_text_ends_no_process(levels: int):
    """Nor where a second value hides it."""
    deep = '{"a":' * levels + "[1]" + "}" * levels
    for text in (deep, f'{{"a":{deep},"a":[1]}}'):
        try:
            compile_pattern(text)
        except InvalidPattern as refusal:
            assert "nested too deeply" in str(refusal) or "not JSON" in str(refusal)  # noqa: PT017 - if it is


@pytest.mark.parametrize(
    ("wildcard", "accepted"),
    [
        ("/Users/*/dir/dir/dir/dir/dir/doc.txt", True),
        ("*:*:*:*:*:event-bus/*", False),
        ("*a*a*a*a*b", True),
        ("orders/*/dt=*/*.csv", True),
    ],
)
def test_complexity(wildcard: str, *, accepted: bool):
    """EventBridge's own verdicts on its complexity limit, and ordinary keys."""
    refusal = nullcontext() if accepted else pytest.raises(InvalidPattern, match="Rule is too complex")
    with refusal:
        compile_pattern({"a": [{"wildcard": wildcard}]})


def test_duplicate_keys_of_text():
    """The last list of a path wins, objects merge, and of two `$or` both hold."""
    assert matches('{"a": [1], "a": [2]}', {"a": 2})
    assert not matches('{"a": {"b": [1]}, "a": {"c": [2]}}', {"a": {"c": 2}})
    both = '{"$or": [{"a": [1]}, {"b": [1]}], "$or": [{"c": [1]}, {"d": [1]}]}'
    assert [matches(both, event) for event in ({"a": 1}, {"c": 1}, {"b": 1, "d": 1})] == [False, False, True]


def test_document_and_equality():
    """A pattern shows what it was compiled from, and is equal to another of the same document."""
    pattern = compile_pattern('{"a": [1.50, "x"]}')
    assert pattern.document == {"a": [1.5, "x"]}
    assert pattern == compile_pattern({"a": [1.5, "x"]})
    assert len({pattern, compile_pattern({"a": [1.5, "x"]})}) == 1
    assert pattern != compile_pattern({"a": [1]})
    assert repr(pattern) == 'Pattern({"a": [1.5, "x"]})'


@pytest.mark.parametrize(
    ("pattern", "event"),
    [
        ({"a": [{"wildcard": "*a*a*a*a*b"}]}, lambda size: {"a": "a" * size}),
        ({"a": [{"equals-ignore-case": "ß" * 300}]}, lambda size: {"a": "s" * size}),
        ({"a": ["::1"]}, lambda size: {"a": ":" * size}),
        ({"a": {"x": [1], "y": [2]}}, lambda size: {"a": [{"x": 1, "y": 3} for _ in range(size)]}),
        (
            {name: {"x": [1], "y": [1]} for name in "abcdef"},
            lambda size: {name: [{"x": 1, "y": int(name != "f")} for _ in range(size)] for name in "abcdef"},
        ),
    ],
    ids=["wildcard", "ignore-case", "address", "one list", "six lists"],
)
def test_hostile_events_cost_as_much_as_they_are_long(pattern: Any, event: Callable[[int], Any]):
    """Strangers choose keys and messages: no backtracking, no product of lists. Twice as long, twice the steps."""
    compiled, short, long = compile_pattern(pattern), event(100), event(200)
    assert not compiled.matches(short)
    assert steps_of(lambda: compiled.matches(long)) < 2.2 * steps_of(lambda: compiled.matches(short))


class Counted(str):  # noqa: SLOT000
    """A string that counts how often it is searched."""

    searches = 0

    def find(self, *args: Any) -> int:
        self.searches += 1
        return super().find(*args)


@pytest.mark.parametrize("wildcard", ["*a*a*a*a*b", "*a*a*a*a*a", "a*b*c", "*", "*aaaaaaaa*"])
def test_a_wildcard_searches_once_for_each_of_its_pieces(wildcard: str):
    """Each search begins where the one before ended, and none is tried again: linear, whatever key a stranger chose."""
    (matcher,) = compile_pattern({"a": [{"wildcard": wildcard}]}).branches[0][0][1].others
    key = Counted("a" * 1024)
    assert matcher.matches(key) is (wildcard not in ("*a*a*a*a*b", "a*b*c"))
    assert key.searches <= wildcard.count("*")


class Read(str):  # noqa: SLOT000
    """A string that counts how often one of its characters is looked at."""

    looks = 0

    def __getitem__(self, index: Any) -> str:
        self.looks += 1
        return super().__getitem__(index)


@pytest.mark.parametrize(
    ("piece", "complexity", "looks"),
    [
        ("a" * 1023, 11, 10),
        ("ab" * 511, 11, 19),
        ("abc" * 341, 11, 28),
        ("ab" + "c" * 8, 2, 10),
        ("a" * 8 + "b", 9, 9),
    ],
)
def test_the_complexity_of_a_wildcard_costs_no_more_than_its_length(piece: str, complexity: int, looks: int):
    """Each character is looked at once; of one that is refused, no more than it takes to know."""
    text = Read(piece)
    assert (complexity_of(("", text)), text.looks) == (complexity, looks)


def test_a_long_wildcard_is_accepted_or_refused_by_what_repeats_in_it():
    """1,024 characters, as long as a key: all different ones pass, however many they are."""
    different = "".join(chr(0x4E00 + number) for number in range(1_023))
    assert matches({"a": [{"wildcard": f"*{different}"}]}, {"a": f"x{different}"})
    for repeating in ("*" + "a" * 1_023, "*a" * 512, "*" + "ab" * 511):
        with pytest.raises(InvalidPattern, match="Rule is too complex"):
            compile_pattern({"a": [{"wildcard": repeating}]})


def ambiguous(elements: int) -> dict[str, Any]:
    """An event whose path `a.b` is spelled in two ways, each time with a list."""
    return {
        "a": [{"b": {"x": 1, "y": 2, "z": n}} for n in range(elements)],
        "a.b": [{"x": 1, "y": 2, "w": n} for n in range(elements)],
    }


def test_a_path_of_two_spellings_is_read_in_every_way_that_there_is():
    """Fields may come from an element of each list; not from two elements of one."""
    pattern = {"a.b": {"w": [2], "x": [1], "z": [1]}}
    assert matches(pattern, ambiguous(3))
    assert not matches({"a.b": {"w": [9], "x": [1], "z": [1]}}, ambiguous(3))


def test_too_many_ways_to_read_an_event_are_refused():
    """A few kilobytes with two long lists would else be compared element by element, for minutes."""
    pattern = compile_pattern({"a.b": {"x": [1], "y": [3]}})

    def refused(event: dict[str, Any]) -> None:
        with pytest.raises(
            MalformedEvent, match="has the same path with a dotted name and with nested objects"
        ):
            pattern.matches(event)

    short, long = ambiguous(500), ambiguous(1_000)
    assert steps_of(lambda: refused(long)) < 2.2 * steps_of(lambda: refused(short))


def test_one_long_list_is_not_too_many_ways():
    """Whatever its length: each element is read once."""
    event = {"a": [{"b": [{"x": 1, "y": 2}] * 10, "c": [{"z": 3}] * 10} for _ in range(2_000)]}
    assert matches({"a": {"b": {"x": [1], "y": [2]}, "c": {"z": [3]}}}, event)


class Unread(dict[str, Any]):
    """An object that nobody may look into."""

    def items(self) -> Any:
        raise AssertionError("it was read")


def test_an_event_is_read_only_where_a_pattern_asks():
    """What else there is, however large, is neither walked through nor kept."""
    wanted = compile_pattern({"a": {"b": [1]}}).wanted
    event = {"a": {"b": 1, "c": Unread(), "d": 2}, "e": Unread(), "f": 3}
    assert [*wanted.fields(event)] == ["a.b"]
    assert [*wanted.fields({"a": [5, {"c": 1}]})] == []


def test_conditions_are_remembered_within_a_bound(monkeypatch: pytest.MonkeyPatch):
    """Patterns share them; a process that compiles for weeks does not grow by it."""
    monkeypatch.setattr(patterns, "SHARED_MAXIMUM", 10)
    for number in range(40):
        compile_pattern({"a": [f"once {number}"]})
        assert len(patterns.shared_conditions) <= 10


@pytest.mark.parametrize("event", [[], "a", 1, None, [{"a": 1}]])
def test_an_event_is_an_object(event: Any):
    """Whatever else JSON may be, it is none."""
    with pytest.raises(MalformedEvent, match="expected a JSON object"):
        matches({"a": [1]}, event)


# --- properties ---------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["", "a", "ab", "abc", "b", "aB", "é", "10.0.0.1", "1"])
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 2.5]) | WORDS
VALUES = st.recursive(
    SCALARS,
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.sampled_from("ab"), children, max_size=2)
    ),
    max_leaves=8,
)
EVENTS = st.dictionaries(st.sampled_from(["a", "b", "a.b"]), VALUES, max_size=3)
ENTRIES = st.one_of(
    SCALARS,
    st.builds(lambda word: {"prefix": word}, WORDS),
    st.builds(lambda word: {"suffix": word}, WORDS),
    st.builds(lambda word: {"equals-ignore-case": word}, WORDS),
    st.builds(lambda words: {"anything-but": words}, st.lists(WORDS, min_size=1)),
    st.builds(lambda numbers: {"anything-but": numbers}, st.lists(st.integers(-3, 3), min_size=1)),
    st.builds(lambda flag: {"exists": flag}, st.booleans()),
    st.builds(
        lambda n, op: {"numeric": [op, n]}, st.integers(-3, 3), st.sampled_from(["<", "<=", "=", ">=", ">"])
    ),
)
LEAVES = st.lists(ENTRIES, min_size=1, max_size=3)
PATTERNS = st.recursive(
    st.dictionaries(st.sampled_from("ab"), LEAVES, min_size=1),
    lambda children: st.dictionaries(st.sampled_from("ab"), children | LEAVES, min_size=1),
    max_leaves=6,
)


@given(LEAVES, LEAVES, EVENTS)
def test_a_list_is_the_or_of_its_entries(first: list[Any], second: list[Any], event: Any):
    """One field with two lists' entries matches where one of the lists does."""
    assert matches({"a": first + second}, event) is (
        matches({"a": first}, event) or matches({"a": second}, event)
    )


@given(PATTERNS, PATTERNS, EVENTS)
def test_or_is_the_or_of_its_alternatives(first: Any, second: Any, event: Any):
    """`$or` of two patterns matches where one of them does."""
    assert matches({"$or": [first, second]}, event) is (matches(first, event) or matches(second, event))


@given(PATTERNS, EVENTS)
def test_text_and_mapping_agree(pattern: Any, event: Any):
    """A pattern means the same as JSON text and as a mapping."""
    assert matches(json.dumps(pattern), event) is matches(pattern, event)


@given(WORDS, st.lists(WORDS, min_size=1))
def test_anything_but_is_the_opposite(value: str, excluded: list[str]):
    """For a plain value `anything-but` says the opposite of the list itself, addresses aside."""
    excluded = [word for word in excluded if word != "10.0.0.1"] or ["x"]
    assert matches({"a": [{"anything-but": excluded}]}, {"a": value}) is not matches(
        {"a": excluded}, {"a": value}
    )


@given(st.lists(st.sampled_from(["a", "b", "ab", "*", "\\*"]), max_size=6), st.text("ab*", max_size=12))
def test_wildcard_is_what_trying_everything_finds(parts: list[str], value: str):
    """The greedy match agrees with the plain definition, where the pattern is allowed at all."""
    text = "".join(parts)
    try:
        pattern = compile_pattern({"a": [{"wildcard": text}]})
    except InvalidPattern:
        return
    assert pattern.matches({"a": value}) is _found_by_trying(parts, value)


@given(st.text("aB1kK\u017f", max_size=4), st.text("aAbB1kK\u212a\u017fß", max_size=6))
@example("k", "\u212a")
@example("ab", "xAB")
def test_ignoring_case_is_what_trying_each_form_finds(text: str, value: str):
    """Lower or upper, character by character: the Kelvin sign and the long s are forms of themselves only."""
    cut = range(len(value) + 1)
    for operand, expected in (
        ({"equals-ignore-case": text}, _is_spelled(text, value)),
        ({"prefix": {"equals-ignore-case": text}}, any(_is_spelled(text, value[:end]) for end in cut)),
        ({"suffix": {"equals-ignore-case": text}}, any(_is_spelled(text, value[start:]) for start in cut)),
    ):
        assert compile_pattern({"a": [operand]}).matches({"a": value}) is expected


def _is_spelled(text: str, value: str) -> bool:
    if not text:
        return not value
    forms = {text[0].lower(), text[0].upper()}
    return any(value.startswith(form) and _is_spelled(text[1:], value[len(form) :]) for form in forms)


def _found_by_trying(parts: list[str], value: str) -> bool:
    if not parts:
        return not value
    head, *rest = parts
    if head == "*":
        return any(_found_by_trying(rest, value[start:]) for start in range(len(value) + 1))
    literal = head.removeprefix("\\")
    return value.startswith(literal) and _found_by_trying(rest, value[len(literal) :])


@settings(max_examples=300)
@given(
    st.dictionaries(
        st.sampled_from(["a.x", "a.y", "a.l.z", "b.x"]), st.lists(st.integers(0, 1), min_size=1), min_size=1
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "a": st.lists(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "x": st.integers(0, 1),
                        "y": st.integers(0, 1),
                        "l": st.lists(st.fixed_dictionaries({"z": st.integers(0, 1)}), max_size=3),
                    },
                ),
                max_size=3,
            ),
            "b": st.lists(st.fixed_dictionaries({"x": st.integers(0, 1)}), max_size=2),
        },
    ),
)
def test_lists_are_consistent(pattern: dict[str, list[int]], event: dict[str, Any]):
    """A pattern of values matches exactly if one choice of an element from each list does."""
    by_choice = any(
        all(_at(path, a, z, b) in allowed for path, allowed in pattern.items())
        for a, b in product(event.get("a") or [{}], event.get("b") or [{}])
        for z in a.get("l") or [{}]
    )
    assert matches(pattern, event) is by_choice


def _at(path: str, a: Any, z: Any, b: Any) -> Any:
    return {"a.x": a.get("x"), "a.y": a.get("y"), "a.l.z": z.get("z"), "b.x": b.get("x")}[path]
