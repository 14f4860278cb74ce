"""`mwaa-gateway rules history | diff | rollback`: every version of a rule, and how to restore one."""

import re
from dataclasses import asdict
from typing import Any, Final

import click

from gateway_cli.connection import Connection, connection_options
from gateway_cli.documents.json_documents import json_object
from gateway_cli.output import Refused, output_option, print_json, print_note, print_table, who
from gateway_cli.rules.changes import FieldChange, field_changes
from gateway_cli.rules.items import StoredRuleItem
from gateway_cli.rules.options import by_option, count, now, refuse_unless_allowed, rule_id_argument
from gateway_cli.rules.pauses import release_held
from gateway_cli.rules.rendering import print_field_changes
from gateway_cli.rules.store import kept_state
from gateway_cli.rules.stored import document_of
from mwaa_gateway.errors import InvalidRule
from mwaa_gateway.rules import parse_rule


class _Version(click.ParamType):
    """A version: `3` or `v3`."""

    name = "version"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"v?([1-9][0-9]{0,9})", str(value))
        if match is None:
            self.fail(f"{value!r} is no version; write 3 or v3", param, ctx)
        return int(match[1])


_VERSION: Final = _Version()


@click.command(short_help="List every version of a rule.")
@rule_id_argument
@output_option
@connection_options
def history(connection: Connection, rule_id: str, output: str) -> None:
    """List every version of a rule, newest first.

    Each line has the change, the state, the time, who made it, the git commit, and the fields that differ from the
    version before. A deleted rule keeps its history.

    \b
    Example:
      mwaa-gateway rules history finance.orders-landing
    """
    versions = connection.store.versions(rule_id)
    changes = [_changes(older, newer) for newer, older in zip(versions, [*versions[1:], None], strict=True)]
    if output == "json":
        print_json(
            [
                _facts(version) | {"changes": [change.document() for change in changed]}
                for version, changed in zip(versions, changes, strict=True)
            ]
        )
        return
    print_table(
        ["VERSION", "CHANGE", "STATE", "WHEN (UTC)", "WHO", "COMMIT", "FIELDS"],
        [
            [
                f"v{version.version}",
                version.change,
                version.state,
                version.updated_at[:19].replace("T", " "),
                who(version.updated_by),
                version.commit,
                ", ".join(change.field for change in changed),
            ]
            for version, changed in zip(versions, changes, strict=True)
        ],
    )


@click.command(short_help="Compare two versions of a rule.")
@rule_id_argument
@click.argument("before", metavar="FROM", type=_VERSION)
@click.argument("after", metavar="[TO]", type=_VERSION, required=False)
@output_option
@connection_options
def diff(connection: Connection, rule_id: str, before: int, after: int | None, output: str) -> None:
    """Show the differences between two versions of a rule, field by field.

    Without TO, compare FROM with the current rule.

    \b
    Examples:
      mwaa-gateway rules diff finance.orders-landing v3 v5
      mwaa-gateway rules diff finance.orders-landing v3
    """
    store = connection.store
    old = store.version(rule_id, before)
    new = store.get(rule_id) if after is None else store.version(rule_id, after)
    changes = _changes(old, new)
    if output == "json":
        print_json(
            {
                "rule_id": rule_id,
                "before": _facts(old),
                "after": _facts(new),
                "changes": [change.document() for change in changes],
            }
        )
        return
    click.echo(f"{rule_id}: version {old.version} → {new.version}")
    if not changes:
        print_note("the versions are the same")
    print_field_changes(changes)


@click.command(short_help="Restore an earlier version of a rule.")
@rule_id_argument
@click.argument("version", metavar="VERSION", type=_VERSION)
@by_option
@output_option
@connection_options
def rollback(connection: Connection, rule_id: str, version: int, by: str | None, output: str) -> None:
    """Restore an earlier version of a rule, as a new version.

    The version is checked first, like any change. The rule keeps its current state, so that a rollback does not enable
    a disabled rule. A deleted rule comes back in the state of that version; if that is ENABLED, the requests held
    for it are released. The next `rules apply` applies the files again: revert them too.

    \b
    Example:
      mwaa-gateway rules rollback finance.orders-landing v3
    """
    store = connection.store
    wanted, current = store.version(rule_id, version), store.versions(rule_id)[0]
    if not wanted.exists:
        raise Refused(
            f"version {version} of rule {rule_id!r} is its deletion: to delete it, `mwaa-gateway rules delete {rule_id}`"
        )
    document = document_of(wanted)
    state = kept_state(current.state) if current.exists else wanted.state
    try:
        rule = parse_rule(
            {**document, "state": state},
            environments=connection.environments,
            claim_check_bucket=connection.claim_check_bucket,
            transports=connection.transports_by_name,
        )
        refuse_unless_allowed(rule, connection.allow_lists)
    except InvalidRule as error:
        raise Refused(
            f"version {version} is no longer valid: {error}: correct its file and apply it"
        ) from error
    applied = store.put(
        rule,
        by=by or connection.caller,
        now=now(),
        read=current,
        change=f"rolled back to version {version}",
    )
    changes = _changes(current, store.get(rule_id)) if applied.outcome != "unchanged" else []
    if output == "json":
        print_json(asdict(applied) | {"changes": [change.document() for change in changes]})
    else:
        click.echo(f"{rule_id}: {applied.outcome}, version {applied.version}, {applied.state}")
        print_field_changes(changes)
    if changes:
        print_note(
            f"{count(len(changes), 'field')} as in version {version}; revert the rule's file too, or the next apply "
            "undoes the rollback"
        )
    if current.state != "ENABLED" and applied.state == "ENABLED":
        release_held(connection, [rule_id])


def _facts(version: StoredRuleItem) -> dict[str, Any]:
    """Return one version as JSON."""
    return {
        "version": version.version,
        "change": version.change,
        "state": version.state,
        "updated_at": version.updated_at,
        "updated_by": version.updated_by,
        "commit": version.commit or None,
    }


def _changes(before: StoredRuleItem | None, after: StoredRuleItem) -> list[FieldChange]:
    """Return the fields in which two versions differ; none if one is a deletion or unreadable."""
    old, new = (json_object(version.document) if version else None for version in (before, after))
    return field_changes(old, new) if old and new else []
