"""Whether the caller of the MWAA API may do what it asks for, as MiniStack's IAM sees it."""

import http.client
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Protocol
from urllib.parse import urlsplit

import boto3
from mypy_boto3_iam import IAMClient

from local_stack.mwaa.http_server import Answer, Request

_ROOT: Final = "test"  # MiniStack's root credentials, both halves
_CALLER: Final = re.compile(r"User: (?P<arn>arn:[^ ]+) is not authorized")
_ASSUMED_ROLE: Final = re.compile(
    r"arn:(?P<partition>[^:]+):sts::(?P<account>\d+):assumed-role/(?P<role>[^/]+)/.+"
)


class Permission(Protocol):
    """Decides which caller may do what."""

    def refusal(self, request: Request, *, action: str, resource: str) -> Answer | None:
        """Return the answer to a signed request that is refused; None if it is allowed."""

    def granted(self, request: Request, *, action: str, resources: Sequence[str]) -> frozenset[str] | Answer:
        """Return those of the resources that the action is allowed on; an answer to a bad signature."""


@dataclass(frozen=True, slots=True)
class MiniStackPermission:
    """Asks MiniStack, which knows the roles of the functions (it has to run with AUTH=true).

    The request is handed on just as it was signed. MiniStack checks the signature and finds out who the
    caller is, but knows no resources of MWAA: it refuses whatever is not allowed on `*`. Its refusal names
    the caller, and whether the caller's role allows the action on the environment itself is then asked with
    SimulatePrincipalPolicy. Not seen this way: a Deny for one environment in a policy that allows all of
    them, and a wrong secret with root's own access key, which MiniStack does not check.
    """

    endpoint_url: str
    region: str

    def refusal(self, request: Request, *, action: str, resource: str) -> Answer | None:
        """Return MiniStack's refusal of a bad signature, AccessDeniedException for a missing permission."""
        caller = self._caller(request)
        if not isinstance(caller, str):
            return caller
        if self._allowed(caller, action, [resource]):
            return None
        return api_error(
            403,
            "AccessDeniedException",
            f"User: {caller} is not authorized to perform: {action} on resource: {resource} "
            f"because no identity-based policy allows the {action} action",
        )

    def granted(self, request: Request, *, action: str, resources: Sequence[str]) -> frozenset[str] | Answer:
        """Return what the caller's role may use of the resources, MiniStack's refusal of a bad signature."""
        match self._caller(request):
            case None:
                return frozenset(resources)
            case str(caller):
                return self._allowed(caller, action, resources)
            case Answer() as refusal:
                return refusal

    def _caller(self, request: Request) -> str | Answer | None:
        """Return the ARN of a caller with restricted permissions; None for an administrator; a refusal if unknown."""
        if "authorization" not in request.headers:  # MiniStack would take it for root's
            return api_error(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        answer = self._handed_on(request)
        if answer.status != http.client.FORBIDDEN:
            return None  # what MiniStack says about environments of its own does not matter
        caller = _CALLER.search(answer.body.decode(errors="replace"))
        if answer.headers.get("x-amzn-errortype") != "AccessDeniedException" or caller is None:
            return answer
        return caller["arn"]

    def _handed_on(self, request: Request) -> Answer:
        address = urlsplit(self.endpoint_url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=10)
        try:
            connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name != "connection":
                    connection.putheader(name, value)
            connection.endheaders(request.body or None)
            answer = connection.getresponse()
            error = answer.getheader("x-amzn-errortype") or ""
            return Answer(answer.status, answer.read(), headers={"x-amzn-errortype": error})
        finally:
            connection.close()

    def _allowed(self, caller: str, action: str, resources: Sequence[str]) -> frozenset[str]:
        if role := _ASSUMED_ROLE.fullmatch(caller):
            caller = f"arn:{role['partition']}:iam::{role['account']}:role/{role['role']}"
        iam = _iam(self.endpoint_url, self.region)
        return frozenset(
            resource
            for resource in resources  # one by one: of several MiniStack answers the first alone
            for result in iam.simulate_principal_policy(
                PolicySourceArn=caller, ActionNames=[action], ResourceArns=[resource]
            )["EvaluationResults"]
            if result["EvalDecision"] == "allowed"
        )


@cache
def _iam(endpoint_url: str, region: str) -> IAMClient:
    """The client of MiniStack's IAM, as root; made once, as that takes longer than all its questions."""
    client: IAMClient = boto3.client(
        "iam",
        endpoint_url=endpoint_url,
        region_name=region,
        aws_access_key_id=_ROOT,
        aws_secret_access_key=_ROOT,
    )
    return client


def api_error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """An error as AWS's REST APIs send it, so that botocore raises it under its own name."""
    return Answer.json(status, {"message": message}, {"x-amzn-errortype": code, **(headers or {})})
