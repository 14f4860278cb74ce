"""The report of a reconcile, for people and as JSON; only counts are in memory."""

import json
from collections.abc import Sequence
from typing import Any, Final

import click

from gateway_cli.choice import timestamp
from gateway_cli.output import print_note, print_table
from gateway_cli.reconcile.state import Row, State

# The states of a want, in the order of the table, and what a person does about each.
STATES: Final = {
    "ran": "a run was started",
    "started": "this command has sent its request",
    "arrived": "its own event arrived meanwhile, and starts the run",
    "sent": "an earlier reconcile has sent its request, and it waits in its queue",
    "waiting": "it waits, or is attempted",
    "collected": "it is in a batch",
    "held": "it is held",
    "dead": "it is dead",
    "never": "nothing was ever started",
    "changed": "the object was written again or deleted while the command ran",
    "unsure": "the gateway cannot tell",
    "refused": "the rule cannot make a run of it",
}
MISSING: Final = ("never", "changed", "unsure", "refused")  # of these, exit code 3
_REMEDIES: Final = {
    "never": "start them: the same command with --apply",
    "unsure": "look at them, and start those of this command with --apply --unsure",
    "dead": "`mwaa-gateway dlq list` has the reasons, and `dlq redrive` starts them",
    "held": "`mwaa-gateway held list` has the reasons, and `held release` starts them",
    "sent": "the same command with --apply sends them again, which starts none twice",
    "changed": "reconcile again: what is written again has an event of its own",
}


def summary(state: State) -> dict[str, Any]:
    """Return the counts."""
    return {name: state.note(name) or 0 for name in ("objects", "unmatched", "too_new", "unreadable")} | {
        "idle_rules": state.note("idle") or {},
        "counts": [
            {"rule": rule, "target": target or None, "state": name, "count": number}
            for (rule, target, name), number in state.counts().items()
        ],
    }


def missing(state: State) -> int:
    """Return the number of wants that nothing starts."""
    return state.number(*MISSING)


def print_json_report(state: State, uri: str) -> None:
    """Print the counts, and every want that is not simply in order."""
    head = json.dumps({"objects_under": uri, **summary(state)}, indent=2)
    click.echo(head.removesuffix("\n}") + ',\n  "results": [', nl=False)
    separator = ""
    for want in state.each([name for name in STATES if name != "ran"]):
        click.echo(f"{separator}\n    {json.dumps(_document(want))}", nl=False)
        separator = ","
    click.echo("\n  ]\n}")


def _document(want: Row) -> dict[str, Any]:
    return {
        "object": want.uri,
        "version_id": want.listed.version_id or None,
        "etag": want.listed.etag,
        "modified": timestamp(want.listed.modified),
        "rule": want.rule_id,
        "target": want.target_id or None,
        "state": want.state,
        "why": want.why or None,
        "run_id": want.run_id or None,
    }


def print_report(state: State, limit: int) -> None:
    """Print a line for each rule and target, then the first objects that nothing has started."""
    counts = state.counts()
    found = summary(state)
    shown = [name for name in STATES if name in ("ran", "never") or any(one[2] == name for one in counts)]
    places = dict.fromkeys((rule, target) for rule, target, _ in counts)
    print_table(
        ["RULE", "TARGET", *(name.upper() for name in shown)],
        [
            [rule, target or "(batch)", *(f"{counts.get((rule, target, name), 0):,}" for name in shown)]
            for rule, target in places
        ],
    )
    rows = state.page(MISSING, 0, limit)
    if rows:
        click.echo()
        print_table(
            ["OBJECT", "MODIFIED (UTC)", "RULE", "STATE", "WHY"],
            [
                [
                    want.uri,
                    timestamp(want.listed.modified).replace("T", " ").removesuffix("Z"),
                    want.rule_id,
                    want.state,
                    want.why or STATES[want.state],
                ]
                for want in rows
            ],
        )
    if (more := missing(state) - len(rows)) > 0:
        print_note(f"and {more:,} more: --limit shows more, -o json all")
    _print_notes(found, {name for _, _, name in counts}, str(found["objects"]))


def _print_notes(found: dict[str, Any], states: set[str], objects: str) -> None:
    print_note(f"{int(objects):,} objects")
    notes: Sequence[tuple[str, str]] = (
        ("unmatched", "match none of the enabled rules looked at"),
        ("too_new", "are younger than --older-than: their events may be on their way"),
        (
            "unreadable",
            "rows of the ledger cannot be read: an object that is in one may be listed as never started",
        ),
    )
    for name, text in notes:
        if found[name]:
            print_note(f"{found[name]:,} {text}")
    for rule, number in sorted(found["idle_rules"].items()):
        print_note(f"rule {rule}, which starts nothing now, matches {number:,}")
    for name, remedy in _REMEDIES.items():
        if name in states:
            print_note(f"{name}: {remedy}")
