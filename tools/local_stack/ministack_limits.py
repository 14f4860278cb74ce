"""Limits that AWS documents and MiniStack 1.5.33 does not check.

It checks messages and batches of SQS and SNS, and items, reads and transactions of DynamoDB. Not these:

1. Lambda: 4 KB for all environment variables of a function; 1 MB for an asynchronous payload, 6 MB for a synchronous one.
2. EventBridge: 1 MB for the entries of a request (older pages of its guide say 256 KB, which is the gateway's own limit).
3. Step Functions: 262,144 bytes of a task's output, 32,768 of a failure's cause, 256 of its error.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from ministack.core.responses import error_response_json  # type: ignore[import-untyped]
from ministack.services import eventbridge, lambda_svc, stepfunctions  # type: ignore[import-untyped]
from ministack.services.cloudformation import provisioners  # type: ignore[import-untyped]

_ENVIRONMENT_BYTES = 4 * 1024
_EVENT_BYTES, _REQUEST_BYTES = 1024 * 1024, 6 * 1024 * 1024
_ENTRIES_BYTES = 1024 * 1024
_TASK_LENGTHS = {"output": 262_144, "cause": 32_768, "error": 256}


def extend() -> None:
    """Patch the modules, before MiniStack serves anything."""
    lambda_svc.handle_request = _limit_payloads(lambda_svc.handle_request)
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]  # noqa: SLF001  there is no other way in
    handlers["create"] = _limit_environment(handlers["create"], properties=1)
    handlers["update"] = _limit_environment(handlers["update"], properties=2)
    eventbridge._put_events = _limit_entries(eventbridge._put_events)  # noqa: SLF001
    for name in ("_send_task_success", "_send_task_failure"):
        setattr(stepfunctions, name, _limit_lengths(getattr(stepfunctions, name)))


def _limit_payloads(handle: Callable[..., Any]) -> Callable[..., Any]:
    async def handle_up_to_limit(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Any
    ) -> Any:
        is_event = headers.get("x-amz-invocation-type") == "Event"
        limit = _EVENT_BYTES if is_event else _REQUEST_BYTES
        if path.endswith("/invocations") and len(body) > limit:
            message = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
            return error_response_json("RequestTooLargeException", message, 413)
        return await handle(method, path, headers, body, query)

    return handle_up_to_limit


def _limit_environment(provision: Callable[..., Any], *, properties: int) -> Callable[..., Any]:
    def provision_up_to_limit(*arguments: Any, **options: Any) -> Any:
        variables = (arguments[properties].get("Environment") or {}).get("Variables") or {}
        if (size := len(json.dumps(variables, separators=(",", ":")).encode())) > _ENVIRONMENT_BYTES:
            raise ValueError(
                "Lambda was unable to configure your environment variables because the environment variables "
                f"you have provided exceeded the 4KB limit: {size} bytes"
            )
        return provision(*arguments, **options)

    return provision_up_to_limit


def _limit_entries(put: Callable[..., Any]) -> Callable[..., Any]:
    def put_up_to_limit(data: Mapping[str, Any], *rest: Any, **options: Any) -> Any:
        texts = [
            text
            for entry in data.get("Entries", [])
            for text in (*map(entry.get, ("Source", "DetailType", "Detail")), *entry.get("Resources", []))
        ]
        if sum(len(text.encode()) for text in texts if text) > _ENTRIES_BYTES:
            message = "Total size of the entries in the request is over the limit."
            return error_response_json("ValidationException", message, 400)
        return put(data, *rest, **options)

    return put_up_to_limit


def _limit_lengths(send: Callable[..., Any]) -> Callable[..., Any]:
    def send_up_to_limit(data: Mapping[str, Any]) -> Any:
        for name, most in _TASK_LENGTHS.items():
            if len((data.get(name) or "").encode()) > most:
                message = (
                    f"1 validation error detected: Value at '{name}' failed to satisfy constraint: "
                    f"Member must have length less than or equal to {most}"
                )
                return error_response_json("ValidationException", message, 400)
        return send(data)

    return send_up_to_limit
