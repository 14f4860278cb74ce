"""Makes the next generation of requests that ran or died: the same event, one more run, with its own run_id."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

from gateway_cli.answers.insights import Insights, about
from gateway_cli.answers.subject import subject_of
from gateway_cli.choice import Left, Summary
from gateway_cli.connection import Connection
from gateway_cli.ledger_rows import LedgerKey, LedgerRow, LedgerRows
from gateway_cli.one_by_one import OneByOne
from mwaa_gateway.aws.claim_check_bucket import ClaimCheckBucket
from mwaa_gateway.aws.sqs.queues import TriggerQueues
from mwaa_gateway.events import Event
from mwaa_gateway.feeds.requests import resolve_batch
from mwaa_gateway.json_values import dig
from mwaa_gateway.routing.resolve import Refused, Resolved, of_generation, resolve
from mwaa_gateway.rules import Rule
from mwaa_gateway.trigger_request import OWN_SOURCE, TriggerRequest

_LOG_SECONDS: Final = 90 * 86_400.0  # the ledger forgets a request after that
_AT_ONCE: Final = 10  # the limit of one SendMessageBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The requests to run again: those of one rule or one event whose event time is in [since, until).

    `states` are the ledger's states of the first generation; times are in seconds since the epoch. `event` is any name
    that `names_event` knows.
    """

    rule: str | None
    states: frozenset[str]
    generation: int
    since: float | None = None
    until: float | None = None
    environment: str | None = None
    dag_id: str | None = None
    event: str | None = None

    def admits(self, row: LedgerRow) -> bool:
        """Return whether a request of the first generation is selected."""
        at = event_time(row)
        return (
            row.state in self.states
            and self.environment in (None, row.environment)
            and self.dag_id in (None, row.dag_id)
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
        )


@dataclass(frozen=True, slots=True)
class Found:
    """The selected requests, oldest event first; those in `already` have the wanted generation.

    `seen` is the number of requests that the rule or the event has in the ledger.
    """

    rows: Sequence[LedgerRow]
    already: Sequence[LedgerRow]
    seen: int


_RERUN: Final = re.compile(r"__r\d+$")  # the end of a run_id of a later generation


def names_event(row: LedgerRow, name: str) -> bool:
    """Return whether an operator may know the request's event by this name.

    The names are the event's id, the run_id of any generation, an upload's s3:// URI (it names every upload to that key),
    and a state's request_id.
    """
    if _RERUN.sub("", row.run_id) == _RERUN.sub("", name):
        return True
    event = row.request.event if row.request is not None else {}
    if name == event.get("id") or name == row.identity:
        return True
    if name.startswith("s3://"):
        bucket, key = dig(event, ("detail", "bucket", "name")), dig(event, ("detail", "object", "key"))
        return event.get("source") == "aws.s3" and name == f"s3://{bucket}/{key}"
    return event.get("source") == "aws.states" and name == dig(event, ("detail", "requestId"))


def event_time(row: LedgerRow) -> float:
    """Return the time of a request's event; without one, the time of the first attempt."""
    if row.request is not None:
        try:
            return datetime.fromisoformat(str(row.request.event["time"])).timestamp()
        except (KeyError, ValueError):
            pass
    return row.first_attempt_at or row.stopped_at


def rows_of_event(connection: Connection, rows: LedgerRows, name: str, now: float) -> list[LedgerRow] | None:
    """Return the rows of one event, found by the trail; None for a name of many events, or if the log has no line of it.

    Raises:
        Refused: the log cannot be searched.
    """
    subject = subject_of(name)
    if subject.field not in ("run_id", "event_id", "identity"):
        return None
    lines = Insights.of(connection).find(about(subject), now - _LOG_SECONDS, now)
    hashes = {line.identity for line in lines if line.run_id and line.identity}
    found = [row for each in sorted(hashes) for row in rows.of_event(each) if row.request is not None]
    return found or None


