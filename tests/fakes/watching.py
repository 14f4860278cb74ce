"""A run watcher among fakes, with a clock of its own."""

from dataclasses import dataclass, field

from fakes.states import payload
from fakes.watches import FakeRuns, FakeStepFunctions, FakeWatchStore
from mwaa_gateway.airflow.run_states import RunEnd, RunState
from mwaa_gateway.step_functions.round_report import RoundReport
from mwaa_gateway.step_functions.task_call import TaskCall, Token, read_task_call
from mwaa_gateway.step_functions.watcher import Watcher
from mwaa_gateway.step_functions.watches import Opened, RequestState
from mwaa_gateway.trigger_request import ResolvedTarget, TriggerRequest, derive_run_id

TRIGGERED = RequestState("triggered")
RUNNING = RunState(None, started=True)
SUCCESS = RunState(
    RunEnd.SUCCESS,
    True,
    "2026-11-22T10:00:00+00:00",
    "2026-11-22T10:01:30+00:00",
)
FAILED = RunState(RunEnd.FAILED, started=True)


@dataclass
class Scene:
    """A watcher among fakes, with a clock of its own."""

    clock: float = 1_000.0
    store: FakeWatchStore = field(default_factory=FakeWatchStore)
    airflow: FakeRuns = field(default_factory=FakeRuns)
    states: FakeStepFunctions = field(default_factory=FakeStepFunctions)
    mistakes_expected: bool = False
    watcher: Watcher = field(init=False)

    def __post_init__(self) -> None:
        self.new_sandbox()

    def new_sandbox(self) -> None:
        """A watcher that knows nothing of earlier rounds."""
        self.store.now = lambda: self.clock
        self.watcher = Watcher(
            environment="analytics",
            store=self.store,
            airflow=self.airflow,
            callbacks=self.states,
            now=lambda: self.clock,
        )

    def wait_for(self, dag_id: str = "load", *, in_airflow: bool = True, **given) -> str:
        """A state begins to wait; its run is in Airflow, and running, unless it is said not to be."""
        call = read_task_call(payload(**given))
        request = request_of(call, dag_id)
        opened = self.store.open(call, request, self.clock)
        assert isinstance(opened, Opened)
        run_id = derive_run_id(request.identity, request.rule_id, request.target_id, opened.generation)
        if in_airflow:
            self.store.ledger[run_id] = TRIGGERED
            self.airflow.runs.setdefault(run_id, RUNNING)
        return run_id

    def slow_heartbeats(self, seconds: float) -> None:
        """Each takes so long from now on, on the scene's clock."""
        send = self.states.heartbeat

        def slowly(token: Token) -> None:
            self.clock += seconds
            send(token)

        self.states.heartbeat = slowly

    def round(self, *, after: float = 5.0, **notices) -> RoundReport:
        """A while later. A mistake in the gateway, which a round survives, survives no test."""
        self.clock += after
        made = self.watcher.round(**notices)
        mistakes = [failure.text for failure in made.failures] + [*made.bugs]
        assert self.mistakes_expected or not [text for text in mistakes if "bug in the gateway" in text], (
            mistakes
        )
        return made


def request_of(call: TaskCall, dag_id: str = "load") -> TriggerRequest:
    """The request that a call comes to."""
    target = ResolvedTarget(
        "analytics", dag_id, derive_run_id(call.event.identity, "r", "default"), {}, watched=True
    )
    return TriggerRequest(call.event.identity, call.event.envelope, "r", 1, "default", target, None, 1.0)
