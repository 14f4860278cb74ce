"""The dead-letter queues: the stack's own, and former ones that CloudFormation retained.

CloudFormation retains a queue when its environment is removed, or when DeadLetterQueueSuffix renames the stack's queues.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from gateway_cli.output import print_note

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_PLACE: Final = "{environment}"
_SUFFIX: Final = "(-[a-z0-9]{1,8})?"  # DeadLetterQueueSuffix in template.yaml
_ENVIRONMENT: Final = "([A-Za-z][A-Za-z0-9]{0,31})"  # a name in Environments


@dataclass(frozen=True, slots=True)
class DeadLetterQueues:
    """URLs of the dead-letter queues: those of trigger requests with their environment, and those of events."""

    trigger: dict[str, str]
    ingress: tuple[str, ...]


def dead_letter_queues(
    client: "SQSClient", environments: frozenset[str], trigger_template: str, ingress_url: str
) -> DeadLetterQueues:
    """Return the queues of these environments and of ingress, from the stack's outputs, and the retained ones."""
    trigger = {trigger_template.replace(_PLACE, name): name for name in sorted(environments)}
    ingress = [ingress_url]
    known = {_name(url) for url in (*trigger, *ingress)}
    before, _, suffix = _name(trigger_template).partition(_PLACE)
    for url in _listed(client, before):
        match = re.fullmatch(re.escape(before) + _ENVIRONMENT + _SUFFIX, _name(url))
        if match and _name(url) not in known:
            trigger[url] = match[1]
    base = _name(ingress_url).removesuffix(suffix)
    retained = re.compile(re.escape(base) + _SUFFIX)
    ingress += [
        url for url in _listed(client, base) if retained.fullmatch(_name(url)) and _name(url) not in known
    ]
    return DeadLetterQueues(trigger, tuple(ingress))


def _listed(client: "SQSClient", prefix: str) -> Iterator[str]:
    try:
        for page in client.get_paginator("list_queues").paginate(QueueNamePrefix=prefix):
            yield from page.get("QueueUrls", [])
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"AccessDenied", "AccessDeniedException"}:
            raise
        print_note(f"not looking for retained queues {prefix}…: you lack sqs:ListQueues")


def _name(url: str) -> str:
    return url.rsplit("/", 1)[-1]
