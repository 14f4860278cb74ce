"""The endpoints and names of a running local stack: the contents of `.local/state.json`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from local_stack.aws import LocalAws


@dataclass(frozen=True, slots=True)
class EnvironmentState:
    """One MWAA environment: its Airflow, and the gateway's resources for it."""

    airflow_version: str
    airflow_url: str
    web_server_hostname: str
    trigger_queue_url: str
    trigger_dlq_url: str
    dispatcher: str
    dags_folder: str
    airflow_home: str
    transport: str = "cli"  # or rest


@dataclass(frozen=True, slots=True)
class StackState:
    """Every endpoint and name of a running stack: what `mwaa-gateway local status --json` prints."""

    aws_endpoint_url: str
    region: str
    account_id: str
    credentials: Mapping[str, str]
    stack_name: str
    bucket: str
    claim_check_bucket: str
    topic_arn: str
    event_bus_name: str
    rules_table: str
    ledger_table: str
    ingress_dlq_url: str
    step_functions_task_arn: str
    mwaa_endpoint_url: str
    environments: Mapping[str, EnvironmentState]
    ca_bundle: str
    log_folder: str
    pid: int

    @property
    def aws(self) -> LocalAws:
        """Clients for it."""
        return LocalAws(
            self.aws_endpoint_url,
            self.region,
            (self.credentials["access_key_id"], self.credentials["secret_access_key"]),
        )

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables by which boto3, the aws CLI and `mwaa-gateway rules` find this stack."""
        return {
            "AWS_ENDPOINT_URL": self.aws_endpoint_url,
            "AWS_ENDPOINT_URL_MWAA": self.mwaa_endpoint_url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.credentials["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": self.credentials["secret_access_key"],
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        }

    def document(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    def write(self, path: Path) -> None:
        """Replace the file atomically: a reader sees a whole state or none."""
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(self.document(), indent=2) + "\n")
        fresh.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the state that was written last, or None. Its stack may have ended since."""
        try:
            document = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        environments = {name: EnvironmentState(**each) for name, each in document.pop("environments").items()}
        return cls(**document, environments=environments)
