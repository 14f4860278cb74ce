"""Who may call the local MWAA's API: MiniStack's roles, evaluated for the environment asked about."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from local_stack.aws import LocalAws
from local_stack.ministack import MiniStack
from local_stack.mwaa.api import MwaaApi
from local_stack.mwaa.environment import Environment
from local_stack.mwaa.http_server import HttpServer
from local_stack.mwaa.permissions import MiniStackPermission
from local_stack.mwaa.versions import AirflowVersion
from local_stack.mwaa.warm_cli import WarmCli
from local_stack.ports import free_port

REGION = "us-east-1"
ARN_PREFIX = f"arn:aws:airflow:{REGION}:000000000000:environment/"
ROLE_PREFIX = ARN_PREFIX.replace(":environment/", ":role/")
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[LocalAws]:
    """A MiniStack with roles enforced."""
    folder = tmp_path_factory.mktemp("ministack")
    root = request.config.rootpath
    ministack = MiniStack(root=root, state_folder=folder, log_folder=folder, port=free_port())
    ministack.start()
    try:
        yield LocalAws(ministack.endpoint_url)
    finally:
        ministack.stop()


@pytest.fixture(scope="module")
def endpoint_url(aws: LocalAws) -> Iterator[str]:
    """The API in front of two environments, without any Airflow."""
    environments = {
        name: Environment(
            name=name,
            arn=ARN_PREFIX + name,
            version=AirflowVersion.parse("3.3.1"),
            command_line=WarmCli(),
            clock=lambda: 0.0,
        )
        for name in ("analytics", "legacy")
    }
    permission = MiniStackPermission(aws.endpoint_url, REGION)
    server = HttpServer(MwaaApi(environments, permission=permission, arn_prefix=ARN_PREFIX).respond)
    server.start()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()


def caller(endpoint_url: str, access_key: str, secret_key: str, session_token: str | None = None) -> Any:
    return boto3.client(
        "mwaa",
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        aws_session_token=session_token,
        config=Config(inject_host_prefix=False, retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def dispatcher(aws: LocalAws, endpoint_url: str, request: pytest.FixtureRequest) -> Any:
    """A caller whose role may create tokens for `analytics`; its policy is attached or inline."""
    iam, sts = aws.client("iam"), aws.client("sts")
    name = f"dispatcher-{request.param}"
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    allowed = [
        {"Effect": "Allow", "Action": "airflow:CreateCliToken", "Resource": ARN_PREFIX + "analytics"},
        {"Effect": "Allow", "Action": "airflow:InvokeRestApi", "Resource": ROLE_PREFIX + "analytics/Viewer"},
        {
            "Effect": "Allow",
            "Action": "airflow:CreateWebLoginToken",
            "Resource": ROLE_PREFIX + "analytics/User",
        },
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": allowed})
    if request.param == "attached":
        arn = iam.create_policy(PolicyName="tokens", PolicyDocument=policy)["Policy"]["Arn"]
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    else:
        iam.put_role_policy(RoleName=name, PolicyName="tokens", PolicyDocument=policy)
    keys = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="session")["Credentials"]
    return caller(endpoint_url, keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])


def refusal(call: Any, **arguments: str) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    error = refused.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


@pytest.mark.parametrize("dispatcher", ["inline", "attached"], indirect=True)
def test_a_role_may_do_what_its_policy_says_and_no_more(dispatcher: Any) -> None:
    """The action and the environment both count; a refusal names the caller, the action and the resource."""
    assert dispatcher.create_cli_token(Name="analytics")["CliToken"]
    code, status, message = refusal(dispatcher.create_cli_token, Name="legacy")
    assert (code, status) == ("AccessDeniedException", 403)
    assert "assumed-role/dispatcher-" in message
    assert f"airflow:CreateCliToken on resource: {ARN_PREFIX}legacy" in message
    assert refusal(dispatcher.get_environment, Name="analytics")[:2] == ("AccessDeniedException", 403)
    assert refusal(dispatcher.list_environments)[:2] == ("AccessDeniedException", 403)


@pytest.mark.parametrize("dispatcher", ["rest"], indirect=True)
def test_a_role_of_airflows_is_granted_in_one_environment(dispatcher: Any) -> None:
    """InvokeRestApi is allowed on a role: here a Viewer's, who may look and start nothing; none elsewhere."""
    look = {"Path": "/dags/~/dagRuns/list", "Method": "POST"}
    start = {"Path": "/dags/a/dagRuns", "Method": "POST"}
    with pytest.raises(dispatcher.exceptions.RestApiServerException):  # there is no Airflow behind it
        dispatcher.invoke_rest_api(Name="analytics", **look)
    with pytest.raises(dispatcher.exceptions.RestApiClientException) as forbidden:
        dispatcher.invoke_rest_api(Name="analytics", **start)
    assert forbidden.value.response["RestApiStatusCode"] == 403
    code, status, message = refusal(dispatcher.invoke_rest_api, Name="legacy", **look)
    assert (code, status, message) == ("AccessDeniedException", 403, "No Airflow role granted in IAM")
    assert dispatcher.create_web_login_token(Name="analytics")["WebToken"]
    code, status, message = refusal(dispatcher.create_web_login_token, Name="legacy")
    assert (code, status, message) == ("AccessDeniedException", 403, "No Airflow role granted in IAM")


def test_root_may_do_everything(endpoint_url: str) -> None:
    """The local stack's own credentials; an environment that is not there is a 404 for them."""
    root = caller(endpoint_url, "test", "test")
    assert root.create_cli_token(Name="legacy")["CliToken"]
    assert root.get_environment(Name="legacy")["Environment"]["Name"] == "legacy"
    assert root.list_environments()["Environments"] == ["analytics", "legacy"]
    assert refusal(root.create_cli_token, Name="nope")[:2] == ("ResourceNotFoundException", 404)


def test_who_is_not_known_gets_nothing(endpoint_url: str) -> None:
    """A key that MiniStack never issued, and no signature at all."""
    unknown = caller(endpoint_url, "ASIAUNKNOWNUNKNOWN00", "secret", "token")
    assert refusal(unknown.create_cli_token, Name="analytics")[:2] == ("UnrecognizedClientException", 403)
    with requests.Session() as session:
        session.trust_env = False
        unsigned = session.post(f"{endpoint_url}/clitoken/analytics", timeout=60)
    assert unsigned.status_code == 403
    assert unsigned.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"


@pytest.mark.parametrize("dispatcher", ["forged"], indirect=True)
def test_a_wrong_secret_is_noticed(endpoint_url: str, dispatcher: Any) -> None:
    """The signature is checked as it was made, for this host and path."""
    keys = dispatcher._request_signer._credentials
    forger = caller(endpoint_url, keys.access_key, "x" * 40, keys.token)
    assert refusal(forger.create_cli_token, Name="analytics")[:2] == ("InvalidSignatureException", 403)
