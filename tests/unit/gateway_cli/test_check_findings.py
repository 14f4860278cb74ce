"""What `environments check` makes of what was seen: each fault is one failed line, and it says what to do."""

from typing import Any

import pytest

from gateway_cli.check.findings import (
    Expected,
    Failed,
    Finding,
    judge_answer,
    judge_environment,
    judge_invocation,
    judge_permissions,
    judge_rules,
)
from gateway_cli.dag_catalog import DagWarning
from mwaa_gateway.doctor.doctor import NEEDED_ENDPOINTS

HERE = Expected("analytics", "acme-analytics", "eu-west-1", "123456789012", in_vpc=True)
OUTSIDE = Expected("analytics", "acme-analytics", "eu-west-1", "123456789012", in_vpc=False)
AVAILABLE = {"Status": "AVAILABLE", "AirflowVersion": "2.10.3", "WebserverAccessMode": "PRIVATE_ONLY"}


def seen(outcome: str, text: str = "", milliseconds: int = 12) -> dict[str, Any]:
    return {"outcome": outcome, "text": text, "milliseconds": milliseconds}


def an_answer(**changes: Any) -> dict[str, Any]:
    """What the doctor says of an environment that works; a step that is None was not tried."""
    healthy = {
        "format": 1,
        "environment": "analytics",
        "transport": "cli",
        "endpoints": [{"service": each.service, **seen("reached")} for each in NEEDED_ENDPOINTS],
        "token": seen("ok"),
        "web_server": seen("reached"),
        "airflow": seen("ok"),
        "server_time_offset_seconds": 0.4,
        "dags": {"taken_at": 0.0, "runnable": ["a"], "paused": [], "stale": [], "count": 1},
    }
    return {key: value for key, value in (healthy | changes).items() if value is not None}


def without(**outcomes: str) -> list[dict[str, Any]]:
    """The endpoints, of which these are not reached."""
    return [
        {"service": each.service, **seen(outcomes.get(each.service.replace(".", "_"), "reached"))}
        for each in NEEDED_ENDPOINTS
    ]


def failed(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(each.check, each.text, each.remedy) for each in findings if each.status == "failed"]


def test_what_works_has_no_cross() -> None:
    """And nothing is left unknown, over any transport."""
    over_rest = an_answer(transport="rest", token=None, web_server=None)
    for answer in (an_answer(), over_rest, an_answer(transport="web")):
        assert {each.status for each in judge_answer(HERE, answer)} == {"ok"}
    for version in ("2.7.0", "3.0.6"):
        described = AVAILABLE | {"AirflowVersion": version}
        assert {each.status for each in judge_environment(HERE, described, None)} == {"ok"}


STOPPED_AT_TOKEN = {"web_server": None, "airflow": None, "dags": None}
STOPPED_AT_WEB_SERVER = {"airflow": None, "dags": None}


@pytest.mark.parametrize(
    ("changes", "check", "text", "remedy"),
    [
        (
            {"endpoints": without(sqs="timeout")},
            "endpoint sqs",
            "timed out",
            "interface endpoint com.amazonaws.eu-west-1.sqs",
        ),
        (
            {"endpoints": without(dynamodb="timeout")},
            "endpoint dynamodb",
            "timed out",
            "gateway endpoint com.amazonaws.eu-west-1.dynamodb",
        ),
        (
            {"endpoints": without(kms="dns")},
            "endpoint kms",
            "DNS does not resolve",
            "com.amazonaws.eu-west-1.kms",
        ),
        ({"endpoints": without(states="certificate")}, "endpoint states", "not trusted", "proxy"),
        (
            {"endpoints": without(airflow_env="timeout"), "token": None, **STOPPED_AT_TOKEN},
            "endpoint airflow.env",
            "timed out",
            "com.amazonaws.eu-west-1.airflow.env",
        ),
        (
            {
                "endpoints": [{"service": each.service, **seen("timeout")} for each in NEEDED_ENDPOINTS],
                "token": None,
                **STOPPED_AT_TOKEN,
            },
            "network",
            "reach no AWS service",
            "need VPC endpoints",
        ),
        (
            {
                "endpoints": [{"service": each.service, **seen("dns")} for each in NEEDED_ENDPOINTS],
                "token": None,
                **STOPPED_AT_TOKEN,
            },
            "network",
            "reach no AWS service",
            "need VPC endpoints",
        ),
        ({"token": seen("access_denied"), **STOPPED_AT_TOKEN}, "token", "may not", "airflow:CreateCliToken"),
        (
            {
                "token": seen("token_unavailable", "… MWAA has no environment of this name in this account"),
                **STOPPED_AT_TOKEN,
            },
            "token",
            "'acme-analytics'",
            "MwaaEnvironmentName",
        ),
        (
            {"token": seen("token_unavailable", "throttled"), **STOPPED_AT_TOKEN},
            "token",
            "throttled",
            "again",
        ),
        (
            {"token": seen("environment_unreachable", "MWAA named another host"), **STOPPED_AT_TOKEN},
            "token",
            "another host",
            "WebServerHost",
        ),
        (
            {"web_server": seen("dns"), **STOPPED_AT_WEB_SERVER},
            "web server",
            "DNS does not resolve",
            "DNS support",
        ),
        ({"web_server": seen("timeout"), **STOPPED_AT_WEB_SERVER}, "web server", "timed out", "port 443"),
        ({"web_server": seen("refused"), **STOPPED_AT_WEB_SERVER}, "web server", "refused", "port 443"),
        (
            {"web_server": seen("certificate", "certificate has expired"), **STOPPED_AT_WEB_SERVER},
            "web server",
            "has expired",
            "WebServerCaBundle",
        ),
        ({"airflow": seen("token_refused"), "dags": None}, "airflow", "HTTP 403", "web server's log"),
        (
            {"airflow": seen("web_server_busy", "HTTP 503"), "dags": None},
            "airflow",
            "503",
            "SlotsPerEnvironment",
        ),
        (
            {"airflow": seen("unclear_answer", "ReadTimeout"), "dags": None},
            "airflow",
            "ReadTimeout",
            "add web servers",
        ),
        ({"airflow": seen("not_listed", "Traceback"), "dags": None}, "airflow", "Traceback", "log"),
        ({"server_time_offset_seconds": 45.0}, "clock", "45 s ahead", "60 s"),
        ({"server_time_offset_seconds": -45.0}, "clock", "45 s behind", "60 s"),
    ],
)
def test_each_break_is_one_cross_with_its_remedy(
    changes: dict[str, Any], check: str, text: str, remedy: str
) -> None:
    """What could not be tried for it is not known, and not wrong."""
    findings = list(judge_answer(HERE, an_answer(**changes)))
    [(found, its_text, its_remedy)] = failed(findings)
    assert (found, text in its_text, remedy in its_remedy) == (check, True, True), (its_text, its_remedy)
    left_out = {step for step in ("token", "web_server", "airflow") if changes.get(step, "") is None}
    unknown = {each.check.replace(" ", "_") for each in findings if each.status == "unknown"}
    assert unknown == left_out


