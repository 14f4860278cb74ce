"""Judges what the doctor and AWS report on an environment: each finding is ok, failed with a remedy, or unknown.

A step that could not be tried because an earlier one failed is unknown, so that each fault is one failed line.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, Literal

from gateway_cli.answers.mwaa_status import PASSING, WORKING
from gateway_cli.dag_catalog import DagWarning

OLDEST_AIRFLOW: Final = (2, 7)
CLOCK_SECONDS: Final = 30  # a CLI token lives 60 s
PAGE: Final = "docs/private-network.md"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was checked, the result, and a remedy for a failure."""

    check: str
    status: Literal["ok", "failed", "unknown"]
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed AWS call: its error code ("" without an answer) and the error's message."""

    call: str
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.call}: {self.code}: {self.message}" if self.code else f"{self.call}: {self.message}"


@dataclass(frozen=True, slots=True)
class Expected:
    """The environment to check, and where it is."""

    environment: str
    mwaa_name: str
    region: str
    account: str
    in_vpc: bool


def _ok(check: str, text: str) -> Finding:
    return Finding(check, "ok", text)


def _failed(check: str, text: str, remedy: str) -> Finding:
    return Finding(check, "failed", text, remedy)


def _unknown(check: str, text: str, remedy: str = "") -> Finding:
    return Finding(check, "unknown", text, remedy)


# ------------------------------------------------------------------------------------------------------- the environment
def judge_environment(
    expected: Expected, described: Mapping[str, Any] | Failed, names: Sequence[str] | None
) -> Iterator[Finding]:
    """Judge GetEnvironment's answer; `names` are the environments that MWAA lists, None where that is not known."""
    if isinstance(described, Failed):
        if described.code == "ResourceNotFoundException":
            yield _failed(
                "environment",
                f"MWAA has no environment {expected.mwaa_name!r} in {expected.region} of account {expected.account}"
                + _those_there_are(expected.mwaa_name, names),
                "Set MwaaEnvironmentName to the name on MWAA, or create the environment",
            )
        else:
            yield _unknown(
                "environment", str(described), "Attach OperatorPolicy, or allow airflow:GetEnvironment"
            )
        return
    yield _ok("environment", f"{expected.mwaa_name} in {expected.region}")
    yield _status(described.get("Status", ""))
    yield _version(described.get("AirflowVersion", ""))
    if described.get("WebserverAccessMode") == "PRIVATE_ONLY" and not expected.in_vpc:
        yield _failed(
            "access mode",
            "the web server is private, and the functions are in no VPC",
            f"Set VpcSubnetIds and VpcSecurityGroupIds to subnets that reach it: {PAGE}",
        )


def _those_there_are(wanted: str, names: Sequence[str] | None) -> str:
    if names is None:
        return ""
    if not names:
        return ": there is none"
    near = get_close_matches(wanted, names, n=1)
    return f": did you mean {near[0]!r}?" if near else f": there are {', '.join(sorted(names)[:10])}"


def _status(status: str) -> Finding:
    if status in WORKING:
        return _ok("status", status)
    if status in PASSING:
        return _failed(
            "status",
            status,
            "Wait until MWAA reports AVAILABLE: until then the requests wait, and none is lost",
        )
    if status == "PENDING":
        return _failed(
            "status", status, "Create the VPC endpoints that MWAA waits for: it then goes on creating"
        )
    return _failed("status", status, "See the environment in the MWAA console: it runs no DAG in this state")


def _version(version: str) -> Finding:
    try:
        major, minor = (int(part) for part in version.split(".")[:2])
    except ValueError:
        return _unknown("version", f"MWAA reports the Airflow version as {version!r}")
    if (major, minor) < OLDEST_AIRFLOW:
        oldest = ".".join(map(str, OLDEST_AIRFLOW))
        return _failed(
            "version",
            f"Airflow {version}",
            f"Upgrade the environment: the gateway supports Airflow {oldest} and later",
        )
    return _ok("version", f"Airflow {version}")


# -------------------------------------------------------------------------------- the permissions of the dispatcher's role
@dataclass(frozen=True, slots=True)
class Needed:
    """Actions that a dispatcher's role needs on one resource; `leading_key` where its policy opens one partition alone."""

    actions: tuple[str, ...]
    resource: str
    leading_key: str = ""


