"""What to do about a dead letter, by its reason: one sentence each, for the one who is on call."""

from collections.abc import Mapping
from typing import Final

from mwaa_gateway.ingress.ingest import DeadEventReason
from mwaa_gateway.outcomes import Reason

__all__ = [
    "EVENTBRIDGE_GAVE_UP",
    "LAMBDA_GAVE_UP",
    "RECEIVED_TOO_OFTEN",
    "REMEDIES",
    "SNS_GAVE_UP",
    "UNKNOWN",
    "remedy",
]

LAMBDA_GAVE_UP: Final = "lambda_gave_up"
EVENTBRIDGE_GAVE_UP: Final = "eventbridge_gave_up"
SNS_GAVE_UP: Final = "sns_gave_up"
RECEIVED_TOO_OFTEN: Final = "received_too_often"
UNKNOWN: Final = "unknown"

REMEDIES: Final[Mapping[str, str]] = {
    # Trigger requests: what Airflow, or the way to it, said.
    Reason.AIRFLOW_REFUSED: "Airflow refuses the command itself: compare its version with those the gateway knows, "
    "update one of the two, then redrive. Where the text says that the dag_id cannot be sent, a redrive does not help: "
    "correct it in the rule, purge this, and have the source send a new event.",
    Reason.CANCELLED: "Somebody cancelled it while it was held, which was no mistake: purge this, or redrive it if it was.",
    Reason.CONF_REFUSED: "Airflow refuses the conf, and a redrive sends the same: loosen the DAG's params, then redrive; or "
    "mend the rule's input_transformer, purge this, and have the source send a new event.",
    Reason.CRASHED: "Five attempts in a row, or ten looks-up before one, left no outcome in the ledger: the dispatcher was "
    "killed on it, or the ledger did not take what became of it. Look into its log for memory, time and DynamoDB, mend "
    "that, then redrive.",
    Reason.DAG_BROKEN: "The DAG's file cannot be imported: mend it, see that the DAG is back in Airflow, then redrive.",
    Reason.DAG_ID_TOO_LONG: "InvokeRestApi takes no DAG id of this length: give the environment CLI tokens "
    "(<environment>=cli in the stack's parameter Transports), then redrive.",
    Reason.DAG_MISSING: "Airflow has no such DAG. Its text quotes Airflow's import errors: correct the DAG's file if it is "
    "among them, else deploy it, then redrive. A redrive keeps its DAG: if the rule names the wrong one, correct the rule, "
    "purge this, and have the source send a new event.",
    Reason.DAG_PAUSED: "Its rule says when_paused: reject, and the DAG was paused: unpause it in Airflow, then redrive.",
    Reason.MESSAGE_UNREADABLE: "A message on the trigger queue is no request that this version can read: deploy the "
    "version that wrote it, then redrive; if nothing of yours did, see who may write to that queue, and purge this.",
    Reason.RUN_ID_REFUSED: "Airflow refuses the run_id: let allowed_run_id_pattern in its [scheduler] section allow "
    "evt__ and the rule's id, then redrive.",
    Reason.TOO_OLD: "It was tried until its maximum event age, or its environment was away for 14 days; its text says what "
    "failed last: mend that, then redrive. Where the run may exist, it is looked up first.",
    RECEIVED_TOO_OFTEN: "SQS gave up after a thousand receives, the dispatcher could not record anything: see that it and "
    "the ledger work, then redrive.",
    # Events that never became a request.
    DeadEventReason.MALFORMED_EVENT: "The source sent what is no event of its kind: mend the sender and purge this, or "
    "deploy a gateway that reads it, then redrive.",
    DeadEventReason.BROKEN_RULE: "The rule cannot be read from the table: apply its file again, then redrive; other rules "
    "have had the event already, and get no second run.",
    DeadEventReason.CAPTURES_REFUSED: "A field has another form than the rule's captures: mend them and apply the rule, or "
    "narrow its pattern so that it leaves such events out; then redrive.",
    DeadEventReason.DEDUPE_KEY_REFUSED: "The event lacks a value of the rule's dedupe_key: mend that and apply the rule, or "
    "narrow its pattern so that it leaves such events out; then redrive.",
    DeadEventReason.DAG_ID_REFUSED: "The event names a DAG that the rule does not allow: if it may, add it to the target's "
    "allowed_dag_ids, apply the rule, then redrive; else see who sent it, and purge this.",
    DeadEventReason.CONF_NOT_MADE: "The rule makes no conf of this event: correct its input_transformer, apply it, then "
    "redrive.",
    DeadEventReason.CONF_TOO_LARGE: "The conf has more than the 32 KB that can be passed (1 MB with a claim check): give "
    "the target large_conf: claim_check, or let its input_template name only what the DAG needs; apply the rule, then "
    "redrive.",
    LAMBDA_GAVE_UP: "The function failed until Lambda, and after it the ingress retry queue, gave up: mend what its text "
    "and log say, then redrive.",
    EVENTBRIDGE_GAVE_UP: "EventBridge could not call the function, or the bus could not use your KMS key; the text says "
    "which. Deploy the stack again if a permission is missing, or let events.amazonaws.com use the key; then redrive.",
    SNS_GAVE_UP: "SNS could not call the function, its text says why (mostly a permission that was removed): deploy the "
    "stack again, then redrive.",
    UNKNOWN: "Nothing of the gateway writes such a message: see who may write to this queue, and purge this.",
}


def remedy(reason: str) -> str:
    """Say what to do next."""
    return REMEDIES.get(reason, "Its text says what happened: mend that, then redrive.")