@pytest.mark.parametrize(
    ("outcome", "text", "remedy"),
    [
        ("access_denied", "No Airflow role granted in IAM", "role/acme-analytics/Viewer"),
        ("http_403", "Forbidden", "role/acme-analytics/Viewer"),
        ("web_server_busy", "ThrottlingException", "run the check again"),
        ("airflow_refused", "Update your environment to use InvokeRestApi", "Update the environment"),
    ],
)
def test_each_break_over_rest(outcome: str, text: str, remedy: str) -> None:
    """The Airflow role, the rate, an environment that is too old."""
    answer = an_answer(transport="rest", token=None, web_server=None, airflow=seen(outcome, text), dags=None)
    [(check, its_text, its_remedy)] = failed(list(judge_answer(HERE, answer)))
    assert (check, text in its_text, remedy in its_remedy) == ("airflow", True, True)


@pytest.mark.parametrize(
    ("changes", "check", "text", "remedy"),
    [
        ({"token": seen("access_denied")}, "token", "web login token", "CreateWebLoginToken"),
        ({"token": seen("token_refused", "HTTP 403 without a session")}, "token", "403", "`web/rest`"),
        (
            {"token": seen("environment_unreachable", "no web login: ConnectTimeout")},
            "token",
            "ConnectTimeout",
            "port 443",
        ),
        ({"airflow": seen("airflow_refused", "Forbidden")}, "airflow", "Forbidden", "role Viewer"),
        ({"airflow": seen("web_server_busy", "HTTP 429")}, "airflow", "429", "web server's log"),
    ],
)
def test_each_break_over_a_web_login(changes: dict[str, Any], check: str, text: str, remedy: str) -> None:
    """The permission, a login that is not as documented, the Airflow role, a busy web server."""
    later = {"token": {"web_server": None, "airflow": None}}.get(check, {})
    answer = an_answer(transport="web", dags=None, **{**later, **changes})
    [(found, its_text, its_remedy)] = failed(list(judge_answer(HERE, answer)))
    assert (found, text in its_text, remedy in its_remedy) == (check, True, True), (its_text, its_remedy)


def test_a_private_web_server_and_functions_outside_any_vpc() -> None:
    """Said before anybody tries, and again where the connection ends."""
    [(check, _, remedy)] = failed(list(judge_environment(OUTSIDE, AVAILABLE, None)))
    assert (check, "VpcSubnetIds" in remedy) == ("access mode", True)
    answer = an_answer(web_server=seen("timeout"), **STOPPED_AT_WEB_SERVER)
    [(check, _, remedy)] = failed(list(judge_answer(OUTSIDE, answer)))
    assert (check, "VpcSubnetIds" in remedy) == ("web server", True)


