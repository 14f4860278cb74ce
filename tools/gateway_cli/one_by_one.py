"""Steps for many items, isolated from each other: a failure is noted with its reason, and the next item follows."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from gateway_cli.aws_errors import errors_as_refusals
from gateway_cli.choice import Left, Summary
from gateway_cli.output import Refused
from mwaa_gateway.aws.sqs.queues import TriggerQueues
from mwaa_gateway.errors import GatewayError
from mwaa_gateway.trigger_request import TriggerRequest

Answer = TypeVar("Answer")

_IN_A_ROW: Final = 5  # failures of one kind, after which the command skips that kind


class Unanswered:
    """AWS did not answer; the summary contains the reason."""


class OneByOne:
    """Runs a step for each of many items. Steps of one `kind` (an environment's queue, the ledger) tend to fail together.

    After five failures in a row the command skips the other steps of that kind: each may take a minute to fail. With steps
    in threads it may try one more.
    """

    def __init__(self, summary: Summary) -> None:
        self._summary = summary
        self.failures: list[Left] = []  # the part of `summary.left` that failed
        self._failed: Counter[str] = Counter()
        self._why: dict[str, str] = {}

    def do(self, kind: str, name: str, step: Callable[[], object]) -> bool:
        """Run the step and return whether it succeeded; if not, note `name` with the reason."""
        return not isinstance(self._try(kind, name, step), Unanswered)

    def read(self, name: str, step: Callable[[], Answer]) -> Answer | Unanswered:
        """Run a step on the ledger and return its result; Unanswered, with a note for `name`, if AWS does not answer."""
        return self.read_of("ledger", name, step)

    def read_of(self, kind: str, name: str, step: Callable[[], Answer]) -> Answer | Unanswered:
        """Run a step and return its result; Unanswered, with a note for `name`, if AWS does not answer."""
        return self._try(kind, name, step)

    def enqueue(self, queues: TriggerQueues, requests: Mapping[str, TriggerRequest]) -> list[str]:
        """Send requests, together for each environment, or one by one if that fails; return the names of those sent.

        The second try may send a request twice, which still becomes one run.
        """
        by_environment: defaultdict[str, dict[str, TriggerRequest]] = defaultdict(dict)
        for name, request in requests.items():
            by_environment[request.target.environment][name] = request
        sent: list[str] = []
        for environment, some in by_environment.items():
            try:
                queues.enqueue(list(some.values()))
            except (GatewayError, ClientError, BotoCoreError):
                sent += [
                    name
                    for name, request in some.items()
                    if self.do(environment, name, partial(queues.enqueue, [request]))
                ]
            else:
                sent += some
        return sent

    def _try(self, kind: str, name: str, step: Callable[[], Answer]) -> Answer | Unanswered:
        if self._failed[kind] >= _IN_A_ROW:
            return self.leave(name, f"skipped, because those before it failed: {self._why[kind]}")
        try:
            with errors_as_refusals():
                answer = step()
        except Refused as error:
            self._failed[kind] += 1
            self._why[kind] = error.message
            return self.leave(name, error.message)
        self._failed[kind] = 0
        return answer

    def leave(self, name: str, why: str) -> Unanswered:
        """Note in the summary that this item was left unchanged, and why."""
        left = Left(name, why)
        self._summary.left.append(left)
        self.failures.append(left)
        return Unanswered()
