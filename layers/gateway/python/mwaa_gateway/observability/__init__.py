"""Logs and metrics of every function: Powertools, set up once, and one log line for each change of state.

The lines about events are the trail: `observability.trail` builds their fields, docs/trail.md documents them. The gateway
logs nothing else of an event, because subjects and messages are other people's text. One exception: a reason may quote a
DAG id that is not on the allow-list.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from threading import RLock
from typing import Any, ParamSpec

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from mwaa_gateway.observability.trail import Fields, bounded_message, line

__all__ = ["log_trail", "logger", "metrics", "one_at_a_time", "publish"]

P = ParamSpec("P")

# Both read only their own POWERTOOLS_* variables; neither makes a call.
logger = Logger()
metrics = Metrics()


_lock = RLock()


def one_at_a_time(report: Callable[P, None]) -> Callable[P, None]:
    """Have threads wait for each other: the metrics of one report are collected before they are published."""

    @wraps(report)
    def alone(*args: P.args, **kwargs: P.kwargs) -> None:
        with _lock:
            report(*args, **kwargs)

    return alone


def log_trail(log: Callable[..., None], message: str, *fields: Fields, **more: Any) -> None:
    """Log one line of the trail with these fields; `more` are arguments of the logger's method `log`."""
    # stacklevel: the field `location` names the caller; 2 is the default of Powertools.
    log(bounded_message(message), extra=line(*fields), stacklevel=3, **more)


def publish(counts: Mapping[str, int]) -> None:
    """Publish the counts, with the dimensions and metrics added before."""
    # Not with Powertools' decorator, which warns on stderr about every invocation that counts nothing.
    for name, count in counts.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=count)
    metrics.flush_metrics()
