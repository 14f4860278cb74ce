"""Who waits for which run: written by the function that states call, and followed by the run watcher."""

import time

import boto3

from mwaa_gateway.aws.clients import CLIENT_CONFIG
from mwaa_gateway.aws.dynamodb.watch_items import WatchItems
from mwaa_gateway.aws.task_callbacks import TokenCipher

__all__ = ["watches"]


def watches(ledger_table: str, key: str) -> WatchItems:
    """Build the watches, their tokens sealed with this key."""
    cipher = TokenCipher(boto3.client("kms", config=CLIENT_CONFIG), key)
    return WatchItems(boto3.client("dynamodb", config=CLIENT_CONFIG), ledger_table, cipher, now=time.time)
