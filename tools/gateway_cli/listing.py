"""What `dlq` and `held` share: choose items by id, by filters or all of them, and list them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import click

from gateway_cli.choice import Filters, Stopped
from gateway_cli.connection import Connection
from gateway_cli.filter_names import print_nothing_matches, refuse_unknown_names
from gateway_cli.operations import LAST, Operation, last_of_each, with_last
from gateway_cli.output import Refused, print_json, print_note, print_table

One = TypeVar("One", bound=Stopped)


def limit_option(first: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the option --limit of a list whose first item is the `first`, the newest or the oldest."""
    return click.option(
        "--limit",
        type=click.IntRange(1),
        default=50,
        show_default=True,
        help=f"At most this many, the {first} first.",
    )


@dataclass(frozen=True, slots=True)
class Listing(Generic[One]):
    """Items of one kind. `document` returns an item as JSON, and `columns` maps the table's headings to its keys.

    `reasons` are those that a filter may name, whether or not an item has them.
    """

    group: str
    noun: str
    reasons: Iterable[str]
    columns: Mapping[str, str]
    document: Callable[[One], dict[str, Any]]

    def chosen(
        self, connection: Connection, found: Sequence[One], ids: Sequence[str], filters: Filters
    ) -> list[One]:
        """Return the items with these ids, or without ids those that pass the filters, in the order of `found`.

        Raises:
            Refused: no item has one of the ids, or a filter contains an unknown name.
        """
        if not ids:
            admitted = [one for one in found if filters.admit(one)]
            if not admitted:
                refuse_unknown_names(connection, filters, found, self.reasons)
                print_nothing_matches(f"{self.noun}s", filters)
            return admitted
        by_id = {one.id: one for one in found}
        if missing := [each for each in ids if each not in by_id]:
            raise Refused(
                f"there is no {self.noun} {', '.join(missing)}: `mwaa-gateway {self.group} list` lists them"
            )
        return [by_id[each] for each in dict.fromkeys(ids)]

    def print_list(self, connection: Connection, items: Sequence[One], output: str, limit: int) -> None:
        """Print at most `limit` items, each with the last command on it, and how many more there are."""
        self.print(items[:limit], output, last_of_each(connection, {one.id for one in items[:limit]}))
        if len(items) > limit:
            print_note(f"{len(items) - limit:,} more: use filters, or a higher --limit")

    def print(
        self, items: Sequence[One], output: str, last: Mapping[str, Operation] = MappingProxyType({})
    ) -> None:
        """Print items; `last` has the last command on some of them."""
        if output == "json":
            print_json([self.document(one) | with_last(last.get(one.id)) for one in items])
            return
        columns, rows = (
            [*self.columns, "TARGET", "ATTEMPTS"],
            [self._row(self.document(one)) for one in items],
        )
        if last:
            columns.append(LAST)
            rows = [[*row, str(last.get(one.id, "-"))] for row, one in zip(rows, items, strict=True)]
        print_table(columns, rows)

    def print_dry_run(self, items: Sequence[One], output: str, done: str) -> None:
        """Print what would be `done`."""
        self.print(items, output)
        print_note(f"{self.count(items)} would be {done}")

    def count(self, items: Sequence[One]) -> str:
        """Return their number with the noun."""
        return f"1 {self.noun}" if len(items) == 1 else f"{len(items):,} {self.noun}s"

    def _row(self, document: Mapping[str, Any]) -> list[str]:
        cells = [
            str(document[key])[:19].replace("T", " ") if key.endswith("_at") else str(document[key] or "-")
            for key in self.columns.values()
        ]
        target = ":".join(filter(None, (document["environment"], document["dag_id"])))
        attempts = document["attempts"]
        return [*cells, target or "-", "-" if attempts is None else str(attempts)]
