"""The local stack's AWS with a meter: what the functions ask of it, in the units that AWS bills.

    GET /_ministack/meter      what was counted, by name
    DELETE /_ministack/meter   count from zero

Requests that are not a function's do not count. A function that reads a queue in batches of more than ten gets them as from
Lambda: once there are enough messages, or a second after the first. MiniStack by itself hands over ten at most, and at once.
"""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from ministack import app  # type: ignore[import-untyped]
from ministack.services import lambda_svc, sqs  # type: ignore[import-untyped]

from local_stack import ministack_server
from local_stack.ministack import CREDENTIALS

METER: Final = "/_ministack/meter"
_WINDOW_SECONDS: Final = 1.0
_PER_REQUEST: Final = 10  # messages that Lambda receives or deletes with one request
_counted: Counter[str] = Counter()


def _units(size: int, kilobytes: int) -> int:
    return max(1, math.ceil(size / (kilobytes * 1024)))


def _bytes_of(item: Mapping[str, Mapping[str, Any]]) -> int:
    """What DynamoDB counts: names and values; a binary value as its base64 text, which is a third more."""
    return sum(len(name) + sum(len(str(value)) for value in each.values()) for name, each in item.items())


def _written(operation: str, asked: Mapping[str, Any], answer: Mapping[str, Any]) -> int:
    """Write units of a call, with those of the index `due`: its items are written and removed as their keys change."""
    item = asked.get("Item") or answer.get("Attributes") or answer.get("Item") or {}
    update = asked.get("UpdateExpression", "")
    index = 0
    if "__type" not in answer:
        index = int("due_shard" in item) if operation == "PutItem" else 2 * ("due_at =" in update)
        index += "REMOVE due_at" in update
    return _units(_bytes_of(item), 1) + index


def _read(operation: str, asked: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
    """Read units of a call: half as many if it is not consistent. No item that is read by its key has more than 4 KB."""
    if operation == "BatchGetItem":
        return sum(
            len(table["Keys"]) * (1 if table.get("ConsistentRead") else 0.5)
            for table in asked["RequestItems"].values()
        )
    found = answer.get("Items", [answer.get("Item", {})])
    return _units(sum(map(_bytes_of, found)), 4) * (1 if asked.get("ConsistentRead") else 0.5)


def _count(operation: str, service: str, asked: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    _counted[f"{service}:{operation}"] += 1
    if service == "dynamodb" and operation in {"PutItem", "UpdateItem"}:
        _counted["DynamoDB write units"] += _written(operation, asked, answer)
    elif service == "dynamodb":
        # Whole numbers are counted: twice the read units.
        _counted["DynamoDB read units, halves"] += round(2 * _read(operation, asked, answer))
    elif service == "sqs":
        bodies = [
            asked.get("MessageBody", ""),
            *(each.get("MessageBody", "") for each in asked.get("Entries", [])),
        ]
        _counted["SQS requests"] += _units(sum(map(len, bodies)), 64)


def _meter_requests() -> None:
    dispatch: Callable[..., Any] = app._dispatch_service_request  # noqa: SLF001  there is no other way in

    async def counted(  # noqa: PLR0917  as MiniStack calls it
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any], request_id: str
    ) -> Any:
        answered = await dispatch(method, path, headers, body, query, request_id)
        if app.extract_access_key_id(headers, query) != CREDENTIALS[0]:
            service = headers["authorization"].split("/", 4)[3]  # of the signature's scope
            operation = headers.get("x-amz-target", method).rpartition(".")[2]
            is_json = service in {"dynamodb", "sqs", "events"}
            _count(
                operation,
                service,
                json.loads(body) if is_json else {},
                json.loads(answered[2] or b"{}") if is_json else {},
            )
        return answered

    app._dispatch_service_request = counted  # noqa: SLF001


def _meter_invocations() -> None:
    acquire: Callable[..., tuple[Any, str]] = lambda_svc.acquire_worker

    def counted(name: str, *rest: Any, **options: Any) -> tuple[Any, str]:
        _counted[f"invocations of {name}"] += 1
        return acquire(name, *rest, **options)

    lambda_svc.acquire_worker = counted


def _poll_as_lambda_does() -> None:
    receive: Callable[[str, int], list[dict[str, Any]]] = sqs._receive_messages_for_esm  # noqa: SLF001
    delete: Callable[[str, set[str]], None] = sqs._delete_messages_for_esm  # noqa: SLF001
    waiting_since: dict[str, float] = {}

    def received(url: str, number: int) -> list[dict[str, Any]]:
        if number > _PER_REQUEST:
            now = time.time()
            visible = sum(each.get("visible_at", 0) <= now for each in sqs._queues[url]["messages"])  # noqa: SLF001
            if not visible:
                waiting_since.pop(url, None)
                return []
            if visible < number and now - waiting_since.setdefault(url, now) < _WINDOW_SECONDS:
                return []
            waiting_since.pop(url, None)
        messages: list[dict[str, Any]] = []
        while len(messages) < number and (some := receive(url, number - len(messages))):
            messages += some
            _counted["SQS requests"] += 1
        return messages

    def deleted(url: str, handles: set[str]) -> None:
        _counted["SQS requests"] += math.ceil(len(handles) / _PER_REQUEST)
        delete(url, handles)

    sqs._receive_messages_for_esm = received  # noqa: SLF001
    sqs._delete_messages_for_esm = deleted  # noqa: SLF001


def _show() -> None:
    shortcut: Callable[..., Any] = app._handle_pre_body_request  # noqa: SLF001

    async def shown(method: str, path: str, *rest: Any) -> Any:
        if path != METER:
            return await shortcut(method, path, *rest)
        if method == "DELETE":
            _counted.clear()
        return 200, {"Content-Type": "application/json"}, json.dumps(_counted).encode()

    app._handle_pre_body_request = shown  # noqa: SLF001


if __name__ == "__main__":
    _meter_requests()
    _poll_as_lambda_does()
    _show()
    bound = ministack_server._bound_sandboxes  # noqa: SLF001

    def _bound_and_counted(ceiling: int) -> None:
        bound(ceiling)
        _meter_invocations()

    ministack_server._bound_sandboxes = _bound_and_counted  # noqa: SLF001
    ministack_server.serve()
