"""Logs and metrics of every function: Powertools, set up once, and one log line for each change of state.

The log keys are the same everywhere: event_id, rule_id, dag_id, run_id, attempt, outcome. The gateway logs nothing else
of an event, because keys, subjects and messages are other people's text. One exception: a reason may quote a DAG id that
is not on the allow-list.
"""

from collections.abc import Mapping

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

__all__ = ["logger", "metrics", "publish"]

# Both read only their own POWERTOOLS_* variables; neither makes a call.
logger = Logger()
metrics = Metrics()


def publish(counts: Mapping[str, int]) -> None:
    """Publish the counts, with the dimensions and metrics added before."""
    # Not with Powertools' decorator, which warns on stderr about every invocation that counts nothing.
    for name, count in counts.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=count)
    metrics.flush_metrics()
