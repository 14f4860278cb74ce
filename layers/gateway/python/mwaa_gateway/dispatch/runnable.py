"""Whether an accepted run will start: what the catalog knows of its DAG, and what its rule says about a paused DAG.

    before the run    when_paused: hold | reject   checks a recent catalog, and keeps the run back
                      when_paused: queue           checks nothing: the run starts, and waits in Airflow
    after it          every rule                   reports the run as `accepted, not runnable` if its DAG is paused or stale

An unavailable catalog keeps a run back for a minute at most: then the run starts, and the report follows with the catalog.
"""

from collections.abc import Callable
from dataclasses import replace

from mwaa_gateway.dispatch.dag_catalog import LOOK_AGAIN_SECONDS, LiveCatalog
from mwaa_gateway.dispatch.ledger import Attempt, Finished
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Held,
    NotRunnable,
    Outcome,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)
from mwaa_gateway.values import value

TOLD_WITHIN_SECONDS = 600  # of a run's start: later, whether its DAG is paused says nothing about it
CATALOG_AWAITED_SECONDS = 60
LIST_AFTER_SECONDS = 20  # of an invocation at most: it has 90, and a list may take 55


def kept_back(
    attempt: Attempt, catalog: LiveCatalog, now: Callable[[], float]
) -> Held | Rejected | Retryable | None:
    """Hold or reject the request, as its rule says, if a recent list shows its DAG as paused; otherwise None."""
    request, dag_id = attempt.request, attempt.request.target.dag_id
    if request.when_paused == "queue":
        return None
    began = now()
    catalog.renew(dag_id)
    paused = catalog.not_runnable(dag_id) is NotRunnable.PAUSED
    if paused:
        catalog.renew(dag_id, recently=True)  # it may have been unpaused since
        paused = catalog.not_runnable(dag_id) is NotRunnable.PAUSED
    known = catalog.tells_of(dag_id, recently=paused) and now() - began <= LIST_AFTER_SECONDS
    awaited = catalog.may_come and began - attempt.first_attempt_at < CATALOG_AWAITED_SECONDS
    if not known and awaited:
        return Retryable(Reason.DAG_CATALOG_AWAITED, f"whether DAG {dag_id!r} is paused is not known yet")
    if not paused:
        return None  # also if no catalog is available: the run starts, and the report follows
    if request.when_paused == "hold":
        return Held(Reason.DAG_PAUSED, f"DAG {dag_id!r} is paused; it starts when the DAG is unpaused")
    return Rejected(Reason.DAG_PAUSED, f"DAG {dag_id!r} is paused, and the rule says when_paused: reject")


def is_unpaused(dag_id: str, finished: Finished, catalog: LiveCatalog) -> bool:
    """Return whether the request is held for a paused DAG that is unpaused by now, as far as the catalog knows."""
    held = finished.outcome
    if not isinstance(held, Held) or held.reason is not Reason.DAG_PAUSED:
        return False
    catalog.renew(dag_id)
    return catalog.tells_of(dag_id) and catalog.not_runnable(dag_id) is not NotRunnable.PAUSED


def as_far_as_known(outcome: Outcome, dag_id: str, catalog: LiveCatalog) -> Outcome:
    """Add to an accepted run why it will not start, if the catalog in memory knows: the same write records it."""
    if isinstance(outcome, Triggered | AlreadyTriggered):
        return replace(outcome, not_runnable=catalog.not_runnable(dag_id))
    return outcome


@value
class LookAgain:
    """Look again in so many seconds: by then a catalog may show whether the run will start."""

    seconds: float


def whether_it_starts(
    dag_id: str,
    catalog: LiveCatalog,
    *,
    known: NotRunnable | None,
    accepted_at: float,
    began: float,
    now: float,
) -> NotRunnable | LookAgain | None:
    """Return why a run accepted at `accepted_at` will not start, or when to look again, after its outcome is recorded.

    The first run after a pause renews the catalog, if the invocation that `began` then has time left. None ends the
    question: the run starts, its reason is `known`, or no catalog will show it.
    """
    if now - accepted_at > TOLD_WITHIN_SECONDS:
        return None
    if now - began <= LIST_AFTER_SECONDS:
        catalog.renew(dag_id)
    if known is not None:
        return None
    if (not_runnable := catalog.not_runnable(dag_id)) is not None:
        return not_runnable
    if catalog.tells_of(dag_id) or not catalog.may_come or now - accepted_at > CATALOG_AWAITED_SECONDS:
        return None
    return LookAgain(LOOK_AGAIN_SECONDS)
