"""Partitions never lose an event, whatever the pattern; the index says what the patterns say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mwaa_gateway.patterns.index import RuleIndex
from mwaa_gateway.patterns.pattern import compile_pattern
from mwaa_gateway.rules.partitions import event_partitions, rule_partitions


def s3(bucket: Any) -> dict[str, Any]:
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket": {"name": bucket}}}


@pytest.mark.parametrize(
    ("envelope", "expected"),
    [
        (s3("acme"), ("aws.s3#acme", "aws.s3#*", "*")),
        (
            {
                "source": "aws.sns",
                "detail-type": "Notification",
                "detail": {"topic-arn": "arn:aws:sns:x:1:t"},
            },
            ("aws.sns#arn:aws:sns:x:1:t", "aws.sns#*", "*"),
        ),
        ({"source": "acme", "detail-type": "Done", "detail": {}}, ("acme#Done", "acme#*", "*")),
        (
            {"source": "aws.s3", "detail-type": "AWS API Call via CloudTrail", "detail": {}},
            ("aws.s3#", "aws.s3#*", "*"),
        ),
        (s3(["a"]), ("aws.s3#", "aws.s3#*", "*")),
    ],
)
def test_event_partitions(envelope: dict[str, Any], expected: tuple[str, ...]):
    """Source and discriminator, source, everything."""
    assert event_partitions(envelope) == expected


@pytest.mark.parametrize("text", ["*", "#", "a#b", "x" * 100_000, "😀" * 250, "\ud800", ""])
def test_whatever_senders_call_themselves_is_a_key(text: str):
    """Three different keys, within DynamoDB's 2,048 bytes of UTF-8, one `#` in the first two."""
    first, second, third = event_partitions({"source": text, "detail-type": text, "detail": {}})
    assert len({first, second, third}) == 3
    assert all(len(key.encode()) <= 2048 for key in (first, second))
    assert (first.count("#"), second.count("#")) == (1, 1)


BUCKETS = [f"bucket-{number}" for number in range(30)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"source": ["aws.s3"], "detail": {"bucket": {"name": ["b", "a"]}}}, ("aws.s3#a", "aws.s3#b")),
        ({"source": ["aws.s3"], "detail-type": ["Object Created"]}, ("aws.s3#*",)),
        ({"source": ["aws.s3"], "detail": {"bucket": {"name": ["a", {"prefix": "b"}]}}}, ("aws.s3#*",)),
        ({"source": ["aws.s3"], "detail": {"bucket": {"name": ["a", {"exists": False}]}}}, ("aws.s3#*",)),
        (
            {"source": ["aws.s3"], "detail": {"bucket": {"name": BUCKETS[:24]}}},
            tuple(sorted(f"aws.s3#{b}" for b in BUCKETS[:24])),
        ),
        ({"source": ["aws.s3"], "detail": {"bucket": {"name": BUCKETS[:25]}}}, ("aws.s3#*",)),
        ({"source": ["aws.sns"], "detail.topic-arn": ["t"]}, ("aws.sns#t",)),
        ({"source": ["x", "y"], "detail-type": ["d"]}, ("x#d", "y#d")),
        ({"source": ["x", "aws.s3"], "detail-type": ["d"]}, ("aws.s3#*", "x#d")),
        ({"source": BUCKETS, "detail-type": ["d"]}, ("*",)),
        ({"source": [{"prefix": "x"}], "detail-type": ["d"]}, ("*",)),
        ({"source": ["10.0.0.1"]}, ("*",)),
        ({"source": [1]}, ("*",)),
        ({"detail-type": ["d"]}, ("*",)),
        ({"$or": [{"source": ["x"], "detail-type": ["d"]}, {"source": ["x"]}]}, ("x#*",)),
        ({"$or": [{"source": ["x"]}, {"detail-type": ["d"]}]}, ("*",)),
        ({"source": ["x"], "detail-type": ["*"]}, event_partitions({"source": "x", "detail-type": "*"})[:1]),
    ],
)
def test_rule_partitions(pattern: dict[str, Any], expected: tuple[str, ...]):
    """Where the pattern is exact the partition is, at most 24 of them, and never one inside another."""
    assert rule_partitions(compile_pattern(pattern)) == expected


NAMES = st.sampled_from(["aws.s3", "aws.sns", "a", "b", "*", "10.0.0.1", "10.0.0.01", "", "x#y"])
ENTRIES = st.one_of(
    NAMES,
    st.integers(0, 1),
    st.builds(lambda name: {"prefix": name}, NAMES),
    st.builds(lambda name: {"anything-but": name}, NAMES),
    st.builds(lambda flag: {"exists": flag}, st.booleans()),
)
LISTS = st.lists(ENTRIES, min_size=1, max_size=30)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "source": LISTS,
        "detail-type": LISTS,
        "detail": st.fixed_dictionaries(
            {}, optional={"topic-arn": LISTS, "bucket": st.fixed_dictionaries({"name": LISTS})}
        ).filter(bool),
    },
).filter(bool)
PATTERNS = FIELDS | st.builds(
    lambda one, other, beside: {**beside, "$or": [one, other]}, FIELDS, FIELDS, FIELDS
)
EVENTS = st.fixed_dictionaries(
    {
        "source": NAMES,
        "detail-type": NAMES,
        "detail": st.fixed_dictionaries(
            {}, optional={"topic-arn": NAMES, "bucket": st.fixed_dictionaries({"name": NAMES})}
        ),
    }
)


@given(PATTERNS, EVENTS)
def test_a_matching_event_finds_the_rule(pattern: dict[str, Any], event: dict[str, Any]):
    """An event that a pattern matches has at least one partition in common with it."""
    compiled = compile_pattern(pattern)
    partitions = rule_partitions(compiled)
    assert 1 <= len(partitions) <= 24
    assert len(set(partitions)) == len(partitions)
    if compiled.matches(event):
        assert set(partitions) & set(event_partitions(event))


@given(st.lists(PATTERNS, max_size=5), EVENTS)
def test_index_says_what_the_patterns_say(patterns: list[dict[str, Any]], event: dict[str, Any]):
    """The keys of exactly those patterns that match by themselves, in their order."""
    compiled = [compile_pattern(pattern) for pattern in patterns]
    expected = [key for key, pattern in enumerate(compiled) if pattern.matches(event)]
    assert RuleIndex(enumerate(compiled)).match(event) == expected
