"""The functions' settings: environment variables, read once at the first event, set by template.yaml."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Self

from mwaa_gateway.errors import GatewayError
from mwaa_gateway.transports import InvalidTransports, Transports

__all__ = [
    "AirflowSettings",
    "DispatcherSettings",
    "DoctorSettings",
    "IngressSettings",
    "InvalidSetting",
    "QueuedEventsSettings",
    "RunWatcherSettings",
    "TaskSettings",
]


class InvalidSetting(GatewayError):
    """An environment variable is missing or cannot be read; the text names it."""


def _setting(explained: str, parse: Callable[[str], Any] = str, *, default: Any = MISSING) -> Any:
    metadata = {"explained": explained, "parse": parse}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def _queue_per_environment(text: str) -> str:
    if "{environment}" not in text:
        raise ValueError("it must hold the text {environment}")
    return text


@dataclass(frozen=True, slots=True)
class _Settings:
    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read every field from the variable of its name in capitals.

        Raises:
            InvalidSetting: one is missing or has the wrong form.
        """
        values: dict[str, Any] = {}
        for setting in fields(cls):
            name = setting.name.upper()
            try:
                if name in environ:
                    values[setting.name] = setting.metadata["parse"](environ[name])
                elif setting.default is MISSING:
                    raise InvalidSetting(
                        f"environment variable {name} is not set: {setting.metadata['explained']}"
                    )
            except ValueError as error:
                raise InvalidSetting(f"environment variable {name} cannot be read: {error}") from error
        return cls(**values)


