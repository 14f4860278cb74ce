# ruff: noqa: D301 - click's own mark for lines to keep as they are is a backslash b
"""`mwaa-gateway claim-check`: DAGs' access to confs that are too large to pass."""

from typing import Any

import click

from gateway_cli.connection import Connection, gateway_options
from gateway_cli.groups import Group
from gateway_cli.output import Refused, print_json

__all__ = ["claim_check"]


@click.group("claim-check", cls=Group)
def claim_check() -> None:
    """Give DAGs access to confs that are too large to pass.

    With `large_conf: claim_check` on the target, the gateway writes a conf of more than 32 KB to its bucket, and the
    run's conf has its URI in mwaa_gateway.conf_uri. The DAG reads it with its environment's execution role.
    """


@claim_check.command()
@click.argument("environment")
@gateway_options
def policy(connection: Connection, environment: str) -> None:
    """Print the IAM policy that an environment's execution role needs.

    ENVIRONMENT is its name in the rules. The policy allows the confs of its own runs, and no others.

    \b
    Example:
      mwaa-gateway claim-check policy analytics > policy.json
      aws iam put-role-policy --role-name my-mwaa-role --policy-name large-confs --policy-document file://policy.json
    """
    known = connection.environments
    if known is not None and environment not in known:
        raise Refused(f"this gateway has no environment {environment!r}; it has {', '.join(sorted(known))}")
    bucket = connection.stack_output("ClaimCheckBucketArn")
    statements: list[dict[str, Any]] = [
        {
            "Sid": "ReadLargeConfs",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": f"{bucket}/{environment}/*",
        }
    ]
    if key := connection.stack_outputs.get("ClaimCheckKeyArn"):
        statements.append(
            {"Sid": "DecryptLargeConfs", "Effect": "Allow", "Action": "kms:Decrypt", "Resource": key}
        )
    print_json({"Version": "2012-10-17", "Statement": statements})
