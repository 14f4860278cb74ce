"""Logs and metrics of every function: Powertools set up in one place, and one line for each change of state.

Log keys are the same everywhere: event_id, rule_id, dag_id, run_id, attempt, outcome. Nothing else of an event is
logged: keys, subjects and messages are other people's text. (A DAG id that an event may not name is, as a reason.)
"""

from collections.abc import Mapping

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

__all__ = ["logger", "metrics", "publish"]

# Both read only their own POWERTOOLS_* variables; neither makes a call.
logger = Logger()
metrics = Metrics()


def publish(counts: Mapping[str, int]) -> None:
    """Publish what was counted, with the dimensions and metrics that were added before."""
    # Not with Powertools' decorator: it warns on stderr about every invocation that has nothing to count.
    for name, count in counts.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=count)
    metrics.flush_metrics()
