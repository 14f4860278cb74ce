"""Builds the watches, which the function step_functions_task opens and the run watcher follows."""

import time

import boto3

from mwaa_gateway.aws.clients import CLIENT_CONFIG
from mwaa_gateway.aws.dynamodb.watch_items import WatchItems
from mwaa_gateway.aws.task_callbacks import TokenCipher


def watches(ledger_table: str, key: str) -> WatchItems:
    """Build the watches; this key encrypts their tokens."""
    cipher = TokenCipher(boto3.client("kms", config=CLIENT_CONFIG), key)
    return WatchItems(boto3.client("dynamodb", config=CLIENT_CONFIG), ledger_table, cipher, now=time.time)
