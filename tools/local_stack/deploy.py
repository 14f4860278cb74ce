"""Deploys `template.yaml` to MiniStack, also repeatedly."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local_stack.artifacts import Artifact, function_artifact, layer_artifact, unpacked_layer
from local_stack.aws import LocalAws
from local_stack.ministack import StackError
from local_stack.template import load_template, localise

_ARTIFACTS_BUCKET = "local-stack-artifacts"
_CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
_DEPLOY_SECONDS = 120.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployed stack: its outputs, and the resources that MiniStack does not support."""

    stack_name: str
    outputs: Mapping[str, str]
    left_out: tuple[str, ...]


def deploy(
    aws: LocalAws,
    *,
    template_file: Path,
    stack_name: str,
    parameters: Mapping[str, str],
    python: Path,
    state_folder: Path,
    environment: Mapping[str, str],
) -> Deployment:
    """Create or update the stack; raises StackError, which says what failed and why.

    Args:
        aws: where to.
        template_file: the project's template; the folders it names are taken relative to it.
        stack_name: the name of the stack.
        parameters: values of the template's parameters.
        python: interpreter of the functions, with what a Lambda sandbox has.
        state_folder: where the layer is unpacked to.
        environment: variables exported to every function.
    """
    root = template_file.parent
    gateway_layer = unpacked_layer(root / "layers" / "gateway" / "python", state_folder / "layers")

    def function(folder: str) -> Artifact:
        return function_artifact(
            (root / folder).resolve(),
            python=python,
            layer=gateway_layer,
            environment=environment,
        )

    package = localise(
        load_template(template_file),
        bucket=_ARTIFACTS_BUCKET,
        parameters=parameters,
        function=function,
        layer=lambda folder: layer_artifact((root / folder).resolve()),
    )
    template_url = _upload(aws, package.artifacts, package.template, stack_name)
    _submit(aws, stack_name, template_url, parameters)
    outputs = _wait(aws, stack_name)
    return Deployment(stack_name, outputs, package.left_out)


def _upload(
    aws: LocalAws, artifacts: tuple[Artifact, ...], template: Mapping[str, Any], stack_name: str
) -> str:
    """Put everything into the artifacts bucket; return the template's URL."""
    s3 = aws.client("s3")
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou, s3.exceptions.BucketAlreadyExists):
        s3.create_bucket(
            Bucket=_ARTIFACTS_BUCKET, CreateBucketConfiguration={"LocationConstraint": aws.region}
        )
    for artifact in artifacts:
        s3.put_object(Bucket=_ARTIFACTS_BUCKET, Key=artifact.key, Body=artifact.content)
    key = f"{stack_name}.template.json"
    s3.put_object(Bucket=_ARTIFACTS_BUCKET, Key=key, Body=json.dumps(template).encode())
    return f"{s3.meta.endpoint_url}/{_ARTIFACTS_BUCKET}/{key}"


def _submit(aws: LocalAws, stack_name: str, template_url: str, parameters: Mapping[str, str]) -> None:
    cloudformation = aws.client("cloudformation")
    request: dict[str, Any] = {
        "StackName": stack_name,
        "TemplateURL": template_url,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "Capabilities": list(_CAPABILITIES),
    }
    try:
        if _exists(cloudformation, stack_name):
            cloudformation.update_stack(**request)
        else:
            cloudformation.create_stack(**request)
    except ClientError as error:
        message = error.response["Error"]["Message"]
        if "No updates are to be performed" not in message:
            raise StackError(f"MiniStack refused the stack {stack_name}: {message}") from error


def _exists(cloudformation: Any, stack_name: str) -> bool:
    try:
        stacks = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return False
        raise
    return any(stack["StackStatus"] != "DELETE_COMPLETE" for stack in stacks)


def _wait(aws: LocalAws, stack_name: str) -> Mapping[str, str]:
    """Return the outputs, once the stack is complete."""
    cloudformation = aws.client("cloudformation")
    deadline = time.monotonic() + _DEPLOY_SECONDS
    while True:
        stack = cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]
        match stack["StackStatus"]:
            case "CREATE_COMPLETE" | "UPDATE_COMPLETE":
                return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
            case status if status.endswith("_IN_PROGRESS") and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
            case status:
                raise StackError(
                    _failure(cloudformation, stack_name, status, stack.get("StackStatusReason", ""))
                )


def _failure(cloudformation: Any, stack_name: str, status: str, reason: str) -> str:
    events = cloudformation.describe_stack_events(StackName=stack_name)["StackEvents"]
    failed = [
        f"  {event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason')}"
        for event in reversed(events)
        if event["ResourceStatus"].endswith("_FAILED")
    ]
    return "\n".join([f"the stack {stack_name} ended {status}. {reason}".strip(), *failed])
