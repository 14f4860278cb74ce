"""From a state's call to a trigger request, and to a watch if the state waits.

    read_task_call ──▶ the DAG it names, if that is allowed ──┐
                  └──▶ the one rule target that matches ──────┴──▶ watch (state waits) ──▶ trigger queue ──▶ wake the watcher

The state machine waits for the response, so every problem is raised; the state's Retry and Catch match it by its class
name. The watch is opened first: if the call dies after that, the state's retry finds it. From the queue on, the request is
like any other: one run, however often the state asks.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, Final, Protocol

from mwaa_gateway.conf import MAXIMUM_CONF_BYTES, ORIGIN_KEY, conf_size, origin_of
from mwaa_gateway.conf.claim_check import ClaimChecks
from mwaa_gateway.errors import GatewayError
from mwaa_gateway.routing.live_rules import LiveRules
from mwaa_gateway.routing.resolve import Refused, Resolved, of_generation, resolve
from mwaa_gateway.step_functions.task_call import NamedDag, TaskCall
from mwaa_gateway.step_functions.watches import IdentityTaken, Opened, WatchStore
from mwaa_gateway.trigger_request import ResolvedTarget, TriggerQueue, TriggerRequest, derive_run_id
from mwaa_gateway.values import value

TASK_RULE_ID: Final = "step-functions"  # the rule id of a state that names its DAG; no rule may have it


class DagNotAllowed(GatewayError):
    """The state names a DAG that the allow-list does not contain."""


class NoRuleMatched(GatewayError):
    """The state names no DAG, and no rule matches."""


class SeveralTargetsMatched(GatewayError):
    """The state names no DAG, and more than one target matches: a state gets one run."""


class InputRefused(GatewayError):
    """The state's input cannot become the run's conf."""


class AmbiguousIdentity(GatewayError):
    """Another waiting state has the same identity."""


class WatchQueue(Protocol):
    """The watch queues of all environments."""

    def wake(self, environment: str, now: float) -> None:
        """Start a round of the environment's watcher soon; raises Unavailable if SQS did not take the wake."""


@value(kw_only=True)
class TaskStarter:
    """Starts runs for states.

    `allowed` are patterns of the DAGs that a state may name, `<environment>/<dag_id>` with `*` for any text. `now` returns
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
        """Request the run, open a watch if the state waits, and return the request.

        Raises:
            GatewayError: one of the classes above; nothing was started, and a retry does not help.
            Unavailable: AWS does not answer; the state's Retry continues where this call stopped.
        """
        now = self.now()
        resolved = (
            self._request_for_dag(call, call.dag, now)
            if call.dag is not None
            else self._request_by_rules(call, now)
        )
        request = resolved.request
        if call.wait is not None:
            request = replace(request, target=replace(request.target, watched=True))
            match self.watches.open(call, request, now):
                case IdentityTaken():
                    raise AmbiguousIdentity(
                        f"another waiting state has the identity {call.event.identity!r} too. In a Map within a Map, the "
                        "inner item's index repeats for each outer item. Give each item its own request_id, for example "
                        '"request_id.$": "States.Format(\'{}-{}-{}\', $$.Execution.Name, $.outer, $.inner)"'
                    )
                case opened:
                    request = self._for_watched_run(request, opened)
        if resolved.claim_check is not None:
            self.claim_checks.put([resolved.claim_check])  # before the request that names it
        self.queue.enqueue([request])
        if call.wait is not None:
            self.watch_queue.wake(request.target.environment, now)
        return request

    def _for_watched_run(self, request: TriggerRequest, opened: Opened) -> TriggerRequest:
        """Return the request for the watched run, whose environment's dispatcher and watcher take it."""
        if opened.environment not in self.environments:
            raise DagNotAllowed(
                f"this state already requested a run, in environment {opened.environment!r}, which the gateway no longer "
                "has. Pass another request_id to get a new run"
            )
        target = replace(request.target, environment=opened.environment, dag_id=opened.dag_id)
        return of_generation(replace(request, target=target), opened.generation)

    def _request_for_dag(self, call: TaskCall, dag: NamedDag, now: float) -> Resolved:
        if dag.environment not in self.environments:
            known = ", ".join(sorted(self.environments))
            raise DagNotAllowed(f"the gateway has no environment {dag.environment!r}; it has {known}")
        name = f"{dag.environment}/{dag.dag_id}"
        if not any(fnmatchcase(name, pattern) for pattern in self.allowed):
            raise DagNotAllowed(
                f"states may not name {name}: add it to the parameter TaskDags, or leave `dag` out and let a rule decide"
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

    def _request_by_rules(self, call: TaskCall, now: float) -> Resolved:
        self.rules.refresh(call.event.envelope, now)
        matches = self.rules.match(call.event.envelope)
        found = [
            (rule, one)
            for rule in matches.rules
            if rule.state != "SHADOW" and rule.collect is None  # a batch answers to no state
            for one in resolve(call.event, rule, now=now, claim_check_bucket=self.claim_check_bucket)
        ]
        if not found:
            broken = ", ".join(f"{rule.id} ({rule.reason})" for rule in matches.broken)
            raise NoRuleMatched(
                "no rule matches this state's event (source aws.states, detail-type 'DAG Run Requested')"
                + (f"; these rules may match but are broken: {broken}" if broken else "")
                + ". Name the DAG in `dag`, or apply a rule"
            )
        if len(found) > 1:
            names = ", ".join(sorted({rule.id for rule, _ in found}))
            raise SeveralTargetsMatched(f"a state gets one run, but {len(found)} targets match, of {names}")
        ((rule, only),) = found
        match only:
            case Refused(text=text):
                raise InputRefused(f"rule {rule.id}: {text}")
            case Resolved():
                return only


def _conf(call: TaskCall) -> dict[str, Any]:
    if ORIGIN_KEY in call.input:
        raise InputRefused(
            f"input has a field {ORIGIN_KEY!r}, which the gateway uses for the run's origin; rename it"
        )
    origin = origin_of(call.event, rule_id=TASK_RULE_ID, rule_version=0, target_id="default")
    conf = {**call.input, ORIGIN_KEY: {**origin, "execution_arn": call.execution_arn}}
    size = conf_size(conf)
    if size > MAXIMUM_CONF_BYTES:
        raise InputRefused(
            f"the conf would have {size} bytes, the limit is {MAXIMUM_CONF_BYTES}: write the input to S3 and pass its URI, "
            "or leave `dag` out and let a rule with large_conf: claim_check choose the DAG"
        )
    return conf
