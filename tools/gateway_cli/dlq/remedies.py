"""What to do about a dead letter, by its reason, for the engineer on call."""

from collections.abc import Mapping
from typing import Final

from mwaa_gateway.dead_events import LATE_MEMBER, DeadEventReason
from mwaa_gateway.outcomes import Reason

LAMBDA_GAVE_UP: Final = "lambda_gave_up"
EVENTBRIDGE_GAVE_UP: Final = "eventbridge_gave_up"
SNS_GAVE_UP: Final = "sns_gave_up"
RECEIVED_TOO_OFTEN: Final = "received_too_often"
MEMBER_NOT_COLLECTED: Final = "member_not_collected"
UNKNOWN: Final = "unknown"

REMEDIES: Final[Mapping[str, str]] = {
    # Trigger requests: Airflow's answer, or the way to Airflow.
    Reason.AIRFLOW_REFUSED: "Airflow refuses the command: compare its version with those the gateway supports, update one "
    "of the two, then redrive. If the text says that the dag_id cannot be sent, a redrive does not help: correct it in the "
    "rule, purge this, and let the source send a new event.",
    Reason.CANCELLED: "Somebody cancelled it while it was held: purge this, or redrive it if that was a mistake.",
    Reason.CONF_REFUSED: "Airflow refuses the conf, and a redrive sends the same: relax the DAG's params, then redrive; or "
    "correct the rule's input_transformer, purge this, and let the source send a new event.",
    Reason.CRASHED: "Five attempts in a row, or ten with a look-up first, left no outcome in the ledger: the dispatcher "
    "crashed, or the ledger did not take the outcome. Check the dispatcher's log for memory, timeouts and DynamoDB errors, "
    "fix that, then redrive.",
    Reason.DAG_BROKEN: "Airflow cannot import the DAG's file: fix it, check that Airflow lists the DAG again, then redrive.",
    Reason.DAG_ID_TOO_LONG: "InvokeRestApi takes no DAG id of this length: give the environment a web login or "
    "CLI tokens (<environment>=web or <environment>=cli in the stack's parameter Transports), then redrive.",
    Reason.DAG_MISSING: "Airflow has no such DAG. The text quotes Airflow's import errors: fix the DAG's file if it is "
    "among them, else deploy it, then redrive. If the rule names the wrong DAG, a redrive does not help: correct the rule, "
    "purge this, and let the source send a new event.",
    Reason.DAG_PAUSED: "The DAG was paused, and its rule has when_paused: reject. Unpause the DAG in Airflow, then redrive.",
    Reason.LOGICAL_DATE_TAKEN: "Another run of the DAG has this logical date: if it is not the right one, delete it in "
    "Airflow, then redrive. If both must run, `mwaa-gateway rerun --event` starts this one with a date a millisecond "
    "later, then purge this.",
    Reason.MESSAGE_UNREADABLE: "This version cannot read a message in the trigger queue: deploy the version that wrote it, "
    "then redrive. If no version of yours did, find out who may write to that queue, and purge this.",
    Reason.RUN_ID_REFUSED: "Airflow refuses the run_id: let allowed_run_id_pattern in its [scheduler] section allow "
    "evt__ and the rule's id, then redrive.",
    Reason.TOO_OLD: "It reached its maximum event age, or its environment was unavailable for 14 days; the text says what "
    "failed last: fix that, then redrive. If the run may exist, the gateway looks it up first.",
    Reason.UNCLEAR_ANSWER: "Airflow's answer has 2 MB or more, and the gateway does not read it: look for the run_id in "
    "Airflow. If the run is there, purge this; otherwise redrive.",
    RECEIVED_TOO_OFTEN: "SQS gave up after a thousand receives, because the dispatcher could not record anything: check "
    "that the dispatcher and the ledger work, then redrive.",
    # Events that never became a request.
    DeadEventReason.MALFORMED_EVENT: "The event lacks the form that its source documents: fix the sender and purge this, or "
    "deploy a gateway that reads it, then redrive.",
    DeadEventReason.BROKEN_RULE: "The gateway cannot read the rule in its table: apply the rule's file again, then redrive. "
    "Other rules have already had the event, and get no second run.",
    DeadEventReason.CAPTURES_REFUSED: "A field does not fit the rule's captures: correct them, or narrow the rule's pattern "
    "so that it does not match such events; apply the rule, then redrive.",
    DeadEventReason.DEDUPE_KEY_REFUSED: "The event lacks a value of the rule's dedupe_key: correct that, or narrow the "
    "rule's pattern so that it does not match such events; apply the rule, then redrive.",
    DeadEventReason.BATCH_KEY_REFUSED: "The event lacks a value of the key in the rule's collect, or a marker names no "
    "number: correct that, or narrow the rule's pattern so that it does not match such events; apply the rule, then "
    "redrive.",
    DeadEventReason.DAG_ID_REFUSED: "The event names a DAG that the rule does not allow: if it should, add it to the "
    "target's allowed_dag_ids, apply the rule, then redrive; otherwise find out who sent the event, and purge this.",
    DeadEventReason.CONF_NOT_MADE: "The rule cannot make the conf, the logical_date or the partition_key of this event's "
    "run; the text says which: correct that field of the target, apply the rule, then redrive.",
    DeadEventReason.CONF_TOO_LARGE: "The conf exceeds the limit of 32 KB (1 MB with a claim check): set large_conf: "
    "claim_check on the target, or let its input_template name only what the DAG needs; apply the rule, then redrive.",
    LAMBDA_GAVE_UP: "The function failed until Lambda, and then the ingress retry queue, gave up: fix what the text and the "
    "function's log say, then redrive.",
    EVENTBRIDGE_GAVE_UP: "EventBridge could not call the function, or the bus could not use your KMS key; the text says "
    "which. Deploy the stack again if a permission is missing, or let events.amazonaws.com use the key; then redrive.",
    SNS_GAVE_UP: "SNS could not call the function, mostly because a permission was removed; the text says why. Deploy the "
    "stack again, then redrive.",
    MEMBER_NOT_COLLECTED: "A member of a batch could not be stored for days: check batch_collector's log and the table of "
    "batches, then redrive. It joins the batch of its key that is open then.",
    LATE_MEMBER: "It came after the batch of its key was released, and its rule has late: dead_letter. To run its DAG all "
    "the same, redrive it: it opens a late batch. Otherwise purge this.",
    UNKNOWN: "No part of the gateway writes such a message: find out who may write to this queue, and purge this.",
}


def remedy(reason: str) -> str:
    """Return what to do next."""
    return REMEDIES.get(reason, "The text says what happened: fix that, then redrive.")
