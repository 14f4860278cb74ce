"""The certification of one environment: asks one question after the other, within the time limit.

A question that raises becomes `unknown` with the reason, and the next one follows. After Ctrl-C only the cleanup runs.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from gateway_cli.certify.airflow_probe import (
    FILLER,
    CliProbe,
    RestProbe,
    at_once,
    filler_in,
    over_cli,
    over_rest,
    over_web,
    shortened,
)
from gateway_cli.certify.canary import CANARY_DAG_ID, MISSING_DAG_ID
from gateway_cli.certify.dead_letter_paths import DeadLetterPaths
from gateway_cli.certify.gateway_probe import CannotAsk, GatewayProbe, NotAsked, Sent
from gateway_cli.certify.judging import (
    CONF_REFUSED,
    MISSING_DAG,
    NOT_THERE,
    USAGE,
    Exchange,
    RowSeen,
    Verdict,
    blocked,
    judge_busy,
    judge_canary,
    judge_conf,
    judge_dead_letter,
    judge_dead_request,
    judge_duplicate,
    judge_environment_findings,
    judge_expected,
    judge_login,
    judge_rows,
    judge_same_second,
    judge_start,
    judge_state,
    judge_token,
    judge_wait,
    not_allowed,
    skipped,
)
from gateway_cli.certify.questions import Question
from gateway_cli.certify.sources import Sources
from gateway_cli.certify.states import States
from gateway_cli.check.findings import Failed, judge_environment
from gateway_cli.check.probe import EnvironmentProbe
from gateway_cli.connection import Connection
from gateway_cli.output import Refused
from mwaa_gateway.airflow.rest import RestAnswer, RestCall
from mwaa_gateway.aws.mwaa.web import START_SECONDS
from mwaa_gateway.aws.mwaa.web_server import WebServer
from mwaa_gateway.aws.mwaa.web_session import ANSWER_SECONDS, WebSession
from mwaa_gateway.outcomes import OutcomeUnknown, Rejected, Retryable
from mwaa_gateway.transports import CLI, WEB, parts
from mwaa_gateway.trigger_request import ResolvedTarget

CONNECT_SECONDS: Final = 5.0
ANSWER_OF_A_COMMAND_SECONDS: Final = 30.0
AT_ONCE: Final = {
    "cli": 8,
    "rest": 30,
    "web": 8,
}  # twice the commands a web server takes, and three times the calls of a second; no limit of `web` is documented
SMALL_BYTES: Final = 100  # of a conf, beside its filler
_DENIED: Final = (
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "AuthorizationErrorException",
    "UnauthorizedOperation",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask. `wait_seconds`: length of the run that a state waits for; `patience`: seconds for one event."""

    questions: tuple[Question, ...]
    disruptive: bool = False
    state_machine: str = ""
    bucket: str = ""
    patience: float = 120.0
    wait_seconds: float = 420.0
    conf_kilobytes: int = 128
    minutes: float = 30.0


@dataclass(frozen=True, slots=True)
class Answered:
    """A question with its verdict and observations, for the report."""

    question: Question
    verdict: Verdict
    seen: Any
    seconds: float

    def document(self) -> dict[str, Any]:
        """Return it for the report."""
        return {
            "id": self.question.id,
            "asks": self.question.asks,
            "verdict": self.verdict.verdict,
            "text": self.verdict.text,
            "remedy": self.verdict.remedy,
            "seen": self.seen,
            "seconds": round(self.seconds, 1),
        }


