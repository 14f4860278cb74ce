"""Builds the function that Step Functions states call."""

import os
import time

import boto3

from mwaa_gateway.aws.clients import CLIENT_CONFIG
from mwaa_gateway.aws.sqs.watch_queues import WatchQueues
from mwaa_gateway.settings.ingress import TaskSettings
from mwaa_gateway.step_functions.starter import TaskStarter
from mwaa_gateway.wiring import once
from mwaa_gateway.wiring.ingress import build_ingress
from mwaa_gateway.wiring.watches import watches


@once
def step_functions_task() -> TaskStarter:
    """Build step_functions_task, once per sandbox."""
    settings = TaskSettings.from_environ(os.environ)
    sqs = boto3.client("sqs", config=CLIENT_CONFIG)
    ingress = build_ingress(settings, sqs)
    return TaskStarter(
        rules=ingress.rules,
        allowed=settings.task_dags,
        environments=settings.environments,
        queue=ingress.queue,
        watches=watches(settings.ledger_table, settings.task_token_key),
        watch_queue=WatchQueues(sqs, settings.watch_queue_url),
        claim_checks=ingress.claim_checks,
        claim_check_bucket=settings.claim_check_bucket,
        now=time.time,
    )
