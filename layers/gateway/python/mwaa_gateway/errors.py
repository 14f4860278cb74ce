"""What can be wrong with what people and AWS hand to the gateway, sorted by whose turn it is.

    GatewayError
    ├── MalformedEvent   the sender's: for good, to the ingress dead-letter queue, never retried
    ├── InvalidPattern   the rule's author's: an event pattern that EventBridge would refuse
    ├── InvalidRule      the rule's author's: every problem of one rule, each with its field and remedy
    ├── InvalidNamespace the operator's: an allow-list of a namespace that cannot be read
    ├── ConfError        the rule's author's: this event cannot become the conf the rule asks for
    │   └── ConfTooLarge     it can, and Airflow's command line has no room for it
    └── Unavailable      nobody's: AWS did not answer; the same call will work later

What became of a trigger request is not an exception but an outcome: see `mwaa_gateway.outcomes`.
"""

from dataclasses import dataclass
from typing import Final, Self

__all__ = [
    "ConfError",
    "ConfTooLarge",
    "GatewayError",
    "InvalidNamespace",
    "InvalidPattern",
    "InvalidRule",
    "MalformedEvent",
    "Problem",
    "Unavailable",
    "kind_of",
]


class GatewayError(Exception):
    """The root of everything the gateway raises on purpose; its text is written for a person."""


class MalformedEvent(GatewayError):
    """The payload can never become an event: names the field and what was expected there."""


class ConfError(GatewayError):
    """An event cannot be turned into what a rule asks for: its captures, dedupe key, dag_id or conf."""


class ConfTooLarge(ConfError):
    """The conf has more bytes than can be passed: names the limit and the remedies."""


class Unavailable(GatewayError):
    """An AWS call failed for a reason that passes: throttling, a timeout, a 5xx."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a rule: the dotted `field` and a `message` that says what to write instead."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class InvalidPattern(GatewayError):
    """An event pattern was refused, in EventBridge's words: those for the first of its `problems`.

    The field of a problem is its place in the pattern, as in `detail.object.key[0]`; "" is the pattern itself.
    """

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        self.problems = problems or (Problem("", message),)
        super().__init__(message)


class InvalidRule(GatewayError):
    """Everything that is wrong with one rule, so that its author mends it in one go."""

    def __init__(self, rule_id: str, problems: tuple[Problem, ...]) -> None:
        self.rule_id = rule_id
        self.problems = problems
        super().__init__(f"rule {rule_id!r} is invalid: " + "; ".join(map(str, problems)))

    @classmethod
    def of(cls, rule_id: str, *problems: tuple[str, str]) -> Self:
        """Build from (field, message) pairs."""
        return cls(rule_id, tuple(Problem(field, message) for field, message in problems))


class InvalidNamespace(GatewayError):
    """Everything that is wrong with the allow-list of a namespace."""

    def __init__(self, name: str, problems: tuple[Problem, ...]) -> None:
        self.name = name
        self.problems = problems
        super().__init__(f"the allow-list of namespace {name!r} is invalid: " + "; ".join(map(str, problems)))


_KINDS: Final = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
}


def kind_of(value: object) -> str:
    """Name the kind of a JSON value, as a person would."""
    return "missing" if value is None else _KINDS.get(type(value), type(value).__name__)
