"""`template.yaml` as CloudFormation sees it: loops unrolled, SAM translated, and for given parameters resolved to text.

Loops are unrolled by MiniStack's implementation of AWS::LanguageExtensions, the one the local stack deploys by. It follows
what was measured on AWS where SAM CLI and cfn-lint are laxer: an identifier counts in keys, Fn::Sub and Ref only.
"""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from ministack.services.cloudformation import language_extensions
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

__all__ = [
    "EVERYTHING",
    "PSEUDO_PARAMETERS",
    "ROOT",
    "Template",
    "default_of",
    "expand_template",
    "read_source",
    "statements",
]

ROOT = Path(__file__).resolve().parents[2]
PSEUDO_PARAMETERS = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/mwaa-gateway/0",
    "AWS::StackName": "mwaa-gateway",
    "AWS::URLSuffix": "amazonaws.com",
}
# A value for every optional parameter.
EVERYTHING = {
    "AlarmTopicArn": "arn:aws:sns:eu-central-1:123456789012:on-call",
    "IngressConcurrency": "50",
    "PagingTopicArn": "arn:aws:sns:eu-central-1:123456789012:pager",
    "PermissionsBoundary": "arn:aws:iam::123456789012:policy/boundary",
    "RolePath": "/teams/data/",
    "S3Events": "acme-landing,acme-uploads",
    "StateMachines": "arn:aws:states:eu-central-1:123456789012:stateMachine:nightly",
    "TopicPublishers": "s3.amazonaws.com,cloudwatch.amazonaws.com",
    "EventQueueArns": "arn:aws:sqs:eu-central-1:123456789012:s3-uploads,arn:aws:sqs:eu-central-1:123456789012:partner_files",
    "KmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/7c1d9a52-5a0e-4f5c-9a49-c54c4c4e5b1b",
    "LandingBucketName": "acme-landing",
    "MwaaEnvironmentName": "acme-prod-{environment}",
    "Transports": "analytics=web/cli,legacy=rest",
    "TaskDags": "analytics/*",
    "UnwrapTopicArns": "arn:aws:sns:eu-central-1:123456789012:s3-uploads",
    "VpcSecurityGroupIds": "sg-0123456789abcdef0",
    "VpcSubnetIds": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "WebLoginRole": "Viewer",
    "WebServerCaBundle": "/opt/ca.pem",
    "WebServerHost": "airflow.example.com",
}


@dataclass(frozen=True, slots=True)
class Template:
    """One expansion of template.yaml."""

    cloudformation: dict[str, Any]  # no loops, no SAM
    resources: Mapping[
        str, Any
    ]  # besides, the functions resolved: a Ref is its parameter's value or "<logical id>"
    outputs: Mapping[str, Any]

    def of_type(self, kind: str) -> Mapping[str, Any]:
        """The properties of each resource of one type, by logical id."""
        return {
            name: body.get("Properties", {}) for name, body in self.resources.items() if body["Type"] == kind
        }


def read_source(file: Path = ROOT / "template.yaml") -> dict[str, Any]:
    """Read a template, its short-form functions written out."""
    return yaml_parse(file.read_text())


def default_of(source: Mapping[str, Any], parameter: str) -> str:
    """Return a parameter's default; of one without, what the README recommends."""
    return {"Transports": "rest"}.get(parameter) or str(source["Parameters"][parameter]["Default"])


def expand_template(source: Mapping[str, Any], overrides: Mapping[str, str]) -> Template:
    """Do to a template what CloudFormation does: unroll the loops, translate SAM, resolve."""
    declared = source["Parameters"]
    assert set(overrides) <= set(declared)
    parameters = {name: overrides.get(name, default_of(source, name)) for name in declared}
    unrolled = language_extensions.apply(copy.deepcopy(dict(source)), parameters)
    unrolled["Transform"] = "AWS::Serverless-2016-10-31"
    # As `sam package` leaves them: code is in S3.
    for body in unrolled["Resources"].values():
        for key in {"CodeUri", "ContentUri"} & set(body.get("Properties", {})):
            body["Properties"][key] = "s3://artifacts/code.zip"
    session = boto3.Session(region_name=PSEUDO_PARAMETERS["AWS::Region"])
    cloudformation = Translator({}, Parser(), boto_session=session).translate(unrolled, dict(parameters))
    values: dict[str, Any] = dict(PSEUDO_PARAMETERS)
    for name, body in declared.items():
        match body["Type"]:
            case "CommaDelimitedList":
                values[name] = parameters[name].split(",")
            case "Number":
                values[name] = int(parameters[name])
            case _:
                values[name] = parameters[name]
    resolver = _Resolver(values, cloudformation["Conditions"])
    return Template(
        cloudformation,
        resolver.section(cloudformation["Resources"]),
        resolver.section(cloudformation["Outputs"]),
    )


