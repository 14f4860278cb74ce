"""`mwaa-gateway claim-check`: DAGs' access to confs that are too large to pass, and to the manifests of batches."""

from typing import Any

import click

from gateway_cli.connection import Connection, gateway_options
from gateway_cli.groups import Group
from gateway_cli.output import Refused, print_json


@click.group("claim-check", cls=Group)
def claim_check() -> None:
    """Give DAGs access to confs that are too large to pass.

    With `large_conf: claim_check` on the target, the gateway writes a conf of more than 32 KB to its bucket, and the
    run's conf has its URI in mwaa_gateway.conf_uri. The DAG reads it with its environment's execution role. The lists of the
    members of batches are in the same bucket.
    """


@claim_check.command()
@click.argument("environment")
@click.option(
    "--batches-of",
    "rules",
    metavar="RULE",
    multiple=True,
    help="Also the manifests of the batches of this rule, or of all that 'sales.*' matches; repeatable.",
)
@gateway_options
def policy(connection: Connection, environment: str, rules: tuple[str, ...]) -> None:
    """Print the IAM policy that an environment's execution role needs.

    ENVIRONMENT is its name in the rules. The policy allows the confs of its own runs, and no others, and with --batches-of
    the manifests of those rules.

    \b
    Examples:
      mwaa-gateway claim-check policy analytics --batches-of sales.nightly
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
    if rules:
        statements.append(
            {
                "Sid": "ReadManifests",
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": [f"{bucket}/feeds/{rule}/*" for rule in rules],
            }
        )
    if key := connection.stack_outputs.get("ClaimCheckKeyArn"):
        statements.append(
            {"Sid": "DecryptLargeConfs", "Effect": "Allow", "Action": "kms:Decrypt", "Resource": key}
        )
    print_json({"Version": "2012-10-17", "Statement": statements})
