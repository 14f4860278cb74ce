"""Builds the run watcher of one environment."""

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
    """A run watcher, and the queue that gets its messages back."""

    settings: RunWatcherSettings
    watcher: Watcher
    visibility: VisibilityTimeout
    now: Callable[[], float]


@cache
def run_watcher() -> RunWatcherFunction:
    """Build the run watcher, once per sandbox."""
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