def statements(
    policy_document: Mapping[str, Any],
) -> Iterator[tuple[frozenset[str], frozenset[str], Mapping[str, Any]]]:
    """Each statement of a policy as its actions, its resources, and the whole of it."""
    for statement in policy_document["Statement"]:
        yield _as_set(statement["Action"]), _as_set(statement["Resource"]), statement


def _as_set(one_or_many: Any) -> frozenset[str]:
    return frozenset([one_or_many] if isinstance(one_or_many, str) else one_or_many)


def _part(values: list[str], index: int) -> str:
    """One of several; of what only AWS knows, such as the parts of an ARN, say which."""
    only_aws_knows = len(values) == 1 and values[0].startswith("<")
    return f"{values[0]}[{index}]" if only_aws_knows else values[index]


_NOTHING = object()


class _Resolver:
    """Evaluates the few functions template.yaml uses; refuses any other, so that none is overlooked."""

    def __init__(self, values: Mapping[str, Any], conditions: Mapping[str, Any]) -> None:
        self._values = values
        self._conditions: dict[str, bool] = {}
        for name, condition in conditions.items():
            self._conditions[name] = self._value(condition)

    def section(self, section: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: self._value({key: value for key, value in body.items() if key != "Condition"})
            for name, body in section.items()
            if "Condition" not in body or self._conditions[body["Condition"]]
        }

    def _value(self, node: Any) -> Any:
        match node:
            case dict() if len(node) == 1 and (name := next(iter(node))) in self._functions:
                return self._functions[name](node[name])
            case dict():
                unknown = [key for key in node if key.startswith("Fn::")]
                assert not unknown, f"teach this resolver {unknown}"
                values = {key: self._value(value) for key, value in node.items()}
                return {key: value for key, value in values.items() if value is not _NOTHING}
            case list():
                return [value for value in map(self._value, node) if value is not _NOTHING]
            case _:
                return node

    @property
    def _functions(self) -> Mapping[str, Callable[[Any], Any]]:
        return {
            "Ref": self._named,
            "Fn::GetAtt": lambda path: f"<{path[0]}.{path[1]}>",
            "Fn::Sub": self._substitute,
            "Fn::Select": lambda given: _part(self._value(given[1]), given[0]),
            # Delimiters are plain text: CloudFormation documents functions for the list and the source alone.
            "Fn::Join": lambda given: given[0].join(map(str, self._value(given[1]))),
            "Fn::Split": lambda given: self._value(given[1]).split(given[0]),
            "Fn::If": lambda given: self._value(given[1] if self._conditions[given[0]] else given[2]),
            "Condition": lambda name: self._conditions[name],
            "Fn::And": lambda given: all(map(self._value, given)),
            "Fn::Or": lambda given: any(map(self._value, given)),
            "Fn::Not": lambda given: not self._value(given[0]),
            "Fn::Equals": lambda given: (
                str(self._value(given[0])) == str(self._value(given[1]))
            ),  # texts to AWS
        }

    def _substitute(self, given: Any) -> str:
        text, own = given if isinstance(given, list) else (given, {})
        own = {name: self._value(value) for name, value in own.items()}

        def value(found: re.Match[str]) -> str:
            name = found[1]
            return f"${{{name[1:]}}}" if name.startswith("!") else str(own.get(name, self._named(name)))

        return re.sub(r"\$\{([^}]+)\}", value, text)

    def _named(self, name: str) -> Any:
        return _NOTHING if name == "AWS::NoValue" else self._values.get(name, f"<{name}>")
