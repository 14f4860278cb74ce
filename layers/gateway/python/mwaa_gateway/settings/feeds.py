"""Settings of the functions of the feeds."""

from mwaa_gateway.settings import Settings, queue_urls, setting
from mwaa_gateway.values import value


@value(kw_only=True)
class _FeedsSettings(Settings):
    """Settings of every function of the feeds."""

    batches_table: str = setting("name of the DynamoDB table of the batches")
    look_queue_url: str = setting("URL of the queue of batches that may be released")


@value(kw_only=True)
class TimersSettings(_FeedsSettings):
    """Settings of batch_timers."""

    rules_table: str = setting("name of the DynamoDB table of the rules, for those that expect days")


@value(kw_only=True)
class CollectorSettings(_FeedsSettings):
    """Settings of batch_collector."""

    collect_queue_url: str = setting("URL of the queue of members, for rules that collect")
    claim_check_bucket: str = setting("name of the bucket of the manifests")
    ingress_dlq_url: str = setting("URL of the dead-letter queue, for late members that a rule sends there")


@value(kw_only=True)
class ReleaserSettings(_FeedsSettings):
    """Settings of batch_releaser."""

    collect_queue_url: str = setting(
        "URL of the queue of members, which a flush passes before a quiet batch is released"
    )
    event_bus: str = setting("name of the gateway's event bus, for events about batches")
    claim_check_bucket: str = setting("name of the bucket of the manifests, and of confs that are too large")
    trigger_queue_url: str = queue_urls("trigger")
