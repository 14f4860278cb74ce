"""Settings of the functions that match events with rules."""

from typing import Literal, cast, get_args

from mwaa_gateway.settings import Settings, names, queue_urls, setting
from mwaa_gateway.values import value

LogUnmatched = Literal["all", "sampled", "none"]


def _log_unmatched(text: str) -> LogUnmatched:
    if text not in get_args(LogUnmatched):
        raise ValueError(f"it is {text!r}; expected one of {', '.join(get_args(LogUnmatched))}")
    return cast("LogUnmatched", text)


@value
class IngressSettings(Settings):
    """Settings of s3_events, sns_events and eventbridge_events."""

    rules_table: str = setting("name of the DynamoDB table of the rules")
    trigger_queue_url: str = queue_urls("trigger")
    ledger_table: str = setting("name of the DynamoDB table that records what rules in SHADOW would have run")
    ingress_dlq_url: str = setting("URL of the dead-letter queue for events that can never start a run")
    environments: frozenset[str] = setting(
        "comma-separated names of the MWAA environments that rules may name", names
    )
    claim_check_bucket: str = setting("name of the bucket for confs that are too large to pass to Airflow")
    rules_refresh_seconds: float = setting("maximum age of the rules in use, in seconds", float, default=5.0)
    # Empty for the seconds of an update from a version without it: a member is then tried again.
    collect_queue_url: str = setting("URL of the queue of members, for rules that collect", default="")
    unwrap_topic_arns: frozenset[str] = setting(
        "comma-separated ARNs of the topics whose messages may be S3 or EventBridge events",
        names,
        default=frozenset(),
    )
    log_unmatched: LogUnmatched = setting(
        "which events that no rule matches get a log line: all, sampled (one in a hundred) or none",
        _log_unmatched,
        default="all",
    )


@value(kw_only=True)
class QueuedEventsSettings(IngressSettings):
    """Settings of queued_events: those of every ingress function, and the queues it trusts."""

    ingress_retry_queue_arn: str = setting("ARN of the queue of events that Lambda stopped retrying")
    event_queue_arns: frozenset[str] = setting(
        "comma-separated ARNs of your own queues that collect S3, SNS or EventBridge events",
        names,
        default=frozenset(),
    )


@value(kw_only=True)
class TaskSettings(IngressSettings):
    """Settings of step_functions_task: those of every ingress function, and those of waiting for a run."""

    watch_queue_url: str = queue_urls("watch")
    task_token_key: str = setting("ARN of the KMS key that encrypts task tokens")
    task_dags: frozenset[str] = setting(
        "comma-separated patterns of the DAGs that states may name: <environment>/<dag_id>, * matches any text",
        names,
        default=frozenset(),
    )