@dataclass
class Certification:
    """Certifies one environment. `stamp`, a time such as 20261129T091500, is part of every name that it creates."""

    connection: Connection
    environment: str
    plan: Plan
    stamp: str
    interrupted: bool = False
    seen: list[Any] = field(default_factory=list)
    direct_runs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Build the probes, without I/O."""
        self.probe = EnvironmentProbe(self.connection)
        self.gateway = GatewayProbe(self.connection, self.environment, self.stamp, self.plan.patience)
        self.sources = Sources(self.gateway)
        self.states = States(self.gateway)
        self.dead_letters = DeadLetterPaths(self.gateway, self.sources)

    def answers(self, begun: Callable[[Question], None]) -> Iterator[Answered]:
        """Ask each question, after calling `begun`; the caller must call `close` afterwards, whatever happens."""
        end = time.monotonic() + self.plan.minutes * 60
        verdicts: dict[str, str] = {}
        for question in self.plan.questions:
            started, self.seen = time.monotonic(), []
            verdict = self._without_asking(question, verdicts, end - started)
            if verdict is None:
                begun(question)
                self.gateway.patience = min(self.plan.patience, end - started)
                verdict = self._asked(question)
            verdicts[question.id] = verdict.verdict
            yield Answered(question, verdict, self.seen, time.monotonic() - started)

    def _without_asking(self, question: Question, verdicts: Mapping[str, str], left: float) -> Verdict | None:
        """Return the verdict of a question that is not asked; None if it must be asked."""
        if self.interrupted:
            return Verdict("unknown", "not asked: interrupted")
        if question.transport and question.transport != self.transport:
            return skipped(f"only for the transport {question.transport}")
        if question.disruptive and not self.plan.disruptive:
            return skipped("may disturb others", "Use --disruptive to ask it")
        if failed := [each for each in question.needs if verdicts.get(each) == "fail"]:
            return blocked(failed)
        needed = self.plan.wait_seconds if question.id == "wait" else 0
        if left <= needed:
            return Verdict(
                "unknown",
                "not asked: the time limit is reached",
                "Ask it alone with --only, or allow more --minutes",
            )
        return None

    def _asked(self, question: Question) -> Verdict:
        """Ask a question, and turn any exception into a verdict."""
        ask: Callable[[], Verdict] = getattr(self, f"_{question.id.replace('-', '_')}")
        try:
            return ask()
        except CannotAsk as error:
            return Verdict("unknown", str(error), error.remedy)
        except NotAsked as error:
            return skipped(str(error), error.remedy)
        except ClientError as error:
            code = error.response["Error"].get("Code", "")
            if code in _DENIED:
                return not_allowed(error.operation_name)
            return Verdict(
                "unknown", f"{error.operation_name}: {code}: {error.response['Error'].get('Message', '')}"
            )
        except BotoCoreError as error:
            return Verdict("unknown", f"AWS did not answer: {error}")
        except KeyboardInterrupt:
            self.interrupted = True
            return Verdict("unknown", "interrupted")
        except Exception as error:  # noqa: BLE001  one question stops no other
            return Verdict("unknown", f"{type(error).__name__}: {error}", "Report it: this should not happen")

    def close(self) -> None:
        """Remove everything that the questions created; a second Ctrl-C does not stop the cleanup."""
        try:
            self.gateway.clean_up()
        except KeyboardInterrupt:
            self.gateway.clean_up()

    # ------------------------------------------------------------------------------------------------ the parts
    @cached_property
    def mwaa_name(self) -> str:
        """The environment's name on MWAA."""
        return self.probe.expected(self.environment).mwaa_name

    @cached_property
    def transport(self) -> str:
        """`cli`, `rest` or `web`: the one in use, not its fallback."""
        transports = self.connection.transports
        if transports is None:
            raise Refused(
                f"stack {self.connection.stack!r} has no parameter Transports: deploy this version of the gateway first"
            )
        return parts(transports.of(self.environment))[0]

    @cached_property
    def described(self) -> Mapping[str, Any]:
        """MWAA's description of the environment; empty if there is none."""
        described = self.probe.describe(self.mwaa_name)
        return {} if isinstance(described, Failed) else described

    @cached_property
    def airflow(self) -> CliProbe | RestProbe:
        """Airflow, by the environment's transport."""
        once = {"retries": {"mode": "standard", "total_max_attempts": 1}, "read_timeout": 12}
        client = self.connection.client("mwaa", **once)
        if self.transport == CLI:
            return over_cli(client, self.mwaa_name, self._web_server(ANSWER_OF_A_COMMAND_SECONDS))
        if self.transport == WEB:
            return over_web(client, self.mwaa_name, self._web_server(START_SECONDS))
        return over_rest(client, self.mwaa_name)

    def _web_server(self, seconds: float) -> WebServer:
        parameters = self.connection.stack_parameters
        bundle = parameters.get("WebServerCaBundle", "")
        return WebServer(
            host=parameters.get("WebServerHost", ""),
            # A path inside the functions, which is one here as well on a machine that runs the local stack.
            ca_bundle=bundle if Path(bundle).is_file() else "",
            connect_timeout_seconds=CONNECT_SECONDS,
            read_timeout_seconds=seconds,
        )

    def _target(self, name: str, *, dag_id: str = CANARY_DAG_ID, **conf: Any) -> ResolvedTarget:
        return ResolvedTarget(self.environment, dag_id, f"certify__{self.stamp}__{name}", conf)

    def _saw(self, exchange: Exchange) -> Exchange:
        self.seen.append(shortened(exchange.document()))
        return exchange

    def _trigger(self, target: ResolvedTarget) -> Exchange:
        return self._started(target, self.airflow.trigger(target))

    def _started(self, target: ResolvedTarget, exchange: Exchange) -> Exchange:
        if exchange.status is not None and not isinstance(exchange.outcome, Rejected):
            self.direct_runs.append(target.run_id)
        return self._saw(exchange)

    def _look_up(self, target: ResolvedTarget) -> Exchange:
        return self._saw(self.airflow.look_up(target))

    def _row(self, row: RowSeen) -> RowSeen:
        self.seen.append(row.document())
        return row

    # --------------------------------------------------------------------------------------------------- the questions
    def _environment(self) -> Verdict:
        described = self.probe.describe(self.mwaa_name)
        findings = list(judge_environment(self.probe.expected(self.environment), described, None))
        if not isinstance(described, Failed):
            shown = ("AirflowVersion", "EnvironmentClass", "Status", "WebserverAccessMode")
            self.seen.append({key: described[key] for key in shown if key in described})
        # The web server's access mode is a matter of the functions' network, which `environments check` looks at.
        return judge_environment_findings([each for each in findings if each.check != "access mode"])

    def _canary(self) -> Verdict:
        return judge_canary(self.probe.examine(self.environment))

    def _token(self) -> Verdict:
        assert isinstance(self.airflow, CliProbe)  # noqa: S101  of the transport cli alone
        return judge_token(self.airflow.sign_in())

    def _start(self) -> Verdict:
        return judge_start(self._trigger(self._target("start")))

    def _duplicate(self) -> Verdict:
        target = self._target("start")
        second = self._trigger(target)
        open_ = isinstance(second.outcome, OutcomeUnknown) and second.status is not None
        return judge_duplicate(second, self._look_up(target) if open_ else None)

    def _same_second(self) -> Verdict:
        targets = [self._target(f"at-once-{number}") for number in (1, 2)]
        starts = at_once([partial(self.airflow.another().trigger, target) for target in targets])
        for target, start in zip(targets, starts, strict=True):
            self._started(target, start)
        return judge_same_second(starts, [self._look_up(target) for target in targets])

    def _missing_dag(self) -> Verdict:
        exchange = self._saw(self.airflow.trigger(self._target("missing", dag_id=MISSING_DAG_ID)))
        return judge_expected([(MISSING_DAG, exchange)])

    def _failing_commands(self) -> Verdict:
        answers = [
            (CONF_REFUSED, self._saw(self.airflow.trigger(self._target("refused", seconds="no number")))),
            (NOT_THERE, self._look_up(self._target("nobody"))),
        ]
        if isinstance(self.airflow, CliProbe):
            answers.append((USAGE, self._saw(self.airflow.misuse(self._target("misuse")))))
        return judge_expected(answers)

    def _conf_32k(self) -> Verdict:
        return self._conf(32, needed=True)

    def _conf_128k(self) -> Verdict:
        return self._conf(self.plan.conf_kilobytes, needed=False)

    def _conf(self, kilobytes: int, *, needed: bool) -> Verdict:
        size = kilobytes * 1024 - SMALL_BYTES
        target = self._target(f"conf-{kilobytes}k", filler=FILLER * size)
        start = self._trigger(target)
        taken = not isinstance(start.outcome, OutcomeUnknown | Retryable)
        look_up = None if taken and needed else self._look_up(target)
        return judge_conf(size, start, look_up, filler_in(start), needed=needed)

    def _login(self) -> Verdict:
        parameter = "RestApiRole" if self.transport == WEB else "WebLoginRole"
        if self.transport != WEB and not self.connection.stack_parameters.get(parameter):
            return skipped("the stack's parameter WebLoginRole is empty")
        client = self.connection.client("mwaa", retries={"mode": "standard", "total_max_attempts": 1})
        session = WebSession(client, self.mwaa_name, self._web_server(ANSWER_SECONDS), parameter)
        answer = session.ask(RestCall("GET", "/dags", query={"limit": 1}))
        if isinstance(answer, RestAnswer):
            shown = answer.document if isinstance(answer.document, Mapping) else {}
            self.seen.append({"status": answer.status, "keys": sorted(shown)})
            return judge_login(answer.status, "")
        return judge_login(None, answer.text)

    def _eventbridge(self) -> Verdict:
        return judge_rows([self._row(self.gateway.follow("the bus", self.sources.put_event))])

    def _sns(self) -> Verdict:
        return judge_rows([self._row(self.gateway.follow("the topic", self.sources.publish))])

    def _s3(self) -> Verdict:
        bucket = self.plan.bucket or self.connection.stack_outputs.get("LandingBucketName", "")
        if not bucket:
            return skipped(
                "the stack has no landing bucket",
                "Name a bucket that sends its events to the gateway with --bucket",
            )
        sent: dict[str, Sent] = {}

        def upload() -> Sent:
            event, key = self.sources.upload(bucket)
            sent[key] = event
            return event

        row = self.gateway.follow("the bucket", upload)
        if row.state == "triggered":
            row = self._key_as_it_was(row, sent)
        return judge_rows([self._row(row)])

    def _key_as_it_was(self, row: RowSeen, sent: Mapping[str, Sent]) -> RowSeen:
        """Compare the key in the run's conf with that of the upload."""
        key, event = list(sent.items())[-1]
        found = self.gateway.row(event)
        arrived = (
            found.request.target.conf.get("key") if found is not None and found.request is not None else None
        )
        if arrived == key:
            return row
        return RowSeen(
            row.source, row.state, seconds=row.seconds, note=f"the key {key!r} arrived as {arrived!r}"
        )

    def _queue(self) -> Verdict:
        arns = [
            each.strip() for each in self.connection.stack_parameters.get("EventQueueArns", "").split(",")
        ]
        if not any(arns):
            return skipped("the stack's parameter EventQueueArns is empty")
        return judge_rows(
            [
                self._row(self.gateway.follow("the queue", partial(self.sources.send, arn)))
                for arn in filter(None, arns)
            ]
        )

    def _machine(self) -> str:
        if "StepFunctionsTaskFunctionArn" not in self.connection.stack_outputs:
            raise NotAsked("the stack's parameter StepFunctionsTasks is false")
        if not self.plan.state_machine:
            raise NotAsked(
                "no state machine was named",
                "Create one from what --print-state-machine prints, and name it with --state-machine",
            )
        return self.plan.state_machine

    def _step_functions(self) -> Verdict:
        execution = self.states.execute(self._machine(), 0, self.gateway.patience)
        self.seen.append(execution.document())
        return judge_state(execution)

    def _wait(self) -> Verdict:
        if self.plan.wait_seconds <= 0:
            return skipped("--wait 0s")
        since = datetime.now(UTC)
        execution = self.states.execute(
            self._machine(), self.plan.wait_seconds, self.plan.wait_seconds + self.gateway.patience
        )
        execution = execution.with_lost(self.states.dropped_rounds(since))
        self.seen.append(execution.document())
        return judge_wait(execution, self.plan.wait_seconds)

    def _busy(self) -> Verdict:
        # Answered alike by every Airflow, and nothing starts
        target = self._target("busy", dag_id=MISSING_DAG_ID)
        asks = [partial(self.airflow.another().trigger, target) for _ in range(AT_ONCE[self.transport])]
        return judge_busy([self._saw(each) for each in at_once(asks)])

    def _dead_request(self) -> Verdict:
        row, has_message = self.dead_letters.dead_request()
        return judge_dead_request(self._row(row), has_message=has_message)

    def _dead_event(self) -> Verdict:
        return self._in_ingress_dlq("the function", self.dead_letters.unusable_event)

    def _dead_eventbridge(self) -> Verdict:
        began = time.monotonic()
        run = self.dead_letters.undelivered_by_eventbridge()
        if run is not None:
            self._row(run)
        return judge_dead_letter("EventBridge", time.monotonic() - began, found=run is not None, run=run)

    def _dead_sns(self) -> Verdict:
        return self._in_ingress_dlq("SNS", self.dead_letters.undelivered_by_sns)

    def _in_ingress_dlq(self, what: str, ask: Callable[[], bool]) -> Verdict:
        began = time.monotonic()
        found = ask()
        return judge_dead_letter(what, time.monotonic() - began, found=found)

    # -------------------------------------------------------------------------------------------------- what it leaves
    def left_behind(self) -> list[str]:
        """Return what stays in the account, as text for people."""
        started = len(set(self.direct_runs)) + len(set(self.gateway.runs))
        runs = [
            f"{started} runs of {CANARY_DAG_ID} in Airflow (certify__…, evt__certify.…), with the ledger rows of the latter"
        ]
        rules = ["its rules, in the rules' history"]
        return [
            *(runs if started else []),
            *(rules if self.gateway.wrote_rules else []),
            *self.gateway.left_behind,
        ]


def names_of(certification: Certification) -> dict[str, str]:
    """Return the names of this account that a report replaces, each with its placeholder."""
    connection = certification.connection
    caller = certification.probe.caller
    outputs, parameters = connection.stack_outputs, connection.stack_parameters
    return {
        certification.mwaa_name: "<environment>",
        connection.stack: "<stack>",
        certification.plan.bucket: "<bucket>",
        outputs.get("LandingBucketName", ""): "<bucket>",
        parameters.get("WebServerHost", ""): "<host>",
        str(caller["Account"]): "<account>",
        str(caller["Arn"]).rpartition("/")[2]: "<caller>",
    }
