"""What AWS can answer instead of doing its work, for any operation of any service: read from botocore's models."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from botocore.model import OperationModel, ServiceModel
from botocore.session import get_session

__all__ = ["Fault", "Kind", "faults_of", "representatives_of"]


class Kind(StrEnum):
    """How a call ends."""

    ERROR = "error"  # an answer with an error code; nothing was done
    UNREACHABLE = "connect time-out"  # nothing was sent
    SILENT = "read time-out"  # nothing was done
    LOST = "read time-out after it was done"
    GARBLED = "an answer that is no answer"
    PARTIAL = "partial success"  # `Failed` entries, `UnprocessedKeys`, `FailedEntryCount`


@dataclass(frozen=True, slots=True)
class Fault:
    """One way for a call to fail; `code` and `status` are an ERROR's."""

    kind: Kind
    code: str = ""
    status: int = 400

    def __str__(self) -> str:
        return self.code or self.kind.value


# What no service model lists, and every service answers.
_OF_EVERY_SERVICE = (
    Fault(Kind.ERROR, "AccessDeniedException"),
    Fault(Kind.ERROR, "AccessDenied", 403),
    Fault(Kind.ERROR, "ThrottlingException"),
    Fault(Kind.ERROR, "ExpiredTokenException", 403),
    Fault(Kind.ERROR, "UnrecognizedClientException"),
    Fault(Kind.ERROR, "InternalServerError", 500),
    Fault(Kind.ERROR, "ServiceUnavailable", 503),
    Fault(Kind.ERROR, "AnUnknownCode"),
)
_WITHOUT_AN_ANSWER = tuple(Fault(kind) for kind in Kind if kind not in (Kind.ERROR, Kind.PARTIAL))
_PARTIAL = frozenset({"SendMessageBatch", "BatchGetItem", "PutEvents"})
# Answers that say something: a condition that the gateway itself set, and that nobody waits with a task token any more.
_UNDERSTOOD = frozenset(
    {"ConditionalCheckFailedException", "InvalidToken", "TaskDoesNotExist", "TaskTimedOut"}
)
# An answer may be empty, so botocore cannot distinguish it from a body that is no JSON.
_MAY_BE_EMPTY = frozenset(
    {
        "ChangeMessageVisibility",
        "GetItem",
        "PutItem",
        "SendTaskFailure",
        "SendTaskHeartbeat",
        "SendTaskSuccess",
        "UpdateItem",
    }
)


def faults_of(service: str, operation: str) -> Iterator[Fault]:
    """Every fault of an operation: the codes of its model, those of every service, no answer, partial success."""
    yield from _modelled(service, operation)
    yield from _OF_EVERY_SERVICE
    unanswered = (
        fault
        for fault in _WITHOUT_AN_ANSWER
        if fault.kind is not Kind.GARBLED or operation not in _MAY_BE_EMPTY
    )
    yield from representatives_of(operation, tuple(unanswered))


def representatives_of(operation: str, among: tuple[Fault, ...] | None = None) -> Iterator[Fault]:
    """One fault for each class: refused, throttled, broken, unknown, no answer, partial success."""
    classes = ("AccessDeniedException", "ThrottlingException", "InternalServerError", "AnUnknownCode")
    if among is None:
        among = (
            *(fault for fault in _OF_EVERY_SERVICE if fault.code in classes),
            *(fault for fault in _WITHOUT_AN_ANSWER if fault.kind in (Kind.UNREACHABLE, Kind.LOST)),
        )
    yield from among
    if operation in _PARTIAL:
        yield Fault(Kind.PARTIAL)
    if operation == "PutEvents":
        yield Fault(Kind.GARBLED)  # its answer names each event that the bus took


def _modelled(service: str, operation: str) -> Iterator[Fault]:
    model: OperationModel = _service_model(service).operation_model(operation)
    for shape in model.error_shapes:
        error = shape.metadata.get("error", {})
        code = error.get("code", shape.name)
        if code not in _UNDERSTOOD:
            yield Fault(
                Kind.ERROR, code, error.get("httpStatusCode", 500 if shape.metadata.get("fault") else 400)
            )


@cache
def _service_model(service: str) -> ServiceModel:
    return get_session().get_service_model(service)
