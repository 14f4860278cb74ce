"""Log lines and metrics of Step Functions tasks."""

from mwaa_gateway.errors import GatewayError
from mwaa_gateway.observability import log_trail, logger, publish
from mwaa_gateway.observability.trail import event_fields, request_fields
from mwaa_gateway.step_functions.task_call import TaskCall
from mwaa_gateway.trigger_request import TriggerRequest


def report_task(call: TaskCall, request: TriggerRequest) -> None:
    """Log and count a state's accepted call."""
    message = "run requested by a state that waits for it" if call.wait else "run requested by a state"
    log_trail(logger.info, message, request_fields(request), {"outcome": "Requested"})
    publish({"TasksRequested": 1})


def report_refused_task(error: GatewayError, call: TaskCall | None) -> None:
    """Log and count a state's refused call, None if it cannot be read; the state gets the same error."""
    log_trail(
        logger.warning,
        f"a state's call is refused, no run is requested: {error}",
        event_fields(call.event.envelope, call.event.identity) if call else {},
        {"outcome": "Refused", "reason": type(error).__name__},
    )
    publish({"TasksRefused": 1})
