"""The wire between botocore and AWS (moto): every call is written down, and one operation can be made to fail."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from moto.core.botocore_stubber import BotocoreStubber

from sweep.faults import Fault, Kind

__all__ = ["Call", "Trouble", "Wire"]

# As botocore's events name the services, and as boto3 does.
_SERVICES = {"sfn": "stepfunctions", "eventbridge": "events"}
Answers = Callable[[str, dict[str, Any]], tuple[int, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a function made; `text` is all that was sent."""

    function: str
    service: str
    operation: str
    text: str = field(repr=False)


@dataclass(slots=True)
class Trouble:
    """One operation of one function fails, as often as `times` says (None: always).

    `about`: only calls that contain one of these texts fail, all of them where it is empty.
    """

    function: str
    operation: str
    fault: Fault
    about: frozenset[str] = frozenset()
    times: int | None = None
    hits: int = 0

    def strikes(self, call: Call) -> bool:
        if (self.function, self.operation) != (call.function, call.operation) or self.times == self.hits:
            return False
        if self.about and not any(text in call.text for text in self.about):
            return False
        self.hits += 1
        return True


class _Raw(io.BytesIO):
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


@dataclass
class Wire:
    """`function` is who calls; `answers` are services that moto does not have."""

    answers: dict[str, Answers]
    function: str = ""
    troubles: list[Trouble] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    @contextmanager
    def laid(self) -> Iterator[None]:
        """Lie between botocore and moto."""
        to_moto = BotocoreStubber.__call__

        def send(stubber: BotocoreStubber, event_name: str, request: Any, **given: Any) -> Any:
            _, service, operation = event_name.split(".")
            service = _SERVICES.get(service, service)

            def deliver(of: Any) -> Any:
                if service not in self.answers:
                    return to_moto(stubber, event_name=event_name, request=of, **given)
                status, document = self.answers[service](operation, _document(of))
                return _answer(of, status, document)

            return self._sent(service, operation, request, deliver)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BotocoreStubber, "__call__", send)
            yield

    def _sent(self, service: str, operation: str, request: Any, deliver: Callable[[Any], Any]) -> Any:
        call = Call(self.function, service, operation, f"{request.url} {_text(request)}")
        if not self.function:
            return deliver(request)
        self.calls.append(call)
        trouble = next((each for each in self.troubles if each.strikes(call)), None)
        if trouble is None:
            return deliver(request)
        match trouble.fault.kind:
            case Kind.ERROR:
                return _error(service, request, trouble.fault)
            case Kind.UNREACHABLE:
                raise ConnectTimeoutError(endpoint_url=request.url)
            case Kind.SILENT:
                raise ReadTimeoutError(endpoint_url=request.url)
            case Kind.LOST:
                deliver(request)
                raise ReadTimeoutError(endpoint_url=request.url)
            case Kind.GARBLED:
                return AWSResponse(request.url, 200, {}, _Raw(b"<html>200 OK"))
            case Kind.PARTIAL:
                return _partly(operation, request, trouble, deliver)


def _text(request: Any) -> str:
    body = request.body or b""
    return body.decode(errors="replace") if isinstance(body, bytes) else str(body)


def _document(request: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_text(request) or "{}")
    return document | {"url": request.url, "method": request.method}


def _answer(request: Any, status: int, document: Any, **headers: str) -> AWSResponse:
    return AWSResponse(request.url, status, headers, _Raw(json.dumps(document).encode()))


def _error(service: str, request: Any, fault: Fault) -> AWSResponse:
    """An error as the service's protocol writes it."""
    message = f"{fault.code} for the sweep"
    if service == "s3":
        text = f"<Error><Code>{fault.code}</Code><Message>{message}</Message></Error>"
        return AWSResponse(request.url, fault.status, {}, _Raw(text.encode()))
    headers = {"x-amzn-errortype": fault.code}
    if service == "sqs":
        headers["x-amzn-query-error"] = f"{fault.code};{'Sender' if fault.status < 500 else 'Receiver'}"
    return _answer(request, fault.status, {"__type": fault.code, "message": message}, **headers)


def _partly(operation: str, request: Any, trouble: Trouble, deliver: Callable[[Any], Any]) -> AWSResponse:
    """Do what is not in trouble, and say of the rest that it was not done."""
    document = json.loads(_text(request))
    if operation == "BatchGetItem":
        return _answer(request, 200, {"Responses": {}, "UnprocessedKeys": document["RequestItems"]})
    if operation == "PutEvents":
        refusals = [
            {"ErrorCode": "InternalFailure", "ErrorMessage": "try again"} for _ in document["Entries"]
        ]
        return _answer(request, 200, {"FailedEntryCount": len(refusals), "Entries": refusals})
    refused = [
        entry
        for entry in document["Entries"]
        if not trouble.about or any(text in json.dumps(entry) for text in trouble.about)
    ]
    done: list[Any] = []
    if rest := [entry for entry in document["Entries"] if entry not in refused]:
        of_the_rest = request.copy()
        of_the_rest.body = json.dumps(document | {"Entries": rest}).encode()
        answer = deliver(of_the_rest)
        done = json.loads(answer.content)["Successful"]
    failed = [{"Id": entry["Id"], "Code": "InternalError", "SenderFault": False} for entry in refused]
    return _answer(request, 200, {"Successful": done, "Failed": failed})
