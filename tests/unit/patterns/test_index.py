"""The index says what the patterns say one by one, for rules of every kind, and asks few of them."""

import json
from collections import UserDict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.rule_sets import KINDS, rule_set
from fakes.work import counted_calls, steps_of
from mwaa_gateway.errors import InvalidPattern
from mwaa_gateway.patterns.index import RuleIndex
from mwaa_gateway.patterns.index.text_parts import folded
from mwaa_gateway.patterns.pattern import Pattern, compile_pattern

pytestmark = pytest.mark.no_cover  # thousands of matches, of which measuring coverage would triple the time

TEXTS = ["", "a", "b", "ab", "aB", "abc", "abcab", "ba", "straße", "STRASSE", "\u0131"]
ADDRESSES = ["10.0.0.1", "10.0.0.01", "10.0.9.9", "::1"]
NUMBERS = [0, 1, 1.0, 2.5, -3, 7, 2**53 + 1]
WORDS = [True, False, None]
OPERANDS: dict[str, list[Any]] = {
    "prefix": ["", "a", "ab", "abca", "s", *({"equals-ignore-case": text} for text in ("AB", "STR", ""))],
    "suffix": ["", "b", "ab", "c", "E", *({"equals-ignore-case": text} for text in ("b", "SSE", ""))],
    "equals-ignore-case": ["AB", "Straße", "i", ""],
    "wildcard": ["*", "a*", "*b", "a*b", "*b*", "*bc*", "*a*b*", "a*c*b", "*c*ab", "abc", "*1*0*"],
    "numeric": [[">", 0], ["<=", 1], [">=", 1, "<", 2.5], [">", -3, "<=", 1], [">", -3, "<", 1], ["=", 1]],
    "exists": [True, False],
    "cidr": ["10.0.0.0/8", "10.0.0.0/24", "0.0.0.0/0", "::/64", "::/0"],
    "anything-but": [
        *("a", ["a", "ab"], 1, [1, 2.5]),
        *({"prefix": "a"}, {"prefix": ["s", "10"]}, {"suffix": "b"}, {"suffix": ["c", "E"]}),
        *({"equals-ignore-case": "aB"}, {"equals-ignore-case": ["a", "strasse"]}),
        *({"wildcard": "a*b"}, {"wildcard": ["*b*c*", "*1"]}),
    ],
}
LEAVES = [*TEXTS, *ADDRESSES, *NUMBERS, *WORDS]
ENTRIES = [*LEAVES, *({name: operand} for name, operands in OPERANDS.items() for operand in operands)]

NAMES = st.sampled_from(["a", "b", "c", "d.e"])
LISTS = st.lists(st.sampled_from(ENTRIES), min_size=1, max_size=3)
NESTED = st.dictionaries(NAMES, LISTS, min_size=1, max_size=2)
OBJECTS = st.dictionaries(NAMES, LISTS | NESTED, min_size=1, max_size=3)
ALTERNATIVES = st.lists(OBJECTS, min_size=2, max_size=3)
PATTERNS = OBJECTS | st.builds(lambda fields, others: {**fields, "$or": others}, OBJECTS, ALTERNATIVES)
VALUES = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.dictionaries(NAMES, st.sampled_from(LEAVES) | VALUES, max_size=4)
FEW_LETTERS = st.text("ab", max_size=6)


def is_accepted(entry: Any) -> bool:
    """Wildcards of one character are soon too complex."""
    try:
        compile_pattern({"key": [entry]})
    except InvalidPattern:
        return False
    return True


TEXT_ENTRIES = st.one_of(
    FEW_LETTERS,
    *(
        st.builds(lambda text, operator=operator: {operator: text}, FEW_LETTERS)
        for operator in ("prefix", "suffix", "equals-ignore-case")
    ),
    st.lists(FEW_LETTERS.filter(bool), min_size=1, max_size=4)
    .map(lambda pieces: {"wildcard": "*".join(pieces)})
    .filter(is_accepted),
    st.lists(FEW_LETTERS.filter(bool), max_size=2)
    .map(lambda pieces: {"wildcard": "*".join(["", *pieces, ""]) if pieces else "*"})
    .filter(is_accepted),
    st.builds(lambda text: {"anything-but": {"prefix": text}}, FEW_LETTERS.filter(bool)),
)

