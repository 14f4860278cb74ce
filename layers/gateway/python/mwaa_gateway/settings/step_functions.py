"""Settings of ended_executions."""

from mwaa_gateway.settings import Settings, names, queue_urls, setting
from mwaa_gateway.values import value


@value(kw_only=True)
class EndedExecutionsSettings(Settings):
    """Settings of ended_executions: where it looks for watches, and the queues of the watchers."""

    ledger_table: str = setting("name of the DynamoDB table that has the open watches")
    watch_queue_url: str = queue_urls("watch")
    environments: frozenset[str] = setting(
        "comma-separated names of the environments that have a run watcher", names
    )
