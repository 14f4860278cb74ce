"""Judges each answer: `pass`, `fail` or `unknown`, and what to do about it.

`fail`: AWS or Airflow answered in a way that breaks the gateway. `unknown`: there is no answer, or the caller lacks a
permission; that says nothing about the environment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from gateway_cli.certify.canary import CANARY_DAG_ID
from gateway_cli.check.findings import Failed, Finding
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Held,
    Outcome,
    OutcomeUnknown,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)

POLICY: Final = (
    "Attach the policy that `environments certify NAME --print-policy` prints with the same options"
)
FILTER_SECONDS: Final = 15 * 60  # until a subscription's filter policy is in force, by SNS's documentation
NETWORK: Final = "Run it from a network that reaches the web server; only its VPC reaches a private one"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`pass`, `fail`, `unknown` or `skipped`; the answer in words; what to do about it."""

    verdict: Literal["pass", "fail", "unknown", "skipped"]
    text: str
    remedy: str = ""


def _pass(text: str) -> Verdict:
    return Verdict("pass", text)


def _fail(text: str, remedy: str) -> Verdict:
    return Verdict("fail", text, remedy)


def _unknown(text: str, remedy: str = "") -> Verdict:
    return Verdict("unknown", text, remedy)


def skipped(text: str, remedy: str = "") -> Verdict:
    """Return the verdict of a question that was skipped on purpose, with the reason."""
    return Verdict("skipped", text, remedy)


def blocked(by: Sequence[str]) -> Verdict:
    """Return the verdict of a question that depends on failed ones."""
    return _unknown(f"not asked, as {' and '.join(by)} failed")


def not_allowed(call: str) -> Verdict:
    """Return the verdict for a caller without the permission."""
    return _unknown(f"you may not do this: {call} was denied", POLICY)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request to Airflow, with the HTTP status and the content of the answer.

    `outcome` is what the gateway makes of it; `status` is None where nothing came back.
    """

    sent: str
    outcome: Outcome
    status: int | None = None
    said: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def document(self) -> dict[str, Any]:
        """Return it for the report."""
        reason = getattr(self.outcome, "reason", None)
        return {
            "sent": self.sent,
            "status": self.status,
            "answer": self.said,
            "read_as": type(self.outcome).__name__ + (f": {reason}" if reason else ""),
        }


def _nothing_came(exchange: Exchange) -> Verdict | None:
    """Return the verdict if the request got no answer; otherwise None."""
    match exchange.outcome:
        case Retryable(reason=Reason.ACCESS_DENIED):
            return _unknown("you may not do this: the call to Airflow was denied", POLICY)
        case Retryable(reason=Reason.ENVIRONMENT_UNREACHABLE, text=text) if exchange.status is None:
            return _unknown(f"not reachable from here: {text}", NETWORK)
        case Retryable(reason=Reason.TOKEN_UNAVAILABLE | Reason.WEB_SERVER_BUSY, text=text):
            return _unknown(text, "Run it again: other commands may take the web server's slots")
        case OutcomeUnknown(text=text) if exchange.status is None:
            return _unknown(
                f"no answer: {text}",
                "Run it again; if there is still no answer, see the web server's load and log",
            )
        case _:
            return None


def _words(outcome: Outcome) -> str:
    match outcome:
        case Triggered() | AlreadyTriggered():
            return "the run exists"
        case (
            Held(reason=reason, text=text)
            | Rejected(reason=reason, text=text)
            | Retryable(reason=reason, text=text)
        ):
            return f"{reason}: {text}"
        case OutcomeUnknown(reason=reason, text=text):
            return f"{reason}: {text}"


_READ_DIFFERENTLY: Final = (
    "Report it, and attach the report file: this version of the gateway does not understand the answer"
)


# ------------------------------------------------------------------------------------------------- before all others
def judge_environment_findings(findings: Sequence[Finding]) -> Verdict:
    """Judge what `environments check` found of the environment itself."""
    for status in ("failed", "unknown"):
        for each in findings:
            if each.status == status:
                judge = _fail if status == "failed" else _unknown
                return judge(f"{each.check}: {each.text}", each.remedy)
    return _pass(", ".join(each.text for each in findings))


def judge_canary(found: Mapping[str, Any] | Failed) -> Verdict:
    """Judge whether the doctor's list of DAGs has the canary."""
    if isinstance(found, Failed):
        if found.code.startswith("AccessDenied"):
            return not_allowed("the doctor (lambda:InvokeFunction)")
        return _unknown(str(found), "Run `mwaa-gateway environments check`")
    dags = found.get("dags")
    if dags is None:
        return _unknown(
            "the doctor got no list of DAGs", "Run `mwaa-gateway environments check`: it says why"
        )
    deploy = (
        "Deploy the DAG that `environments certify NAME --print-dag` prints, and wait until Airflow lists it"
    )
    if CANARY_DAG_ID in dags["paused"]:
        return _fail(f"{CANARY_DAG_ID} is paused", "Unpause it in Airflow")
    if CANARY_DAG_ID in dags["stale"]:
        return _fail(f"{CANARY_DAG_ID} is stale: its file is gone or broken", deploy)
    if CANARY_DAG_ID in dags["runnable"]:
        return _pass(f"{CANARY_DAG_ID}, among {dags['count']} DAGs")
    if not dags["runnable"] and dags["count"]:
        return _unknown(f"{dags['count']} DAGs are too many for the doctor to list")
    return _fail(f"Airflow lists no {CANARY_DAG_ID}", deploy)