@pytest.mark.parametrize(
    ("described", "check", "text", "remedy"),
    [
        ({"Status": "UPDATING"}, "status", "UPDATING", "Wait"),
        ({"Status": "MAINTENANCE"}, "status", "MAINTENANCE", "Wait"),
        ({"Status": "UNAVAILABLE"}, "status", "UNAVAILABLE", "console"),
        ({"Status": "PENDING"}, "status", "PENDING", "Create the VPC endpoints"),
        ({"AirflowVersion": "2.6.3"}, "version", "2.6.3", "2.7 and later"),
        ({"AirflowVersion": "1.10.12"}, "version", "1.10.12", "2.7 and later"),
    ],
)
def test_each_break_of_the_environment(described: dict[str, str], check: str, text: str, remedy: str) -> None:
    """By MWAA's own words."""
    [(found, its_text, its_remedy)] = failed(list(judge_environment(HERE, AVAILABLE | described, None)))
    assert (found, text in its_text, remedy in its_remedy) == (check, True, True)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["acme-analytic", "other"], "did you mean 'acme-analytic'?"),
        (["x"], "there are x"),
        ([], "there is none"),
        (None, "acme-analytics"),
    ],
)
def test_an_environment_that_mwaa_does_not_have(names: list[str] | None, text: str) -> None:
    """With the account and region that were asked, and the nearest name there is."""
    missing = Failed("GetEnvironment", "ResourceNotFoundException", "not found")
    [(check, its_text, remedy)] = failed(list(judge_environment(HERE, missing, names)))
    assert (check, text in its_text, "MwaaEnvironmentName" in remedy) == ("environment", True, True)
    assert "eu-west-1 of account 123456789012" in its_text


def test_what_the_operator_may_not_ask_is_not_known() -> None:
    """Unknown, and the remedy names the policy that would show it."""
    denied = Failed("GetEnvironment", "AccessDeniedException", "no")
    for findings in (
        judge_environment(HERE, denied, None),
        judge_permissions(denied),
        judge_rules(1, [], None),
    ):
        assert [each.status for each in findings] == ["unknown"]


def a_result(action: str, decision: str, **details: Any) -> dict[str, Any]:
    return {"EvalActionName": action, "EvalResourceName": "arn:x", "EvalDecision": decision, **details}


@pytest.mark.parametrize(
    ("result", "by"),
    [
        (a_result("sqs:SendMessage", "implicitDeny"), "no policy allows it"),
        (a_result("sqs:SendMessage", "explicitDeny"), "an explicit Deny"),
        (
            a_result(
                "sqs:SendMessage",
                "implicitDeny",
                OrganizationsDecisionDetail={"AllowedByOrganizations": False},
            ),
            "a service control policy",
        ),
        (
            a_result(
                "sqs:SendMessage",
                "implicitDeny",
                PermissionsBoundaryDecisionDetail={"AllowedByPermissionsBoundary": False},
            ),
            "permissions boundary",
        ),
    ],
)
def test_a_permission_that_is_missing_and_who_withholds_it(result: dict[str, Any], by: str) -> None:
    """By action and resource."""
    [(check, text, _)] = failed(list(judge_permissions([a_result("sqs:X", "allowed"), result])))
    assert check == "permissions"
    assert "may not sqs:SendMessage on arn:x" in text
    assert by in text


@pytest.mark.parametrize(
    ("code", "message", "remedy"),
    [
        ("AccessDeniedException", "no", "OperatorPolicy"),
        ("InvalidSubnetIDException", "gone", "VpcSubnetIds"),
        ("ResourceNotReadyException", "idle", "in a minute"),
        ("Sandbox.Timedout", "Task timed out after 120.00 seconds", "timeout"),
        ("", "Read timeout on endpoint URL", "log group"),
    ],
)
def test_a_doctor_that_gives_no_answer(code: str, message: str, remedy: str) -> None:
    """It could not be invoked, or did not come back."""
    finding = judge_invocation(Failed("the doctor", code, message))
    assert (finding.check, finding.status, remedy in finding.remedy) == ("doctor", "failed", True)


def test_a_doctor_of_another_deployment() -> None:
    """It does not know the environment."""
    [(check, text, remedy)] = failed(list(judge_answer(HERE, {"format": 1, "environments": ["legacy"]})))
    assert (check, "legacy" in text, "Environments" in remedy) == ("doctor", True, True)


def test_an_environment_without_a_transport() -> None:
    """The dispatcher would not start either."""
    found = {"format": 1, "environment": "analytics", "problem": "environment 'analytics' has no transport"}
    [(check, text, remedy)] = failed(list(judge_answer(HERE, found)))
    assert (check, "no transport" in text, "Transports" in remedy) == ("transport", True, True)


def test_rules_whose_dags_would_not_run() -> None:
    """One line for each kind of trouble, naming DAGs and rules."""
    warnings = [
        DagWarning("analytics", "orders", "missing", ("a.one",)),
        DagWarning("analytics", "refunds", "paused", ("a.two", "a.three")),
    ]
    lines = failed(list(judge_rules(3, ["a.broken"], warnings)))
    assert [text for _, text, _ in lines] == [
        "broken rules, which match nothing: a.broken",
        "DAGs missing: orders (a.one)",
        "DAGs paused: refunds (a.two, a.three)",
    ]
    assert [each.status for each in judge_rules(3, [], [])] == ["ok"]
