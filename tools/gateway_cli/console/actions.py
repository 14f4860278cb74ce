"""What `--operate` allows: an action works on the ticked items only, and leaves each one that has changed since.

Every action is that of a command (`dlq`, `held`, `batches`), so doing one twice starts no second run.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from gateway_cli.answers.stopped import read_open_batches, read_stopped
from gateway_cli.batches.views import Batches
from gateway_cli.choice import Left, Summary
from gateway_cli.connection import Connection
from gateway_cli.console.gateway import Gateway
from gateway_cli.console.pages.trouble import Item, of_batch, of_dead_event, of_row, read_dead_events
from gateway_cli.dlq.dead_letters import find_dead_letters
from gateway_cli.dlq.redrive import purge as purge_dead_letters
from gateway_cli.dlq.redrive import redrive as redrive_dead_letters
from gateway_cli.held.requests import cancel as cancel_requests
from gateway_cli.held.requests import held_rows, ledger_rows
from gateway_cli.held.requests import release as release_requests
from gateway_cli.one_by_one import OneByOne
from gateway_cli.operations import record
from mwaa_gateway.feeds.batch import Batch
from mwaa_gateway.feeds.release import Looked

Kind = Literal["dead", "events", "held", "batches"]
_CHANGED: Final = "it has changed since you ticked it, or is gone: nothing was done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """An action on items of one kind: its words, and what it does to each."""

    kind: Kind
    verb: str
    done: str
    noun: str
    nouns: str
    effect: str
    is_final: bool = False
    command: str

    def title(self, number: int) -> str:
        """Return the action on so many items: `Redrive 3 dead requests`."""
        return f"{self.verb} {number:,} {self.noun if number == 1 else self.nouns}"


_REDRIVEN: Final = (
    "It starts at most one run, however often you redrive it. Its message leaves the dead-letter queue, which ends the "
    "alarm."
)
_PURGED: Final = "It leaves the list and cannot be redriven. Its message is deleted, which ends the alarm."
ACTIONS: Final[Mapping[str, Action]] = {
    "redrive": Action(
        kind="dead",
        verb="Redrive",
        done="redriven",
        noun="dead request",
        nouns="dead requests",
        effect=f"Each goes back to its environment's queue with the same DAG and conf, and its age starts at zero. "
        f"{_REDRIVEN} If its cause is not fixed, it dies again.",
        command="dlq redrive",
    ),
    "purge": Action(
        kind="dead",
        verb="Purge",
        done="purged",
        noun="dead request",
        nouns="dead requests",
        effect=f"No run starts. {_PURGED} The ledger keeps its row.",
        is_final=True,
        command="dlq purge",
    ),
    "redrive-events": Action(
        kind="events",
        verb="Redrive",
        done="redriven",
        noun="dead event",
        nouns="dead events",
        effect=f"Each is matched again, with the rules as they are now. {_REDRIVEN}",
        command="dlq redrive",
    ),
    "purge-events": Action(
        kind="events",
        verb="Purge",
        done="purged",
        noun="dead event",
        nouns="dead events",
        effect=f"No run starts. {_PURGED}",
        is_final=True,
        command="dlq purge",
    ),
    "release": Action(
        kind="held",
        verb="Release",
        done="released",
        noun="held request",
        nouns="held requests",
        effect="Each goes back to its queue and starts its run once. While its rule is disabled or its environment is "
        "paused, it is held again.",
        command="held release",
    ),
    "cancel": Action(
        kind="held",
        verb="Cancel",
        done="cancelled",
        noun="held request",
        nouns="held requests",
        effect="None of them will run. Each becomes dead with the reason `cancelled`, without an alarm; a redrive runs it "
        "after all.",
        is_final=True,
        command="held cancel",
    ),
    "release-batches": Action(
        kind="batches",
        verb="Release",
        done="released",
        noun="batch",
        nouns="batches",
        effect="Each becomes one run of each target now, with the members that it has. Events of its key that arrive "
        "afterwards start the next batch.",
        command="batches release",
    ),
    "cancel-batches": Action(
        kind="batches",
        verb="Cancel",
        done="cancelled",
        noun="batch",
        nouns="batches",
        effect="The events of its members start no run. The batch and its manifest stay readable for 120 days.",
        is_final=True,
        command="batches cancel",
    ),
}


def review(gateway: Gateway, action: Action, ticked: Sequence[str]) -> dict[str, Any]:
    """Return what the action would do: the ticked items as they are now, and those that it would leave."""
    gateway.forget()
    read: Callable[[Connection], list[Item]] = _READ[action.kind]
    reading = gateway.read(f"review {action.kind}", read, fresh=0)
    by_ticked = {item.ticked: item for item in reading.value or ()}
    return {
        "action": action,
        "items": [by_ticked[one] for one in ticked if one in by_ticked],
        "gone": [one.rpartition("|")[0] for one in ticked if one not in by_ticked]
        if reading.value is not None
        else [],
        "why": reading.why,
        "read_at": reading.at,
    }


def perform(connection: Connection, action: Action, ticked: Sequence[str], why: str) -> Summary:
    """Record the action, and do it to the ticked items that are as they were; the summary has the others, with reasons."""
    summary = Summary()
    wanted = dict.fromkeys(ticked)
    why = why.strip() or "ticked in the console"
    match action.kind:
        case "dead" | "events":
            _dead(connection, action, wanted, why, summary)
        case "held":
            _held(connection, action, wanted, why, summary)
        case "batches":
            _batches(connection, action, wanted, why, summary)
    named = {*summary.done, *(left.id for left in summary.left)}
    summary.left += [Left(one, _CHANGED) for each in wanted if (one := each.rpartition("|")[0]) not in named]
    return summary


def _dead(
    connection: Connection, action: Action, wanted: Collection[str], why: str, summary: Summary
) -> None:
    with find_dead_letters(connection, None) as found:
        chosen = [one for one in found.dead_letters if f"{one.id}|{one.died_at!r}" in wanted]
        if not chosen:
            return
        record(connection, action.command, [one.id for one in chosen], why=why)
        if action.verb == "Redrive":
            redrive_dead_letters(connection, found, chosen, summary, lambda _: None)
        else:
            purge_dead_letters(found, chosen, summary, lambda _: None)


def _held(
    connection: Connection, action: Action, wanted: Collection[str], why: str, summary: Summary
) -> None:
    rows = ledger_rows(connection)
    chosen = [row for row in held_rows(rows) if f"{row.run_id}|{row.stopped_at!r}" in wanted]
    record(connection, action.command, [row.run_id for row in chosen], why=why)
    if action.verb == "Release":
        release_requests(connection, rows, chosen, summary, lambda _: None)
    elif chosen:
        cancel_requests(rows, chosen, connection.caller, summary, lambda _: None)


def _batches(
    connection: Connection, action: Action, wanted: Collection[str], why: str, summary: Summary
) -> None:
    of, one_by_one, by = Batches.of(connection), OneByOne(summary), connection.caller
    is_cancel = action.verb == "Cancel"
    for ticked in wanted:
        batch_id, _, seen = ticked.rpartition("|")
        batch = one_by_one.read_of("batches", batch_id, partial(of.batch, batch_id))
        if not isinstance(batch, Batch) or not seen == batch.state == "open":
            continue  # `perform` notes it as changed, unless the summary has another reason
        record(connection, action.command, [batch_id], why=why, by=by)
        release = partial(of.releaser.release, batch_id, by=by, cancel=is_cancel)
        looked = one_by_one.read_of(batch.rule_id, batch_id, release)
        decision = looked.decision if isinstance(looked, Looked) else None
        if decision is not None and (decision.reason == "cancelled") == is_cancel:
            summary.done.append(batch_id)


def _read_dead(connection: Connection) -> list[Item]:
    return [of_row(row, with_remedy=True) for row in read_stopped(connection).dead]


def _read_held(connection: Connection) -> list[Item]:
    return [of_row(row) for row in read_stopped(connection).held]


def _read_batches(connection: Connection) -> list[Item]:
    return [of_batch(batch) for batch in read_open_batches(connection).batches]


def _read_events(connection: Connection) -> list[Item]:
    return [of_dead_event(one) for one in read_dead_events(connection)]


_READ: Final[Mapping[Kind, Callable[[Connection], list[Item]]]] = {
    "dead": _read_dead,
    "held": _read_held,
    "batches": _read_batches,
    "events": _read_events,
}
