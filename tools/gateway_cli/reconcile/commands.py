"""`mwaa-gateway reconcile`: which objects of a bucket never started anything, and start them."""

import hashlib
import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from gateway_cli.choice import Age, timestamp
from gateway_cli.connection import Connection, gateway_options
from gateway_cli.operations import record, why_option
from gateway_cli.output import Refused, output_option, print_note
from gateway_cli.reconcile.known import pages, recognise
from gateway_cli.reconcile.objects import Bucket, Page
from gateway_cli.reconcile.report import missing, print_json_report, print_report
from gateway_cli.reconcile.sending import Sender
from gateway_cli.reconcile.starting import SETTLE_SECONDS, Starter
from gateway_cli.reconcile.state import State
from gateway_cli.reconcile.wants import Rules
from mwaa_gateway.aws.dynamodb.object_claims import ANY_CLAIM, BatchClaims, LedgerClaims
from mwaa_gateway.aws.dynamodb.pauses import OBJECTS_SORT, PAUSE_PARTITION
from mwaa_gateway.aws.dynamodb.values import attributes
from mwaa_gateway.dispatch.s3_objects import ListedObject

MISSING: Final = 3  # the exit code
_EXIT_CODES = """\b
Exit codes:
  0  every object that a rule matches has started what it should, or is on its way
  1  refused, or AWS did not answer: the reason is on stderr
  2  the command line is wrong
  3  something was never started, or the gateway cannot tell
"""
_CONTINUES_SECONDS: Final = 12 * 3_600.0
_SIDE_BY_SIDE: Final = 10  # the limit of a client's connections


