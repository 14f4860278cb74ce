"""The gateway's deployment: the parameters that `template.yaml` gets here, and the names of its outputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_stack.aws import LocalAws
from local_stack.deploy import Deployment, deploy
from local_stack.ministack import StackError

STACK_NAME = "mwaa-gateway"


def project_root() -> Path:
    """Return the clone that this package was installed from. Raises StackError if it has no template."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "template.yaml").is_file():
        raise StackError(
            "the local stack deploys the project's own template.yaml and so runs from a clone of it: "
            "clone the repository and use `make run` there"
        )
    return root


@dataclass(frozen=True, slots=True)
class GatewayNames:
    """The outputs of the gateway's stack."""

    bucket: str
    claim_check_bucket: str
    topic_arn: str
    event_bus_name: str
    rules_table: str
    ledger_table: str
    ingress_dlq_url: str
    trigger_queue_url: str
    trigger_dlq_url: str
    step_functions_task_arn: str

    @classmethod
    def of(cls, outputs: Mapping[str, str], aws: LocalAws) -> "GatewayNames":
        """Read the outputs; raises StackError, which names a missing one."""
        try:
            return cls(
                bucket=outputs["LandingBucketName"],
                claim_check_bucket=outputs["ClaimCheckBucketName"],
                topic_arn=outputs["TopicArn"],
                event_bus_name=outputs["EventBusName"],
                rules_table=outputs["RulesTableName"],
                ledger_table=outputs["LedgerTableName"],
                ingress_dlq_url=_reachable(outputs["IngressDlqUrl"], aws),
                trigger_queue_url=_reachable(outputs["TriggerQueueUrlTemplate"], aws),
                trigger_dlq_url=_reachable(outputs["TriggerDlqUrlTemplate"], aws),
                step_functions_task_arn=outputs["StepFunctionsTaskFunctionArn"],
            )
        except KeyError as missing:
            raise StackError(
                f"template.yaml has no output {missing}, which the local stack needs"
            ) from missing


def _reachable(queue_url: str, aws: LocalAws) -> str:
    """Return the queue's URL with the local host: some clients (curl, the aws CLI) connect to the URL's host."""
    account_and_name = "/".join(queue_url.split("/")[-2:])
    return f"{aws.endpoint_url}/{account_and_name}"


def deploy_gateway(
    aws: LocalAws,
    *,
    root: Path,
    state_folder: Path,
    environments: tuple[str, ...],
    transports: str,
    ca_bundle: Path,
    mwaa_endpoint_url: str,
) -> Deployment:
    """Create the gateway's stack or bring it up to date with the working tree."""
    return deploy(
        aws,
        template_file=root / "template.yaml",
        stack_name=STACK_NAME,
        parameters={
            "Environments": ",".join(environments),
            "Transports": transports,
            "LandingBucketName": f"{STACK_NAME}-landing",
            "TaskDags": "*/*",
            "WebLoginRole": "User",
            "WebServerHost": "localhost",
            "WebServerCaBundle": str(ca_bundle),
        },
        python=root / ".venvs" / "lambda" / "bin" / "python",
        state_folder=state_folder,
        # Settings that AWS does not need: here MWAA is a separate server, and no host name has a prefix.
        environment={"AWS_ENDPOINT_URL_MWAA": mwaa_endpoint_url, "AWS_DISABLE_HOST_PREFIX_INJECTION": "true"},
    )
