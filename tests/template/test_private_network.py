"""The private network of the examples: what the functions in the VPC call is what it opens, and nothing more."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import boto3
import botocore.loaders
import pytest
from samtranslator.yaml_helper import yaml_parse

from mwaa_gateway.doctor.doctor import NEEDED_ENDPOINTS
from template.expansion import EVERYTHING, ROOT
from template.tools import run, tool

EXAMPLE = ROOT / "examples" / "private-network" / "template.yaml"
# The composition roots of the functions that join the VPC; whatever client is built there is called from there.
WIRING = {"dispatcher": "dispatcher", "watcher": "run_watcher", "Doctor": "doctor"}
SHARED = ("transport", "watches")


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    """The example as written."""
    return yaml_parse(EXAMPLE.read_text(encoding="utf-8"))


def clients(module: str) -> set[str]:
    """The AWS services whose client a wiring module builds, by botocore's names."""
    tree = ast.parse(inspect.getsource(import_module(f"mwaa_gateway.wiring.{module}")))
    return {
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in ("boto3.client", "late_client")
        and isinstance(call.args[0], ast.Constant)
    }


def test_the_doctor_tries_every_service_that_functions_in_the_vpc_call(expand) -> None:
    """By the clients their composition roots build; a new one needs an endpoint, and the doctor has to try it."""
    functions = expand("analytics", **EVERYTHING).of_type("AWS::Lambda::Function")
    inside = {
        name.removesuffix("Function").removesuffix("analytics")
        for name, f in functions.items()
        if "VpcConfig" in f
    }
    assert inside == set(WIRING)
    called = set().union(*(clients(module) for module in (*WIRING.values(), *SHARED)))
    assert called == {needed.client for needed in NEEDED_ENDPOINTS}
    without_tasks = clients("dispatcher") | clients("doctor") | clients("transport")
    assert without_tasks == {needed.client for needed in NEEDED_ENDPOINTS if not needed.tasks_only}


def mwaa_operations() -> Iterator[str]:
    """The operations of MWAA that the layer calls, by botocore's names."""
    model = botocore.loaders.Loader().load_service_model("mwaa", "service-2")["operations"]
    python = boto3.client(
        "mwaa", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
    ).meta.method_to_api_mapping
    code = "".join(path.read_text() for path in (ROOT / "layers" / "gateway").rglob("*.py"))
    for method, operation in python.items():
        if f".{method}(" in code:
            assert operation in model
            yield operation


def test_mwaa_is_asked_at_one_host_alone() -> None:
    """On `env.`; GetEnvironment would need the endpoint airflow.api as well."""
    model = botocore.loaders.Loader().load_service_model("mwaa", "service-2")["operations"]
    called = set(mwaa_operations())
    assert called == {"CreateCliToken", "CreateWebLoginToken", "InvokeRestApi"}
    [needed] = [each for each in NEEDED_ENDPOINTS if each.client == "mwaa"]
    assert {model[name]["endpoint"]["hostPrefix"] for name in called} == {needed.host_prefix}


def test_the_example_has_exactly_these_endpoints(example: dict[str, Any]) -> None:
    """With private DNS, in the group that takes port 443; those of the run watcher only with it. The page names them all."""
    endpoints = {
        body["Properties"]["ServiceName"]["Fn::Sub"].removeprefix("com.amazonaws.${AWS::Region}."): body
        for body in example["Resources"].values()
        if body["Type"] == "AWS::EC2::VPCEndpoint"
    }
    assert {name: "Condition" in body for name, body in endpoints.items()} == {
        needed.service: needed.tasks_only for needed in NEEDED_ENDPOINTS
    }
    page = (ROOT / "docs" / "private-network.md").read_text(encoding="utf-8")
    for name, body in endpoints.items():
        assert f"| `com.amazonaws.REGION.{name}` |" in page
        properties = body["Properties"]
        if properties["VpcEndpointType"] == "Gateway":
            assert name == "dynamodb"
        else:
            assert properties["PrivateDnsEnabled"] is True
            assert properties["SecurityGroupIds"] == [{"Ref": "EndpointsSecurityGroup"}]


def test_security_groups_open_one_port_in_one_direction(example: dict[str, Any]) -> None:
    """From the functions to the endpoints, DynamoDB and the web server; nothing comes to a function."""
    resources = example["Resources"]
    functions, endpoints, web_server = (
        {"Ref": name}
        for name in ("FunctionsSecurityGroup", "EndpointsSecurityGroup", "EnvironmentSecurityGroupId")
    )
    rules = [
        rule
        for body in resources.values()
        if body["Type"].startswith("AWS::EC2::SecurityGroup")
        for rule in (
            [body["Properties"]]
            if body["Type"] != "AWS::EC2::SecurityGroup"
            else body["Properties"].get("SecurityGroupIngress", [])
            + body["Properties"]["SecurityGroupEgress"]
        )
    ]
    # EC2 refuses other characters, and cfn-lint does not look at those of a rule.
    assert all(re.fullmatch(r"[A-Za-z0-9 ._:/()#,@\[\]+=&;{}!$*-]*", rule["Description"]) for rule in rules)
    assert {(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in rules} == {("tcp", 443, 443)}
    assert "SecurityGroupIngress" not in resources["FunctionsSecurityGroup"]["Properties"]
    out = [rule for rule in rules if rule.get("GroupId") == functions]
    assert [rule["DestinationSecurityGroupId"] for rule in out] == [endpoints, web_server]
    into = [rule for rule in rules if rule.get("SourceSecurityGroupId")]
    assert [rule["SourceSecurityGroupId"] for rule in into] == [functions, functions]
    assert [rule.get("GroupId", endpoints) for rule in into] == [endpoints, web_server]


def test_cfn_lint_finds_nothing_in_the_example() -> None:
    """As for the gateway's own template."""
    result = run(tool(Path(sys.executable).with_name("cfn-lint")), "--template", str(EXAMPLE))
    assert result.stdout == ""
