"""Lambda's recursive-loop detection for chains through SQS, SNS and S3; MiniStack 1.5.33 sees direct invocations only.

Lambda gives each invocation a trace header, in which `Lineage` counts how often each function was invoked in this chain of
requests. botocore sends the header with every request that a function makes. SQS keeps it with the message, SNS and S3 pass
it on. Lambda does not run the 17th invocation of a function in a chain unless the function has `RecursiveLoop: Allow`: a
queue's message goes to the queue's dead-letter queue, an asynchronous event to the on-failure destination, and the metric
RecursiveInvocationsDropped counts it. A message that becomes visible again makes no hop. EventBridge and Step Functions pass
nothing on.
"""

import contextvars
import secrets
import time
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from ministack.core import iam_evaluator  # type: ignore[import-untyped]
from ministack.services import eventbridge, lambda_svc, sqs, stepfunctions  # type: ignore[import-untyped]
from ministack.services.cloudformation import provisioners  # type: ignore[import-untyped]

_ATTRIBUTE = "AWSTraceHeader"
# The trace header of the request that is being served, and the one of the function that is being invoked.
_received: contextvars.ContextVar[str] = contextvars.ContextVar("received", default="")
_given: contextvars.ContextVar[str] = contextvars.ContextVar("given", default="")


def extend() -> None:
    """Patch the modules, before MiniStack serves anything."""
    iam_evaluator.pin_request_caller = _remember_header(iam_evaluator.pin_request_caller)
    # SQS keeps the header of a SendMessage, and what SNS and S3 deliver.
    sqs._build_send_sys_attrs = _keep_with_message(sqs._build_send_sys_attrs)  # noqa: SLF001  there is no other way in
    sqs._ensure_msg_fields = _keep_with_delivery(sqs._ensure_msg_fields)  # noqa: SLF001
    eventbridge._invoke_target = _without_header(eventbridge._invoke_target)  # noqa: SLF001
    stepfunctions._call_lambda = _without_header(stepfunctions._call_lambda)  # noqa: SLF001
    lambda_svc._execute_function_dispatch = _count_hops(lambda_svc._execute_function_dispatch)  # noqa: SLF001
    lambda_svc._xray_trace_id_for_invocation = lambda *_: _given.get()  # noqa: SLF001
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]  # noqa: SLF001
    handlers["create"] = _take_property(handlers["create"], properties=1)
    handlers["update"] = _take_property(handlers["update"], properties=2)


def _remember_header(pin: Callable[..., None]) -> Callable[..., None]:
    def pin_both(headers: Mapping[str, str], *rest: Any) -> None:
        pin(headers, *rest)
        _received.set(headers.get("x-amzn-trace-id", ""))

    return pin_both


def _keep_with_message(build: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def build_with_header(now: float, given: Any) -> dict[str, Any]:
        header = _received.get()
        return ({_ATTRIBUTE: header} if header else {}) | build(now, given)

    return build_with_header


def _keep_with_delivery(complete: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    def complete_with_header(message: dict[str, Any]) -> None:
        is_new = "sys" not in message
        complete(message)
        if is_new and (header := _received.get()):
            message["sys"][_ATTRIBUTE] = header

    return complete_with_header


def _without_header(call: Callable[..., Any]) -> Callable[..., Any]:
    def call_without_header(*arguments: Any, **options: Any) -> Any:
        token = _received.set("")
        try:
            return call(*arguments, **options)
        finally:
            _received.reset(token)

    return call_without_header


def _count_hops(execute: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def execute_in_chain(function: Any, config: Any, event: Any, *rest: Any) -> dict[str, Any]:
        name = config["FunctionName"]
        function_id = f"{zlib.crc32(name.encode()):08x}"
        lineage = _lineage(event)
        hops = lineage.get(function_id, 0) + 1
        if lambda_svc._recursive_loop_drop(name, function, hops) is not None:  # noqa: SLF001
            _put_messages_aside(event)
            error = {"errorType": "RecursiveInvocationException", "errorMessage": "stopped: a recursive loop"}
            return {"body": error, "error": True}
        token = _given.set(_header(lineage | {function_id: hops}))
        try:
            return execute(function, config, event, *rest)
        finally:
            _given.reset(token)

    return execute_in_chain


def _header(lineage: Mapping[str, int]) -> str:
    root = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    counts = ",".join(f"{function_id}:{hops}" for function_id, hops in lineage.items())
    return f"Root={root};Parent={secrets.token_hex(8)};Sampled=0;Lineage={counts}"


def _lineage(event: Any) -> dict[str, int]:
    """Return how often each function was invoked in this chain; in a batch, the chain of the message with the most hops."""
    counts: dict[str, int] = {}
    records = _queue_records(event)
    headers = (
        [record["attributes"].get(_ATTRIBUTE, "") for record in records] if records else [_received.get()]
    )
    for header in headers:
        for count in header.partition("Lineage=")[2].partition(";")[0].split(","):
            function_id, _, hops = count.partition(":")
            if hops.isdigit():
                counts[function_id] = max(counts.get(function_id, 0), int(hops))
    return counts


def _queue_records(event: Any) -> list[dict[str, Any]]:
    records = event.get("Records") if isinstance(event, dict) else None
    return [one for one in records or [] if isinstance(one, dict) and one.get("eventSource") == "aws:sqs"]


def _put_messages_aside(event: Any) -> None:
    """Move a stopped batch to its queue's dead-letter queue, or delete it if there is none."""
    for record in _queue_records(event):
        queue = sqs._queue_by_arn(record["eventSourceARN"])  # noqa: SLF001
        [message] = [one for one in queue["messages"] if one["id"] == record["messageId"]]
        if queue["attributes"].get("RedrivePolicy"):
            message["receive_count"], message["visible_at"] = 1_000_000, 0
        else:
            queue["messages"].remove(message)


def _take_property(provision: Callable[..., Any], *, properties: int) -> Callable[..., Any]:
    def provision_with_property(*arguments: Any, **options: Any) -> Any:
        name, attributes = provision(*arguments, **options)
        allowed = arguments[properties].get("RecursiveLoop", "Terminate")
        lambda_svc._functions[name]["recursive_loop"] = allowed  # noqa: SLF001
        return name, attributes

    return provision_with_property
