"""The whole local stack: MiniStack, the local MWAA, the deployed gateway; started and stopped together."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from local_stack.aws import LocalAws
from local_stack.gateway_stack import STACK_NAME, GatewayNames, deploy_gateway, project_root
from local_stack.lock import StackLock
from local_stack.ministack import ACCOUNT_ID, CREDENTIALS, REGION, MiniStack, StackError
from local_stack.mwaa import LocalMwaa
from local_stack.mwaa.airflow import AirflowError
from local_stack.mwaa.airflow_install import InstallError
from local_stack.mwaa.permissions import MiniStackPermission
from local_stack.ports import LOOPBACK, free_port
from local_stack.processes import descendants, kill
from local_stack.state import EnvironmentState, StackState
from local_stack.timeline import Timeline
from mwaa_gateway.transports import REST, Transports

_STATE = "state.json"


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What to start: Airflow versions by environment, the state's folder, AWS's port (None: 4566 if free).

    `transports` is the template's parameter `Transports`, `web_servers` how many processes each Airflow 3's API server has.
    """

    environments: Mapping[str, str]
    state_folder: Path
    port: int | None = None
    dags_folder: Path | None = None  # examples/dags
    transports: str = REST
    web_servers: int = 1


class LocalStack:
    """A local stack. `start()` returns its state; `stop()` leaves no process, whenever it is called."""

    def __init__(self, options: StackOptions, timeline: Timeline) -> None:
        self._options = options
        self._timeline = timeline
        self._root = project_root()
        self._folder = options.state_folder
        self._log_folder = self._folder / "logs"
        self._lock: StackLock | None = None
        self._ministack: MiniStack | None = None
        self._mwaa: LocalMwaa | None = None
        self._not_ours = frozenset(descendants(os.getpid()))

    def start(self) -> StackState:
        """Start everything. Raises StackError with the reason; call `stop()` in either case."""
        self._claim_folder()
        self._refuse_busy_port()
        ministack = self._ministack = MiniStack(
            root=self._root,
            state_folder=self._folder,
            log_folder=self._log_folder,
            port=self._options.port,
        )
        aws = LocalAws(ministack.endpoint_url)
        mwaa = self._mwaa = self._local_mwaa(ministack)
        # Concurrently; MiniStack is ready long before Airflow.
        for start in [_Task(lambda: self._start_ministack(ministack)), _Task(lambda: self._start_mwaa(mwaa))]:
            start.result()
        with self._timeline.phase("Deploying template.yaml"):
            deployment = deploy_gateway(
                aws,
                root=self._root,
                state_folder=self._folder,
                environments=tuple(self._options.environments),
                transports=self._options.transports,
                ca_bundle=mwaa.ca_bundle,
                mwaa_endpoint_url=mwaa.endpoint_url,
            )
        for line in deployment.left_out:
            self._timeline.tell(f"left out of the local deployment: {line}")
        state = self._state(ministack, mwaa, GatewayNames.of(deployment.outputs, aws))
        state.write(self._folder / _STATE)
        return state

    def stop(self) -> None:
        """End every process and delete the state. Safe to call twice."""
        if self._lock is None:
            return  # another process's stack: not ours to touch
        (self._folder / _STATE).unlink(missing_ok=True)
        stops = [_Task(part.stop) for part in (self._mwaa, self._ministack) if part is not None]
        for stop in stops:
            with suppress(Exception):  # whatever a part could not end by itself is ended below
                stop.result()
        kill(frozenset(descendants(os.getpid())) - self._not_ours)
        self._lock.release()
        self._lock = None

    def watch(self, *, every_seconds: float = 1.0) -> NoReturn:
        """Wait until interrupted; raises StackError if MiniStack ends by itself."""
        while True:
            time.sleep(every_seconds)
            if self._ministack is not None:
                self._ministack.check()

    def _claim_folder(self) -> None:
        python = self._root / ".venvs" / "lambda" / "bin" / "python"
        if not python.exists():
            raise StackError(
                f"the functions' environment {python.parents[1]} is missing: `make run` makes it"
            )
        self._lock = StackLock.take(self._folder)
        if self._lock is None:
            raise StackError(
                f"a local stack is running already (process {StackLock.holder(self._folder)}): "
                "`mwaa-gateway local status` shows it, `mwaa-gateway local down` stops it"
            )
        (self._folder / _STATE).unlink(missing_ok=True)  # of a stack that was killed
        for leftover in ("logs", "layers", "tmp"):  # of the last start; Airflow clears its own folders
            shutil.rmtree(self._folder / leftover, ignore_errors=True)
        self._log_folder.mkdir(parents=True)

    def _refuse_busy_port(self) -> None:
        """Refuse a port that is in use, before anything is started."""
        port = self._options.port
        if port is not None and free_port(port) != port:
            raise StackError(
                f"port {port} of {LOOPBACK} is in use, perhaps by another local stack or another emulator of AWS: "
                f"`lsof -i :{port}` names the process. End it, give another --port, or none to have a free one chosen"
            )

    def _local_mwaa(self, ministack: MiniStack) -> LocalMwaa:
        try:
            return LocalMwaa(
                self._options.environments,
                state_folder=self._folder / "mwaa",
                dags_folder=self._options.dags_folder or self._root / "examples" / "dags",
                permission=MiniStackPermission(ministack.endpoint_url, REGION),
                region=REGION,
                account_id=ACCOUNT_ID,
                venvs=self._root / ".venvs",
                uv=_uv(self._root),
                progress=self._timeline.tell,
                web_servers=self._options.web_servers,
                task_environment={
                    "AWS_ENDPOINT_URL": ministack.endpoint_url,
                    "AWS_REGION": REGION,
                    "AWS_DEFAULT_REGION": REGION,
                    "AWS_ACCESS_KEY_ID": CREDENTIALS[0],
                    "AWS_SECRET_ACCESS_KEY": CREDENTIALS[1],
                },
            )
        except ValueError as error:  # an Airflow that MWAA does not offer
            raise StackError(str(error)) from error

    def _start_ministack(self, ministack: MiniStack) -> None:
        with self._timeline.phase(f"AWS (MiniStack) at {ministack.endpoint_url}"):
            ministack.start()

    def _start_mwaa(self, mwaa: LocalMwaa) -> None:
        versions = " and ".join(sorted(set(self._options.environments.values())))
        try:
            with self._timeline.phase(f"Airflow {versions}"):
                mwaa.start()
        except (InstallError, AirflowError) as error:
            raise StackError(str(error)) from error

    def _state(self, ministack: MiniStack, mwaa: LocalMwaa, names: GatewayNames) -> StackState:
        described = mwaa.describe()
        transports = Transports.parse(self._options.transports)
        return StackState(
            aws_endpoint_url=ministack.endpoint_url,
            region=REGION,
            account_id=ACCOUNT_ID,
            credentials={"access_key_id": CREDENTIALS[0], "secret_access_key": CREDENTIALS[1]},
            stack_name=STACK_NAME,
            bucket=names.bucket,
            claim_check_bucket=names.claim_check_bucket,
            topic_arn=names.topic_arn,
            event_bus_name=names.event_bus_name,
            rules_table=names.rules_table,
            ledger_table=names.ledger_table,
            ingress_dlq_url=names.ingress_dlq_url,
            step_functions_task_arn=names.step_functions_task_arn,
            mwaa_endpoint_url=described["mwaa_endpoint_url"],
            environments={
                name: EnvironmentState(
                    **environment,
                    trigger_queue_url=names.trigger_queue_url.replace("{environment}", name),
                    trigger_dlq_url=names.trigger_dlq_url.replace("{environment}", name),
                    dispatcher=f"{STACK_NAME}-dispatcher-{name}",
                    transport=transports.of(name),
                )
                for name, environment in described["environments"].items()
            },
            ca_bundle=described["ca_bundle"],
            log_folder=str(self._log_folder),
            pid=os.getpid(),
        )


def redeploy(state: StackState, state_folder: Path) -> None:
    """Deploy the working tree to a running stack. Raises StackError."""
    deploy_gateway(
        state.aws,
        root=project_root(),
        state_folder=state_folder,
        environments=tuple(state.environments),
        transports=",".join(f"{name}={each.transport}" for name, each in state.environments.items()),
        ca_bundle=Path(state.ca_bundle),
        mwaa_endpoint_url=state.mwaa_endpoint_url,
    )


def _uv(root: Path) -> Path:
    """Return uv: from the environment variable UV, as installed by make, or from the PATH."""
    if named := os.environ.get("UV"):
        return Path(named)
    fetched = root / ".venvs" / "uv" / "bin" / "uv"
    return fetched if fetched.exists() else Path(shutil.which("uv") or fetched)


class _Task:
    """A call on a daemon thread: unlike an executor's, it does not keep an interrupted process alive."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self) -> None:
        """Wait for the end; raise the call's exception."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001 - handed over to the waiting thread
            self._error = error
