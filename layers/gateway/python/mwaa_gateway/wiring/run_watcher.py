"""The run watcher of one environment."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import boto3

from mwaa_gateway.aws.clients import CLIENT_CONFIG
from mwaa_gateway.aws.sqs.queues import VisibilityTimeout
from mwaa_gateway.aws.task_callbacks import TaskCallbacks
from mwaa_gateway.settings import RunWatcherSettings
from mwaa_gateway.step_functions.watcher import Watcher
from mwaa_gateway.wiring.transport import runs_of
from mwaa_gateway.wiring.watches import watches

__all__ = ["RunWatcherFunction", "run_watcher"]


@dataclass(frozen=True, slots=True)
class RunWatcherFunction:
    """A run watcher: the flow, and the messages it gives back to its queue."""

    settings: RunWatcherSettings
    watcher: Watcher
    visibility: VisibilityTimeout
    now: Callable[[], float]


@cache
def run_watcher() -> RunWatcherFunction:
    """Build the run watcher of this sandbox, once."""
    settings = RunWatcherSettings.from_environ(os.environ)
    return RunWatcherFunction(
        settings=settings,
        watcher=Watcher(
            environment=settings.environment,
            store=watches(settings.ledger_table, settings.task_token_key),
            airflow=runs_of(settings),
            callbacks=TaskCallbacks(boto3.client("stepfunctions", config=CLIENT_CONFIG)),
            now=time.time,
        ),
        visibility=VisibilityTimeout(boto3.client("sqs", config=CLIENT_CONFIG), settings.watch_queue_url),
        now=time.time,
    )
