"""One environment's watch queue: each batch starts one round of the run watcher."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway.errors import Unavailable
from mwaa_gateway.observability import logger
from mwaa_gateway.observability.rounds import report_round, report_unreadable
from mwaa_gateway.step_functions.next_round import schedule_next_round
from mwaa_gateway.step_functions.notices import read_notices
from mwaa_gateway.wiring.run_watcher import run_watcher

RETRY_SECONDS = 10


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001  Lambda passes both
    """Run one round; keep a message in the queue if another round must follow."""
    function = run_watcher()
    records = event["Records"]
    notices = read_notices(records)
    report_unreadable(notices, function.settings.environment)
    try:
        made = function.watcher.round(
            ended_executions=notices.ended_executions, ended_runs=notices.ended_runs
        )
    except Unavailable as error:
        logger.warning(
            "the round failed; no state is lost, the watcher retries in %s seconds: %s", RETRY_SECONDS, error
        )
        for record in records:
            give_back(record, RETRY_SECONDS)
        return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in records]}
    report_round(made, function.settings.environment)
    failed = []
    for place, seconds in schedule_next_round(made, notices, function.now()).items():
        give_back(records[place], seconds)
        failed.append({"itemIdentifier": records[place]["messageId"]})
    return {"batchItemFailures": failed}


def give_back(record: dict[str, Any], seconds: int) -> None:
    """Let SQS redeliver the message in `seconds`; if SQS refuses, it does so when the visibility timeout ends."""
    try:
        run_watcher().visibility.give_back(record["receiptHandle"], seconds)
    except Unavailable as error:
        logger.warning(
            "waiting states get their answer late: the next round starts when the message's visibility timeout ends: %s",
            error,
        )
