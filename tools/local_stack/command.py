"""`mwaa-gateway local`: start, inspect, disturb and stop the whole gateway on this machine."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import update_wrapper
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.markup import escape

from gateway_cli.groups import Group
from local_stack.demo import apply_own_rules, run_demo
from local_stack.gateway_stack import project_root
from local_stack.lock import StackLock, wait_for_end
from local_stack.ministack import StackError
from local_stack.mwaa import ControlClient, Faults
from local_stack.mwaa.control import ControlError
from local_stack.mwaa.versions import DEFAULT_VERSION as DEFAULT_AIRFLOW
from local_stack.processes import stop_group
from local_stack.stack import LocalStack, StackOptions, redeploy
from local_stack.state import StackState
from local_stack.timeline import Timeline
from mwaa_gateway.transports import REST, InvalidTransports, Transports

_STOP_SECONDS = 60.0
_START_SECONDS = 600.0  # the first start installs Airflow
_POLL_SECONDS = 0.1
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,31}")  # what template.yaml allows

_state_folder = click.option(
    "--state-folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".local"),
    show_default=True,
    help="Where the stack keeps its state, logs and databases.",
)


class EnvironmentType(click.ParamType):
    """`name=version`, an MWAA environment and its Airflow."""

    name = "NAME=VERSION"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Split and check the name; the installation checks the version."""
        if isinstance(value, tuple):
            return value
        name, separator, version = str(value).partition("=")
        if not (separator and version and _NAME.fullmatch(name)):
            self.fail(
                f"{value!r} is not of the form name=version, such as analytics=3.3.1 "
                "(a name is letters and digits, as in template.yaml)",
                param,
                ctx,
            )
        return name, version


