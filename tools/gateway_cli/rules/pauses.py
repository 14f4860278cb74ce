"""Release the held requests of rules that match again, for every command that enables rules."""

from collections.abc import Iterable

from gateway_cli.choice import Filters
from gateway_cli.connection import Connection
from gateway_cli.held.requests import release_all
from gateway_cli.output import print_note
from mwaa_gateway.outcomes import Reason

_FEW = 5  # so many rules are named


def release_held(connection: Connection, rule_ids: Iterable[str]) -> None:
    """Release the requests that these rules' pauses held, and print how many.

    If only the rules table is known, or the caller may not use the ledger and the queues, the rules are enabled all the
    same. Then the command prints what remains to be done, and in the latter case fails.
    """
    ids = tuple(rule_ids)
    if not ids:
        return
    rest = ", ".join(f"`mwaa-gateway held release --rule {rule_id}`" for rule_id in ids[:_FEW])
    if len(ids) > _FEW:
        rest += f", and so on for {len(ids)} rules"
    if connection.names_a_table_alone:
        print_note(f"the held requests are not released: give --stack-name, or run {rest}")
        return
    try:
        summary = release_all(connection, [Filters(rule=each, reason=Reason.RULE_DISABLED) for each in ids])
    except Exception:
        print_note(f"not all held requests are released, for the reason below; once it is fixed, run {rest}")
        raise
    if summary.done:
        print_note(f"released: {len(summary.done):,}")