def needed_permissions(
    expected: Expected,
    transports: Iterable[str],
    *,
    partition: str,
    stack: str,
    outputs: Mapping[str, str],
    rest_role: str,
) -> list[Needed]:
    """Return what the dispatcher of an environment needs to get from a message to a run, over each of `transports`."""
    here = f"{expected.region}:{expected.account}"
    mwaa = f"arn:{partition}:airflow:{here}"
    queue = f"arn:{partition}:sqs:{here}:{stack}-trigger"
    table = f"arn:{partition}:dynamodb:{here}:table"
    start = {
        "cli": Needed(("airflow:CreateCliToken",), f"{mwaa}:environment/{expected.mwaa_name}"),
        "rest": Needed(("airflow:InvokeRestApi",), f"{mwaa}:role/{expected.mwaa_name}/{rest_role}"),
        "web": Needed(("airflow:CreateWebLoginToken",), f"{mwaa}:role/{expected.mwaa_name}/{rest_role}"),
    }
    return [
        *(start[transport] for transport in transports),
        Needed(("dynamodb:GetItem", "dynamodb:UpdateItem"), f"{table}/{outputs['LedgerTableName']}"),
        Needed(("dynamodb:BatchGetItem",), f"{table}/{outputs['RulesTableName']}", leading_key="brake"),
        Needed(
            (
                "sqs:ChangeMessageVisibility",
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "sqs:ReceiveMessage",
                "sqs:SendMessage",
            ),
            f"{queue}-{expected.environment}",
        ),
        Needed(("sqs:SendMessage",), f"{queue}-dlq-{expected.environment}"),
    ]


def judge_permissions(results: Iterable[Mapping[str, Any]] | Failed) -> Iterator[Finding]:
    """Judge SimulatePrincipalPolicy's answer for the dispatcher's role; one failure for each denied resource."""
    if isinstance(results, Failed):
        yield _unknown(
            "permissions",
            f"not known what the dispatcher's role may do: {results}",
            "Attach OperatorPolicy, or allow iam:SimulatePrincipalPolicy and lambda:GetFunctionConfiguration",
        )
        return
    results = list(results)
    refused: dict[tuple[str, str], list[str]] = {}
    for result in results:
        if result["EvalDecision"] != "allowed":
            refused.setdefault((result["EvalResourceName"], _refused_by(result)), []).append(
                result["EvalActionName"]
            )
    for (resource, by), actions in refused.items():
        yield _failed(
            "permissions",
            f"the dispatcher's role may not {', '.join(sorted(actions))} on {resource} ({by})",
            "Deploy the stack again to restore the role's policies; what else denies an action is not the stack's to change",
        )
    if not refused:
        yield _ok("permissions", f"the dispatcher's role allows {len(results)} of {len(results)} actions")


def _refused_by(result: Mapping[str, Any]) -> str:
    if result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations") is False:
        return "a service control policy of the organization"
    if result.get("PermissionsBoundaryDecisionDetail", {}).get("AllowedByPermissionsBoundary") is False:
        return "the role's permissions boundary"
    return "an explicit Deny" if result["EvalDecision"] == "explicitDeny" else "no policy allows it"


# --------------------------------------------------------------------------------------------------------- the doctor
_NETWORK_OF_FUNCTION: Final = (
    "Check VpcSubnetIds and VpcSecurityGroupIds: the subnets must exist and have free addresses"
)
_INVOKE_REMEDIES: Final[Mapping[str, str]] = {
    "AccessDeniedException": "Attach OperatorPolicy, or allow lambda:InvokeFunction on the doctor",
    "ResourceNotFoundException": "Deploy this version of the gateway: the stack has no such function",
    "EC2AccessDeniedException": "Deploy the stack again: the doctor's role lacks the permission to join the VPC",
    "EC2ThrottledException": "Run it again in a minute: EC2 throttles the creation of network interfaces",
    "EC2UnexpectedException": _NETWORK_OF_FUNCTION,
    "ENILimitReachedException": "Raise the VPC's quota of network interfaces",
    "InvalidSecurityGroupIDException": _NETWORK_OF_FUNCTION,
    "InvalidSubnetIDException": _NETWORK_OF_FUNCTION,
    "SubnetIPAddressLimitReachedException": _NETWORK_OF_FUNCTION,
    # Lambda deletes the network interfaces of a function that was idle for weeks, and creates new ones at the next call.
    "ResourceConflictException": "Run it again in a minute: Lambda prepares the function",
    "ResourceNotReadyException": "Run it again in a minute: Lambda prepares the function after weeks without a call",
    "KMSAccessDeniedException": "Allow the doctor's role to use KmsKeyArn: SECURITY.md has the key's policy",
    "KMSDisabledException": "Enable the key KmsKeyArn",
    "TooManyRequestsException": "Run it again: the account's concurrency is used up",
}


def judge_invocation(failed: Failed) -> Finding:
    """Judge a failed invocation of the doctor."""
    remedy = _INVOKE_REMEDIES.get(failed.code, "")
    if not remedy and "timed out" in failed.message.lower():
        remedy = "See the log group /aws/lambda/<stack>-doctor: a step exceeds its own timeout"
    return _failed("doctor", str(failed), remedy or "See the log group /aws/lambda/<stack>-doctor")


