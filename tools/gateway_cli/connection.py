"""The gateway that a command works on: a stack in an AWS account, a table by name, or the local stack."""

import json
import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from gateway_cli.aws_errors import errors_as_refusals
from gateway_cli.output import Refused
from mwaa_gateway.errors import nearest
from mwaa_gateway.transports import CLI, REST, Transports

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_mwaa import MWAAClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sts import STSClient

    from gateway_cli.namespaces.store import NamespacesStore
    from gateway_cli.rules.store import RulesStore
    from mwaa_gateway.rules.allow_lists import Namespaces

DEFAULT_STACK: Final = "mwaa-gateway"
STATE_FILE: Final = Path(".local") / "state.json"  # written by `mwaa-gateway local up`
# A person waits: an address that does not answer fails after seconds, not after botocore's minutes.
_CLIENTS: Final[Mapping[str, Any]] = {
    "connect_timeout": 5,
    "read_timeout": 20,
    "retries": {"mode": "standard", "total_max_attempts": 3},
}


@dataclass(frozen=True)
class Connection:
    """The options of one command; it connects and reads only when needed."""

    table: str | None
    stack_name: str | None
    profile: str | None
    region: str | None
    endpoint_url: str | None
    local: bool
    environment_names: tuple[str, ...]

    @cached_property
    def store(self) -> "RulesStore":
        """The rules table, for reading and writing."""
        from gateway_cli.rules.store import RulesStore  # noqa: PLC0415  the pattern language, which few commands need

        return RulesStore(self.dynamodb, self._table_name)

    @cached_property
    def namespaces(self) -> "NamespacesStore":
        """The allow-lists in the rules table, for reading and writing."""
        from gateway_cli.namespaces.store import NamespacesStore  # noqa: PLC0415  as above

        return NamespacesStore(self.dynamodb, self._table_name)

    @cached_property
    def allow_lists(self) -> "Namespaces":
        """The allow-lists that every rule must satisfy before it is written."""
        return self.namespaces.namespaces()

    @cached_property
    def claim_check_bucket(self) -> str:
        """The gateway's bucket for large confs, whose events no rule may match; "" if only a table is named."""
        if self.table and not self.stack_name and not self.local:
            return ""
        return self.stack_outputs.get("ClaimCheckBucketName", "")

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        """A client of the gateway's DynamoDB."""
        client: DynamoDBClient = self._session.client("dynamodb", **self._endpoint)
        return client

    @cached_property
    def sqs(self) -> "SQSClient":
        """A client of the gateway's SQS."""
        client: SQSClient = self._session.client("sqs", **self._endpoint)
        return client

    @cached_property
    def eventbridge(self) -> "EventBridgeClient":
        """A client of the account's EventBridge."""
        client: EventBridgeClient = self._session.client("events", **self._endpoint)
        return client

    @cached_property
    def s3(self) -> "S3Client":
        """A client of the account's S3."""
        client: S3Client = self._session.client("s3", **self._endpoint)
        return client

    @cached_property
    def mwaa(self) -> "MWAAClient":
        """A client of the account's MWAA."""
        client: MWAAClient = self.client("mwaa")
        return client

    def client(self, service: str, **settings: Any) -> Any:
        """Build a client of any service; `settings` override the botocore settings (timeouts, retries)."""
        from botocore.config import Config  # noqa: PLC0415  as below

        options = {**self._endpoint, "config": Config(**{**_CLIENTS, **settings})}
        # The local MWAA is another server, whose host name takes no prefix
        if self.local and service == "mwaa":
            options["endpoint_url"] = self._local_state["mwaa_endpoint_url"]
            options["config"] = options["config"].merge(Config(inject_host_prefix=False))
        client: Any = self._session.client(service, **options)
        return client

    def on_call(self, notice: Callable[[str], None]) -> None:
        """Call `notice` with the operation's name before each call to AWS; what it raises prevents the call.

        It holds for the clients that are made afterwards.
        """
        self._session.events.register("before-call", lambda model, **_: notice(model.name))

    @cached_property
    def caller(self) -> str:
        """The caller's ARN; each changed rule records it."""
        client: STSClient = self._session.client("sts", **self._endpoint)
        return client.get_caller_identity()["Arn"]

    @cached_property
    def account(self) -> str:
        """The id of the caller's account."""
        client: STSClient = self._session.client("sts", **self._endpoint)
        return client.get_caller_identity()["Account"]

    @cached_property
    def environments(self) -> frozenset[str] | None:
        """The environment names that rules may use; None if only a table is named, without environments.

        Raises:
            Refused: `--environment` names an environment that the stack does not have.
        """
        named = frozenset(self.environment_names)
        if self.names_a_table_alone:
            return named or None
        if self.local:
            known = frozenset[str](self._local_state["environments"])
        else:
            known = frozenset(_names(self.stack_output("EnvironmentNames")))
        if unknown := sorted(named - known):
            hint = nearest(unknown[0], known) or f"it has {', '.join(sorted(known))}"
            raise Refused(f"--environment {unknown[0]}: stack {self.stack!r} has no such environment; {hint}")
        return named or known

    @property
    def as_options(self) -> str:
        """The options of the command line that name the same gateway, for a command to copy; "" for the default one."""
        if self.local:
            return "--local"
        in_shell = self.region in (os.environ.get("AWS_REGION"), os.environ.get("AWS_DEFAULT_REGION"))
        given = {
            "--stack-name": self.stack_name,
            "--profile": self.profile,
            "--region": None if in_shell else self.region,
            "--endpoint-url": self.endpoint_url,
        }
        return _options(given)

    def aws_command(self, command: str) -> str:
        """Return a command `aws mwaa …` with what lets it reach the same account, or the local MWAA."""
        if not self.local:
            options = _options({"--profile": self.profile, "--region": self.region})
            return f"{command} {options}" if options else command
        state = self._local_state
        keys = state["credentials"]
        options = _options({"--region": state["region"], "--endpoint-url": state["mwaa_endpoint_url"]})
        return (
            f"AWS_ACCESS_KEY_ID={keys['access_key_id']} AWS_SECRET_ACCESS_KEY={keys['secret_access_key']} "
            f"AWS_DISABLE_HOST_PREFIX_INJECTION=true {command} {options}"
        )

    @cached_property
    def transports(self) -> Transports | None:
        """The transport of each environment; None if the stack does not say: v0.1.0, or `--table` alone."""
        text = None if self.names_a_table_alone else self.stack_parameters.get("Transports")
        return None if text is None else Transports.parse(text)

    @property
    def named_environments(self) -> frozenset[str] | None:
        """The environments, for a command that works without AWS; None if the options name neither them nor a gateway."""
        return self.environments if self.names_a_table else frozenset(self.environment_names) or None

    @cached_property
    def transports_by_name(self) -> Mapping[str, tuple[str, ...]] | None:
        """The transport of each environment, with its fallback; None if only a table is named."""
        if self.names_a_table_alone:
            return None
        environments = self.environments or ()
        if self.transports is None:
            rest = frozenset(
                _names(self.stack_parameters.get("RestEnvironments", ""))
            )  # the parameter of v0.1.0
            return {name: (REST,) if name in rest else (CLI,) for name in environments}
        return self.transports.by_name(environments)

    @property
    def names_a_table(self) -> bool:
        """Whether the options name a gateway explicitly, so that its rules table can be read."""
        return bool(self.local or self.stack_name)

    @property
    def names_a_table_alone(self) -> bool:
        """Whether only the rules table is known, without queues and ledger."""
        return self.table is not None and not self.stack_name and not self.local

    @cached_property
    def _table_name(self) -> str:
        if self.local:
            return str(self._local_state["rules_table"])
        return self.table or self.stack_output("RulesTableName")

    @cached_property
    def _session(self) -> "boto3.Session":
        import boto3  # noqa: PLC0415  a quarter of a second, which commands without AWS do not pay

        if self.local:
            credentials = self._local_state["credentials"]
            return boto3.Session(
                aws_access_key_id=credentials["access_key_id"],
                aws_secret_access_key=credentials["secret_access_key"],
                region_name=self._local_state["region"],
            )
        return boto3.Session(profile_name=self.profile, region_name=self.region)

    @property
    def _endpoint(self) -> Mapping[str, Any]:
        from botocore.config import Config  # noqa: PLC0415

        url = self._local_state["aws_endpoint_url"] if self.local else self.endpoint_url
        return {"endpoint_url": url, "config": Config(**_CLIENTS)}

    def stack_output(self, key: str) -> str:
        """Return an output of the gateway's stack; raises Refused if it has none of that name."""
        if key not in self.stack_outputs:
            raise Refused(
                f"stack {self.stack!r} has no output {key}: it is not a gateway of this version. Name the gateway's "
                "stack with --stack-name"
            )
        return self.stack_outputs[key]

    @property
    def stack(self) -> str:
        """The name of the gateway's stack."""
        if self.local:
            return str(self._local_state.get("stack_name", DEFAULT_STACK))
        return self.stack_name or DEFAULT_STACK

    @cached_property
    def stack_outputs(self) -> Mapping[str, str]:
        """Every output of the gateway's stack."""
        return {output["OutputKey"]: output["OutputValue"] for output in self._stack.get("Outputs", [])}

    @property
    def stack_parameters(self) -> Mapping[str, str]:
        """Every parameter the gateway's stack was deployed with."""
        parameters = self._stack.get("Parameters", [])
        return {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in parameters}

    @cached_property
    def _stack(self) -> "StackTypeDef":
        client: CloudFormationClient = self._session.client("cloudformation", **self._endpoint)
        return client.describe_stacks(StackName=self.stack)["Stacks"][0]

    @cached_property
    def _local_state(self) -> Mapping[str, Any]:
        """The local stack's state file, as `mwaa-gateway local status --json` prints it; found from any subfolder."""
        here = Path.cwd()
        for folder in (here, *here.parents):
            file = folder / STATE_FILE
            if file.is_file():
                try:
                    state: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
                except (OSError, ValueError) as error:
                    raise Refused(f"cannot read {file} ({error}): start the local stack again") from error
                missing = _STATE_KEYS - state.keys()
                if missing:
                    raise Refused(f"{file} lacks {', '.join(sorted(missing))}: start the local stack again")
                return state
        raise Refused(
            f"no local stack runs here ({STATE_FILE} not found): start it with `make run`, in the same checkout"
        )