def _start_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a start, as its argument `options`."""

    def started(
        *,
        environments: tuple[tuple[str, str], ...],
        port: int | None,
        dags_folder: Path | None,
        state_folder: Path,
        transports: str,
        web_servers: int,
        **others: Any,
    ) -> None:
        chosen = environments or (("analytics", os.environ.get("AIRFLOW_VERSION") or DEFAULT_AIRFLOW),)
        if len(dict(chosen)) < len(chosen):
            raise click.UsageError("an environment is named twice")
        _check_transports(transports, dict(chosen))
        options = StackOptions(
            environments=dict(chosen),
            state_folder=state_folder.absolute(),
            port=port,
            dags_folder=dags_folder and dags_folder.absolute(),
            transports=transports,
            web_servers=web_servers,
        )
        command(options=options, **others)

    update_wrapper(started, command)
    for option in (
        click.option(
            "--environment",
            "environments",
            type=EnvironmentType(),
            multiple=True,
            help="An MWAA environment and its Airflow; repeatable. [default: analytics=$AIRFLOW_VERSION]",
        ),
        click.option(
            "--transports",
            default=REST,
            envvar="TRANSPORTS",
            show_default=True,
            show_envvar=True,
            help="How Airflow is reached, as template.yaml's Transports: rest, cli, web, or analytics=web/rest,legacy=cli.",
        ),
        click.option(
            "--port", type=click.IntRange(1, 65535), help="Port of the local AWS. [default: 4566, if free]"
        ),
        click.option(
            "--dags-folder",
            type=click.Path(path_type=Path, exists=True, file_okay=False),
            help="DAGs of all environments. [default: examples/dags]",
        ),
        click.option(
            "--web-servers",
            type=click.IntRange(1, 5),
            default=1,
            show_default=True,
            help="Processes of Airflow 3's API server. MWAA has two web servers or more.",
        ),
        _state_folder,
    ):
        started = option(started)
    return started


def _check_transports(text: str, environments: Mapping[str, str]) -> None:
    try:
        transports = Transports.parse(text)
        for name in environments:
            transports.of(name)
    except InvalidTransports as error:
        raise click.UsageError(f"--transports: {error}") from error
    if unknown := transports.unknown(environments):
        raise click.UsageError(f"--transports {unknown[0]}: there is no such --environment")


@click.group(cls=Group)
def local() -> None:
    """Run the whole gateway on this machine: template.yaml itself, AWS by MiniStack, and real Airflow."""


@local.command()
@_start_options
@click.option("--detach", is_flag=True, help="Return when everything is up and leave it running.")
def up(options: StackOptions, detach: bool) -> None:  # noqa: FBT001
    """Start the local stack and keep it running until Ctrl-C.

    \b
    Examples:
      mwaa-gateway local up
      mwaa-gateway local up --environment analytics=3.3.1 --environment legacy=2.11.2 --detach
    """
    if detach:
        _up_detached(options.state_folder)
        return
    timeline = Timeline(_console())
    with _reported_errors(), _stack(options, timeline) as stack:
        stack.start()
        timeline.tell("Ready. Ctrl-C stops it; `mwaa-gateway local status` shows every endpoint.")
        stack.watch()


@local.command()
@_start_options
@click.option(
    "--rules",
    type=click.Path(path_type=Path, exists=True),
    help="Your rule files, applied instead of examples/rules.",
)
@click.option(
    "--once", is_flag=True, help="End when every run has succeeded (exit code 0) or one has not (1)."
)
def demo(options: StackOptions, rules: Path | None, once: bool) -> None:  # noqa: FBT001
    """Start the local stack and show events become DAG runs.

    It applies examples/rules, sends events, uploads a batch, and runs a state machine. This is what `make run` does.
    With DAGs or rules of your own (`make run DAGS=dags/ RULES=rules/`) it sends nothing, applies your rules, and says how to
    try them.
    """
    timeline = Timeline(_console())
    own = rules is not None or options.dags_folder is not None
    with _reported_errors(), _stack(options, timeline) as stack:
        state = stack.start()
        failures: list[str] = []
        if own:
            apply_own_rules(state, timeline, rules)
        else:
            failures = run_demo(state, timeline, root=project_root())
        if not once:
            for failure in failures:
                timeline.tell(f"[red]{escape(failure)}[/]")
            timeline.tell("It stays up until Ctrl-C.")
            stack.watch()
        if failures:
            raise StackError("\n".join(failures))


@local.command()
@_state_folder
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(state_folder: Path, as_json: bool) -> None:  # noqa: FBT001
    """Show every endpoint and name of the running stack. Exit code 1 when none runs."""
    state = _running_state(state_folder)
    if as_json:
        click.echo(json.dumps(state.document(), indent=2))
        return
    console = _console()
    for name, value in state.document().items():
        if name != "environments":
            console.print(f"{name:20} {value}", highlight=False, soft_wrap=True)
    for name, environment in state.document()["environments"].items():
        console.print(f"\n[bold]{name}[/]")
        for key, value in environment.items():
            console.print(f"  {key:18} {value}", highlight=False, soft_wrap=True)
    console.print(
        "\nFor your shell:", *(f"  export {key}={value}" for key, value in state.settings.items()), sep="\n"
    )


@local.command()
@_state_folder
def deploy(state_folder: Path) -> None:
    """Deploy template.yaml, functions/ and layers/ to the running stack."""
    state = _running_state(state_folder)
    with _reported_errors(), Timeline(_console()).phase("Deploying template.yaml"):
        redeploy(state, state_folder.absolute())


@local.command()
@_state_folder
def down(state_folder: Path) -> None:
    """Stop the stack, wherever it was started. Does nothing when none runs."""
    holder = StackLock.holder(state_folder)
    if holder is not None:
        os.kill(holder, signal.SIGTERM)
        if not wait_for_end(state_folder, seconds=_STOP_SECONDS):
            os.kill(holder, signal.SIGKILL)  # everything it started ends with it
            wait_for_end(state_folder, seconds=_STOP_SECONDS)
    click.echo("stopped" if holder is not None else "no local stack was running")


@local.command()
@_state_folder
@click.option("--environment", help="Only this MWAA environment. [default: all]")
@click.option(
    "--error-503", type=click.FloatRange(0, 1), help="Share of commands refused for want of a slot."
)
@click.option("--lost-response", type=click.FloatRange(0, 1), help="Share done whose answer never comes.")
@click.option(
    "--reset-before",
    type=click.FloatRange(0, 1),
    help="Share of connections reset before the command is run.",
)
@click.option(
    "--reset-after", type=click.FloatRange(0, 1), help="Share of connections reset after the command was run."
)
@click.option("--garbled", type=click.FloatRange(0, 1), help="Share answered with something unreadable.")
@click.option("--error-500", type=click.FloatRange(0, 1), help="Share done whose answer is HTTP 500.")
@click.option("--expired-token", type=click.FloatRange(0, 1), help="Share of tokens refused as expired.")
@click.option(
    "--latency",
    "latency_milliseconds",
    type=click.IntRange(0),
    metavar="MS",
    help="Milliseconds added to every command.",
)
@click.option("--seed", type=int, help="Makes the choice repeatable.")
@click.option("--off", is_flag=True, help="No faults any more.")
def faults(state_folder: Path, environment: str | None, off: bool, **wanted: Any) -> None:  # noqa: FBT001
    """Make the local MWAA misbehave, to see how the gateway reacts."""
    control = ControlClient(_running_state(state_folder).mwaa_endpoint_url)
    chosen = {name: value for name, value in wanted.items() if value is not None}
    if off == bool(chosen.keys() - {"seed"}):
        raise click.UsageError("name at least one fault, or --off")
    try:
        now_on = (
            control.clear_faults(environment=environment)
            if off
            else control.set_faults(Faults(**chosen), environment=environment)
        )
    except (ValueError, ControlError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(now_on, indent=2))


@contextmanager
def _stack(options: StackOptions, timeline: Timeline) -> Iterator[LocalStack]:
    """A stack to start; after the `with` all its processes have ended."""
    with _signals_as_keyboard_interrupt():
        stack = LocalStack(options, timeline)
        try:
            yield stack
        finally:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not cut the clean-up short
            stack.stop()


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _signals_as_keyboard_interrupt() -> Iterator[None]:
    def interrupt(_number: int, _frame: Any) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _reported_errors() -> Iterator[None]:
    """Print an error as one sentence; Ctrl-C is the usual end and not an error."""
    try:
        yield
    except StackError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("stopped")


def _running_state(state_folder: Path) -> StackState:
    state = StackState.read(state_folder / "state.json")
    if state is None or StackLock.holder(state_folder) != state.pid:
        raise click.ClickException("no local stack is running here (start one: `mwaa-gateway local up`)")
    return state


def _up_detached(state_folder: Path) -> None:
    """Run the same command in a new session, and show its lines until it is ready."""
    state_folder.mkdir(parents=True, exist_ok=True)
    log_file = state_folder / "up.log"
    words = [word for word in sys.argv[sys.argv.index("up") :] if word != "--detach"]
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "local_stack", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    with log_file.open(errors="replace") as lines:
        while True:
            click.echo(lines.read(), nl=False)
            if process.poll() is not None:
                click.echo(lines.read(), nl=False)
                raise click.exceptions.Exit(process.returncode or 1)
            state = StackState.read(state_folder / "state.json")
            if state is not None and state.pid == process.pid:
                return
            if time.monotonic() > deadline:
                stop_group(process.pid, grace_seconds=_STOP_SECONDS)
                raise click.ClickException(f"not ready after {_START_SECONDS:.0f} s; see {log_file}")
            time.sleep(_POLL_SECONDS)


def _console() -> Console:
    console = Console()
    # A file or a pipe gets no line breaks: people copy a run_id in one piece.
    return console if console.is_terminal else Console(width=200)
