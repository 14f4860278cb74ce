"""The operator's commands, as processes of the simulation: their calls fail, wait and die like all the others."""

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec, module_from_spec
from types import ModuleType, SimpleNamespace
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from gateway_cli.choice import Filters, Summary
from gateway_cli.ledger_rows import LedgerRows
from gateway_cli.rerun import requests as reruns
from mwaa_gateway.errors import Unavailable
from simulation.gateway import Gateway
from simulation.scheduler import Process

__all__ = ["Operator"]

PATIENCE = 3600.0


class Operator:
    """Gives commands. One that fails or dies half way says so, and is given again by whoever wants it done."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._connection: Any = SimpleNamespace(
            sqs=gateway.sqs,
            dynamodb=gateway.dynamodb,
            environments=frozenset(gateway.airflows),
            stack_output={
                "TriggerQueueUrlTemplate": "trigger-{environment}",
                "LedgerTableName": "ledger",
            }.__getitem__,
        )
        self.given = self.done = 0  # commands; and those of them that came to their end

    def release(self) -> None:
        """`held release --all`."""
        self._give(lambda: held.release_all(self._connection, [Filters()]))

    def rerun(
        self, rule: str, *, generation: int = 1, since: float | None = None, until: float | None = None
    ) -> None:
        """`rerun --rule … --since … --until …`."""

        def command() -> None:
            rows = LedgerRows(self._connection.dynamodb, "ledger")
            wanted = reruns.Wanted(
                rule=rule,
                states=frozenset({"triggered"}),
                generation=generation,
                since=since,
                until=until,
            )
            reruns.rerun(
                self._connection,
                reruns.find(rows.requests(rule, lambda _: None), wanted),
                generation=generation,
                rule=None,
                now=self._gateway.world.scheduler.now,
                summary=Summary(),
                progress=lambda _: None,
            )

        self._give(command)

    def _give(self, command: Callable[[], Any]) -> None:
        self.given += 1

        def ended(_result: Any, error: BaseException | None) -> None:
            if error is None:
                self.done += 1
            elif not process.killed and not isinstance(error, Unavailable | ClientError | BotoCoreError):
                self._gateway.world.surprises.append(f"the operator saw {error!r}")

        process = Process(command, ended, deadline=self._gateway.world.scheduler.now + PATIENCE)
        process.switch()


def _without_threads(name: str) -> ModuleType:
    """Import a module of the command anew, for itself, with a pool that works in the process that uses it."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ThreadPoolExecutor = _OneAfterTheOther  # type: ignore[attr-defined]
    return module


class _OneAfterTheOther:
    """In the place of threads: who calls one of the simulated services is known by its greenlet."""

    def __init__(self, _workers: int) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, function: Callable[[Any], Any], arguments: Sequence[Any]) -> Iterator[Any]:
        return map(function, arguments)


held = _without_threads("gateway_cli.held.requests")