def judge_token(answer: str | Retryable) -> Verdict:
    """Judge the web server's host that came with a token, or why there is none."""
    match answer:
        case str():
            return _pass("MWAA gave a CLI token and one of its own host names")
        case Retryable(reason=Reason.ACCESS_DENIED):
            return not_allowed("airflow:CreateCliToken")
        case Retryable(reason=Reason.ENVIRONMENT_UNREACHABLE, text=text):
            return _fail(text, "If this is the web server's host, set WebServerHost to it")
        case Retryable(text=text):
            return _unknown(text, "Run it again")


# -------------------------------------------------------------------------------------------- answers of Airflow
def judge_start(exchange: Exchange) -> Verdict:
    """Judge the answer to a start."""
    match exchange.outcome:
        case Triggered():
            return _pass(f"HTTP {exchange.status}: Airflow started the run and names it")
        case outcome:
            return _nothing_came(exchange) or _fail(_words(outcome), _READ_DIFFERENTLY)


def judge_duplicate(second: Exchange, look_up: Exchange | None) -> Verdict:
    """Judge the answer to a second start of a run, and the lookup if the answer was unclear."""
    match (second.outcome, look_up and look_up.outcome):
        case (AlreadyTriggered(), _):
            return _pass(f"HTTP {second.status}: Airflow says that our run exists")
        case (OutcomeUnknown(), AlreadyTriggered()) if second.status is not None:
            return _pass(
                f"HTTP {second.status}: Airflow does not say which run exists; the lookup finds ours"
            )
        case (Triggered(), _):
            return _fail("Airflow started a second run with the same run_id", _READ_DIFFERENTLY)
        case (outcome, _):
            return (
                _nothing_came(second)
                or (look_up and _nothing_came(look_up))
                or _fail(_words(outcome), _READ_DIFFERENTLY)
            )


def judge_same_second(starts: Sequence[Exchange], look_ups: Sequence[Exchange]) -> Verdict:
    """Judge two starts that were sent at the same moment, and the lookup of each."""
    for exchange in (*starts, *look_ups):
        if (nothing := _nothing_came(exchange)) is not None:
            return nothing
    if all(isinstance(each.outcome, AlreadyTriggered) for each in look_ups):
        return _pass("both runs exist")
    refused = [_words(each.outcome) for each in starts if not isinstance(each.outcome, Triggered)]
    missing = sum(not isinstance(each.outcome, AlreadyTriggered) for each in look_ups)
    text = f"{missing} of {len(look_ups)} runs do not exist: {'; '.join(refused) or 'no answer says why'}"
    return _fail(text, _READ_DIFFERENTLY)


@dataclass(frozen=True, slots=True)
class _Expected:
    """An answer that the gateway must understand: its outcome's class and reason."""

    what: str
    outcome: type[Rejected | Retryable]
    reason: Reason

    def is_it(self, outcome: Outcome) -> bool:
        """Return whether the gateway read the answer this way."""
        return isinstance(outcome, self.outcome) and outcome.reason is self.reason


MISSING_DAG: Final = _Expected("a DAG that does not exist", Rejected, Reason.DAG_MISSING)
CONF_REFUSED: Final = _Expected("a conf that the DAG refuses", Rejected, Reason.CONF_REFUSED)
NOT_THERE: Final = _Expected("a run that does not exist", Retryable, Reason.RUN_NOT_THERE)
USAGE: Final = _Expected("an option that does not exist", Rejected, Reason.AIRFLOW_REFUSED)
BUSY: Final = _Expected("beyond the limit", Retryable, Reason.WEB_SERVER_BUSY)


