"""What each part of the index is there for, by one example: the properties of `test_rule_index` meet some only by luck."""

import json
import tracemalloc
from itertools import product
from random import Random
from typing import Any

import pytest

from fakes.work import counted_calls
from mwaa_gateway.patterns.index import RuleIndex
from mwaa_gateway.patterns.pattern import compile_pattern

MOST_MEET = [{"anything-but": "none"}]  # tells no rules apart
LETTERS = "uvwxyz"  # more than the few that are asked one by one


def spellings(path: str) -> list[list[str]]:
    """Return the names that lead along a path, each of one step or of several."""
    first, _, rest = path.partition(".")
    if not rest:
        return [[first]]
    return [
        way for names in spellings(rest) for way in ([first, *names], [f"{first}.{names[0]}", *names[1:]])
    ]


def found(patterns: list[Any], event: dict[str, Any]) -> list[int]:
    """Return the positions that the index finds, after a look whether one by one the patterns say the same."""
    compiled = [compile_pattern(pattern) for pattern in patterns]
    positions = RuleIndex(enumerate(compiled)).match(event)
    assert {position for position, pattern in enumerate(compiled) if pattern.matches(event)} == {*positions}
    return positions


@pytest.mark.parametrize(
    ("patterns", "event", "expected"),
    [
        ([{"$or": [{"a": [1]}, {"b": [1]}]}], {"a": 1, "b": 1}, [0]),
        ([{"a": ["x", {"prefix": "x"}]}, *({"a": [text]} for text in LETTERS)], {"a": "x"}, [0, 4]),
        ([{"$or": [{"a": MOST_MEET}, {"b": MOST_MEET}]}] * 3, {"a": 1, "b": 1}, [0, 1, 2]),
        (
            [{"f0": ["x", "y"]}, *({f"f{number}": [text]} for number in range(9) for text in "xyz")],
            {"f0": ["x", "y"], "f8": "z"},
            [0, 1, 2, 27],
        ),
    ],
    ids=[
        "alternatives",
        "entries",
        "common alternatives",
        "values of one of many fields",
    ],
)
def test_a_rule_with_several_ways_to_it_is_found_once(patterns: list[Any], event: Any, expected: list[int]):
    """Whichever part of the index it lies in several times."""
    assert expected == found(patterns, event)


@pytest.mark.parametrize(
    ("key", "expected"), [("b-1/u.csv", ["b-*/u.csv", "*/u.csv"]), ("b-1/v.csv", ["b-*/v.csv"])]
)
def test_wildcards_found_by_their_end_are_distinguished_by_their_beginning(key: str, expected: list[str]):
    """Five share an end and six a beginning: beside a pattern that asks for no more than the end, and without one."""
    wildcards = [*(f"{head}-*/{tail}.csv" for head in "abcde" for tail in "uvwxyz"), "*/u.csv"]
    index = RuleIndex((text, compile_pattern({"key": [{"wildcard": text}]})) for text in wildcards)
    assert expected == index.match({"key": key})


