"""What `environments certify` makes of an answer: each question passes, fails and stays unknown for its own reasons."""

from typing import Any

import pytest

from gateway_cli.certify.canary import CANARY_DAG_ID
from gateway_cli.certify.judging import (
    CONF_REFUSED,
    MISSING_DAG,
    NOT_THERE,
    Exchange,
    Execution,
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
from gateway_cli.check.findings import Failed, Finding
from mwaa_gateway.outcomes import (
    AlreadyTriggered,
    Held,
    OutcomeUnknown,
    Reason,
    Rejected,
    Retryable,
    Triggered,
)


def answer(outcome: Any, status: int | None = 200) -> Exchange:
    return Exchange("sent", outcome, status)


STARTED = answer(Triggered())
THERE = answer(AlreadyTriggered("it is there"))
ABSENT = answer(Retryable(Reason.RUN_NOT_THERE, "it is not there"))
UNCLEAR = answer(OutcomeUnknown(Reason.UNCLEAR_ANSWER, "odd words"))
NO_DAG = answer(Rejected(Reason.DAG_MISSING, "no such DAG"), 400)
BAD_CONF = answer(Rejected(Reason.CONF_REFUSED, "no such conf"), 400)
FULL = answer(Retryable(Reason.WEB_SERVER_BUSY, "full"), 503)
SILENT = answer(OutcomeUnknown(Reason.UNCLEAR_ANSWER, "ReadTimeout"), None)
UNREACHED = answer(Retryable(Reason.ENVIRONMENT_UNREACHABLE, "no connection within the time"), None)
NO_CLI = answer(Retryable(Reason.ENVIRONMENT_UNREACHABLE, "the web server offers no CLI"), 404)
DENIED = answer(Retryable(Reason.ACCESS_DENIED, "CreateCliToken"), None)
NO_TOKEN = answer(Retryable(Reason.TOKEN_UNAVAILABLE, "MWAA is away"), None)

RUN = RowSeen("the bus", "triggered", seconds=3.2)
NEVER = RowSeen("the bus", "", seconds=120)
ON_ITS_WAY = RowSeen("the bus", "open", seconds=120)
TRIED = RowSeen("the bus", "open", "access_denied", "CreateCliToken was denied", 120)
DEAD = RowSeen("the bus", "dead", "conf_refused", "Airflow refused it", 4)
HELD = RowSeen("the bus", "held", "environment_paused", "paused by alice", 4)
OTHER_KEY = RowSeen("the bucket", "triggered", seconds=3, note="the key 'a b' arrived as 'a+b'")

SUCCEEDED = Execution("SUCCEEDED", seconds=250)
RUNNING = Execution("RUNNING", seconds=360)
REFUSED = Execution("FAILED", "Lambda.AccessDeniedException", "no", 1)
FAILED = Execution("FAILED", "DagRunFailed", "{}", 9)


def dags(**lists: list[str]) -> dict[str, Any]:
    listed = {"runnable": ["other"], "paused": [], "stale": []} | lists
    return {"dags": {**listed, "count": sum(map(len, listed.values()))}}


FINDING = Finding("status", "ok", "AVAILABLE")
PASS = [
    ("environment", judge_environment_findings([FINDING]), "AVAILABLE"),
    ("canary", judge_canary(dags(runnable=[CANARY_DAG_ID])), "among 1 DAGs"),
    ("token", judge_token("x.c1.eu-west-1.airflow.amazonaws.com"), "a CLI token"),
    ("start", judge_start(STARTED), "HTTP 200"),
    ("duplicate: said", judge_duplicate(THERE, None), "our run exists"),
    ("duplicate: looked up", judge_duplicate(UNCLEAR, THERE), "the lookup finds ours"),
    ("same-second", judge_same_second([STARTED, STARTED], [THERE, THERE]), "both runs exist"),
    ("same-second: one unclear", judge_same_second([STARTED, UNCLEAR], [THERE, THERE]), "both runs exist"),
    ("missing-dag", judge_expected([(MISSING_DAG, NO_DAG)]), "HTTP 400"),
    (
        "failing-commands",
        judge_expected([(CONF_REFUSED, BAD_CONF), (NOT_THERE, ABSENT)]),
        "does not exist: HTTP 200",
    ),
    ("conf-32k", judge_conf(32, STARTED, None, 32, needed=True), "whole"),
    ("conf-128k: taken", judge_conf(128, STARTED, THERE, 128, needed=False), "whole"),
    (
        "conf-128k: refused",
        judge_conf(128, answer(UNCLEAR.outcome, 413), ABSENT, None, needed=False),
        "HTTP 413",
    ),
    ("login", judge_login(200, ""), "with a login session"),
    ("rows", judge_rows([RUN, RUN]), "the run started after 3 s; the run started after 3 s"),
    ("step-functions", judge_state(SUCCEEDED), "the run's result"),
    ("wait", judge_wait(SUCCEEDED.with_lost(0), 240), "24 rounds or more, none dropped"),
    ("busy", judge_busy([NO_DAG, FULL, FULL]), "2 of 3 were refused with HTTP 503"),
    ("dead-request", judge_dead_request(DEAD, has_message=True), "with its message"),
    ("dead-event", judge_dead_letter("SNS", 4, found=True), "in the ingress DLQ after 4 s"),
    (
        "dead-eventbridge",
        judge_dead_letter("EventBridge", 9, found=True, run=RUN),
        "redriven, the run started",
    ),
]
FAIL = [
    (
        "environment",
        judge_environment_findings([FINDING, Finding("version", "failed", "2.5", "Upgrade")]),
        "2.5",
    ),
    ("canary: absent", judge_canary(dags()), "lists no"),
    ("canary: paused", judge_canary(dags(paused=[CANARY_DAG_ID])), "is paused"),
    ("canary: stale", judge_canary(dags(stale=[CANARY_DAG_ID])), "is stale"),
    ("token", judge_token(Retryable(Reason.ENVIRONMENT_UNREACHABLE, "MWAA named 'evil'")), "evil"),
    ("start", judge_start(UNCLEAR), "odd words"),
    ("start: no CLI", judge_start(NO_CLI), "offers no CLI"),
    ("duplicate: again", judge_duplicate(STARTED, None), "a second run"),
    ("duplicate: not found", judge_duplicate(UNCLEAR, ABSENT), "odd words"),
    ("same-second: swallowed", judge_same_second([STARTED, UNCLEAR], [THERE, ABSENT]), "1 of 2 runs"),
    ("missing-dag: misread", judge_expected([(MISSING_DAG, UNCLEAR)]), "odd words"),
    ("missing-dag: other refusal", judge_expected([(MISSING_DAG, BAD_CONF)]), "conf_refused"),
    ("conf-32k: cut", judge_conf(32, STARTED, None, 30, needed=True), "30 of 32 bytes"),
    ("conf-32k: refused", judge_conf(32, BAD_CONF, ABSENT, None, needed=True), "conf_refused"),
    ("conf-128k: cut", judge_conf(128, STARTED, THERE, 64, needed=False), "64 of 128"),
    (
        "conf-128k: perhaps a run",
        judge_conf(128, UNCLEAR, UNCLEAR, None, needed=False),
        "does not say whether a run",
    ),
    ("login: refused", judge_login(403, ""), "HTTP 403"),
    ("login: other form", judge_login(None, "answered with HTTP 500 and no session"), "HTTP 500"),
    ("rows: never arrived", judge_rows([RUN, NEVER]), "no trigger request within 120 s"),
    ("rows: tried in vain", judge_rows([TRIED]), "access_denied"),
    ("rows: dead", judge_rows([DEAD]), "conf_refused"),
    ("rows: another key", judge_rows([OTHER_KEY]), "arrived as"),
    ("step-functions", judge_state(FAILED), "DagRunFailed"),
    ("step-functions: role", judge_state(REFUSED), "may not invoke"),
    ("wait: dropped", judge_wait(SUCCEEDED.with_lost(3), 240), "dropped 3"),
    ("wait: failed", judge_wait(FAILED.with_lost(0), 240), "DagRunFailed"),
    ("busy", judge_busy([NO_DAG, answer(UNCLEAR.outcome, 500)]), "1 of 2 got another answer"),
    ("dead-request: silent", judge_dead_request(DEAD, has_message=False), "without a message"),
    ("dead-request: taken", judge_dead_request(RUN, has_message=False), "Airflow accepted a conf"),
    (
        "dead-request: other death",
        judge_dead_request(RowSeen("x", "dead", "too_old", "late"), has_message=True),
        "too_old",
    ),
    ("dead-event", judge_dead_letter("the function", 120, found=False), "nothing in the ingress DLQ"),
    ("dead-sns", judge_dead_letter("SNS", 960, found=False), "nothing in the ingress DLQ"),
    (
        "dead-eventbridge: no run",
        judge_dead_letter("EventBridge", 9, found=True, run=NEVER),
        "no trigger request",
    ),
]
UNKNOWN = [
    (
        "environment",
        judge_environment_findings([Finding("environment", "unknown", "denied", "Ask")]),
        "denied",
    ),
    ("canary: no doctor", judge_canary(Failed("the doctor", "Timeout", "late")), "late"),
    (
        "canary: not allowed",
        judge_canary(Failed("the doctor", "AccessDeniedException", "no")),
        "you may not",
    ),
    ("canary: no list", judge_canary({}), "no list"),
    (
        "canary: too many",
        judge_canary({"dags": {"runnable": [], "paused": [], "stale": [], "count": 9}}),
        "too many",
    ),
    ("token: denied", judge_token(DENIED.outcome), "you may not"),  # type: ignore[arg-type]
    ("token: away", judge_token(NO_TOKEN.outcome), "MWAA is away"),  # type: ignore[arg-type]
    *(
        (f"{name}: {what}", judge(nothing), words)
        for name, judge in {
            "start": judge_start,
            "duplicate": lambda nothing: judge_duplicate(nothing, None),
            "duplicate's look-up": lambda nothing: judge_duplicate(UNCLEAR, nothing),
            "same-second": lambda nothing: judge_same_second([STARTED, nothing], [THERE, THERE]),
            "missing-dag": lambda nothing: judge_expected([(MISSING_DAG, nothing)]),
            "conf-32k": lambda nothing: judge_conf(32, nothing, None, None, needed=True),
            "conf-128k": lambda nothing: judge_conf(128, nothing, ABSENT, None, needed=False),
            "busy": lambda nothing: judge_busy([NO_DAG, nothing]),
        }.items()
        for what, nothing, words in (
            ("private", UNREACHED, "not reachable from here"),
            ("denied", DENIED, "you may not"),
            ("silent", SILENT, "no answer"),
            ("no token", NO_TOKEN, "MWAA is away"),
        )
    ),
    ("conf-32k: not shown", judge_conf(32, STARTED, None, None, needed=True), "does not show"),
    (
        "login: private",
        judge_login(None, "ConnectTimeout while talking to the web server"),
        "not reachable from here",
    ),
    ("login: denied", judge_login(None, "no web login token: AccessDeniedException"), "you may not"),
    ("rows: still waits", judge_rows([ON_ITS_WAY]), "still waits"),
    ("rows: held", judge_rows([HELD]), "paused by alice"),
    ("step-functions", judge_state(RUNNING), "no answer within 360 s"),
    ("wait", judge_wait(RUNNING.with_lost(0), 240), "no answer within 360 s"),
    ("busy: not met", judge_busy([NO_DAG, NO_DAG]), "the limit was not reached"),
    ("dead-request: still waits", judge_dead_request(ON_ITS_WAY, has_message=False), "still waits"),
    ("dead-sns: filter", judge_dead_letter("SNS", 120, found=False), "nothing in the ingress DLQ"),
    ("blocked", blocked(["canary"]), "as canary failed"),
    ("not allowed", not_allowed("PutEvents"), "PutEvents was denied"),
]


@pytest.mark.parametrize(
    ("verdict", "judged", "words"),
    [
        pytest.param(verdict, judged, words, id=f"{verdict}-{name}")
        for verdict, cases in (("pass", PASS), ("fail", FAIL), ("unknown", UNKNOWN))
        for name, judged, words in cases
    ],
)
def test_an_answer_is_judged_by_what_it_says(verdict: str, judged: Verdict, words: str) -> None:
    """The verdict, and the words that a person decides by; a failure always has its remedy."""
    assert judged.verdict == verdict, judged
    assert words in judged.text
    assert bool(judged.remedy) >= (verdict == "fail")


def test_what_is_left_out_on_purpose_says_how_to_have_it_asked() -> None:
    """Neither passed nor unknown."""
    assert skipped("disturbs others", "Ask it with --disruptive") == Verdict(
        "skipped", "disturbs others", "Ask it with --disruptive"
    )


def test_a_held_outcome_and_what_was_read_stand_in_the_report() -> None:
    """With the reason by which filters know it."""
    assert answer(Held(Reason.DAG_PAUSED, "paused")).document()["read_as"] == "Held: dag_paused"
    assert STARTED.document()["read_as"] == "Triggered"
    assert judge_start(answer(Held(Reason.DAG_PAUSED, "paused"))).verdict == "fail"