@dataclass(frozen=True, slots=True)
class IngressSettings(_Settings):
    """Settings of s3_events, sns_events and eventbridge_events."""

    rules_table: str = _setting("name of the DynamoDB table that holds the rules")
    trigger_queue_url: str = _setting(
        "URL of the trigger queues, with {environment} for the environment's name", _queue_per_environment
    )
    ledger_table: str = _setting("name of the DynamoDB table that keeps what rules in SHADOW would have run")
    ingress_dlq_url: str = _setting("URL of the queue that keeps events which can never be used")
    environments: frozenset[str] = _setting(
        "comma-separated names of the MWAA environments rules may name", _names
    )
    claim_check_bucket: str = _setting("name of the bucket for confs that are too large to be passed")
    rules_refresh_seconds: float = _setting(
        "how old, in seconds, the rules in use may be", float, default=5.0
    )
    unwrap_topic_arns: frozenset[str] = _setting(
        "comma-separated ARNs of the topics whose messages may be S3 or EventBridge events",
        _names,
        default=frozenset(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedEventsSettings(IngressSettings):
    """Settings of queued_events: those of every ingress function, and whose messages are believed."""

    ingress_retry_queue_arn: str = _setting("ARN of the queue that holds what Lambda gave up on")
    event_queue_arns: frozenset[str] = _setting(
        "comma-separated ARNs of your own queues that collect S3, SNS or EventBridge events",
        _names,
        default=frozenset(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings(IngressSettings):
    """Settings of step_functions_task: those of an ingress function, and what waiting for a run takes."""

    watch_queue_url: str = _setting(
        "URL of the watch queues, with {environment} for the environment's name", _queue_per_environment
    )
    task_token_key: str = _setting("ARN of the KMS key that task tokens are sealed with")
    task_dags: frozenset[str] = _setting(
        "comma-separated patterns of the DAGs that states may name, <environment>/<dag_id>, * for any text",
        _names,
        default=frozenset(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedExecutionsSettings(_Settings):
    """Settings of ended_executions: where it looks for watches, and the queues of the watchers."""

    ledger_table: str = _setting("name of the DynamoDB table that has the open watches")
    watch_queue_url: str = _setting(
        "URL of the watch queues, with {environment} for the environment's name", _queue_per_environment
    )
    environments: frozenset[str] = _setting(
        "comma-separated names of the environments that have a run watcher", _names
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AirflowSettings(_Settings):
    """How the functions of one environment reach its Airflow."""

    environment: str = _setting("name that rules use for the environment this function works for")
    ledger_table: str = _setting("name of the DynamoDB table that remembers every trigger request")
    mwaa_environment_name: str = _setting("what that environment is called on MWAA")
    cli_connect_timeout_seconds: float = _setting(
        "how long, in seconds, to wait for a connection to the web server", float, default=5.0
    )
    cli_read_timeout_seconds: float = _setting(
        "how long, in seconds, to wait for the answer to a command", float, default=30.0
    )
    web_server_host: str = _setting(
        "the only host[:port] a CLI or web login token may be sent to; empty: MWAA's own host names",
        default="",
    )
    web_server_ca_bundle: str = _setting(
        "path of the CA certificates the web server is checked against; empty: the public ones", default=""
    )
    transports: Transports = _setting(  # noqa: RUF009  it returns a dataclass field
        "rest (InvokeRestApi) or cli (CLI tokens) for every environment, or for each by name: analytics=rest,legacy=cli",
        Transports.parse,
    )
    slots_per_environment: int = _setting(
        "how many dispatchers of this environment run at once: they share MWAA's ten REST calls a second",
        int,
        default=3,
    )

    def __post_init__(self) -> None:
        """Refuse to start without a transport for this environment."""
        try:
            self.transports.of(self.environment)
        except InvalidTransports as error:
            raise InvalidSetting(f"environment variable TRANSPORTS cannot be used: {error}") from error

    @property
    def transport(self) -> str:
        """`rest` or `cli`: how this environment is reached."""
        return self.transports.of(self.environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatcherSettings(AirflowSettings):
    """Settings of the dispatcher, of which there is one for each environment."""

    rules_table: str = _setting("name of the DynamoDB table that holds the rules, and who stopped which")
    trigger_queue_url: str = _setting("URL of this environment's trigger queue")
    trigger_dlq_url: str = _setting("URL of this environment's dead-letter queue")
    maximum_event_age_seconds: int = _setting(
        "how long, in seconds since its first attempt, a request is tried when its rule does not say",
        int,
        default=86_400,
    )
    dag_missing_grace_seconds: int = _setting(
        "how long, in seconds, a DAG that Airflow does not know is waited for", int, default=900
    )
    brake_refresh_seconds: float = _setting(
        "how old, in seconds, the news of a disabled rule or a paused environment may be", float, default=5.0
    )
    dag_catalog_seconds: float = _setting(
        "how old, in seconds, the list of paused and stale DAGs may grow before it is renewed; 0: there is none",
        float,
        default=300.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWatcherSettings(AirflowSettings):
    """Settings of the run watcher, of which there is one for each environment."""

    watch_queue_url: str = _setting("URL of this environment's watch queue")
    task_token_key: str = _setting("ARN of the KMS key that task tokens are sealed with")
    web_login_role: str = _setting(
        "the Airflow role with which the watcher logs in to read return values and to end runs; empty: it does neither",
        default="",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorSettings(_Settings):
    """Settings of the doctor, of which there is one: what the dispatchers of all environments have."""

    environments: frozenset[str] = _setting(
        "comma-separated names of the environments it may look at", _names
    )
    mwaa_environment_name: str = _setting(
        "what an environment is called on MWAA; {environment} stands for its name"
    )
    step_functions_tasks: bool = _setting(
        "whether run watchers are deployed, which need more AWS endpoints", lambda text: text == "true"
    )
    cli_connect_timeout_seconds: float = _setting(
        "how long, in seconds, to wait for a connection to the web server", float, default=5.0
    )
    cli_read_timeout_seconds: float = _setting(
        "how long, in seconds, to wait for the answer to a command", float, default=30.0
    )
    web_server_host: str = _setting(
        "the only host[:port] a CLI token may be sent to; empty: MWAA's own host names", default=""
    )
    web_server_ca_bundle: str = _setting(
        "path of the CA certificates the web server is checked against; empty: the public ones", default=""
    )
    transports: Transports = _setting(  # noqa: RUF009  it returns a dataclass field
        "rest (InvokeRestApi) or cli (CLI tokens) for every environment, or for each by name: analytics=rest,legacy=cli",
        Transports.parse,
    )

    def of(self, environment: str) -> AirflowSettings:
        """Return how one environment is reached. Raises InvalidSetting where `transports` does not say."""
        return AirflowSettings(
            environment=environment,
            ledger_table="",  # the doctor knows none
            mwaa_environment_name=self.mwaa_environment_name.replace("{environment}", environment),
            cli_connect_timeout_seconds=self.cli_connect_timeout_seconds,
            cli_read_timeout_seconds=self.cli_read_timeout_seconds,
            web_server_host=self.web_server_host,
            web_server_ca_bundle=self.web_server_ca_bundle,
            transports=self.transports,
        )
