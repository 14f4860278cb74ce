"""A rule that matches again lets go of its brake: what that has held is released, whichever command enabled the rule."""

from collections.abc import Iterable

from gateway_cli.choice import Filters
from gateway_cli.connection import Connection
from gateway_cli.held.requests import release_all
from gateway_cli.output import print_note
from mwaa_gateway.outcomes import Reason

__all__ = ["release_held"]

_FEW = 5  # rules that are named


def release_held(connection: Connection, rule_ids: Iterable[str]) -> None:
    """Release what the brakes of these rules have held, and tell how many requests that are.

    Where only the rules table is known, or the ledger and the queues may not be touched, the rules are enabled all the
    same: what is left to do is told, and in the latter case refused.
    """
    ids = tuple(rule_ids)
    if not ids:
        return
    rest = ", ".join(f"`mwaa-gateway held release --rule {rule_id}`" for rule_id in ids[:_FEW])
    if len(ids) > _FEW:
        rest += f", and so on for {len(ids)} rules"
    if connection.names_a_table_alone:
        print_note(f"what the brake has held is not released: give --stack-name, or {rest}")
        return
    try:
        summary = release_all(connection, [Filters(rule=each, reason=Reason.RULE_DISABLED) for each in ids])
    except Exception:
        print_note(
            f"what the brake has held is not released, or not all of it, because of what is said below; then: {rest}"
        )
        raise
    if summary.done:
        print_note(f"released: {len(summary.done):,}")
