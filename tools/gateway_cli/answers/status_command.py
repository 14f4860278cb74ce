"""`mwaa-gateway status`: the whole gateway on one screen."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from gateway_cli.answers.addressing import with_options
from gateway_cli.answers.looking import Look
from gateway_cli.answers.now import COLUMNS, Now, Trouble
from gateway_cli.connection import Connection, gateway_options
from gateway_cli.filter_names import refuse_unknown_environment
from gateway_cli.output import console, output_option, print_json

if TYPE_CHECKING:
    from rich.console import Group

_REFRESH_SECONDS = 5.0
_TROUBLES_SECONDS = 60.0  # each search of the log costs what it scans
_STYLES = {"RUNNING": "green", "PAUSED": "yellow", "CIRCUIT OPEN": "bold red", "?": "yellow"}


@click.command()
@click.option(
    "--environment", "names", metavar="NAME", multiple=True, help="Only this environment; repeatable."
)
@click.option("--watch", is_flag=True, help="Refresh every five seconds, until Ctrl-C.")
@output_option
@gateway_options
def status(connection: Connection, *, names: Sequence[str], watch: bool, output: str) -> None:
    """Show the whole gateway on one screen.

    For each environment: whether it runs, slots busy, requests waiting and tried (in an attempt or in back-off), the oldest,
    starts a minute, when the queue is drained at this pace, held and dead requests, watched runs. Then batches, events,
    and the newest troubles with the command that explains each.

    `?` is not known: the reason is below. Counts of queues are SQS's, approximate and of this moment; the figures of
    CloudWatch (slots, oldest, starts, watched, events) are up to two minutes old.

    \b
    Examples:
      mwaa-gateway status
      mwaa-gateway status --watch
      mwaa-gateway status --environment analytics -o json
    """
    for name in names:
        refuse_unknown_environment(connection, name)
    shown = sorted(names or connection.environments or ())
    if watch and output == "json":
        raise click.UsageError("--watch shows a screen: use it without -o json")
    if watch:
        _watch(connection, shown)
        return
    now = Look(connection, shown).all()
    if output == "json":
        print_json(now.document(connection.as_options))
    else:
        console().print(screen(now, connection.as_options))


def _watch(connection: Connection, names: Sequence[str]) -> None:
    from rich.live import Live  # noqa: PLC0415  a tenth of a second, which other commands do not pay

    troubles: tuple[Trouble, ...] | None = None
    searched_at = 0.0
    try:
        with Live(console=console(), auto_refresh=False) as live:
            while True:
                if time.monotonic() - searched_at > _TROUBLES_SECONDS:
                    troubles, searched_at = None, time.monotonic()
                now = Look(connection, names).all(troubles=troubles)
                troubles = now.troubles
                live.update(screen(now, connection.as_options), refresh=True)
                time.sleep(_REFRESH_SECONDS)
    except KeyboardInterrupt:
        return


def screen(now: Now, options: str) -> "Group":
    """Return the screen, for any width."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415  as above
    from rich.console import Group  # noqa: PLC0415
    from rich.padding import Padding  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*COLUMNS, box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for number in range(2, len(COLUMNS)):
        table.columns[number].justify = "right"
    for one in now.environments:
        name, state, *cells = one.row()
        table.add_row(name, Text(state, style=_STYLES.get(state, "yellow")), *cells)
    parts: list[Table | Text | Padding] = [table, Text("")]
    parts += [Text.assemble((f"{name}  ", "bold"), text) for name, text in now.lines()]
    parts.append(Text(""))
    if now.troubles is None:
        parts.append(Text("newest troubles: ?", style="yellow"))
    elif not now.troubles:
        parts.append(Text("no trouble in the last hour, and no dead request", style="green"))
    for trouble in now.troubles or ():
        parts.append(
            Text.assemble((time.strftime("%m-%d %H:%M  ", time.gmtime(trouble.at)), "dim"), trouble.what)
        )
        parts.append(
            Text(f"             $ {with_options(trouble.command, options)}", style="bold", overflow="fold")
        )
    parts += [Text(text, style="dim") for text in now.unread]
    parts.append(Text(time.strftime("as of %H:%M:%S UTC", time.gmtime(now.at)), style="dim"))
    return Group(*parts)
