"""Requests that ran (or died) made into their next generation: the same event, one further run, of its own run_id."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

from gateway_cli.choice import Left, Summary
from gateway_cli.connection import Connection
from gateway_cli.ledger_rows import LedgerKey, LedgerRow, LedgerRows
from gateway_cli.one_by_one import OneByOne
from mwaa_gateway.aws.claim_check_bucket import ClaimCheckBucket
from mwaa_gateway.aws.sqs.queues import TriggerQueues
from mwaa_gateway.conf.build import ORIGIN_KEY
from mwaa_gateway.events import Event
from mwaa_gateway.json_values import dig
from mwaa_gateway.routing.resolve import Refused, Resolved, resolve
from mwaa_gateway.rules import Rule
from mwaa_gateway.trigger_request import TriggerRequest, derive_run_id

__all__ = ["Found", "Wanted", "event_time", "find", "names_event", "rerun"]

_AT_ONCE: Final = 10  # what one SendMessageBatch takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which requests are to run once more: those of one rule or one event whose event's time lies in [since, until).

    `states` are the ledger's, of the first generation; times are in seconds since the epoch. `event` is any name that
    `names_event` knows.
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
        """Say whether a request of the first generation is meant."""
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
    """The requests that are meant, the oldest event first; `already` have the wanted generation.

    `seen` is how many requests the rule or the event has in the ledger, of which these are some.
    """

    rows: Sequence[LedgerRow]
    already: Sequence[LedgerRow]
    seen: int


_RERUN: Final = re.compile(r"__r\d+$")  # the end of a run_id of a later generation


def names_event(row: LedgerRow, name: str) -> bool:
    """Say whether this is a name of the request's event, as an operator meets it.

    Known are the event's id, the run_id of any generation, an upload's s3:// URI (of every upload to that key), and the
    request_id that a state gave.
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
    """Return the time of a request's event; where that is none, when it was first attempted."""
    if row.request is not None:
        try:
            return datetime.fromisoformat(str(row.request.event["time"])).timestamp()
        except (KeyError, ValueError):
            pass
    return row.first_attempt_at or row.stopped_at


def find(rows: LedgerRows, wanted: Wanted, progress: Callable[[int], None]) -> Found:
    """Look through the whole ledger: what ran lies in no index. `progress` is told how many rows it has seen by now."""
    meant: list[LedgerRow] = []
    have: set[LedgerKey] = set()
    seen = 0
    for row in rows.requests(wanted.rule, progress):
        if wanted.event is not None and not names_event(row, wanted.event):
            continue
        seen += 1
        generation = row.key[1].rpartition("#")[2]
        if generation == str(wanted.generation):
            have.add(row.key)
        elif generation == "0" and wanted.admits(row):
            meant.append(row)
    meant.sort(key=event_time)

    def has_it(row: LedgerRow) -> bool:
        event, request = row.key
        return (event, f"{request.rpartition('#')[0]}#{wanted.generation}") in have

    return Found([row for row in meant if not has_it(row)], [row for row in meant if has_it(row)], seen)


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
    """Send the next generation of each request, with what `rule` makes of its event now, or else as it was pinned.

    A conf that the rule now makes too large to be passed is put into the gateway's bucket before its request is sent.
    Given twice, it sends twice what the ledger does not have yet: one run each, as for any duplicate. What cannot be sent
    is left with its reason.
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
                    gone = f"the gateway has no environment {request.target.environment!r} any more"
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
    """Return a request's next generation, or why there is none."""
    pinned = row.request
    if pinned is None:
        return "its row in the ledger holds no request that can be read"
    resolved: Resolved | str = Resolved(pinned)
    if rule is not None:
        resolved = _as_the_rule_is_now(pinned, rule, now, connection.claim_check_bucket)
    if isinstance(resolved, str):
        return resolved
    made = resolved.request
    # The identity is the first generation's, whatever the rule would make of the event now: it is a run of the same.
    target = replace(
        made.target,
        run_id=derive_run_id(pinned.identity, pinned.rule_id, pinned.target_id, generation),
        conf=_of_generation(made.target.conf, generation),
    )
    request = replace(
        made, identity=pinned.identity, target=target, generation=generation, redrive=0, requested_at=now
    )
    return Resolved(request, resolved.claim_check)


def _as_the_rule_is_now(pinned: TriggerRequest, rule: Rule, now: float, bucket: str) -> Resolved | str:
    event = Event(pinned.event, pinned.identity)
    for one in resolve(event, rule, now=now, claim_check_bucket=bucket):
        if isinstance(one, Refused):
            if one.target is None or one.target.id == pinned.target_id:
                return f"the rule as it is now refuses its event: {one.text}"
        elif one.request.target_id == pinned.target_id:
            return one
    return f"the rule as it is now has no target {pinned.target_id!r}"


def _of_generation(conf: Mapping[str, object], generation: int) -> dict[str, object]:
    origin = conf.get(ORIGIN_KEY)
    told = {**origin, "generation": generation} if isinstance(origin, Mapping) else None
    return {**conf, **({ORIGIN_KEY: told} if told else {})}
