"""The functions' settings: environment variables that template.yaml sets and a function reads at its first event."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Literal, Self, cast, get_args

from mwaa_gateway.errors import GatewayError
from mwaa_gateway.transports import InvalidTransports, Transports

LogUnmatched = Literal["all", "sampled", "none"]


class InvalidSetting(GatewayError):
    """An environment variable is missing or invalid; the text names it."""


def _setting(
    explained: str, parse: Callable[[str], Any] = str, *, default: Any = MISSING, variable: str = ""
) -> Any:
    metadata = {"explained": explained, "parse": parse, "variable": variable}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def _log_unmatched(text: str) -> LogUnmatched:
    if text not in get_args(LogUnmatched):
        raise ValueError(f"it is {text!r}; expected one of {', '.join(get_args(LogUnmatched))}")
    return cast("LogUnmatched", text)


def _queues(kind: str) -> Any:
    def parse(text: str) -> str:
        if "{environment}" not in text:
            raise ValueError("it must contain {environment}")
        return text

    return _setting(f"URL of the {kind} queues, with {{environment}} for the environment's name", parse)


@dataclass(frozen=True, slots=True)
class _Settings:
    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read each field from its variable: by default the one of the same name in capitals.

        Raises:
            InvalidSetting: a variable is missing or has the wrong form.
        """
        values: dict[str, Any] = {}
        for name, setting in cls.variables().items():
            try:
                if name in environ:
                    values[setting.name] = setting.metadata["parse"](environ[name])
                elif setting.default is MISSING:
                    raise InvalidSetting(
                        f"environment variable {name} is not set: {setting.metadata['explained']}"
                    )
            except ValueError as error:
                raise InvalidSetting(f"environment variable {name} is invalid: {error}") from error
        return cls(**values)

    @classmethod
    def variables(cls) -> "dict[str, Field[Any]]":
        """Return each field by the name of its environment variable."""
        return {setting.metadata["variable"] or setting.name.upper(): setting for setting in fields(cls)}