@click.command(epilog=_EXIT_CODES)
@click.argument("uri", metavar="S3-URI")
@click.option(
    "--since",
    type=Age(),
    default="1d",
    show_default=True,
    help="Objects modified within this time: 6h, 7d, 400d.",
)
@click.option(
    "--older-than",
    type=Age(),
    default="15m",
    show_default=True,
    help="Leave out younger objects: their events may be on their way.",
)
@click.option("--rule", "rule_id", metavar="ID", help="Only for this rule.")
@click.option("--apply", "is_applied", is_flag=True, help="Start what was never started.")
@click.option(
    "--unsure", "with_unsure", is_flag=True, help="With --apply: also what the gateway cannot tell."
)
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="At most this many objects in the table.",
)
@click.option("--restart", is_flag=True, help="Begin again, not where an interrupted command stopped.")
@why_option
@output_option
@gateway_options
@click.pass_context
def reconcile(
    context: click.Context, /, connection: Connection, *, uri: str, output: str, limit: int, **options: Any
) -> None:
    """Find objects that never started anything, and start them.

    S3-URI is a bucket or a prefix. The command lists its objects, holds them against the rules as they are now, and reads
    the whole ledger: which have started a run or joined a batch, and which never did. With --apply it starts the latter.
    A notification that arrives later starts no second run.

    An object is recognised by its version id or, in a bucket without versioning, by its etag and date. Where that leaves a
    doubt, the object is `unsure`, and is started with --unsure only.

    An interrupted command continues where it stopped.

    \b
    Examples:
      mwaa-gateway reconcile s3://acme-landing/orders/
      mwaa-gateway reconcile s3://acme-landing/orders/ --since 7d --rule finance.orders -o json
      mwaa-gateway reconcile s3://acme-landing/orders/ --since 400d --rule finance.orders --apply --why backfill
    """
    wanted = Wanted(uri=uri, **options)
    with opened(connection, wanted) as state:
        Reconcile(connection, wanted, state).run()
        if output == "json":
            print_json_report(state, uri)
        else:
            print_report(state, limit)
        left = missing(state)
        state.keep("is_done", True)  # noqa: FBT003  a note's value
    context.exit(MISSING if left else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The options of one command; ages are in seconds."""

    uri: str
    since: float
    older_than: float
    rule_id: str | None
    is_applied: bool
    with_unsure: bool
    restart: bool
    why: str

    @property
    def place(self) -> tuple[str, str]:
        """The bucket and the prefix."""
        bucket, _, prefix = self.uri.removeprefix("s3://").partition("/")
        if not self.uri.startswith("s3://") or not bucket:
            raise Refused(f"{self.uri}: name a bucket or a prefix, s3://BUCKET/PREFIX")
        return bucket, prefix


@contextmanager
def opened(connection: Connection, wanted: Wanted) -> Iterator[State]:
    """Open the file of this command line; after a complete command it is deleted."""
    if wanted.with_unsure and not wanted.is_applied:
        raise click.UsageError("--unsure says what --apply starts: give both")
    bucket, _ = wanted.place
    name = json.dumps(
        [
            connection.account,
            connection.s3.meta.region_name,
            connection.stack,
            wanted.uri,
            wanted.since,
            wanted.older_than,
            wanted.rule_id,
            wanted.is_applied,
            wanted.with_unsure,
        ]
    )
    folder = Path(click.get_app_dir("mwaa-gateway")) / "reconcile"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.sqlite"
    state = State.opened(file, bucket)
    began = state.note("began")
    if wanted.restart or (began and time.time() - began > _CONTINUES_SECONDS):
        state.close()
        file.unlink()
        state, began = State.opened(file, bucket), None
    if began:
        print_note(f"continues what began at {timestamp(began)}; --restart begins again")
    else:
        state.keep("began", time.time())
    try:
        yield state
        is_done = bool(state.note("is_done"))
    except BaseException:
        state.close()
        raise
    state.close()
    if is_done:
        file.unlink()


class Reconcile:
    """The steps of one command; each continues where an earlier call of the command stopped."""

    def __init__(self, connection: Connection, wanted: Wanted, state: State) -> None:
        self._connection = connection
        self._wanted = wanted
        self._state = state
        self._rules = Rules(connection, wanted.rule_id)
        self._bucket = Bucket(connection.s3, wanted.place[0])
        self._ledger = connection.stack_output("LedgerTableName")

    def run(self) -> None:
        """List, recognise, and start what was never started if that is wanted."""
        self._list()
        self._recognise("known")
        if self._wanted.is_applied:
            self._apply()

    # --- what there is, and what is known

    def _list(self) -> None:
        _, prefix = self._wanted.place

        def keep(page: Page) -> str:
            for listed in page.objects:
                self._add(listed)
            return f"{self._state.note('objects') or 0:,} objects listed"

        self._step("listing", lambda begin: self._bucket.pages(prefix, begin), keep)

    def _add(self, listed: ListedObject) -> None:
        """Add what an object is to the rules to the state."""
        state, age = self._state, max(0.0, listed.seen_at - listed.modified)
        if age > self._wanted.since:
            return
        state.count("objects")
        if age < self._wanted.older_than:
            state.count("too_new")
            return
        matching = self._rules.matching(self._rules.event(listed))
        enabled = {rule_id: lacks for rule_id, lacks in matching.items() if rule_id not in self._rules.idle}
        if idle := matching.keys() - enabled.keys():
            known = state.note("idle") or {}
            state.keep("idle", known | {rule_id: known.get(rule_id, 0) + 1 for rule_id in idle})
        if not enabled:
            state.count("unmatched")
        for rule_id, lacks in enabled.items():
            state.add(self._rules.wants(listed, rule_id, lacks))

    def _recognise(self, step: str) -> None:
        tables = {"ledger": self._ledger}
        if any(not target for _, target, _ in self._state.counts()):
            tables["batches"] = self._connection.stack_output("BatchesTableName")
        for kind, table in tables.items():
            read = 0

            def keep(page: Any, kind: str = kind) -> str:
                nonlocal read
                read += page.read
                recognise(self._state, kind, page.items)
                return f"{read:,} items of the {kind} read"

            self._step(f"{step}-{kind}", partial(pages, self._connection.dynamodb, table, kind), keep)

    # --- start what was never started

    def _apply(self) -> None:
        state, wanted = self._state, self._wanted
        states = ["never", "sent", *(["unsure"] if wanted.with_unsure else [])]
        number = state.number(*states)
        if state.note("settled_at") is None:
            if not number and not state.claimed(1):
                return
            record(
                self._connection,
                "reconcile",
                [wanted.uri, *sorted({rule for rule, _, name in state.counts() if name in states})],
                why=wanted.why,
            )
            self._may_be_claimed()
        if state.note("by") is None:
            state.keep("by", secrets.token_hex(8))
        plain, collected = self._claims
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            starter = Starter(
                state=state,
                claims_of=lambda want: plain if want.target_id else collected,
                is_unchanged=lambda want: self._bucket.is_unchanged(want.listed),
                send=Sender(self._connection, self._rules),
                by=state.note("by"),
                now=self._bucket.time(),
                side_by_side=pool.map,
            )
            if state.note("settled_at") is None:
                with progress() as show:
                    starter.reserve(states, lambda done: show(f"{done:,} of {number:,} objects reserved"))
                state.keep("settled_at", self._bucket.time() + SETTLE_SECONDS)
            self._settle()
            self._recognise("look")
            with progress() as show:
                starter.start(lambda done: show(f"{done:,} of {number:,} objects done"))

    @property
    def _claims(self) -> tuple[LedgerClaims, BatchClaims]:
        client, batches = self._connection.dynamodb, self._connection.stack_output("BatchesTableName")
        behind = self._bucket.time() - time.time()  # a claim expires by AWS's clock

        def now() -> float:
            return time.time() + behind

        return LedgerClaims(client, self._ledger, now), BatchClaims(client, batches, now)

    def _may_be_claimed(self) -> None:
        """From now on the dispatchers and the collector look for claims; before any is written."""
        for table, partition, sort in (
            ("RulesTableName", PAUSE_PARTITION, OBJECTS_SORT),
            ("BatchesTableName", ANY_CLAIM, ANY_CLAIM),
        ):
            self._connection.dynamodb.put_item(
                TableName=self._connection.stack_output(table),
                Item=attributes({"partition": partition, "sort": sort}),
            )

    def _settle(self) -> None:
        """Wait until the attempts that saw no claims are over, by S3's clock: that of this machine may be set meanwhile."""
        with progress() as show:
            while (rest := self._state.note("settled_at") - self._bucket.time()) > 0:
                show(f"waiting {rest:.0f} s for attempts that are under way")
                time.sleep(min(rest, 2.0))

    def _step(
        self,
        name: str,
        begin_at: Callable[[Any], Iterator[Any]],
        keep: Callable[[Any], str],
    ) -> None:
        """Take each page of a step in one transaction, with the place of the next one."""
        done = self._state.note(name)
        if done is not None and done["next"] is None:
            return
        with progress() as show:
            for page in begin_at(done and done["next"]):
                with self._state.transaction():
                    show(keep(page))
                    self._state.keep(name, {"next": page.next})


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is done so far."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    # A tenth of a second, which a pipe does not pay
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (BarColumn(bar_width=20), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)  # nothing says how many objects a bucket has
        yield lambda text: bar.update(task, description=text)