WAYS = ["a", "b", "a.b", "a.c", "a.b.c", "a.b.d", "b.c.d", "a.b.c.d", "a.b.c.d.e", "e.e", "f.e", "g.e", "h.e"]
COMMON: list[list[Any]] = [
    *([{"anything-but": "a"}], [{"anything-but": {"prefix": "a"}}], [{"anything-but": ["b", "ab"]}]),
    *([{"exists": True}], [{"exists": False}], [{"numeric": [">", 0]}], [{"numeric": [">", -3]}]),
    *(["a", {"numeric": [">=", 1]}], [{"prefix": ""}, {"exists": False}], ["a", "b", "ab", None]),
]
SPELLINGS = [
    {"a": {"b": {"c": 1}}},
    {"a.b.c": 1},
    {"a.b": {"c": 1}},
    {"a": {"b.c": 1}},
    {"a": {"b.c": 1, "b": {"x.y": 2}}, "other.name": 3},
    {"a.b": {"d": 1}},
    {"a": {"b.d": 1, "x.y": 2}},
]


def compiled(documents: list[Any]) -> list[Pattern]:
    return [compile_pattern(document) for document in documents]


def one_by_one(patterns: list[Pattern], event: Mapping[str, Any]) -> list[int]:
    return [key for key, pattern in enumerate(patterns) if pattern.matches(event)]


@settings(max_examples=150)
@given(st.lists(PATTERNS, max_size=40), st.lists(EVENTS, min_size=1, max_size=8))
def test_index_agrees_with_the_patterns_one_by_one(documents: list[Any], events: list[dict[str, Any]]):
    """Any operators, lists, duplicates and alternatives: the same keys, in the order they were given."""
    patterns = compiled(documents)
    index = RuleIndex(enumerate(patterns))
    for event in events:
        assert one_by_one(patterns, event) == index.match(event)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(LISTS, LISTS), min_size=5, max_size=60),
    st.lists(st.sampled_from(LEAVES), max_size=3),
    st.sampled_from(LEAVES),
)
def test_index_agrees_where_many_rules_ask_about_two_fields(rules: list[Any], many: list[Any], one: Any):
    """Few fields and many rules, so that every kind of entry is shared, nested and left over."""
    patterns = compiled([{"a": first, "b": second} for first, second in rules])
    index = RuleIndex(enumerate(patterns))
    for event in ({"a": many, "b": one}, {"a": one}, {"b": many}, {"a": one, "b": [one, *many]}):
        assert one_by_one(patterns, event) == index.match(event)


@settings(max_examples=50)
@given(
    st.lists(st.lists(TEXT_ENTRIES, min_size=1, max_size=3), min_size=5, max_size=120),
    st.lists(st.text("abA", max_size=10), min_size=1, max_size=20),
)
def test_index_agrees_about_texts_of_few_characters(rules: list[Any], texts: list[str]):
    """Beginnings in beginnings, ends in ends, wildcards that share some parts and not others."""
    patterns = compiled([{"key": entries} for entries in rules])
    index = RuleIndex(enumerate(patterns))
    for text in texts:
        assert one_by_one(patterns, {"key": text}) == index.match({"key": text})


@settings(max_examples=50)
@given(
    st.lists(st.dictionaries(st.sampled_from(WAYS), LISTS, min_size=1, max_size=4), min_size=5, max_size=80),
    st.lists(st.dictionaries(st.sampled_from(WAYS), st.sampled_from(LEAVES)), min_size=1, max_size=6),
    st.data(),
)
def test_index_agrees_however_an_event_spells_a_way(
    rules: list[Any], fields: list[dict[str, Any]], data: st.DataObject
):
    """Fields of one to five steps, many of them in one node; each step in an object of its own or in a name."""
    patterns = compiled(rules)
    index = RuleIndex(enumerate(patterns))
    for values in fields:
        event: dict[str, Any] = {}
        for way, value in values.items():
            place, names = event, _spelled(way, data)
            for name in names[:-1]:
                inner = place.setdefault(name, {})
                if not isinstance(inner, dict):
                    break
                place = inner
            place[names[-1]] = data.draw(st.sampled_from([value, [value], [value, 1], [{"x": value}]]))
        assert one_by_one(patterns, event) == index.match(event)


def _spelled(way: str, data: st.DataObject) -> list[str]:
    """Return the names that a way is written with: mostly one for each step."""
    names = way.split(".")
    while len(names) > 1 and data.draw(st.integers(0, 7)) == 0:
        position = data.draw(st.integers(0, len(names) - 2))
        names[position : position + 2] = [".".join(names[position : position + 2])]
    return names


@settings(max_examples=50)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"a": st.sampled_from(COMMON)},
            optional={"b": st.sampled_from(COMMON), "c.d": st.sampled_from(COMMON)},
        ),
        min_size=5,
        max_size=80,
    ),
    st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys("abc", VALUES)), min_size=1, max_size=6),
)
def test_index_agrees_where_most_values_meet_most_rules(rules: list[Any], events: list[Any]):
    """What would not tell the rules apart is asked of all at once, also of fields that the event has not."""
    patterns = compiled(rules)
    index = RuleIndex(enumerate(patterns))
    for event in (*events, *({**event, "c": {"d": 1}} for event in events)):
        assert one_by_one(patterns, event) == index.match(event)


