"""Events made up from patterns: each is one that its pattern matches."""

from typing import Any

import pytest

from gateway_cli.rules.samples import sample_events
from mwaa_gateway.patterns.pattern import compile_pattern

PATTERNS: list[tuple[dict[str, Any], int]] = [
    ({"source": ["aws.s3"], "detail": {"bucket": {"name": ["a", "b"]}}}, 1),
    ({"detail.object.key": [{"prefix": "orders/"}]}, 1),
    ({"detail": {"object": {"key": [{"suffix": ".csv"}]}}}, 1),
    ({"detail": {"object": {"key": [{"wildcard": "orders/*/a\\*b*.csv"}]}}}, 1),
    ({"detail": {"name": [{"prefix": {"equals-ignore-case": "AB"}}]}}, 1),
    ({"detail": {"name": [{"equals-ignore-case": "AB"}]}}, 1),
    ({"detail": {"size": [{"numeric": [">", 0, "<=", 1]}]}}, 1),
    ({"detail": {"size": [{"numeric": ["<", 0]}]}}, 1),
    ({"detail": {"size": [{"numeric": ["=", 7]}]}}, 1),
    ({"detail": {"address": [{"cidr": "10.0.0.0/24"}]}}, 1),
    ({"detail": {"region": [{"anything-but": ["eu", "us"]}]}}, 1),
    ({"detail": {"count": [{"anything-but": [1, 2]}]}}, 1),
    ({"detail": {"region": [{"anything-but": {"prefix": "eu"}}]}}, 1),
    ({"source": ["aws.s3"], "detail": {"reason": [{"exists": False}]}}, 1),
    ({"detail": {"flag": [{"exists": True}], "none": [None], "yes": [True], "number": [1.5]}}, 1),
    ({"$or": [{"source": ["a"]}, {"source": ["b"]}], "detail": {"$or": [{"x": [1]}, {"y": [2]}]}}, 4),
    ({"detail": {"region": [{"anything-but": {"prefix": "sample"}}]}}, 0),
    ({"source": [{"prefix": "a"}], "source.x": ["both"]}, 0),
]


@pytest.mark.parametrize(("pattern", "expected"), PATTERNS)
def test_samples_match_their_pattern(pattern: dict[str, Any], expected: int) -> None:
    """One for each way through it; none where the pattern is too subtle, and never a wrong one."""
    compiled = compile_pattern(pattern)
    events = sample_events(compiled)
    assert (expected, True) == (len(events), all(compiled.matches(event) for event in events))
