"""The function that sends the ends of executions to the watchers concerned."""

import os
from dataclasses import dataclass
from functools import cache

import boto3

from mwaa_gateway.aws.clients import CLIENT_CONFIG
from mwaa_gateway.aws.ended_executions import ForwardingQueues, WatchesIndex
from mwaa_gateway.settings import EndedExecutionsSettings

__all__ = ["EndedExecutionsFunction", "ended_executions"]


@dataclass(frozen=True, slots=True)
class EndedExecutionsFunction:
    """The function ended_executions: where watches are looked up, and where notices go."""

    settings: EndedExecutionsSettings
    watches: WatchesIndex
    queues: ForwardingQueues


@cache
def ended_executions() -> EndedExecutionsFunction:
    """Build ended_executions of this sandbox, once."""
    settings = EndedExecutionsSettings.from_environ(os.environ)
    return EndedExecutionsFunction(
        settings=settings,
        watches=WatchesIndex(boto3.client("dynamodb", config=CLIENT_CONFIG), settings.ledger_table),
        queues=ForwardingQueues(boto3.client("sqs", config=CLIENT_CONFIG), settings.watch_queue_url),
    )
