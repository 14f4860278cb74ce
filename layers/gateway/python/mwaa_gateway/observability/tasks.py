"""Log lines and metrics of Step Functions tasks."""

from mwaa_gateway.errors import GatewayError
from mwaa_gateway.observability import logger, publish
from mwaa_gateway.step_functions.task_call import TaskCall
from mwaa_gateway.trigger_request import TriggerRequest


def report_task(call: TaskCall, request: TriggerRequest) -> None:
    """Log and count a state's accepted call."""
    logger.info(
        "run requested by a state that waits for it" if call.wait else "run requested by a state",
        extra={
            "event_id": request.event["id"],
            "rule_id": request.rule_id,
            "environment": request.target.environment,
            "dag_id": request.target.dag_id,
            "run_id": request.target.run_id,
            "execution_arn": call.execution_arn,
            "outcome": "Requested",
        },
    )
    publish({"TasksRequested": 1})


def report_refused_task(error: GatewayError) -> None:
    """Log and count a state's refused call; the state gets the same error."""
    logger.warning(
        "a state's call is refused, no run is requested: %s",
        error,
        extra={"outcome": "Refused", "reason": type(error).__name__},
    )
    publish({"TasksRefused": 1})