def find(rows: Iterable[LedgerRow], wanted: Wanted) -> Found:
    """Select from rows of the ledger, which contain every generation of what is wanted."""
    selected: list[LedgerRow] = []
    have: set[LedgerKey] = set()
    seen = 0
    for row in rows:
        if wanted.rule not in (None, row.rule_id):
            continue
        if wanted.event is not None and not names_event(row, wanted.event):
            continue
        seen += 1
        generation = row.key[1].rpartition("#")[2]
        if generation == str(wanted.generation):
            have.add(row.key)
        elif generation == "0" and wanted.admits(row):
            selected.append(row)
    selected.sort(key=event_time)

    def has_it(row: LedgerRow) -> bool:
        event, request = row.key
        return (event, f"{request.rpartition('#')[0]}#{wanted.generation}") in have

    return Found([row for row in selected if not has_it(row)], [row for row in selected if has_it(row)], seen)


def rerun(
    connection: Connection,
    found: Found,
    *,
    generation: int,
    rule: Rule | None,
    now: float,
    summary: Summary,
    progress: Callable[[int], None],
) -> None:
    """Send the next generation of each request, as `rule` makes it now, or without a rule as it was pinned.

    If the rule now makes a conf too large to pass, the conf is put into the gateway's bucket before its request is sent.
    A second call sends again what the ledger does not have yet: one run each, as for any duplicate. A request that cannot
    be sent is noted with its reason.
    """
    one_by_one = OneByOne(summary)
    queues = TriggerQueues(connection.sqs, connection.stack_output("TriggerQueueUrlTemplate"))
    claim_checks = ClaimCheckBucket(lambda: connection.s3)
    known = connection.environments or frozenset()
    for start in range(0, len(found.rows), _AT_ONCE):
        some = found.rows[start : start + _AT_ONCE]
        requests: dict[str, TriggerRequest] = {}
        for row in some:
            match _next(row, generation, rule, now, connection):
                case str() as why:
                    summary.left.append(Left(row.run_id, why))
                case Resolved(request) if request.target.environment not in known:
                    gone = f"the gateway no longer has environment {request.target.environment!r}"
                    summary.left.append(Left(row.run_id, gone))
                case Resolved(request, check):
                    if check is None or one_by_one.do(
                        "bucket for large confs", row.run_id, partial(claim_checks.put, [check])
                    ):
                        requests[row.run_id] = request
        sent = one_by_one.enqueue(queues, requests)
        summary.done += [requests[name].target.run_id for name in sent]
        progress(len(some))


def _next(
    row: LedgerRow, generation: int, rule: Rule | None, now: float, connection: Connection
) -> Resolved | str:
    """Return a request's next generation, or why it has none."""
    pinned = row.request
    if pinned is None:
        return "the ledger's row contains no readable request"
    resolved: Resolved | str = Resolved(pinned)
    if rule is not None:
        resolved = _by_current_rule(pinned, rule, now, connection.claim_check_bucket)
    if isinstance(resolved, str):
        return resolved
    source = resolved.request
    # The identity stays the first generation's, whatever the rule would make of the event now: it is the same event.
    request = replace(source, identity=pinned.identity, redrive=0, requested_at=now)
    return Resolved(of_generation(request, generation), resolved.claim_check)


def _by_current_rule(pinned: TriggerRequest, rule: Rule, now: float, bucket: str) -> Resolved | str:
    event = Event(pinned.event, pinned.identity)
    key = dig(pinned.event, ("detail", "key")) if pinned.event.get("source") == OWN_SOURCE else None
    key_names = rule.collect.key_names if rule.collect is not None else None
    if key_names != (list(key) if isinstance(key, Mapping) else None):
        return "the current rule makes other batches of its events, or none: rerun it without --with-current-rule"
    if key_names is None:
        found = resolve(event, rule, now=now, claim_check_bucket=bucket)
    else:
        found = resolve_batch(event, rule, pinned.event["detail"]["members"], now=now, bucket=bucket)
    for one in found:
        if isinstance(one, Refused):
            if one.target is None or one.target.id == pinned.target_id:
                return f"the current rule refuses its event: {one.text}"
        elif one.request.target_id == pinned.target_id:
            return one
    return f"the current rule has no target {pinned.target_id!r}"