@pytest.mark.parametrize(
    ("matcher", "met", "others"),
    [
        (["x", "y"], ["x", "y", ["z", "x"]], ["z", 1, None, [], ["z"], {}, {"x": 1}]),
        ([{"exists": False}], [{}, [], {"x": 1}], ["x", None, ["x"]]),
        ([{"prefix": "x"}, {"exists": False}], ["xy", {}, []], ["y", 1, None]),
        (["x", {"prefix": "y"}], ["x", "yz", [1, "x"]], ["xy", 1, {}]),
        ([{"numeric": [">", 1]}], [2, [0, 2]], [1, "2", {}, []]),
        (
            [{"anything-but": {"prefix": ["x", "y"]}}],
            ["z", "", 1, None, ["x", "z"], ["x", 1]],
            ["x", "yz", ["x", "y"], {}, []],
        ),
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize("path", ["a", "a.b", "a.b.c", "a.b.c.d"])
def test_a_condition_asks_a_field_as_its_pattern_does(matcher: list[Any], met: Any, others: Any, path: str):
    """Of one rule alone nothing but its conditions is asked, on top or below, however the way to the value is spelled."""
    for expected, values in (([0], met), ([], others)):
        for value, names in product(values, spellings(path)):
            event = value
            for name in reversed(names):
                event = {name: event}
            assert expected == found([{path: matcher}], event)
    assert found([{path: matcher}], {}) == ([0] if {"exists": False} in matcher else [])


@pytest.mark.parametrize(
    ("patterns", "event", "expected"),
    [
        ([{"a": {"b": [number]}} for number in range(9)], {"a": [{"b": 8}, {"b": 1}]}, [1, 8]),
        ([{"a": [number]} for number in range(9)], {"a": [8, 1]}, [1, 8]),
        ([{"b": ["x"]}, *({"a": [text]} for text in LETTERS)], {"a": "u", "b": "x"}, [0, 1]),
        ([{f"f{number}.x": ["w"]} for number in range(9)], {"f8": [{"x": "w"}], "f1": {"x": "w"}}, [1, 8]),
    ],
    ids=["objects in a list", "a list", "two fields", "objects in a list of one of many fields"],
)
def test_rules_are_found_in_their_order(patterns: list[Any], event: Any, expected: list[int]):
    """Whichever part of the tree comes first; (8 lies before 1 in a set)."""
    assert expected == found(patterns, event)


class Key(str):  # noqa: SLOT000
    """A text that counts how many ends were tried, and how often it was turned round."""

    ends = turns = 0

    def endswith(self, *words: Any) -> bool:
        self.ends += len(words[0]) if isinstance(words[0], tuple) else 1
        return super().endswith(*words)

    def __getitem__(self, index: Any) -> str:
        self.turns += index == slice(None, None, -1)
        return super().__getitem__(index)


def test_a_key_is_turned_round_only_for_an_end_that_it_may_have():
    """Few ends are tried first, as most keys have none of them; of a thousand it would cost more."""
    few, many = (
        RuleIndex((number, compile_pattern({"key": [{"suffix": f".{number}"}]})) for number in range(size))
        for size in (20, 1_000)
    )
    none, one, another = Key("a.csv"), Key("a.7"), Key("a.7")
    assert ([few.match({"key": key}) for key in (none, one)], many.match({"key": another})) == (
        [[], [7]],
        [7],
    )
    assert [(key.turns, key.ends) for key in (none, one, another)] == [(0, 20), (1, 21), (1, 2)]


def test_short_pieces_are_found_among_many():
    """A piece of one or two characters has no three of them to be looked up by; a piece may stand in a wildcard twice."""
    pieces = ["q", "zq", *(f"n{number}-" for number in range(30))]
    index = RuleIndex((piece, compile_pattern({"key": [{"wildcard": f"*{piece}*"}]})) for piece in pieces)
    assert index.match({"key": "a/n7-q"}) == ["q", "n7-"]
    assert index.match({"key": "zq"}) == ["q", "zq"]
    sharing = [
        "*ab*ab*",
        *(["h*ab*cd*t", "h*cd*ab*t", "h*ab*cd*ab*t", "h*cd*ab*cd*t", "h*cd*cd*ab*t", "h*cd*t", "h*cd*cd*t"]),
    ]
    index = RuleIndex((text, compile_pattern({"key": [{"wildcard": text}]})) for text in sharing)
    assert index.match({"key": "xab-aby"}) == ["*ab*ab*"]
    assert index.match({"key": "h-ab-cd-t"}) == ["h*ab*cd*t", "h*cd*t"]


def test_many_fields_that_distinguish_no_rules_are_tested_once_each():
    """A field that is known to be there is not split on again, and again."""
    patterns = [{name: [{"anything-but": f"{name}{number}"}] for name in "abcdefgh"} for number in range(6)]
    with counted_calls(at_most=50_000):
        assert found(patterns, {**dict.fromkeys("abcdefgh", 1), "a": "a4", "h": "h2"}) == [0, 1, 3, 5]


def test_long_lists_in_many_fields_are_not_multiplied():
    """Twenty rules, each below twelve words of five fields: a tree of all the ways to them would be ten times the work."""
    words, random = [f"w{number}" for number in range(24)], Random(1)
    patterns = [compile_pattern({name: random.sample(words, 12) for name in "abcde"}) for _ in range(20)]
    with counted_calls() as calls:
        RuleIndex(enumerate(patterns))
    assert calls.count < 20_000


def test_rules_below_a_value_that_a_list_repeats_are_asked_once():
    """A stranger's list may be long, and contain one word."""
    patterns = [{"a": ["vw"[number % 2]], "c": [{"anything-but": number}]} for number in range(12)]
    index = RuleIndex(enumerate(map(compile_pattern, patterns)))
    with counted_calls() as calls:
        assert index.match({"a": ["w"] * 500, "c": 3}) == [1, 5, 7, 9, 11]
    assert calls.count < 5 * 500


def test_rules_whose_shared_condition_is_not_met_are_no_candidates():
    """Where objects in lists have each candidate asked, which costs most."""
    patterns = [{"a": {"z": ["s"], "b": [{"anything-but": f"x{number}"}]}} for number in range(200)]
    index = RuleIndex(enumerate(map(compile_pattern, patterns)))
    with counted_calls() as calls:
        assert index.match({"a": [{"z": "other", "b": 1}]}) == []
    assert calls.count < 300


def test_a_name_of_many_steps_takes_no_memory_of_an_event():
    """All the ways to spell three thousand steps are megabytes; no event is as deep."""
    path = ".".join("a" * 3_000)
    index = RuleIndex([("deep", compile_pattern({path: [1]}))])
    tracemalloc.start()
    try:
        assert (index.match({"a": 1}), index.match({path: 1})) == ([], ["deep"])
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