def judge_answer(expected: Expected, found: Mapping[str, Any]) -> Iterator[Finding]:
    """Judge the doctor's results, in the order in which a dispatcher needs them."""
    if "problem" in found:
        yield _failed("transport", found["problem"], "Correct the stack's parameter Transports and deploy it")
        return
    if "transport" not in found:
        yield _failed(
            "doctor",
            f"the deployed doctor knows {', '.join(found.get('environments', ()))}, and not {expected.environment!r}",
            "Deploy the stack with this environment in Environments",
        )
        return
    yield from _endpoints(expected, found["endpoints"])
    steps = ["airflow"] if found["transport"] == "rest" else ["token", "web server", "airflow"]
    judged = {"token": _token, "web server": _web_server, "airflow": _airflow}
    behind = ""
    for step in steps:
        seen = found.get(step.replace(" ", "_"))
        if seen is None:
            yield _unknown(step, f"not tried, because {behind or 'airflow.env was not reached'}")
            continue
        finding = judged[step](expected, seen, found)
        behind = behind or (f"{step} failed" if finding.status == "failed" else "")
        yield finding
    yield from _clock(found)


def _endpoints(expected: Expected, endpoints: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    missing = [each for each in endpoints if each["outcome"] != "reached"]
    if len(missing) == len(endpoints) > 0 and {each["outcome"] for each in missing} <= {"timeout", "dns"}:
        names = ", ".join(each["service"] for each in endpoints)
        yield _failed(
            "network",
            f"the functions' subnets reach no AWS service ({names})",
            "The subnets need VPC endpoints or a NAT gateway, and a security group that allows outbound port 443. "
            f"{PAGE} has a template",
        )
        return
    if not missing:
        slowest = max((each["milliseconds"] for each in endpoints), default=0)
        names = ", ".join(each["service"] for each in endpoints)
        yield _ok("network", f"{names} reached, the slowest in {slowest} ms")
    for each in missing:
        service = each["service"]
        kind = "gateway endpoint" if service == "dynamodb" else "interface endpoint"
        remedy = (
            f"Add the {kind} com.amazonaws.{expected.region}.{service} to the VPC"
            + (
                ""
                if service == "dynamodb"
                else " with private DNS, and allow inbound port 443 in its security group"
            )
            + f", or a NAT route: {PAGE}"
        )
        if each["outcome"] in ("certificate", "tls"):
            remedy = "A proxy or firewall answers instead of AWS: exempt the endpoint from TLS inspection"
        yield _failed(f"endpoint {service}", _how(each), remedy)


_OUTCOMES: Final[Mapping[str, str]] = {
    "dns": "DNS does not resolve its name",
    "timeout": "the connection timed out",
    "refused": "the connection is refused",
    "certificate": "its certificate is not trusted",
    "tls": "the TLS handshake failed",
    "failed": "the connection failed",
}


def _how(seen: Mapping[str, Any]) -> str:
    text = _OUTCOMES.get(seen["outcome"], seen["outcome"])
    return f"{text} ({seen['text']})" if seen["text"] else text


def _token(expected: Expected, seen: Mapping[str, Any], found: Mapping[str, Any]) -> Finding:
    text, web = seen["text"], found["transport"] == "web"
    match seen["outcome"]:
        case "ok":
            return _ok("token", f"{'web login' if web else 'CLI token'} in {seen['milliseconds']} ms")
        case "access_denied":
            text = f"the doctor's role may not create a {'web login' if web else 'CLI'} token"
            remedy = (
                "Deploy the stack again. If that does not help, a service control policy, a permissions boundary or the "
                f"policy of the endpoint airflow.env denies airflow:Create{'WebLogin' if web else 'Cli'}Token"
            )
        case "token_refused":
            remedy = (
                "In Airflow the role Viewer must exist. Otherwise this web server's login is not the documented one: use "
                "`rest` or `cli`, or a fallback (`web/rest`), in the stack's parameter Transports"
            )
        case "environment_unreachable" if "no web login" in text:
            remedy = _route_to_the_web_server(expected)
        case "environment_unreachable":
            remedy = "If this is the web server's host, set WebServerHost to it"
        case _ if "no environment of this name" in text:
            text = f"MWAA has no environment {expected.mwaa_name!r}"
            remedy = "Set MwaaEnvironmentName to the name on MWAA"
        case _:
            remedy = "Run the check again: MWAA gave no token this time"
    return _failed("token", text, remedy)


def _web_server(expected: Expected, seen: Mapping[str, Any], found: Mapping[str, Any]) -> Finding:  # noqa: ARG001
    match seen["outcome"]:
        case "reached":
            return _ok("web server", f"connected in {seen['milliseconds']} ms")
        case "dns":
            remedy = f"Enable DNS support in the VPC; if you manage the endpoints, add their private hosted zone: {PAGE}"
        case "certificate" | "tls":
            remedy = "Set WebServerCaBundle if the certificate is your own; otherwise exempt the host from TLS inspection"
        case _:
            remedy = _route_to_the_web_server(expected)
    return _failed("web server", _how(seen), remedy)


def _route_to_the_web_server(expected: Expected) -> str:
    if not expected.in_vpc:
        return f"If the web server is private, set VpcSubnetIds and VpcSecurityGroupIds: {PAGE}"
    return (
        "Allow port 443 out of the functions' security group and into the environment's, and give the subnets a "
        f"route to the web server's endpoint: {PAGE}"
    )


def _airflow(expected: Expected, seen: Mapping[str, Any], found: Mapping[str, Any]) -> Finding:
    over_rest, over_cli, text = found["transport"] == "rest", found["transport"] == "cli", seen["text"]
    match seen["outcome"]:
        case "ok":
            count, took = found["dags"]["count"], seen["milliseconds"]
            how = {"rest": "InvokeRestApi", "web": "web login"}.get(
                found["transport"], "one CLI command, in one slot"
            )
            return _ok("airflow", f"{count} DAGs listed in {took} ms ({how})")
        case "token_refused":
            text = "the web server rejects a new token (HTTP 403)"
            remedy = (
                "Run the check again in a minute. If the error remains, see the web server's log: it may have custom auth "
                "settings, or somebody recreated the environment under the same name"
            )
        case "access_denied" | "http_401" | "http_403" if over_rest:
            text = f"no Airflow role: {text}"
            remedy = (
                f"The doctor's role needs airflow:InvokeRestApi on role/{expected.mwaa_name}/Viewer, and in Airflow this "
                "role must exist and read DAGs: deploy the stack again, then see Airflow's roles"
            )
        case "web_server_busy" if over_rest:
            remedy = "Other callers use up the ten calls a second: run the check again"
        case "web_server_busy" if over_cli:
            remedy = "Other CLI commands use all its slots: run the check again, lower SlotsPerEnvironment, or use `rest`"
        case "airflow_refused" if over_rest:
            remedy = "Update the environment, or use the transport `cli` for it"
        case "airflow_refused" if not over_cli:
            remedy = "In Airflow the role Viewer must be allowed to read DAGs"
        case "unclear_answer":
            text = f"no usable answer: {text}"
            remedy = (
                "See the web server's load and log; add web servers, or use a larger environment class. With thousands of "
                "DAGs, set DagCatalogSeconds=0: the gateway then does without the list"
            )
        case _:
            remedy = "See the web server's log in CloudWatch"
    return _failed("airflow", text, remedy)


def _clock(found: Mapping[str, Any]) -> Iterator[Finding]:
    offset = found.get("server_time_offset_seconds")
    if offset is None:
        return
    if abs(offset) > CLOCK_SECONDS:
        yield _failed(
            "clock",
            f"the server's clock is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} the function's",
            "Correct the server's clock: a token is valid for 60 s, a signed request for five minutes",
        )
    else:
        yield _ok("clock", f"within {max(1.0, abs(offset)):.0f} s")


# ------------------------------------------------------------------------------------------------------------ the rules
_FEW: Final = 5


def judge_rules(
    count: int, broken: Sequence[str], warnings: Sequence[DagWarning] | None, *, complete: bool = True
) -> Iterator[Finding]:
    """Judge the rules of an environment: those that are broken, and the DAGs they name.

    `warnings` is None without a list of DAGs; `complete` is False if that list was too long to be returned whole.
    """
    if broken:
        yield _failed(
            "rules",
            f"broken rules, which match nothing: {_some(broken)}",
            "Run `mwaa-gateway rules show ID` to see why, then apply the rule again",
        )
    if warnings is None:
        yield _unknown("rules", "the rules' DAGs were not checked: there is no list of DAGs")
        return
    remedies = {
        "missing": "Deploy the DAG, or correct dag_id: its requests become dead letters after 15 minutes",
        "paused": "Unpause the DAG: Airflow starts none of its runs; the rule's when_paused says what the gateway does",
        "stale": "Fix the DAG's import errors: Airflow accepts its runs and never starts them",
    }
    for problem, remedy in remedies.items():
        found = [each for each in warnings if each.problem == problem]
        if found:
            names = _some([f"{each.dag_id} ({', '.join(each.rules[:_FEW])})" for each in found])
            yield _failed("rules", f"DAGs {problem}: {names}", remedy)
    if not complete:
        yield _unknown(
            "rules", "Airflow has too many DAGs to return: whether a DAG is missing was not checked"
        )
    elif not warnings and not broken:
        yield _ok(
            "rules",
            f"every DAG that the {count} rules name can run" if count else "no rule names this environment",
        )


def _some(names: Sequence[str]) -> str:
    more = len(names) - _FEW
    return ", ".join(names[:_FEW]) + (f" and {more} more" if more > 0 else "")
