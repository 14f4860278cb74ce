"""Choosing batches: the filters --rule, --key and --overdue, and the parts of a key as people write them."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any

import click

from gateway_cli.choice import AnyFilters
from gateway_cli.connection import Connection
from gateway_cli.filter_names import refuse_unknown_rule
from gateway_cli.output import Refused, print_note
from mwaa_gateway.errors import nearest
from mwaa_gateway.feeds.batch import Batch
from mwaa_gateway.routing.members import Key

_Command = Callable[..., None]


@dataclass(frozen=True, slots=True)
class BatchFilters(AnyFilters):
    """Filters; a batch must pass all that are set."""

    rule: str | None = None
    key: Key = ()
    overdue: bool = False

    def admit(self, batch: Batch) -> bool:
        """Return whether the batch passes: it is of the rule, its key has each part with that value, and it is overdue."""
        return (
            self.rule in (None, batch.rule_id)
            and set(self.key) <= set(batch.key)
            and (batch.is_overdue or not self.overdue)
        )

    def explain_nothing(self, connection: Connection, batches: Collection[Batch]) -> None:
        """Print that no open batch passes; `batches` are all open ones.

        Raises:
            Refused: a filter has a name that no rule and no key has.
        """
        if self.rule is not None:
            refuse_unknown_rule(connection, self.rule, {batch.rule_id for batch in batches})
        names = {name for batch in batches if self.rule in (None, batch.rule_id) for name, _ in batch.key}
        for name, _ in self.key:
            if names and name not in names:
                hint = nearest(name, names) or f"known are {', '.join(sorted(names))}"
                raise Refused(f"--key {name}: no open batch has a key with this part; {hint}")
        given = {"rule": self.rule, "key": self.key}
        filters = " and ".join(name for name, value in given.items() if value)
        which = f"{'overdue ' if self.overdue else ''}batches{filters and f' of this {filters}'}"
        print_note(f"{'nothing matches: ' if self.any_given else ''}there are no open {which}")


class _KeyPart(click.ParamType):
    """One part of a batch's key, NAME=VALUE."""

    name = "part"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return the name and the value; fails without a name or an equals sign."""
        name, equals, text = str(value).partition("=")
        if not name or not equals:
            self.fail(f"{value!r} is no part of a key: write date=2026-11-22", param, ctx)
        return name, text


def batch_filters(command: _Command) -> _Command:
    """Add the filters to a command, as its argument `filters`."""

    def filtered(*, rule: str | None, key: Sequence[tuple[str, str]], overdue: bool, **others: Any) -> None:
        command(filters=BatchFilters(rule, tuple(key), overdue), **others)

    decorated = update_wrapper(filtered, command)
    for option in (
        click.option("--overdue", is_flag=True, help="Only those that were reported as overdue."),
        click.option(
            "--key",
            metavar="NAME=VALUE",
            type=_KeyPart(),
            multiple=True,
            help="Only with this value in the key, such as date=2026-11-22; repeatable.",
        ),
        click.option("--rule", metavar="ID", help="Only of this rule."),
    ):
        decorated = option(decorated)
    return decorated


def key_text(key: Key) -> str:
    """Return a key as people write it: date=2026-11-22, region=eu."""
    return ", ".join(f"{name}={value}" for name, value in key)
