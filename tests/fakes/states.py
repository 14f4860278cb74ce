"""What a state of a state machine passes."""

from typing import Any

EXECUTION = "arn:aws:states:eu-west-1:123456789012:execution:nightly:7f3c"


def payload(
    *,
    state: str = "Load",
    entered: str = "2026-11-22T10:00:00.000Z",
    execution: str = EXECUTION,
    token: str | None = "token-1",  # noqa: S107  a test
    index: int | None = None,
    retry_count: int = 0,
    **fields: Any,
) -> dict[str, Any]:
    """The Payload with the whole context object, as `"context.$": "$$"` passes it."""
    context: dict[str, Any] = {
        "Execution": {"Id": execution, "Input": {}, "Name": "7f3c", "StartTime": entered},
        "StateMachine": {
            "Id": "arn:aws:states:eu-west-1:123456789012:stateMachine:nightly",
            "Name": "nightly",
        },
        "State": {"Name": state, "EnteredTime": entered, "RetryCount": retry_count},
    }
    if token is not None:
        context["Task"] = {"Token": token}
    if index is not None:
        context["Map"] = {"Item": {"Index": index, "Value": {}}}
    dag = {"environment": "analytics", "dag_id": "load"}
    return {"context": context, "dag": dag, "input": {"day": "2026-11-22"}} | fields
