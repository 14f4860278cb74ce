"""One environment's watch queue: each batch is a round among the runs that somebody waits for."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway.errors import Unavailable
from mwaa_gateway.observability import logger
from mwaa_gateway.observability.rounds import report_round
from mwaa_gateway.rounds import have_another
from mwaa_gateway.watch_notices import read_notices
from mwaa_gateway.wiring.run_watcher import run_watcher

RETRY_SECONDS = 10


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001  Lambda passes both
    """Make a round, and have another one made while anything is watched; the batch comes again when that fails."""
    function = run_watcher()
    records = event["Records"]
    notices = read_notices([record["body"] for record in records])
    try:
        made = function.watcher.round(
            ended_executions=notices.ended_executions, ended_runs=notices.ended_runs
        )
        comes_again = have_another(
            made,
            notices,
            environment=function.settings.environment,
            now=function.now(),
            queue=function.queue,
            resting=function.visibility,
            receipt_handle=records[0]["receiptHandle"],
        )
    except Unavailable as error:
        logger.warning("the round is made again: %s", error)
        for record in records:
            function.give_back(record["receiptHandle"], RETRY_SECONDS)
        return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in records]}
    report_round(made, function.settings.environment)
    return {"batchItemFailures": [{"itemIdentifier": records[0]["messageId"]}] if comes_again else []}
