"""Settings of the functions that reach Airflow."""

from dataclasses import fields

from mwaa_gateway.settings import InvalidSetting, Settings, names, setting
from mwaa_gateway.transports import InvalidTransports, Transports
from mwaa_gateway.values import value


@value(kw_only=True)
class _WaySettings(Settings):
    """How functions reach Airflow, in every environment."""

    cli_connect_timeout_seconds: float = setting(
        "timeout of a connection to the web server, in seconds", float, default=5.0
    )
    cli_read_timeout_seconds: float = setting(
        "timeout of the answer to a command, in seconds", float, default=30.0
    )
    web_server_host: str = setting(
        "the only host[:port] that may receive a CLI or web login token; empty: MWAA's own host names",
        default="",
    )
    web_server_ca_bundle: str = setting(
        "path of the CA certificates that verify the web server; empty: the public ones", default=""
    )
    transports: Transports = setting(
        "rest, cli, web, web/rest or web/cli for every environment, or for each by name: analytics=rest,legacy=cli",
        Transports.parse,
    )


@value(kw_only=True)
class AirflowSettings(_WaySettings):
    """How the functions of one environment reach its Airflow."""

    environment: str = setting("name of this function's environment in the rules")
    ledger_table: str = setting("name of the DynamoDB table of the ledger")
    mwaa_environment_name: str = setting("name of that environment on MWAA")
    slots_per_environment: int = setting(
        "number of dispatchers of this environment that run at once: each has its part of REST_SHARE and WEB_CONCURRENCY",
        int,
        default=3,
    )
    rest_share: float = setting(
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


@value(kw_only=True)
class DispatcherSettings(AirflowSettings):
    """Settings of the dispatcher; each environment has its own."""

    rules_table: str = setting("name of the DynamoDB table of the rules and pauses")
    trigger_queue_url: str = setting("URL of this environment's trigger queue")
    trigger_dlq_url: str = setting("URL of this environment's dead-letter queue")
    maximum_event_age_seconds: int = setting(
        "maximum age of a request since its first attempt, in seconds, if its rule sets none",
        int,
        default=86_400,
    )
    dag_missing_grace_seconds: int = setting(
        "how long requests wait for a DAG that Airflow does not know, in seconds", int, default=900
    )
    pause_refresh_seconds: float = setting(
        "maximum age of the list of disabled rules and paused environments, in seconds",
        float,
        default=5.0,
        variable="BRAKE_REFRESH_SECONDS",  # its name since the first version, which a deployed stack may have set
    )
    web_concurrency: int = setting(
        "attempts over a web login that all dispatchers together make at once, while the web server is not under load",
        int,
        default=3,
    )
    dag_catalog_seconds: float = setting(
        "maximum age of the list of paused and stale DAGs, in seconds; 0: no list",
        float,
        default=300.0,
    )


@value(kw_only=True)
class RunWatcherSettings(AirflowSettings):
    """Settings of the run watcher; each environment has its own."""

    watch_queue_url: str = setting("URL of this environment's watch queue")
    task_token_key: str = setting("ARN of the KMS key that encrypts task tokens")
    web_login_role: str = setting(
        "the Airflow role with which the watcher logs in to read return values and to end runs; empty: it does neither",
        default="",
    )


@value(kw_only=True)
class DoctorSettings(_WaySettings):
    """Settings of the doctor, one function for all environments: what their dispatchers have."""

    environments: frozenset[str] = setting(
        "comma-separated names of the environments that it may check", names
    )
    mwaa_environment_name: str = setting(
        "name of an environment on MWAA; {environment} stands for its name in the rules"
    )
    step_functions_tasks: bool = setting(
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
