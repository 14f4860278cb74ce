"""What is told of states that ask for runs."""

from mwaa_gateway.errors import GatewayError
from mwaa_gateway.observability import logger, publish
from mwaa_gateway.step_functions.call import TaskCall
from mwaa_gateway.trigger_request import TriggerRequest

__all__ = ["report_refused_task", "report_task"]


def report_task(call: TaskCall, request: TriggerRequest) -> None:
    """Log and count a state's call that was taken in."""
    logger.info(
        "requested by a state that waits" if call.wait else "requested by a state",
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
    """Log and count a state's call that cannot be taken in: the state gets the same error."""
    logger.warning("%s", error, extra={"outcome": "Refused", "reason": type(error).__name__})
    publish({"TasksRefused": 1})
