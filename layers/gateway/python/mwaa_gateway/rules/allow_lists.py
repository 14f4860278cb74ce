"""Namespaces: the sources, environments and DAGs that the rules of a team may name.

A rule's namespace is the part of its id before the first dot. Its allow-list is an item of the rules table:

    namespace: finance
    sources: [acme.ledger, "aws.s3#acme-finance-*"]     # a source, or source#discriminator as `rules list` shows partitions
    environments: [analytics]
    dag_ids: [finance_*]

`*` in an entry matches any run of characters. The allow-list of namespace `*` applies to every rule whose own namespace has
none, including rules without a dot; without it, such rules may name everything. An allow-list needs all three fields: an
empty list allows nothing.

The gateway checks a rule when somebody writes it and whenever ingress reads it, so a narrower allow-list also stops stored
rules.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any, Final, Self

from mwaa_gateway.errors import InvalidNamespace, Problem
from mwaa_gateway.patterns.matchers import Wildcard
from mwaa_gateway.rules import Rule, Target
from mwaa_gateway.rules.partitions import rule_partitions
from mwaa_gateway.values import value

EVERY_NAMESPACE: Final = "*"
MAXIMUM_ENTRIES: Final = 1_000  # of one list

_NAMESPACE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}|\*")
_LISTS: Final = ("sources", "environments", "dag_ids")


@value
class Namespace:
    """The allow-list of one namespace."""

    name: str
    sources: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    dag_ids: tuple[str, ...] = ()

    @classmethod
    def parse(cls, document: object) -> Self:
        """Check an allow-list as its author wrote it.

        Raises:
            InvalidNamespace: it has problems; the error lists all of them.
        """
        if not isinstance(document, Mapping):
            raise InvalidNamespace(
                "?", (Problem("", "an allow-list is an object with namespace, sources, …"),)
            )
        problems: list[Problem] = []
        name = document.get("namespace")
        if not isinstance(name, str) or not _NAMESPACE.fullmatch(name):
            problems.append(
                Problem("namespace", f"is {name!r}; write the part of rule ids before the dot, or '*'")
            )
        problems += [
            Problem(str(unknown), f"is an unknown field; known are: namespace, {', '.join(_LISTS)}")
            for unknown in document.keys() - {"namespace", *_LISTS}
        ]
        lists = {entries: _list(document, entries, problems) for entries in _LISTS}
        if problems:
            raise InvalidNamespace(str(name), tuple(problems))
        return cls(str(name), **lists)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse an allow-list as the rules table stores it. Raises InvalidNamespace."""
        try:
            document = json.loads(text)
        except ValueError as error:
            raise InvalidNamespace("?", (Problem("", f"is not JSON: {error}"),)) from error
        return cls.parse(document)

    def document(self) -> dict[str, Any]:
        """Return the allow-list as a document; `parse` of it gives an equal one."""
        return {"namespace": self.name} | {name: list(getattr(self, name)) for name in _LISTS}

    def permits(self, rule: Rule) -> list[Problem]:
        """Return a problem for everything in the rule that this allow-list does not allow."""
        problems = [
            Problem(
                "pattern",
                f"matches events of {_in_words(partition)}, and namespace {self.name!r} allows {_listed(self.sources)}",
            )
            for partition in rule_partitions(*rule.patterns)
            if not _covers(_with_discriminators(self.sources), partition)
        ]
        for number, target in enumerate(rule.targets):
            where = f"targets[{number}]"
            if not _covers(self.environments, target.environment):
                problems.append(
                    Problem(
                        f"{where}.environment",
                        f"is {target.environment!r}, and namespace {self.name!r} allows {_listed(self.environments)}",
                    )
                )
            problems += [
                Problem(
                    f"{where}.{named}",
                    f"names {dag_id!r}, and namespace {self.name!r} allows {_listed(self.dag_ids)}",
                )
                for named, dag_id in _dag_ids(target)
                if not _covers(self.dag_ids, dag_id)
            ]
        return problems


@value
class Namespaces:
    """All allow-lists, and the names of the unreadable ones: their namespaces allow nothing."""

    known: Mapping[str, Namespace] = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()

    @classmethod
    def of(cls, namespaces: Iterable[Namespace]) -> Self:
        """Collect allow-lists."""
        return cls({namespace.name: namespace for namespace in namespaces})

    @classmethod
    def from_items(cls, items: Mapping[str, str]) -> Self:
        """Parse the allow-lists of the table, JSON text by name; an unreadable one stops no other."""
        known: dict[str, Namespace] = {}
        unreadable: set[str] = set()
        for name, text in items.items():
            try:
                known[name] = Namespace.from_json(text)
            except InvalidNamespace:
                unreadable.add(name)
        return cls(known, frozenset(unreadable))

    def permits(self, rule: Rule) -> list[Problem]:
        """Return a problem for everything in the rule that its namespace does not allow; none without an allow-list."""
        for name in (rule.namespace, EVERY_NAMESPACE):
            if name in self.unreadable:
                return [Problem("id", f"the allow-list of namespace {name!r} is unreadable: write it again")]
            if name in self.known:
                return self.known[name].permits(rule)
        return []


def _list(document: Mapping[Any, Any], name: str, problems: list[Problem]) -> tuple[str, ...]:
    entries = document.get(name)
    if (
        not isinstance(entries, list)
        or len(entries) > MAXIMUM_ENTRIES
        or not all(isinstance(entry, str) and entry for entry in entries)
    ):
        what = "is missing" if entries is None else f"is {entries!r}"
        problems.append(Problem(name, f"{what}; write a list of text; [] allows nothing, ['*'] everything"))
        return ()
    return tuple(entries)


def _with_discriminators(sources: Iterable[str]) -> tuple[str, ...]:
    """Return the entries as patterns of partitions: `aws.s3` allows every bucket, `*` also rules without a source."""
    return tuple(source if "#" in source or source == "*" else f"{source}#*" for source in sources)


def _covers(allowed: Iterable[str], name: str) -> bool:
    # The name may itself contain a `*`, which only a `*` of the entry matches. So the entry allows at least all that the
    # name can stand for.
    return any(Wildcard(tuple(entry.split("*"))).matches(name) for entry in allowed)


def _dag_ids(target: Target) -> list[tuple[str, str]]:
    if target.dag_id_template is None:
        return [("dag_id", target.dag_id)]
    return [(f"allowed_dag_ids[{number}]", entry) for number, entry in enumerate(target.allowed_dag_ids)]


def _in_words(partition: str) -> str:
    source, _, discriminator = partition.partition("#")
    if not discriminator:
        return "any source (it does not name a source exactly)"
    return f"source {source!r}" if discriminator == "*" else repr(partition)


def _listed(allowed: Iterable[str]) -> str:
    return ", ".join(map(repr, allowed)) or "none"
