"""Builds the run watcher of one environment."""

import os
import time

import boto3

from mwaa_gateway.aws.clients import CLIENT_CONFIG
from mwaa_gateway.aws.sqs.queues import VisibilityTimeout
from mwaa_gateway.aws.task_callbacks import TaskCallbacks
from mwaa_gateway.observability import logger
from mwaa_gateway.observability.rounds import report_round, report_unreadable
from mwaa_gateway.settings.airflow import RunWatcherSettings
from mwaa_gateway.step_functions.delivery import WatchDeliveries
from mwaa_gateway.step_functions.watcher import Watcher
from mwaa_gateway.wiring import once
from mwaa_gateway.wiring.transport import runs_of
from mwaa_gateway.wiring.watches import watches


@once
def run_watcher() -> WatchDeliveries:
    """Build the run watcher and its queue, once per sandbox."""
    settings = RunWatcherSettings.from_environ(os.environ)
    return WatchDeliveries(
        watcher=Watcher(
            environment=settings.environment,
            store=watches(settings.ledger_table, settings.task_token_key),
            airflow=runs_of(settings),
            callbacks=TaskCallbacks(boto3.client("stepfunctions", config=CLIENT_CONFIG)),
            now=time.time,
        ),
        queue=VisibilityTimeout(boto3.client("sqs", config=CLIENT_CONFIG), settings.watch_queue_url),
        report=lambda made: report_round(made, settings.environment),
        report_unreadable=lambda notices: report_unreadable(notices, settings.environment),
        warn=logger.warning,
        now=time.time,
    )
