"""One environment's watch queue: each batch is a round among the runs that somebody waits for."""

import math
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from mwaa_gateway import wiring
from mwaa_gateway.errors import Unavailable
from mwaa_gateway.observability import logger, report_round
from mwaa_gateway.watch import Round
from mwaa_gateway.watch_notices import Notices, read_notices

RETRY_SECONDS = 10
SHORTEST_REST_SECONDS, LONGEST_REST_SECONDS = 6, 10  # meanwhile nothing else of the queue is delivered
LONGEST_REUSE_SECONDS = 86_400  # of one message; the queue keeps it for 14 days


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001  Lambda passes both
    """Make a round, and have another one made while anything is watched; the batch comes again when that fails."""
    function = wiring.run_watcher()
    records = event["Records"]
    notices = read_notices([record["body"] for record in records])
    try:
        made = function.watcher.round(
            ended_executions=notices.ended_executions, ended_runs=notices.ended_runs
        )
        rests = made.watched > 0 and _rests(function, records[0]["receiptHandle"], notices, made)
        if made.watched and not rests:
            function.queue.next_round(function.settings.environment, function.now())
    except Unavailable as error:
        logger.warning("the round is made again: %s", error)
        for record in records:
            function.give_back(record["receiptHandle"], RETRY_SECONDS)
        return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in records]}
    report_round(made, function.settings.environment)
    return {"batchItemFailures": [{"itemIdentifier": records[0]["messageId"]}] if rests else []}


def _rests(function: wiring.RunWatcherFunction, receipt_handle: str, notices: Notices, made: Round) -> bool:
    """Give the round's message back until something is due: two requests to SQS instead of three, and seldomer.

    Only where nobody sent word: many who did are heard round after round, without a rest between.
    """
    now = function.now()
    seconds = min(LONGEST_REST_SECONDS, math.ceil(made.next_at - now))
    if notices.alone_since is None or now > notices.alone_since + LONGEST_REUSE_SECONDS:
        return False
    if seconds < SHORTEST_REST_SECONDS:
        return False
    try:
        function.visibility.give_back(receipt_handle, seconds)
    except Unavailable:
        return False
    return True
