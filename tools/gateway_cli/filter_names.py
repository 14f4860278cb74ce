"""Checks the names in filters: a typing error is refused, and never looks like an empty list."""

from collections.abc import Collection, Iterable

from botocore.exceptions import ClientError

from gateway_cli.choice import Filters, Stopped
from gateway_cli.connection import Connection
from gateway_cli.output import Refused, print_note
from mwaa_gateway.errors import nearest
from mwaa_gateway.step_functions.starter import TASK_RULE_ID


def refuse_unknown_names(
    connection: Connection, filters: Filters, found: Collection[Stopped], reasons: Iterable[str]
) -> None:
    """Refuse a rule, environment or reason that neither the gateway nor anything in `found` has.

    Raises:
        Refused: with the nearest known name.
    """
    if filters.environment is not None:
        refuse_unknown_environment(
            connection, filters.environment, {one.environment for one in found if one.environment}
        )
    known = {*map(str, reasons), *(one.reason for one in found)}
    if filters.reason is not None and filters.reason not in known:
        hint = nearest(filters.reason, known) or f"known are {', '.join(sorted(known))}"
        raise Refused(f"--reason {filters.reason}: there is no such reason; {hint}")
    if filters.rule is not None:
        refuse_unknown_rule(connection, filters.rule, {one.rule_id for one in found if one.rule_id})


def refuse_unknown_environment(connection: Connection, name: str, also: Collection[str] = ()) -> None:
    """Refuse an environment that the gateway does not have; `also` are further names that are allowed."""
    known = connection.environments or frozenset()
    if name not in known and name not in also:
        hint = nearest(name, known) or f"it has {', '.join(sorted(known))}"
        raise Refused(f"the gateway has no environment {name!r}; {hint}")


def refuse_unknown_rule(connection: Connection, rule_id: str, also: Collection[str] = ()) -> None:
    """Refuse a rule that the table never had; `also` are further ids that are allowed. A deleted rule is known."""
    if rule_id == TASK_RULE_ID or rule_id in also:
        return
    if connection.store.knows(rule_id):
        return
    try:
        ids = {*also, *(item.id for item in connection.store.list())}
    except ClientError:  # the operator's policy allows reading single rules only: use the ids found here
        ids = {*also}
    hint = nearest(rule_id, ids) or "`mwaa-gateway rules list` lists the rules"
    raise Refused(f"--rule {rule_id}: there is no such rule; {hint}")


def print_nothing_matches(nouns: str, filters: Filters) -> None:
    """Print that a list is empty, and whether that is due to the filters."""
    given = {
        "rule": filters.rule,
        "environment": filters.environment,
        "reason": filters.reason,
        "age": filters.before or filters.after,
    }
    names = " and ".join(name for name, value in given.items() if value is not None)
    print_note(f"nothing matches: there are no {nouns} of this {names}" if names else f"there are no {nouns}")