def judge_expected(answers: Sequence[tuple[_Expected, Exchange]]) -> Verdict:
    """Judge deliberate failures: the gateway must recognise each."""
    for expected, exchange in answers:
        if not expected.is_it(exchange.outcome):
            return _nothing_came(exchange) or _fail(
                f"{expected.what}: HTTP {exchange.status}, {_words(exchange.outcome)}", _READ_DIFFERENTLY
            )
    return _pass("; ".join(f"{expected.what}: HTTP {exchange.status}" for expected, exchange in answers))


def judge_conf(
    size: int, start: Exchange, look_up: Exchange | None, arrived: int | None, *, needed: bool
) -> Verdict:
    """Judge a start with a large conf: `arrived` bytes of it are in Airflow's answer, None where it shows none.

    `needed`: the gateway passes confs of this size. A larger one may be refused, but not cut.
    """
    if (nothing := _nothing_came(start)) is not None:
        return nothing
    if isinstance(start.outcome, Triggered):
        if arrived is None:
            return _unknown(
                "Airflow started the run, and its answer does not show the conf",
                "See the run's conf in Airflow",
            )
        if arrived < size:
            return _fail(f"the run has {arrived:,} of {size:,} bytes", _READ_DIFFERENTLY)
        return _pass(f"{size:,} bytes arrived whole")
    if needed:
        return _fail(f"HTTP {start.status}, {_words(start.outcome)}", _READ_DIFFERENTLY)
    if look_up is not None and NOT_THERE.is_it(look_up.outcome):
        return _pass(f"refused with HTTP {start.status}, and no run started; the gateway sends at most 32 KB")
    return _fail(
        f"HTTP {start.status}, and the answer does not say whether a run started: {_words(start.outcome)}",
        _READ_DIFFERENTLY,
    )


def judge_busy(answers: Sequence[Exchange]) -> Verdict:
    """Judge simultaneous starts of a DAG that does not exist, more than MWAA accepts at once."""
    refused = [each for each in answers if BUSY.is_it(each.outcome)]
    odd = [each for each in answers if each not in refused and not MISSING_DAG.is_it(each.outcome)]
    if odd:
        return _nothing_came(odd[0]) or _fail(
            f"{len(odd)} of {len(answers)} got another answer: {_words(odd[0].outcome)}",
            _READ_DIFFERENTLY,
        )
    if not refused:
        return _unknown(f"Airflow accepted all {len(answers)} at once: the limit was not reached")
    statuses = sorted({str(each.status) for each in refused if each.status is not None})
    shown = f" with HTTP {', '.join(statuses)}" if statuses else ""
    return _pass(f"{len(refused)} of {len(answers)} were refused{shown}; the gateway retries such requests")


def judge_login(status: int | None, text: str) -> Verdict:
    """Judge what the first call with a web login's session got: Airflow's status, or None and why there is none."""
    if status is not None and 200 <= status < 300:  # noqa: PLR2004  HTTP's successes
        return _pass(f"HTTP {status} with a login session")
    if "AccessDenied" in text:
        return not_allowed("airflow:CreateWebLoginToken")
    if status is None and "while talking to the web server" in text:
        return _unknown(f"not reachable from here: {text}", NETWORK)
    return _fail(
        text or f"HTTP {status}",
        "See the web server's log, and whether the role of WebLoginRole (over `web`: RestApiRole) exists in Airflow",
    )


# ------------------------------------------------------------------------------------------- what the gateway does
@dataclass(frozen=True, slots=True)
class RowSeen:
    """An event's row in the ledger: `state` is "" without a row; `note` says what is wrong with the conf."""

    source: str
    state: str
    reason: str = ""
    text: str = ""
    seconds: float = 0.0
    note: str = ""

    def document(self) -> dict[str, Any]:
        """Return it for the report."""
        return {
            "source": self.source,
            "ledger_state": self.state or None,
            "reason": self.reason or None,
            "text": self.text,
            "seconds": round(self.seconds, 1),
        }


def judge_rows(rows: Sequence[RowSeen]) -> Verdict:
    """Judge the events of one source: the first without a run decides."""
    for row in rows:
        if row.state != "triggered" or row.note:
            return _judge_row(row)
    return _pass("; ".join(f"the run started after {row.seconds:.0f} s" for row in rows))


