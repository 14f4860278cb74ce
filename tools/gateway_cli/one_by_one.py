"""Many at once, and none stops the others: what fails is left as it is, with its reason, and the next is tried."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from gateway_cli.aws_errors import told_plainly
from gateway_cli.choice import Left, Summary
from gateway_cli.output import Refused
from mwaa_gateway.aws.sqs.queues import TriggerQueues
from mwaa_gateway.errors import GatewayError
from mwaa_gateway.trigger_request import TriggerRequest

__all__ = ["OneByOne", "Unread"]

Answer = TypeVar("Answer")

_IN_A_ROW: Final = 5  # failures of one kind, after which AWS is not asked for that kind again


class Unread:
    """AWS did not answer; the reason is in the summary."""


class OneByOne:
    """Does a step for each of many. Steps of one `kind` (an environment's queue, the ledger) are likely to fail together.

    After five failures in a row the others of that kind are left without asking: each may take a minute to fail. Steps may
    be done in threads: at worst one more is tried than that.
    """

    def __init__(self, summary: Summary) -> None:
        self._summary = summary
        self.failures: list[Left] = []  # those of `summary.left` that should have been done
        self._failed: Counter[str] = Counter()
        self._why: dict[str, str] = {}

    def do(self, kind: str, name: str, step: Callable[[], object]) -> bool:
        """Do it, and say whether it was done; if not, `name` is left with the reason."""
        return not isinstance(self._done(kind, name, step), Unread)

    def read(self, name: str, step: Callable[[], Answer]) -> Answer | Unread:
        """Return what the ledger says; Unread where it does not answer, and `name` is left with the reason."""
        return self._done("ledger", name, step)

    def enqueue(self, queues: TriggerQueues, requests: Mapping[str, TriggerRequest]) -> list[str]:
        """Send requests, those of an environment together, and one by one where that fails; return who was sent, by name.

        What was sent with the others is sent again then, and still becomes one run.
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

    def _done(self, kind: str, name: str, step: Callable[[], Answer]) -> Answer | Unread:
        if self._failed[kind] >= _IN_A_ROW:
            return self.leave(name, f"not tried, as those before it failed: {self._why[kind]}")
        try:
            with told_plainly():
                answer = step()
        except Refused as error:
            self._failed[kind] += 1
            self._why[kind] = error.message
            return self.leave(name, error.message)
        self._failed[kind] = 0
        return answer

    def leave(self, name: str, why: str) -> Unread:
        """Leave it as it is, with the reason."""
        left = Left(name, why)
        self._summary.left.append(left)
        self.failures.append(left)
        return Unread()
