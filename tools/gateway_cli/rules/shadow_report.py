"""Compares what a SHADOW rule would have run with the runs that happened for the same events.

The ledger contains both: the rule's shadow records, and a row for each request that other rules (or the same rule while it
was ENABLED) made from the event. It does not know runs that the gateway did not start.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway_cli.ledger_rows import LedgerRow
from gateway_cli.rules.changes import FieldChange, field_changes
from mwaa_gateway.conf.input_transformer import ORIGIN_KEY
from mwaa_gateway.ingress.shadow import ShadowRecord


class Verdict(StrEnum):
    """The result of comparing a shadow record with the ledger."""

    SAME = "same"  # a run of the same DAG, with the same conf
    OTHER_CONF = "other_conf"  # a run of the same DAG, with another conf
    NOT_RUN = "not_run"  # a request for the same DAG that is dead, held, or still under way
    ALONE = "alone"  # no request for that DAG: the rule would start a new run
    REFUSED = "refused"  # the rule would start nothing, and the event would be dead


@dataclass(frozen=True, slots=True)
class Compared:
    """One shadow record, and the real request it is compared with, if there is one."""

    shadow: ShadowRecord
    verdict: Verdict
    real: LedgerRow | None = None
    fields: tuple[
        FieldChange, ...
    ] = ()  # differences of the confs: before is the real one, after the shadow's

    def document(self) -> dict[str, Any]:
        """Return the comparison as JSON."""
        document: dict[str, Any] = {
            "verdict": self.verdict.value,
            "event_id": self.shadow.event_id,
            "event_time": self.shadow.event_time,
            "rule_version": self.shadow.rule_version,
            "target_id": self.shadow.target_id,
            "environment": self.shadow.environment or None,
            "dag_id": self.shadow.dag_id or None,
            "run_id": self.shadow.run_id or None,
            "reason": self.shadow.reason_text or None,
            "conf_changes": [field.document() for field in self.fields],
        }
        if self.real is not None:
            document["real"] = {
                "rule_id": self.real.rule_id,
                "run_id": self.real.run_id,
                "state": self.real.state,
            }
        return document


def compare(shadows: Iterable[ShadowRecord], rows_of: Callable[[str], Sequence[LedgerRow]]) -> list[Compared]:
    """Compare each shadow record with its event's ledger rows, which `rows_of` returns by the event's hash."""
    compared: list[Compared] = []
    known: dict[str, Sequence[LedgerRow]] = {}
    for shadow in shadows:
        if shadow.event_hash not in known:
            known = {shadow.event_hash: rows_of(shadow.event_hash)}  # records of one event follow each other
        compared.append(_compared(shadow, known[shadow.event_hash]))
    return sorted(
        compared, key=lambda one: (one.shadow.event_time, one.shadow.event_id, one.shadow.target_id)
    )


def _compared(shadow: ShadowRecord, rows: Sequence[LedgerRow]) -> Compared:
    if shadow.reason:
        return Compared(shadow, Verdict.REFUSED)
    wanted = (shadow.environment, shadow.dag_id)
    candidates = [row for row in rows if (row.environment, row.dag_id) == wanted]
    ran = [row for row in candidates if row.state == "triggered"]
    if not ran:
        real = next(iter(candidates), None)
        return Compared(shadow, Verdict.NOT_RUN if real else Verdict.ALONE, real)
    # Among several runs of that DAG, take the most similar one.
    nearest = min(ran, key=lambda row: len(_conf_changes(shadow, row)))
    fields = tuple(_conf_changes(shadow, nearest))
    return Compared(shadow, Verdict.OTHER_CONF if fields else Verdict.SAME, nearest, fields)


def _conf_changes(shadow: ShadowRecord, row: LedgerRow) -> list[FieldChange]:
    real = row.request.target.conf if row.request else {}
    return field_changes(_own(real), _own(shadow.conf or {}))


def _own(conf: Any) -> dict[str, Any]:
    return {name: value for name, value in conf.items() if name != ORIGIN_KEY}