def _options(given: Mapping[str, str | None]) -> str:
    return " ".join(f"{name} {shlex.quote(value)}" for name, value in given.items() if value)


def _names(listed: str) -> Iterable[str]:
    return filter(None, map(str.strip, listed.split(",")))


_STATE_KEYS: Final = frozenset({"aws_endpoint_url", "credentials", "environments", "region", "rules_table"})

_RULES_OPTIONS: Final = (
    click.option("--table", envvar="RULES_TABLE", show_envvar=True, help="The rules table's name."),
    click.option(
        "--environment",
        "environment_names",
        metavar="NAME",
        multiple=True,
        help="An environment that rules may name; repeatable. With a stack, it must be one of the stack's.",
    ),
)
_GATEWAY_OPTIONS: Final = (
    click.option(
        "--stack-name",
        show_default=DEFAULT_STACK,
        help="The gateway's CloudFormation stack, which knows its tables, queues and environments.",
    ),
    click.option("--profile", help="The AWS profile; default: AWS_PROFILE, then boto3's other sources."),
    click.option(
        "--region",
        envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
        show_envvar=True,
        help="The AWS region; default: the profile's.",
    ),
    click.option("--endpoint-url", metavar="URL", help="An AWS endpoint; default: AWS_ENDPOINT_URL."),
    click.option(
        "--local", is_flag=True, help="Use the local stack that `make run` started in this checkout."
    ),
)