@settings(max_examples=50)
@given(LISTS, st.lists(OBJECTS, min_size=5, max_size=20), st.lists(EVENTS, min_size=1, max_size=4), VALUES)
def test_index_agrees_where_all_rules_share_a_condition(
    shared: list[Any], rules: list[Any], events: list[dict[str, Any]], value: Any
):
    """What all rules ask about is asked once, and still of every event: absence and lists included."""
    patterns = compiled([{**rule, "a": {"z": shared}} for rule in rules])
    index = RuleIndex(enumerate(patterns))
    for event in (*events, *({**event, "a": {"z": value}} for event in events)):
        assert one_by_one(patterns, event) == index.match(event)


@pytest.mark.parametrize("event", SPELLINGS, ids=json.dumps)
def test_dots_in_an_event_s_names_are_steps(event: dict[str, Any]):
    """However an event spells a path, its rules are found."""
    patterns = compiled([{"a": {"b": {"c": [1]}}}, {"a": {"b": {"d": [1]}}}, {"a.b.c": [{"exists": False}]}])
    expected = one_by_one(patterns, event)
    assert expected == ([0] if "c" in json.dumps(event) else [1, 2])
    assert expected == RuleIndex(enumerate(patterns)).match(event)


def test_a_rule_that_takes_several_of_a_list_s_values_is_found_once():
    """Each of two values leads to it, by way of different sets of rules."""
    index = RuleIndex(enumerate(compiled([{"a": ["x", "y"]}, *({"a": [text]} for text in "xyzuvw")])))
    assert index.match({"a": ["x", "y"]}) == [0, 1, 2]


def test_a_way_of_two_hundred_steps():
    """Longer than an event is deep, but a name may contain it: no harm to the others, and found all the same."""
    way = ".".join("a" * 200)
    patterns = compiled([{way: [number], f"b{number}": ["x"]} for number in range(9)] + [{"a.c": ["x"]}])
    index = RuleIndex(enumerate(patterns))
    assert index.match({way: 3, "b3": "x"}) == [3]
    assert index.match({"a": {way[2:]: 3}, "b3": "x", "a.c": "x"}) == [3, 9]
    assert index.match({"a": {"c": "x"}, "b4": "x"}) == [9]
    fields = [way, *(f"b{number}" for number in range(9))]
    wide = RuleIndex((path, compile_pattern({path: [1], "c": [{"exists": False}]})) for path in fields)
    assert wide.match({way: 1, "b3": 1}) == [way, "b3"]


@pytest.mark.parametrize("kind", [UserDict, MappingProxyType])
def test_events_of_other_mappings(kind: Any):
    """An event need not be a dict, nor what is in it."""
    patterns = compiled(
        [{"a": ["x"]}, {"a.b": [1]}, {"a.b.c": [1]}, {"a.b.c.d": [1]}, {"e.f": [{"exists": False}]}]
    )
    index = RuleIndex(enumerate(patterns))
    for event in (
        kind({"a": "x"}),
        kind({"a": kind({"b": 1})}),
        {"a": kind({"b.c": 1})},
        {"a": {"b": kind({"c": kind({"d": 1})})}},
        {"e": kind({"f": kind({})}), "a": [kind({"b": 1})]},
    ):
        assert one_by_one(patterns, event) == index.match(event) != []


def test_all_recorded_patterns_in_one_index():
    """Each recorded event against all recorded patterns at once."""
    cases = [
        json.loads(line)
        for line in (Path(__file__).parents[1] / "data" / "event_patterns.jsonl").read_text().splitlines()
    ]
    patterns = []
    for text in {case["pattern"] for case in cases}:
        try:
            patterns.append(compile_pattern(text))
        except InvalidPattern:
            continue
    assert len(patterns) > 1000
    index = RuleIndex(enumerate(patterns))
    for event in [json.loads(text) for text in sorted({case["event"] for case in cases})][::20]:
        if isinstance(event, dict):
            assert one_by_one(patterns, event) == index.match(event)


def test_a_long_list_of_a_stranger_costs_its_length():
    """Thousands of equal values in each of two fields are not multiplied with each other."""
    patterns = compiled([{"a": ["x"], "b": ["y"], "c": [{"anything-but": number}]} for number in range(9)])
    index = RuleIndex(enumerate(patterns))
    event = {"a": ["x"] * 300, "b": ["y"] * 300, "c": 3}
    assert one_by_one(patterns, event) == index.match(event)
    with counted_calls() as calls:
        index.match(event)
    assert calls.count < 5 * 600


