"""The partitions of the rules table: those that a rule is stored in, and those that an event reads.

A rule is stored in the partitions that its pattern names exactly, so that an event reads three partitions instead of the
table: `<source>#<discriminator>`, `<source>#*` and `*`. The discriminator is the bucket of an S3 event, the topic of an SNS
notification, and the detail-type of any other event.

    {source: [aws.s3], detail: {bucket: {name: [a, b]}}}    aws.s3#a, aws.s3#b
    {source: [acme.billing], detail-type: [{prefix: I}]}    acme.billing#*
    {detail-type: [Invoice Period Closed]}                  *

A rule that expects days is also in the partition `expected`, which the batches' tick reads.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

from mwaa_gateway.patterns.pattern import Branch, Pattern, compile_pattern

# A change of a rule is one transaction of at most 100 items: old and new copies, and their heads.
MAXIMUM_PARTITIONS: Final = 24
EXPECTED_PARTITION: Final = "expected"  # also has the rules that expect days; no event's partition

_EVERYTHING: Final = "*"
# The path of the discriminator, by source.
_DISCRIMINATORS: Final = {"aws.s3": "detail.bucket.name", "aws.sns": "detail.topic-arn"}
_DEFAULT_DISCRIMINATOR: Final = "detail-type"


def compiled_patterns(document: Mapping[str, Any]) -> list[Pattern]:
    """Compile every pattern of a rule's stored document: its own first, then that of a marker.

    Raises:
        InvalidPattern: A pattern is invalid.
        KeyError, TypeError, AttributeError: The document is no rule's.
    """
    condition = (document.get("collect") or {}).get("complete_when") or {}
    if "parts" in condition:
        return [compile_pattern(part["pattern"]) for part in condition["parts"].values()]
    marker = [condition["event"]["pattern"]] if "event" in condition else []
    return [compile_pattern(pattern) for pattern in (document["pattern"], *marker)]


def event_partitions(envelope: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the three partitions whose rules can match an event, always three different ones.

    The discriminator of an event without that field is "", such as a CloudTrail event of S3 without a bucket.
    """
    source = str(envelope["source"])
    value: Any = envelope
    for step in _DISCRIMINATORS.get(source, _DEFAULT_DISCRIMINATOR).split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return _partition(source, value if isinstance(value, str) else ""), f"{_part(source)}#*", _EVERYTHING


def document_partitions(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return every partition that stores a rule, by its stored document.

    Raises:
        InvalidPattern: A pattern is invalid.
        KeyError, TypeError, AttributeError: The document is no rule's.
    """
    patterns = compiled_patterns(document)
    if (document.get("collect") or {}).get("expected") is None:
        return rule_partitions(*patterns)
    return (*rule_partitions(*patterns, at_most=MAXIMUM_PARTITIONS - 1), EXPECTED_PARTITION)


def rule_partitions(*patterns: Pattern, at_most: int = MAXIMUM_PARTITIONS) -> tuple[str, ...]:
    """Return the partitions that store a rule with these patterns: sorted, at least one, `at_most` so many.

    Every event that one of the patterns matches reads at least one of them.
    """
    branches = (branch for pattern in patterns for branch in pattern.branches)
    exact = {partition for branch in branches for partition in _branch_partitions(branch)}
    if len(exact) > at_most:
        exact = {partition.partition("#")[0] + "#*" if "#" in partition else partition for partition in exact}
    # A rule in a wider partition needs no copy in a narrower one of the same source.
    if _EVERYTHING in exact or len(exact) > at_most:
        return (_EVERYTHING,)
    return tuple(
        sorted(
            partition
            for partition in exact
            if partition.endswith("#*") or f"{partition.partition('#')[0]}#*" not in exact
        )
    )


def _branch_partitions(branch: Branch) -> Iterator[str]:
    fields = dict(branch)
    sources = fields["source"].exact_strings if "source" in fields else None
    if sources is None:
        yield _EVERYTHING
        return
    for source in sources:
        path = _DISCRIMINATORS.get(source, _DEFAULT_DISCRIMINATOR)
        discriminators = fields[path].exact_strings if path in fields else None
        if discriminators is None:
            yield f"{_part(source)}#*"
        else:
            for discriminator in discriminators:
                yield _partition(source, discriminator)


def _partition(source: str, discriminator: str) -> str:
    return f"{_part(source)}#{_part(discriminator)}"


def _part(text: str) -> str:
    """Return the text, or its hash if a table key cannot contain it: `*`, `#`, too long, or not encodable.

    Senders choose sources and detail-types; a DynamoDB partition key has at most 2,048 bytes of UTF-8.
    """
    plain = text != "*" and "#" not in text and len(text) <= 250 and _is_encodable(text)  # noqa: PLR2004
    return text if plain else f"sha256:{sha256(text.encode(errors='surrogatepass')).hexdigest()}"


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
