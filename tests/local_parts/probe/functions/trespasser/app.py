# ruff: noqa: T201 - MiniStack waits 100 ms for the log of a function that writes none
"""Reads a table its role does not mention, then one it does; answers with what came of each."""

import os
import sys

import boto3
from botocore.exceptions import ClientError

dynamodb = boto3.client("dynamodb")


def handler(_event, _context):
    print("trying")
    return {
        "forbidden": _read(os.environ["FORBIDDEN_TABLE"]),
        "allowed": _read(os.environ["ALLOWED_TABLE"]),
        "path": sys.path,
    }


def _read(table):
    try:
        dynamodb.get_item(TableName=table, Key={"id": {"S": "1"}})
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "read"
