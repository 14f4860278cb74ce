"""The function that sends the ends of executions to the watchers concerned."""

import os

import boto3

from mwaa_gateway.aws.clients import CLIENT_CONFIG
from mwaa_gateway.aws.ended_executions import ForwardingQueues, WatchesIndex
from mwaa_gateway.observability.ended_executions import report_forwarded
from mwaa_gateway.settings.step_functions import EndedExecutionsSettings
from mwaa_gateway.step_functions.ended_executions import EndedExecutions
from mwaa_gateway.wiring import once


@once
def ended_executions() -> EndedExecutions:
    """Build ended_executions, once per sandbox."""
    settings = EndedExecutionsSettings.from_environ(os.environ)
    return EndedExecutions(
        environments=settings.environments,
        watches=WatchesIndex(boto3.client("dynamodb", config=CLIENT_CONFIG), settings.ledger_table),
        queues=ForwardingQueues(boto3.client("sqs", config=CLIENT_CONFIG), settings.watch_queue_url),
        report=report_forwarded,
    )