@dataclass(frozen=True, slots=True)
class IngressSettings(_Settings):
    """Settings of s3_events, sns_events and eventbridge_events."""

    rules_table: str = _setting("name of the DynamoDB table of the rules")
    trigger_queue_url: str = _queues("trigger")
    ledger_table: str = _setting(
        "name of the DynamoDB table that records what rules in SHADOW would have run"
    )
    ingress_dlq_url: str = _setting("URL of the dead-letter queue for events that can never start a run")
    environments: frozenset[str] = _setting(
        "comma-separated names of the MWAA environments that rules may name", _names
    )
    claim_check_bucket: str = _setting("name of the bucket for confs that are too large to pass to Airflow")
    rules_refresh_seconds: float = _setting("maximum age of the rules in use, in seconds", float, default=5.0)
    # Empty for the seconds of an update from a version without it: a member is then tried again.
    collect_queue_url: str = _setting("URL of the queue of members, for rules that collect", default="")
    unwrap_topic_arns: frozenset[str] = _setting(
        "comma-separated ARNs of the topics whose messages may be S3 or EventBridge events",
        _names,
        default=frozenset(),
    )
    log_unmatched: LogUnmatched = _setting(  # noqa: RUF009  it returns a dataclass field
        "which events that no rule matches get a log line: all, sampled (one in a hundred) or none",
        _log_unmatched,
        default="all",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedEventsSettings(IngressSettings):
    """Settings of queued_events: those of every ingress function, and the queues it trusts."""

    ingress_retry_queue_arn: str = _setting("ARN of the queue of events that Lambda stopped retrying")
    event_queue_arns: frozenset[str] = _setting(
        "comma-separated ARNs of your own queues that collect S3, SNS or EventBridge events",
        _names,
        default=frozenset(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings(IngressSettings):
    """Settings of step_functions_task: those of every ingress function, and those of waiting for a run."""

    watch_queue_url: str = _queues("watch")
    task_token_key: str = _setting("ARN of the KMS key that encrypts task tokens")
    task_dags: frozenset[str] = _setting(
        "comma-separated patterns of the DAGs that states may name: <environment>/<dag_id>, * matches any text",
        _names,
        default=frozenset(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _FeedsSettings(_Settings):
    """Settings of every function of the feeds."""

    batches_table: str = _setting("name of the DynamoDB table of the batches")
    look_queue_url: str = _setting("URL of the queue of batches that may be released")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimersSettings(_FeedsSettings):
    """Settings of batch_timers."""

    rules_table: str = _setting("name of the DynamoDB table of the rules, for those that expect days")


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorSettings(_FeedsSettings):
    """Settings of batch_collector."""

    collect_queue_url: str = _setting("URL of the queue of members, for rules that collect")
    claim_check_bucket: str = _setting("name of the bucket of the manifests")
    ingress_dlq_url: str = _setting("URL of the dead-letter queue, for late members that a rule sends there")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaserSettings(_FeedsSettings):
    """Settings of batch_releaser."""

    collect_queue_url: str = _setting(
        "URL of the queue of members, which a flush passes before a quiet batch is released"
    )
    event_bus: str = _setting("name of the gateway's event bus, for events about batches")
    claim_check_bucket: str = _setting("name of the bucket of the manifests, and of confs that are too large")
    trigger_queue_url: str = _queues("trigger")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedExecutionsSettings(_Settings):
    """Settings of ended_executions: where it looks for watches, and the queues of the watchers."""

    ledger_table: str = _setting("name of the DynamoDB table that has the open watches")
    watch_queue_url: str = _queues("watch")
    environments: frozenset[str] = _setting(
        "comma-separated names of the environments that have a run watcher", _names
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _WaySettings(_Settings):
    """How functions reach Airflow, in every environment."""

    cli_connect_timeout_seconds: float = _setting(
        "timeout of a connection to the web server, in seconds", float, default=5.0
    )
    cli_read_timeout_seconds: float = _setting(
        "timeout of the answer to a command, in seconds", float, default=30.0
    )
    web_server_host: str = _setting(
        "the only host[:port] that may receive a CLI or web login token; empty: MWAA's own host names",
        default="",
    )
    web_server_ca_bundle: str = _setting(
        "path of the CA certificates that verify the web server; empty: the public ones", default=""
    )
    transports: Transports = _setting(  # noqa: RUF009  it returns a dataclass field
        "rest, cli, web, web/rest or web/cli for every environment, or for each by name: analytics=rest,legacy=cli",
        Transports.parse,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AirflowSettings(_WaySettings):
    """How the functions of one environment reach its Airflow."""

    environment: str = _setting("name of this function's environment in the rules")
    ledger_table: str = _setting("name of the DynamoDB table of the ledger")
    mwaa_environment_name: str = _setting("name of that environment on MWAA")
    slots_per_environment: int = _setting(
        "number of dispatchers of this environment that run at once: each has its part of REST_SHARE and WEB_CONCURRENCY",
        int,
        default=3,
    )
    rest_share: float = _setting(
        "REST calls a second that the dispatchers together make, of the ten that MWAA accepts from all callers",
        float,
        default=8.0,
    )

    def __post_init__(self) -> None:
        """Raise InvalidSetting if this environment has no transport."""
        try:
            self.transports.of(self.environment)
        except InvalidTransports as error:
            raise InvalidSetting(f"environment variable TRANSPORTS is invalid: {error}") from error

    @property
    def transport(self) -> str:
        """How functions reach this environment, such as `rest`, or `web/rest` with a fallback."""
        return self.transports.of(self.environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatcherSettings(AirflowSettings):
    """Settings of the dispatcher; each environment has its own."""

    rules_table: str = _setting("name of the DynamoDB table of the rules and pauses")
    trigger_queue_url: str = _setting("URL of this environment's trigger queue")
    trigger_dlq_url: str = _setting("URL of this environment's dead-letter queue")
    maximum_event_age_seconds: int = _setting(
        "maximum age of a request since its first attempt, in seconds, if its rule sets none",
        int,
        default=86_400,
    )
    dag_missing_grace_seconds: int = _setting(
        "how long requests wait for a DAG that Airflow does not know, in seconds", int, default=900
    )
    pause_refresh_seconds: float = _setting(
        "maximum age of the list of disabled rules and paused environments, in seconds",
        float,
        default=5.0,
        variable="BRAKE_REFRESH_SECONDS",  # its name since the first version, which a deployed stack may have set
    )
    web_concurrency: int = _setting(
        "attempts over a web login that all dispatchers together make at once, while the web server is not under load",
        int,
        default=8,
    )
    dag_catalog_seconds: float = _setting(
        "maximum age of the list of paused and stale DAGs, in seconds; 0: no list",
        float,
        default=300.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWatcherSettings(AirflowSettings):
    """Settings of the run watcher; each environment has its own."""

    watch_queue_url: str = _setting("URL of this environment's watch queue")
    task_token_key: str = _setting("ARN of the KMS key that encrypts task tokens")
    web_login_role: str = _setting(
        "the Airflow role with which the watcher logs in to read return values and to end runs; empty: it does neither",
        default="",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorSettings(_WaySettings):
    """Settings of the doctor, one function for all environments: what their dispatchers have."""

    environments: frozenset[str] = _setting(
        "comma-separated names of the environments that it may check", _names
    )
    mwaa_environment_name: str = _setting(
        "name of an environment on MWAA; {environment} stands for its name in the rules"
    )
    step_functions_tasks: bool = _setting(
        "true if run watchers are deployed: they need more AWS endpoints", lambda text: text == "true"
    )

    def of(self, environment: str) -> AirflowSettings:
        """Return the settings that reach one environment. Raises InvalidSetting if it has no transport."""
        return AirflowSettings(
            environment=environment,
            ledger_table="",  # the doctor uses no ledger
            mwaa_environment_name=self.mwaa_environment_name.replace("{environment}", environment),
            **{way.name: getattr(self, way.name) for way in fields(_WaySettings)},
        )