def connection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name a rules table to a command, which gets them as its argument `connection`.

    An AWS error inside the command becomes one sentence on stderr and exit code 1.
    """
    return _connected(command, (*_RULES_OPTIONS, *_GATEWAY_OPTIONS))


def gateway_options(command: Callable[..., None]) -> Callable[..., None]:
    """Like `connection_options`, for a command that works on the whole stack."""
    return _connected(command, _GATEWAY_OPTIONS)


def _connected(
    command: Callable[..., None], its_options: Iterable[Callable[..., Any]]
) -> Callable[..., None]:
    @click.pass_context
    def connected(context: click.Context, /, **options: Any) -> None:
        connection = _connection(context, options)
        with errors_as_refusals():
            command(connection=connection, **options)

    update_wrapper(connected, command)
    for option in reversed(tuple(its_options)):
        connected = option(connected)
    return connected


def _connection(context: click.Context, options: dict[str, Any]) -> Connection:
    def typed(name: str) -> bool:
        return context.get_parameter_source(name) is ParameterSource.COMMANDLINE

    if options["local"]:
        for name in ("table", "stack_name", "profile", "region", "endpoint_url"):
            if typed(name):
                raise click.UsageError(
                    f"--local and --{name.replace('_', '-')} exclude each other: drop one of them"
                )
    if options["stack_name"] and not typed("table"):
        options["table"] = None  # an option outweighs RULES_TABLE
    return Connection(
        table=options.pop("table", None),
        environment_names=options.pop("environment_names", ()),
        **{name: options.pop(name) for name in ("stack_name", "profile", "region", "endpoint_url", "local")},
    )
