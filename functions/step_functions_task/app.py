"""A Step Functions state requests a DAG run; it continues at once, or waits until the run ends."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway.errors import GatewayError
from mwaa_gateway.observability import logger
from mwaa_gateway.observability.tasks import report_refused_task, report_task
from mwaa_gateway.step_functions.task_call import read_task_call
from mwaa_gateway.wiring.step_functions_task import step_functions_task


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001  Lambda passes both
    """Return the run's ids; the state's Retry and Catch match an exception by its class name."""
    call = None
    try:
        call = read_task_call(event)
        request = step_functions_task().start(call)
    except GatewayError as error:
        report_refused_task(error, call)
        raise
    report_task(call, request)
    return {
        "environment": request.target.environment,
        "dag_id": request.target.dag_id,
        "run_id": request.target.run_id,
    }
