"""Each role against the code of its function: no operation without a permission, no permission without an operation.

The code is read, not run: the modules that a handler imports, and in those of `aws/` the boto3 calls of every function
whose name is used somewhere among them.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from template.expansion import EVERYTHING, ROOT, statements

LAYER = ROOT / "layers" / "gateway" / "python"
# boto3's methods by the service whose actions they need; a paginator's name counts as the method.
OPERATIONS = {
    **dict.fromkeys(
        ("batch_get_item", "delete_item", "get_item", "put_item", "query", "scan", "update_item"), "dynamodb"
    ),
    **dict.fromkeys(("transact_write_items", "batch_write_item"), "dynamodb"),
    **dict.fromkeys(
        ("change_message_visibility", "delete_message", "receive_message", "send_message"), "sqs"
    ),
    **dict.fromkeys(("send_message_batch", "change_message_visibility_batch", "delete_message_batch"), "sqs"),
    **dict.fromkeys(("send_task_failure", "send_task_heartbeat", "send_task_success"), "states"),
    **dict.fromkeys(("encrypt", "decrypt"), "kms"),
    **dict.fromkeys(
        ("create_cli_token", "create_web_login_token", "get_environment", "invoke_rest_api"), "airflow"
    ),
    **dict.fromkeys(("put_object", "get_object"), "s3"),
}
# What Lambda itself does with a function's role.
LOGS_AND_TRACES = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
POLLING = {"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"}
IN_A_VPC = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
}
KEY_THROUGH_SERVICES = {"kms:Decrypt", "kms:GenerateDataKey"}
SOURCE, QUEUE = LOGS_AND_TRACES | KEY_THROUGH_SERVICES, LOGS_AND_TRACES | KEY_THROUGH_SERVICES | POLLING
ROLES = {
    "S3EventsRole": ("s3_events", SOURCE),
    "SnsEventsRole": ("sns_events", SOURCE),
    "EventBridgeEventsRole": ("eventbridge_events", SOURCE),
    "QueuedEventsRole": ("queued_events", QUEUE),
    "StepFunctionsTaskRole": ("step_functions_task", SOURCE),
    "EndedExecutionsRole": ("ended_executions", QUEUE),
    "DispatcherRoleanalytics": ("dispatcher", QUEUE | IN_A_VPC),
    "RunWatcherRoleanalytics": ("run_watcher", QUEUE | IN_A_VPC),
}
# Calls in modules that a function imports and that it never makes: a class it shares a module with, or does not build.
BY_QUEUED_EVENTS = {"sqs:ChangeMessageVisibility"}  # EventQueues
NEVER_MADE = {
    "S3EventsRole": BY_QUEUED_EVENTS,
    "SnsEventsRole": BY_QUEUED_EVENTS,
    "EventBridgeEventsRole": BY_QUEUED_EVENTS,
    "StepFunctionsTaskRole": BY_QUEUED_EVENTS,
    "RunWatcherRoleanalytics": {
        "dynamodb:PutItem",
        "kms:Encrypt",
        "sqs:SendMessage",  # it would be a recursive loop: see test_recursion.py
    },  # who waits is written by step_functions_task
}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_allows_what_its_code_calls_and_nothing_else(expand, role):
    """With every option on; what Lambda does in the function's name is added."""
    function, lambdas_own = ROLES[role]
    policies = expand("analytics", **EVERYTHING).of_type("AWS::IAM::Role")[role]["Policies"]
    allowed = {
        action
        for policy in policies
        for actions, _, statement in statements(policy["PolicyDocument"])
        if statement["Effect"] == "Allow"
        for action in actions
    }

    never = NEVER_MADE.get(role, set())
    assert never.isdisjoint(allowed)
    assert calls(function) >= never
    assert allowed - lambdas_own == calls(function) - lambdas_own - never


def calls(function: str) -> set[str]:
    """The actions of all boto3 calls in a function's code."""
    app = ROOT / "functions" / function / "app.py"
    modules = list(imported(app))
    used = {name for module in modules for name in names_in(module)}
    found = {
        f"{OPERATIONS[operation]}:{camel_case(operation)}"
        for module in modules
        if LAYER / "mwaa_gateway" / "aws" in module.parents
        for method in ast.walk(parsed(module))
        if isinstance(method, ast.FunctionDef) and method.name in used
        for operation in operations_in(method)
    }
    return {action.removesuffix("Batch") if action.startswith("sqs:") else action for action in found}


def imported(start: Path) -> Iterator[Path]:
    """A module, and every module of the layer that it imports, at any depth; not what only a type checker imports."""
    waiting, seen = [start], {start}
    while waiting:
        yield (module := waiting.pop())
        for name in imports_of(parsed(module)):
            file = LAYER / Path(*name.split("."))
            for each in (file.with_suffix(".py"), file / "__init__.py"):
                if each.is_file() and each not in seen:
                    seen.add(each)
                    waiting.append(each)


def imports_of(tree: ast.Module) -> Iterator[str]:
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in for_types:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def names_in(module: Path) -> Iterator[str]:
    """Every name a module calls or passes on: of attributes and of variables."""
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Name):
            yield node.id


def operations_in(method: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(method):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = node.func.attr
            if name == "get_paginator":
                (argument,) = node.args
                assert isinstance(argument, ast.Constant)
                yield argument.value
            elif name in OPERATIONS and "client" in ast.unparse(node.func.value):
                yield name


@cache
def parsed(module: Path) -> ast.Module:
    return ast.parse(module.read_text())


def camel_case(operation: str) -> str:
    return "".join(word.capitalize() for word in operation.split("_"))
