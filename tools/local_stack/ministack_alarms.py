"""Composite alarms in a stack: MiniStack 1.5.33 evaluates them, but its CloudFormation does not know their type.

CloudWatch's own limits of a rule, which MiniStack does not check, are checked here.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from ministack.services import cloudwatch  # type: ignore[import-untyped]
from ministack.services.cloudformation import provisioners  # type: ignore[import-untyped]

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html
_RULE_CHARACTERS, _CHILDREN = 10_240, 100


def extend() -> None:
    """Patch the modules, before MiniStack serves anything."""
    provisioners._RESOURCE_HANDLERS["AWS::CloudWatch::CompositeAlarm"] = {  # noqa: SLF001  there is no other way in
        "create": _create,
        "update": lambda name, _, properties, _stack: _put(name, properties),
        "delete": lambda name, _: _call(cloudwatch._delete_alarms, {"AlarmNames": [name]}),  # noqa: SLF001
    }


def _create(logical_id: str, properties: Mapping[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
    name = properties.get("AlarmName") or provisioners._physical_name(stack_name, logical_id, max_len=255)  # noqa: SLF001
    return _put(name, properties)


def _put(name: str, properties: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    rule = properties["AlarmRule"]
    children = set(re.findall(r'"([^"]+)"', rule))
    if len(rule) > _RULE_CHARACTERS or len(children) > _CHILDREN:
        raise ValueError(f"the rule of {name} is too long: {len(rule)} characters, {len(children)} alarms")
    _call(cloudwatch._put_composite_alarm, {**properties, "AlarmName": name})  # noqa: SLF001
    return name, {"Arn": cloudwatch._composite_alarms[name]["AlarmArn"]}  # noqa: SLF001


def _call(operation: Any, request: Mapping[str, Any]) -> None:
    """Call an operation of MiniStack's CloudWatch as a client that sends JSON does."""
    status, _, body = operation({}, request, False, is_json=True)  # noqa: FBT003
    if status >= 400:  # noqa: PLR2004
        raise ValueError(json.loads(body)["message"])
