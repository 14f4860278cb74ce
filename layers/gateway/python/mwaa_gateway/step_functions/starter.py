"""From a state's call to a trigger request, and to a watch where the state waits.

    read_task_call ──▶ the DAG it names, if that is allowed ──┐
                  └──▶ the one rule target that matches ──────┴──▶ watch (state waits) ──▶ trigger queue ──▶ wake the watcher

The state machine waits for the answer, so nothing is put aside here: what is wrong is raised, and belongs to the state's
Retry and Catch by the name of its class. The watch is opened first: a call that dies in between is retried by the state,
and finds it. From the queue on, a task's request is as any other: one run, however often the state asks.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final, Protocol

from mwaa_gateway.conf import MAXIMUM_CONF_BYTES, ORIGIN_KEY, conf_size, origin_of
from mwaa_gateway.conf.claim_check import ClaimChecks
from mwaa_gateway.errors import GatewayError
from mwaa_gateway.routing.live_rules import LiveRules
from mwaa_gateway.routing.resolve import Refused, Resolved, resolve
from mwaa_gateway.step_functions.call import NamedDag, TaskCall
from mwaa_gateway.step_functions.watches import IdentityTaken, Opened, WatchStore
from mwaa_gateway.trigger_request import ResolvedTarget, TriggerQueue, TriggerRequest, derive_run_id

__all__ = [
    "TASK_RULE_ID",
    "AmbiguousIdentity",
    "DagNotAllowed",
    "InputRefused",
    "NoRuleMatched",
    "SeveralTargetsMatched",
    "TaskStarter",
    "WatchQueue",
]

TASK_RULE_ID: Final = (
    "step-functions"  # stands for a rule where a state names its DAG; no rule may have this id
)


class DagNotAllowed(GatewayError):
    """The state names a DAG that is not on the allow-list."""


class NoRuleMatched(GatewayError):
    """The state leaves it to the rules, and none is for it."""


class SeveralTargetsMatched(GatewayError):
    """The state leaves it to the rules, and more than one target is for it: a state has one run."""


class InputRefused(GatewayError):
    """What the state passed cannot become the run's conf."""


class AmbiguousIdentity(GatewayError):
    """Another state that still waits has the same identity."""


