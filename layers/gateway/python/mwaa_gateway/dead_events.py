"""The reasons of the dead letters of ingress: events that start no run, and members that came too late."""

from enum import StrEnum
from typing import Final


class DeadEventReason(StrEnum):
    """Why an event is dead: as a whole, for one rule, or for one target."""

    MALFORMED_EVENT = "malformed_event"
    BROKEN_RULE = "broken_rule"
    CAPTURES_REFUSED = "captures_refused"
    DEDUPE_KEY_REFUSED = "dedupe_key_refused"
    BATCH_KEY_REFUSED = "batch_key_refused"
    DAG_ID_REFUSED = "dag_id_refused"
    CONF_NOT_MADE = "conf_not_made"
    CONF_TOO_LARGE = "conf_too_large"


LATE_MEMBER: Final = "late_member"  # the reason of a member's dead letter
