"""The gateway's exceptions, sorted by who can correct the fault.

    GatewayError             who acts
    ├── MalformedEvent       the sender: the event goes to the ingress dead-letter queue and is never retried
    ├── InvalidPattern       the rule's author: EventBridge would refuse this event pattern
    ├── InvalidRule          the rule's author: every problem of one rule, each with its field and remedy
    ├── InvalidNamespace     the operator: the allow-list of a namespace is invalid
    ├── ConfError            the rule's author: this event does not yield the conf that the rule asks for
    │   └── ConfTooLarge     the rule's author: the conf exceeds the size limit
    └── Unavailable          no one: AWS did not answer; the same call works later

The result of an attempt to start a run is not an exception but an outcome: see `mwaa_gateway.outcomes`.
"""

from collections.abc import Iterable
from typing import Final, Self

from mwaa_gateway.values import value


class GatewayError(Exception):
    """The base of all errors that the gateway raises on purpose; the text is for people."""


class MalformedEvent(GatewayError):
    """The payload can never become an event; the text names the field and the value it expects."""


class ConfError(GatewayError):
    """An event does not yield what a rule asks for: captures, a dedupe key, a dag_id or a conf."""


class ConfTooLarge(ConfError):
    """The conf exceeds the size limit; the text names the limit and the remedies."""


class Unavailable(GatewayError):
    """An AWS call failed for a transient reason: throttling, a timeout, a 5xx."""


@value
class Problem:
    """One problem of a rule: the dotted `field`, and a `message` that says what to write instead."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class InvalidPattern(GatewayError):
    """An event pattern is invalid; the text is EventBridge's own for the first of its `problems`.

    A problem's field is its place in the pattern, such as `detail.object.key[0]`; "" is the pattern itself.
    """

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        self.problems = problems or (Problem("", message),)
        super().__init__(message)


class InvalidRule(GatewayError):
    """All problems of one rule, so that its author can correct them at once."""

    def __init__(self, rule_id: str, problems: tuple[Problem, ...]) -> None:
        self.rule_id = rule_id
        self.problems = problems
        super().__init__(f"rule {rule_id!r} is invalid: " + "; ".join(map(str, problems)))

    @classmethod
    def of(cls, rule_id: str, *problems: tuple[str, str]) -> Self:
        """Build from (field, message) pairs."""
        return cls(rule_id, tuple(Problem(field, message) for field, message in problems))


class InvalidNamespace(GatewayError):
    """All problems of the allow-list of one namespace."""

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
    """Return the type of a JSON value in plain words."""
    return "missing" if value is None else _KINDS.get(type(value), type(value).__name__)


def nearest(name: object, known: Iterable[str]) -> str:
    """Return "did you mean …?" with the most similar known name, or "" if none is similar."""
    import difflib  # noqa: PLC0415  only for what a person wrote

    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""