def _judge_row(row: RowSeen) -> Verdict:
    match row.state:
        case "triggered":
            return _fail(row.note, "Report it, and attach the report file: the conf is not what was sent")
        case "":
            return _fail(
                f"{row.source}: no trigger request within {row.seconds:.0f} s: the event did not arrive, or matched no rule",
                "See the log group of the source's function, then the ingress DLQ (`mwaa-gateway dlq list`)",
            )
        case "held":
            return _unknown(
                f"{row.source}: held: {row.text}",
                "Resume the environment (`mwaa-gateway environments resume`), then ask again",
            )
        case "dead":
            return _fail(
                f"{row.source}: dead: {row.reason}: {row.text}",
                "docs/dead-letters.md says what to do about this reason",
            )
        case _ if row.reason:
            return _fail(
                f"{row.source}: no run within {row.seconds:.0f} s: {row.reason}: {row.text}",
                "Run `mwaa-gateway environments check`; the dispatcher's log has each attempt",
            )
        case _:
            return _unknown(
                f"{row.source}: no answer within {row.seconds:.0f} s: the request still waits",
                "Run it again with a larger --patience; `environments drain NAME --timeout 0s` counts the waiting requests",
            )


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution of the canary state machine, as Step Functions describes it; `lost` rounds were dropped by Lambda."""

    status: str
    error: str = ""
    cause: str = ""
    seconds: float = 0.0
    lost: int | None = None

    def with_lost(self, lost: int) -> "Execution":
        """Return it with the number of invocations that Lambda dropped meanwhile."""
        return replace(self, lost=lost)

    def document(self) -> dict[str, Any]:
        """Return it for the report."""
        return {
            "status": self.status,
            "error": self.error or None,
            "cause": self.cause or None,
            "seconds": round(self.seconds, 1),
            "recursive_invocations_dropped": self.lost,
        }


def judge_state(execution: Execution) -> Verdict:
    """Judge an execution whose run ends at once."""
    match execution.status:
        case "SUCCEEDED":
            return _pass(f"the state got the run's result after {execution.seconds:.0f} s")
        case "RUNNING":
            return _unknown(
                f"no answer within {execution.seconds:.0f} s",
                "Run it again with a larger --patience, and see the watcher's log",
            )
        case "FAILED" if (
            execution.error == "Lambda.AccessDeniedException" or "not authorized" in execution.cause
        ):
            return _fail(
                f"the state machine's role may not invoke the gateway: {execution.error}",
                "Its role needs lambda:InvokeFunction on the stack's output StepFunctionsTaskFunctionArn",
            )
        case status:
            return _fail(
                f"{status}: {execution.error} {execution.cause}".strip()[:300],
                "docs/step-functions.md explains each error",
            )


def judge_wait(execution: Execution, asked_seconds: float) -> Verdict:
    """Judge an execution whose run took `asked_seconds`: it gets an answer only if the watcher's rounds continue."""
    if execution.lost:
        return _fail(
            f"Lambda dropped {execution.lost} invocations of the watcher as a recursive loop",
            "Deploy the stack again, and see whether the account forbids lambda:PutFunctionRecursionConfig",
        )
    if execution.status != "SUCCEEDED":
        return judge_state(execution)
    rounds = int(asked_seconds // 10)
    dropped = "" if execution.lost is None else ", none dropped"
    return _pass(
        f"the state got the run's result after {execution.seconds:.0f} s: {rounds} rounds or more{dropped}"
    )


def judge_dead_request(row: RowSeen, *, has_message: bool) -> Verdict:
    """Judge an event whose conf Airflow refuses: dead in the ledger, and a message in the trigger DLQ."""
    if row.state == "triggered":
        return _fail(
            "Airflow accepted a conf that the canary's params refuse", "Deploy the canary DAG of this version"
        )
    if (row.state, row.reason) != ("dead", Reason.CONF_REFUSED):
        return _judge_row(row)
    if not has_message:
        return _fail(
            "dead in the ledger, without a message in the trigger DLQ",
            "See the dispatcher's log for failed sends",
        )
    return _pass(f"dead after {row.seconds:.0f} s, with its message")


def judge_dead_letter(what: str, seconds: float, *, found: bool, run: RowSeen | None = None) -> Verdict:
    """Judge an event that should reach the ingress DLQ; `run` is the result of its redrive, if it was redriven."""
    if not found and what == "SNS" and seconds < FILTER_SECONDS:
        return _unknown(
            f"nothing in the ingress DLQ within {seconds:.0f} s",
            "SNS takes up to 15 minutes for a filter policy: ask it again, with --only dead-sns --patience 16m",
        )
    if not found:
        return _fail(
            f"nothing in the ingress DLQ within {seconds:.0f} s",
            f"See the queue's policy and {what}'s metrics: a delivery that its dead-letter queue refuses is lost",
        )
    if run is None:
        return _pass(f"in the ingress DLQ after {seconds:.0f} s")
    judged = judge_rows([run])
    return (
        judged
        if judged.verdict != "pass"
        else _pass(f"in the ingress DLQ; redriven, the run started after {run.seconds:.0f} s")
    )
