"""The tick, each minute: batches that are due soon get their timers."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway.observability import logger
from mwaa_gateway.observability.feeds import report_timers
from mwaa_gateway.wiring.feeds import batch_timers


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001  Lambda passes both
    """Send a delayed look at each batch that is due within the next minutes."""
    report_timers(batch_timers().start())