def test_a_long_list_of_a_strangers_objects_costs_its_length():
    """Each object is meant by a rule of its own: objects and rules are not multiplied with each other."""
    many = 300
    patterns = compiled(
        [{"lines": {"sku": [f"w{number}"], "amount": [{"numeric": [">", 5]}]}} for number in range(many)]
    )
    index = RuleIndex(enumerate(patterns))
    event = {"lines": [{"sku": f"w{number}", "amount": number % 10} for number in range(many)]}
    with counted_calls() as calls:
        found = index.match(event)
    assert [number for number in range(many) if number % 10 > 5] == found
    assert calls.count < 100 * many


@pytest.mark.parametrize("kind", KINDS)
def test_work_does_not_grow_with_the_rules(kind: str):
    """A match among 2,000 rules of any kind takes a few dozen calls, and two for each rule that is found.

    Where objects in lists are concerned each candidate is asked, which takes some fifty.
    """
    rules = rule_set(kind, 2_000, events=40)
    index = RuleIndex(enumerate(compiled(list(rules.patterns))))
    found = 0
    for text in rules.events:
        event = json.loads(text)
        with counted_calls() as calls:
            keys = index.match(event)
        assert calls.count < (700 if kind == "objects in lists" else 300) + 2 * len(keys)
        found += len(keys)
    assert found or kind in {"anything-but, two fields", "exists false"}, "the events are about the rules"


class CountedText(str):
    """A text of which each look for a piece is a call that is counted."""

    __slots__ = ()

    def __contains__(self, piece: object) -> bool:
        return super().__contains__(piece)  # type: ignore[operator]


def test_pieces_are_not_looked_for_one_by_one():
    """Wildcards with neither head nor tail: two thousand of them are no two thousand searches of the key."""
    rules = rule_set("wildcard, no ends", 2_000, events=10)
    index = RuleIndex(enumerate(compiled(list(rules.patterns))))
    for text in rules.events:
        event = json.loads(text)
        event["detail"]["object"]["key"] = CountedText(event["detail"]["object"]["key"])
        with counted_calls() as calls:
            assert index.match(event)
        assert calls.count < 400


def test_wildcards_that_share_heads_and_tails_are_distinguished_by_both():
    """Sixty heads with sixty tails: each alone would leave sixty wildcards to ask."""
    wildcards = [f"head-{head}/*-tail-{tail}" for head in range(60) for tail in range(60)]
    index = RuleIndex((text, compile_pattern({"key": [{"wildcard": text}]})) for text in wildcards)
    with counted_calls() as calls:
        assert ["head-17/*-tail-19"] == index.match({"key": "head-17/2026-11-22-tail-19"})
    assert calls.count < 120


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_found_as_one_by_one(kind: str):
    """The sets that are counted and timed are what their patterns say."""
    rules = rule_set(kind, 200, events=20)
    patterns = compiled(list(rules.patterns))
    index = RuleIndex(enumerate(patterns))
    for event in map(json.loads, rules.events):
        assert one_by_one(patterns, event) == index.match(event)


@pytest.mark.parametrize(
    "wildcard",
    [lambda _: "*a*a*a*a*b", lambda number: f"*a*a*a*{number}", lambda _: "*a*a*a*a*b*"],
    ids=["the same", "different", "no tail"],
)
def test_hostile_keys_cost_the_same_however_long_and_among_however_many_rules(wildcard: Callable[[int], str]):
    """A key that nearly matches, against rules made for backtracking: it is searched, not tried again."""

    def steps(rules: int, characters: int) -> int:
        patterns = compiled([{"key": [{"wildcard": wildcard(number)}]} for number in range(rules)])
        index = RuleIndex(enumerate(patterns))
        event = {"key": "a" * characters + "c"}
        with counted_calls() as calls:  # the first time: the index is made ready
            assert [] == index.match(event)
        assert calls.count < 100
        assert calls.regular_expressions < 10
        return steps_of(lambda: index.match(event))

    few = steps(100, 1_023)
    assert steps(100, 2_046) == few
    assert steps(1_000, 1_023) < 1.5 * few


def test_folding_takes_all_cases_of_a_character_for_one():
    """Every form that a pattern ignoring case accepts, wherever it stands."""
    for character in map(chr, range(0x10000)):
        expected = folded(character)
        assert folded(character.lower()) == folded(character.upper()) == expected
        assert f"x{expected}y" == folded(f"X{character}Y")


def test_absence_that_hangs_on_an_earlier_field_is_no_shared_condition():
    """Inside a list, whether a field is there is asked of the element that the fields before it fixed."""
    patterns = [{"a": {"z": [{"exists": False}], "b": [number]}} for number in range(9)]
    index = RuleIndex((number, compile_pattern(pattern)) for number, pattern in enumerate(patterns))
    event = {"a": [{"z": 1}, {"b": 2}]}
    assert index.match(event) == [2]
    assert [number for number, pattern in enumerate(patterns) if compile_pattern(pattern).matches(event)] == [
        2
    ]
