"""`mwaa-gateway batches`: thin commands over the batches table and the releaser."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import click

from gateway_cli.batches.choosing import BatchFilters, batch_filters, key_text
from gateway_cli.batches.views import Batches, View
from gateway_cli.choice import ChoiceBy, Left, Summary, ask, choice_options, progress, reported
from gateway_cli.connection import Connection, gateway_options
from gateway_cli.groups import EXIT_CODES, Group
from gateway_cli.listing import limit_option
from gateway_cli.one_by_one import OneByOne, Unanswered
from gateway_cli.operations import last_of_each, record, why_option, with_last
from gateway_cli.output import Refused, output_option, print_json, print_note, print_table, who
from mwaa_gateway.feeds.batch import Batch
from mwaa_gateway.feeds.release import Looked

_AT_ONCE: Final = 10  # the limit of a client's connections
_FEW: Final = 5  # missing values that the table shows
_COLUMNS: Final = (
    "ID", "FIRST MEMBER (UTC)", "DUE (UTC)", "RULE", "KEY", "NUMBER", "STATE", "MEMBERS", "MISSING",
)  # fmt: skip

Of = TypeVar("Of")
Got = TypeVar("Got")


@click.group(cls=Group, epilog=EXIT_CODES)
def batches() -> None:
    """List open batches; show, release or cancel one.

    A rule with `collect` gathers events into a batch, and the batch becomes one run of each target when its rule says so.
    These commands show what an open batch waits for, and release or cancel it before.
    """


@batches.command("list", short_help="List the open batches, oldest first.")
@batch_filters
@limit_option("oldest")
@output_option
@gateway_options
def list_batches(connection: Connection, filters: BatchFilters, limit: int, output: str) -> None:
    """List the open batches, oldest first: what each has, and what it lacks.

    DUE is the due time of its rule. A batch of an expected day on which nothing has arrived has no members. `batches show`
    says when a batch is released, and why.

    \b
    Examples:
      mwaa-gateway batches list --overdue
      mwaa-gateway batches list --rule sales.nightly --key date=2026-11-22 -o json
    """
    of, left = Batches.of(connection), list[Left]()
    found = _found(connection, of, filters, left)
    _print(_views(of, found[:limit], left), output)
    if len(found) > limit:
        print_note(f"{len(found) - limit:,} more: use filters, or a higher --limit")
    _refuse_unreadable(left)


@batches.command()
@click.argument("batch_id", metavar="ID")
@output_option
@gateway_options
def show(connection: Connection, batch_id: str, output: str) -> None:
    """Show everything about one batch, open or not.

    An open one: what it has and lacks, when it is released if no further member arrives, and when at the latest. A released
    one: why, by whom if an operator did it, the manifest of its members, and its runs.

    \b
    Example:
      mwaa-gateway batches show 3b0c44298fc1c149afbf4c8996fb9242
    """
    of = Batches.of(connection)
    try:
        shown = of.view(of.batch(batch_id)).document()
    except Refused as error:
        raise Refused(f"{batch_id}: {error.message}") from error
    last = last_of_each(connection, {batch_id}).get(batch_id)
    if output == "json":
        print_json(shown | with_last(last))
        return
    shown["last_command"] = last
    width = max(map(len, shown))
    for name, value in shown.items():
        for line in _lines(name, value):
            click.echo(f"{name.replace('_', ' '):{width}}  {line}")


@batches.command(short_help="Release open batches.")
@choice_options(batch_filters)
@click.option("--by", metavar="NAME", help="Who releases them; default: the caller's ARN.")
@why_option
@output_option
@gateway_options
def release(
    connection: Connection, choice: ChoiceBy[BatchFilters], *, by: str | None, why: str, output: str
) -> None:
    """Release open batches now, with what they have: those named, those that pass all filters, or --all.

    Each becomes one run of each target, as if its rule had released it; the reason is `operator`. Events of its key that
    arrive afterwards start the next batch. A batch that is released twice still has one run of each target.

    \b
    Examples:
      mwaa-gateway batches release 3b0c44298fc1c149afbf4c8996fb9242
      mwaa-gateway batches release --rule sales.nightly --key date=2026-11-22 --dry-run
    """
    of, left = Batches.of(connection), list[Left]()
    views = _chosen(connection, of, choice, left)
    if choice.dry_run:
        _print_dry_run(views, left, output, "released")
        return
    record(connection, "batches release", [view.batch.id for view in views], why=why, by=by)
    with reported("released", output) as summary, progress("Releasing", len(views)) as advance:
        summary.left += left
        name = by or (connection.caller if views else "")
        for view, looked in _each(of, views, summary, by=name, cancel=False, advance=advance):
            decision = looked.decision
            if looked.batch is not None and (decision is None or decision.reason == "cancelled"):
                summary.left.append(Left(view.batch.id, f"meanwhile {_no_longer_open(looked.batch)}"))
                continue
            summary.done.append(view.batch.id)
            if decision is not None and not decision.count:
                print_note(f"{view.batch.id}: it has no members, so it starts no run")
            for refused in decision.refused if decision else ():
                print_note(f"{view.batch.id}: a target starts no run: {refused}")


@batches.command(short_help="Cancel open batches.")
@choice_options(batch_filters)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--by", metavar="NAME", help="Who cancels them; default: the caller's ARN.")
@why_option
@output_option
@gateway_options
def cancel(
    connection: Connection,
    choice: ChoiceBy[BatchFilters],
    *,
    yes: bool,
    by: str | None,
    why: str,
    output: str,
) -> None:
    """Cancel open batches, after a confirmation: their events start no run.

    The batch and its manifest stay readable for 120 days: `mwaa-gateway batches show ID`. Events of its key that arrive
    afterwards start the next batch; a redelivery of a cancelled event does not.

    \b
    Examples:
      mwaa-gateway batches cancel --rule sales.nightly --key date=2026-11-22
      mwaa-gateway batches cancel --all --yes
    """
    of, left = Batches.of(connection), list[Left]()
    views = _chosen(connection, of, choice, left)
    if choice.dry_run:
        _print_dry_run(views, left, output, "cancelled")
        return
    if views and not yes:
        members = sum(view.summary.members for view in views)
        ask(
            f"Cancel {_count(views)} with {members:,} member{'' if members == 1 else 's'}?",
            "nothing was cancelled; use --yes to cancel without a question",
        )
    record(connection, "batches cancel", [view.batch.id for view in views], why=why, by=by)
    with reported("cancelled", output) as summary, progress("Cancelling", len(views)) as advance:
        summary.left += left
        name = by or (connection.caller if views else "")
        for view, looked in _each(of, views, summary, by=name, cancel=True, advance=advance):
            if looked.decision is not None and looked.decision.reason == "cancelled":
                summary.done.append(view.batch.id)
            elif looked.batch is not None:
                summary.left.append(Left(view.batch.id, f"meanwhile {_no_longer_open(looked.batch)}"))


def _each(
    of: Batches,
    views: Sequence[View],
    summary: Summary,
    *,
    by: str,
    cancel: bool,
    advance: Callable[[int], None],
) -> Iterator[tuple[View, Looked]]:
    """Release or cancel each batch; yield those that AWS answered for, and note the others in the summary."""
    one_by_one = OneByOne(summary)

    def decide(view: View) -> Looked | Unanswered:
        batch = view.batch
        return one_by_one.read_of(
            batch.rule_id, batch.id, lambda: of.releaser.release(batch.id, by=by, cancel=cancel)
        )

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for view, looked in zip(views, pool.map(decide, views), strict=True):
            if isinstance(looked, Looked):
                yield view, looked
            advance(1)


def _chosen(
    connection: Connection, of: Batches, choice: ChoiceBy[BatchFilters], left: list[Left]
) -> list[View]:
    """Return the chosen batches that can still be released, oldest first; note the others in `left`."""
    if choice.ids:
        found = [*_batches(of, list(dict.fromkeys(choice.ids)), left)]
    else:
        found = _found(connection, of, choice.filters, left)
    open_ones: list[Batch] = []
    for batch in found:
        if batch.state == "open":
            open_ones.append(batch)
        elif choice.ids:
            left.append(Left(batch.id, _no_longer_open(batch)))
    return _views(of, open_ones[: choice.limit], left)


def _found(connection: Connection, of: Batches, filters: BatchFilters, left: list[Left]) -> list[Batch]:
    """Return the batches in the due index that pass the filters, oldest first; note unreadable ones in `left`."""
    everything = [*_batches(of, of.open_ids(), left)]
    found = [batch for batch in everything if filters.admit(batch)]
    if not found:
        filters.explain_nothing(connection, everything)
    return sorted(found, key=lambda batch: (batch.first_at, batch.id))


def _batches(of: Batches, ids: Sequence[str], left: list[Left]) -> Iterator[Batch]:
    return _isolated(ids, lambda batch_id: batch_id, of.batch, left)


def _views(of: Batches, found: Sequence[Batch], left: list[Left]) -> list[View]:
    return [*_isolated(found, lambda batch: batch.id, of.view, left)]


def _isolated(
    items: Sequence[Of], name: Callable[[Of], str], read: Callable[[Of], Got], left: list[Left]
) -> Iterator[Got]:
    """Read each item; yield those that could be read, and note the others in `left`."""

    def tried(item: Of) -> Got | Left:
        try:
            return read(item)
        except Refused as error:
            return Left(name(item), error.message)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for got in pool.map(tried, items):
            if isinstance(got, Left):
                left.append(got)
            else:
                yield got


def _no_longer_open(batch: Batch) -> str:
    by = f" by {who(batch.by)}" if batch.by else ""
    match batch.state:
        case "cancelled":
            return f"it was cancelled{by}"
        case "released":
            return f"it was released{by} ({batch.reason})"
        case _:
            return f"its release began{by} ({batch.reason})"


def _refuse_unreadable(left: Sequence[Left]) -> None:
    for each in left:
        print_note(f"{each.id}: {each.why}")
    if left:
        raise Refused(f"{len(left):,} batch{'' if len(left) == 1 else 'es'} could not be read")


def _print(views: Sequence[View], output: str) -> None:
    rows = [view.row() for view in views]
    if output == "json":
        print_json(rows)
    else:
        print_table(_COLUMNS, [_cells(row) for row in rows])


def _print_dry_run(views: Sequence[View], left: Sequence[Left], output: str, done: str) -> None:
    _print(views, output)
    print_note(f"{_count(views)} would be {done}")
    for each in left:
        print_note(f"{each.id}: {each.why}")
    if left:
        raise Refused(f"{len(left):,} of {len(views) + len(left):,} would not be {done}")


def _cells(row: Mapping[str, Any]) -> list[str]:
    first_at, due_at = (str(row[name] or "-")[:16].replace("T", " ") for name in ("first_at", "due_at"))
    state = [row["state"], *(name for name in ("late", "overdue", "expected") if row[name])]
    missing = row["missing"]
    more = f" and {len(missing) - _FEW:,} more" if len(missing) > _FEW else ""
    return [
        row["id"],
        first_at,
        due_at,
        row["rule_id"],
        key_text(tuple(row["key"].items())) or "-",
        str(row["number"]),
        ", ".join(state),
        f"{row['members']:,}",
        ", ".join(missing[:_FEW]) + more or "-",
    ]


def _lines(name: str, value: Any) -> Iterable[str]:
    """Return the lines that show one field; none for an empty one."""
    match value:
        case None | "" | []:
            return []
        case bool():
            return ["yes" if value else "no"]
        case Mapping():
            return [key_text(tuple(value.items()))] if value else []
        case list() if name == "runs":
            return [f"{run['environment']}:{run['dag_id']}  {run['run_id']}" for run in value]
        case list():
            return map(str, value)
        case _:
            return [str(value)]


def _count(views: Sequence[View]) -> str:
    return "1 batch" if len(views) == 1 else f"{len(views):,} batches"