class WatchQueue(Protocol):
    """The watch queues of all environments."""

    def wake(self, environment: str, now: float) -> None:
        """Have the environment's watcher make a round soon; raise Unavailable unless it will."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStarter:
    """Everything that starting a task needs.

    `allowed` are patterns of the DAGs a state may name, `<environment>/<dag_id>` with `*` for any text. `now` gives
    seconds since the epoch.
    """

    rules: LiveRules
    allowed: Collection[str]
    environments: Collection[str]
    queue: TriggerQueue
    watches: WatchStore
    watch_queue: WatchQueue
    claim_checks: ClaimChecks
    claim_check_bucket: str
    now: Callable[[], float]

    def start(self, call: TaskCall) -> TriggerRequest:
        """Have the run started, and watched where the state waits; returns the request that will become it.

        Raises:
            GatewayError: one of those above: nothing was started, and nothing will be by trying again.
            Unavailable: AWS does not answer; the state's Retry will find what was done.
        """
        now = self.now()
        resolved = self._named(call, call.dag, now) if call.dag is not None else self._matched(call, now)
        request = resolved.request
        if call.wait is not None:
            request = replace(request, target=replace(request.target, watched=True))
            match self.watches.open(call, request, now):
                case IdentityTaken():
                    raise AmbiguousIdentity(
                        f"another state that waits is {call.event.identity!r} too: in a Map within a Map the index of the "
                        "inner item says which one only together with the outer. Give each its request_id, for example "
                        '"request_id.$": "States.Format(\'{}-{}-{}\', $$.Execution.Name, $.outer, $.inner)"'
                    )
                case opened:
                    request = self._followed(request, opened)
        if resolved.claim_check is not None:
            self.claim_checks.put([resolved.claim_check])  # before the request that names it
        self.queue.enqueue([request])
        if call.wait is not None:
            self.watch_queue.wake(request.target.environment, now)
        return request

    def _followed(self, request: TriggerRequest, opened: Opened) -> TriggerRequest:
        """Return the request for the run that is watched: whose watcher is woken, and whose dispatcher may start it."""
        if opened.environment not in self.environments:
            raise DagNotAllowed(
                f"the run this state asked for before is one of environment {opened.environment!r}, which the gateway does "
                "not have any more. Pass another request_id to have a new run"
            )
        target = replace(request.target, environment=opened.environment, dag_id=opened.dag_id)
        return _of_generation(replace(request, target=target), opened.generation)

    def _named(self, call: TaskCall, dag: NamedDag, now: float) -> Resolved:
        if dag.environment not in self.environments:
            known = ", ".join(sorted(self.environments))
            raise DagNotAllowed(
                f"environment {dag.environment!r} is not known to the gateway, which has {known}"
            )
        name = f"{dag.environment}/{dag.dag_id}"
        if not any(fnmatchcase(name, pattern) for pattern in self.allowed):
            raise DagNotAllowed(
                f"{name} is not on the list of DAGs that states may name: add it to the parameter TaskDags, or leave `dag` "
                "out and have a rule decide"
            )
        request = TriggerRequest(
            identity=call.event.identity,
            event=call.event.envelope,
            rule_id=TASK_RULE_ID,
            rule_version=0,
            target_id="default",
            target=ResolvedTarget(
                environment=dag.environment,
                dag_id=dag.dag_id,
                run_id=derive_run_id(call.event.identity, TASK_RULE_ID, "default"),
                conf=_conf(call),
            ),
            maximum_event_age_seconds=None,
            requested_at=now,
        )
        return Resolved(request)

    def _matched(self, call: TaskCall, now: float) -> Resolved:
        matches = self.rules.match(call.event.envelope, now)
        found = [
            (rule, one)
            for rule in matches.rules
            if rule.state != "SHADOW"
            for one in resolve(call.event, rule, now=now, claim_check_bucket=self.claim_check_bucket)
        ]
        if not found:
            broken = ", ".join(f"{rule.id} ({rule.reason})" for rule in matches.broken)
            raise NoRuleMatched(
                "no rule is for this state's event, source aws.states, detail-type 'DAG Run Requested'"
                + (f"; these may be, and cannot be used: {broken}" if broken else "")
                + ". Name the DAG in `dag`, or apply a rule"
            )
        if len(found) > 1:
            names = ", ".join(sorted({rule.id for rule, _ in found}))
            raise SeveralTargetsMatched(f"a state has one run, and {len(found)} targets match, of {names}")
        ((rule, only),) = found
        match only:
            case Refused(text=text):
                raise InputRefused(f"rule {rule.id}: {text}")
            case Resolved():
                return only


def _conf(call: TaskCall) -> dict[str, Any]:
    if ORIGIN_KEY in call.input:
        raise InputRefused(f"input has a field {ORIGIN_KEY!r}, where the conf says where it came from")
    origin = origin_of(call.event, rule_id=TASK_RULE_ID, rule_version=0, target_id="default")
    conf = {**call.input, ORIGIN_KEY: {**origin, "execution_arn": call.execution_arn}}
    size = conf_size(conf)
    if size > MAXIMUM_CONF_BYTES:
        raise InputRefused(
            f"the conf would have {size} bytes; at most {MAXIMUM_CONF_BYTES} can be passed. Pass an object's URI, or leave "
            "`dag` out and let a rule with large_conf: claim_check choose the DAG"
        )
    return conf


def _of_generation(request: TriggerRequest, generation: int) -> TriggerRequest:
    """Return the request for a further run of the same task."""
    if not generation:
        return request
    conf = dict(request.target.conf)
    conf[ORIGIN_KEY] = {**conf[ORIGIN_KEY], "generation": generation}
    run_id = derive_run_id(request.identity, request.rule_id, request.target_id, generation)
    return replace(request, generation=generation, target=replace(request.target, run_id=run_id, conf=conf))
