"""The MWAA API for all environments on one port, and under `/control` the switches of the local stack.

The API is what botocore knows as service `mwaa`, to be reached with AWS_ENDPOINT_URL_MWAA and without host
prefix injection. The control paths are not MWAA's; `control.py` is their client.
"""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from local_stack.mwaa.airflow_api import ROLES
from local_stack.mwaa.environment import Environment
from local_stack.mwaa.faults import Faults, FaultSchedule
from local_stack.mwaa.http_server import Answer, Request
from local_stack.mwaa.permissions import Permission, api_error
from local_stack.mwaa.rest_api import RestApi


class MwaaApi:
    """Answers the requests to the API."""

    def __init__(
        self, environments: Mapping[str, Environment], *, permission: Permission, arn_prefix: str
    ) -> None:
        self._environments = environments
        self._permission = permission
        self._arn_prefix = arn_prefix  # arn:aws:airflow:<region>:<account>:environment/

    def respond(self, request: Request) -> Answer:
        """Answer one request."""
        path = [unquote(piece) for piece in urlsplit(request.target).path.strip("/").split("/")]
        match request.method, path:
            case "POST", ["clitoken", name]:
                return self._authorized(request, "airflow:CreateCliToken", name) or self._create_cli_token(
                    name
                )
            case "POST", ["webtoken", name]:
                return self._create_web_login_token(request, name)
            case "POST", ["restapi", name]:
                return self._invoke_rest_api(request, name)
            case "GET", ["environments", name]:
                return self._authorized(request, "airflow:GetEnvironment", name) or self._get_environment(
                    name
                )
            case "GET", ["environments"]:
                refusal = self._permission.refusal(request, action="airflow:ListEnvironments", resource="*")
                return refusal or Answer.json(HTTPStatus.OK, {"Environments": sorted(self._environments)})
            case method, ["control", *what]:
                return self._control(method, what, request)
            case _:
                return api_error(
                    404, "UnknownOperationException", "The local MWAA does not have this operation"
                )

    def _authorized(self, request: Request, action: str, name: str) -> Answer | None:
        """Return the refusal: not permitted, or no such environment; in this order, as AWS does."""
        refusal = self._permission.refusal(request, action=action, resource=self._arn_prefix + name)
        if refusal is None and name not in self._environments:
            return api_error(404, "ResourceNotFoundException", f"Environment {name} not found")
        return refusal

    def _create_cli_token(self, name: str) -> Answer:
        environment = self._environments[name]
        environment.count.add("token")
        token = environment.tokens.issue(name)
        return Answer.json(
            HTTPStatus.OK, {"CliToken": token, "WebServerHostname": environment.web_server_hostname}
        )

    def _create_web_login_token(self, request: Request, name: str) -> Answer:
        roles = self._roles(request, "airflow:CreateWebLoginToken", name)
        if isinstance(roles, Answer):
            return roles
        environment = self._environments[name]
        environment.count.add("web login token")
        return Answer.json(
            HTTPStatus.OK,
            {
                "WebToken": environment.web_sessions.issue(roles[0]),
                "WebServerHostname": environment.web_server_hostname,
                "IamIdentity": "assumed-role/local-stack",
                "AirflowIdentity": "local-stack",
            },
        )

    def _invoke_rest_api(self, request: Request, name: str) -> Answer:
        roles = self._roles(request, "airflow:InvokeRestApi", name)
        if isinstance(roles, Answer):
            return roles
        return RestApi(self._environments[name]).respond(request, roles)

    def _roles(self, request: Request, action: str, name: str) -> list[str] | Answer:
        """Return the Airflow roles that the caller's policy grants here, the most powerful first; or a refusal."""
        arns = {role: f"{self._arn_prefix.removesuffix('environment/')}role/{name}/{role}" for role in ROLES}
        granted = self._permission.granted(request, action=action, resources=list(arns.values()))
        if isinstance(granted, Answer):
            return granted
        if not granted:
            return api_error(403, "AccessDeniedException", "No Airflow role granted in IAM")
        if name not in self._environments:
            return api_error(404, "ResourceNotFoundException", f"Environment {name} not found")
        return [role for role, arn in arns.items() if arn in granted]

    def _get_environment(self, name: str) -> Answer:
        environment = self._environments[name]
        return Answer.json(
            HTTPStatus.OK,
            {
                "Environment": {
                    "Name": name,
                    "Arn": environment.arn,
                    "Status": environment.status,
                    "AirflowVersion": environment.version.text,
                    "WebserverUrl": environment.web_server_hostname,
                    "WebserverAccessMode": "PUBLIC_ONLY",
                    "EnvironmentClass": "mw1.small",
                    "MaxWebservers": 2,
                    "MinWebservers": 2,
                    "Schedulers": 1,
                    "DagS3Path": "dags",
                    "Tags": {},
                }
            },
        )

    def _control(self, method: str, what: list[str], request: Request) -> Answer:
        try:
            chosen = self._chosen(request)
            match method, what:
                case "GET", ["faults"]:
                    pass
                case "PUT", ["faults"]:
                    faults = Faults.parse(_json_object(request.body))
                    for environment in chosen:
                        environment.schedule = FaultSchedule(faults)
                case "DELETE", ["faults"]:
                    for environment in chosen:
                        environment.schedule = FaultSchedule(Faults())
                case "PUT", ["status"]:
                    return _set_status(chosen, _json_object(request.body))
                case "GET" | "DELETE", ["statistics"]:
                    return _statistics(chosen, forget=method == "DELETE")
                case _:
                    return Answer.text(
                        HTTPStatus.NOT_FOUND,
                        "There are /control/faults, /control/statistics and /control/status",
                    )
        except ValueError as error:
            return Answer.json(HTTPStatus.BAD_REQUEST, {"message": str(error)})
        return Answer.json(HTTPStatus.OK, {each.name: each.schedule.faults.document() for each in chosen})

    def _chosen(self, request: Request) -> list[Environment]:
        """Return the environment that the query names, or all; raises ValueError for an unknown one."""
        names = parse_qs(urlsplit(request.target).query).get("environment", list(self._environments))
        if unknown := [name for name in names if name not in self._environments]:
            raise ValueError(
                f"There is no environment {unknown[0]!r}; there are {', '.join(self._environments)}"
            )
        return [self._environments[name] for name in names]


def _set_status(chosen: Sequence[Environment], document: Mapping[str, Any]) -> Answer:
    for environment in chosen:
        environment.status = str(document.get("status", "AVAILABLE"))
    return Answer.json(HTTPStatus.OK, {each.name: {"status": each.status} for each in chosen})


def _statistics(chosen: Sequence[Environment], *, forget: bool) -> Answer:
    if forget:
        for environment in chosen:
            environment.forget()
    return Answer.json(HTTPStatus.OK, {each.name: each.statistics() for each in chosen})


def _json_object(body: bytes) -> dict[str, Any]:
    document = json.loads(body or b"{}")
    if not isinstance(document, dict):
        raise ValueError("The body must be a JSON object")  # noqa: TRY004 - a bad request, not a bad call
    return document
