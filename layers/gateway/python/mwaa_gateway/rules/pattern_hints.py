"""Hints for invalid patterns: EventBridge's texts say what is wrong, and these what to write instead."""

from typing import Final

from mwaa_gateway.errors import Problem, nearest
from mwaa_gateway.patterns.operators import OPERATORS

_NO_LIST: Final = '" must be an object or an array'
_UNKNOWN: Final = "Unrecognized match type "
HINTS: Final[tuple[tuple[str, str], ...]] = (  # by a part of EventBridge's text
    ("must be an object or an array", "write its values as a list, as in [orders] or [{prefix: orders/}]"),
    ("Empty arrays are not allowed", "leave the field out, or write [{exists: true}] for any value"),
    ("Empty objects are not allowed", "leave the field out, or write {exists: true} in a list for any value"),
    ("Match value must be", "a list cannot contain a list: write all values in one"),
    ("Match expression name not found", "write an operator, as in {prefix: orders/}"),
    ("Only one key allowed", "give each operator its own entry: the field matches if any entry does"),
    ("Consecutive wildcard characters", "one * matches any run of characters"),
    ("Invalid escape character", r"write \\ for a backslash, and \* for a *"),
    ("must be numeric", "write the number without quotes"),
    ("Too many elements in numeric", 'write the lower bound first, as in [">", 0, "<=", 5]'),
    ("Too many terms in numeric", 'write two bounds at most, as in [">", 0, "<=", 5]'),
    ("Bottom must be less than top", 'write the lower bound first, as in [">", 0, "<=", 5]; for one number, the number'),
    ("Unrecognized numeric range operator", "write =, <, <=, > or >="),
    ("Cannot compare number", "write at most 17 digits"),
    ("exists match pattern", "write it without quotes"),
    ("mask bits must be <", "for one address, write the address"),
    ("Malformed CIDR", "write it as 10.0.0.0/8"),
    ("Unsupported anything-but pattern", "write text, numbers, prefix, suffix, equals-ignore-case or wildcard"),
    ("Null prefix/suffix", "an empty text would exclude every value"),
    ("There must have at least 2 Objects", "write the fields without $or"),
    ("which cannot be used inside $or.", "put the operator into the list of a field"),
)  # fmt: skip


def with_hint(problem: Problem) -> str:
    """Return EventBridge's text, with what to write instead if there is a hint."""
    message = problem.message
    if message.startswith(_UNKNOWN):
        known = f"known are: {', '.join(OPERATORS)}"
        return f"{message}; {nearest(message.removeprefix(_UNKNOWN), OPERATORS) or known}"
    if message.endswith(_NO_LIST) and message[1 : -len(_NO_LIST)] in OPERATORS:
        return f"{message}; write an operator in the list of its field, as in [{{prefix: orders/}}]"
    hint = next((hint for text, hint in HINTS if text in message), "")
    return f"{message}; {hint}" if hint else message
