"""Ended executions: forward each notice to the watchers of the environments where the execution waits for a run.

EventBridge reports every execution of the account, or those of named state machines. Almost none waits for a run, and a
watcher runs its rounds one after another, so a notice for another environment would only delay it. The stack therefore takes
each notice once, looks for open watches of its execution, and forwards it to the queues of their environments. If the lookup
or the send fails, SQS redelivers the notice; a watcher that gets the same notice twice does nothing the second time.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mwaa_gateway.errors import Unavailable
from mwaa_gateway.queue_message import QueueMessage
from mwaa_gateway.step_functions.notices import Notices, read_notices
from mwaa_gateway.values import value


class OpenWatches(Protocol):
    """Where watches are stored. Raises Unavailable when it cannot answer."""

    def executions(self, environment: str, among: Collection[str]) -> frozenset[str]:
        """Return which of these executions wait for a run of the environment."""


class WatchQueues(Protocol):
    """The watch queues of all environments. Raises Unavailable if SQS does not take a message."""

    def forward(self, environment: str, notice: str, message_id: str) -> None:
        """Forward a notice unchanged; the same `message_id` twice within five minutes is sent once."""


@dataclass(slots=True)
class Forwarded:
    """The results of one batch: messages to redeliver, and why; messages that are no notice; notices sent."""

    failed: dict[str, str] = field(default_factory=dict)
    unreadable: tuple[tuple[str, str], ...] = ()
    sent: Counter[str] = field(default_factory=Counter)  # by environment


@value(kw_only=True)
class EndedExecutions:
    """The stack's environments, their watches and their watch queues; `report` logs and counts each batch."""

    environments: Collection[str]
    watches: OpenWatches
    queues: WatchQueues
    report: Callable[[Forwarded], None]

    def deliver(self, messages: Sequence[QueueMessage]) -> list[str]:
        """Forward each notice of an execution's end; return the ids of the messages that SQS must redeliver."""
        forwarded = self._forward(read_notices(messages))
        self.report(forwarded)
        return [*forwarded.failed]

    def _forward(self, notices: Notices) -> Forwarded:
        """Send each notice to the environments that watch for it. Never raises Unavailable."""
        forwarded = Forwarded(unreadable=notices.unreadable)
        executions = frozenset(notices.ended_executions)
        for environment in sorted(self.environments) if executions else ():
            try:
                waiting = self.watches.executions(environment, executions)
            except Unavailable as error:
                # Any of the executions may wait in this environment.
                text = f"environment {environment!r}: {error}"
                forwarded.failed |= {end.message.id: text for end in notices.ends}
                continue
            for end in notices.ends:
                if end.execution_arn not in waiting:
                    continue
                try:
                    self.queues.forward(environment, end.message.body, end.message.id)
                    forwarded.sent[environment] += 1
                except Unavailable as error:
                    forwarded.failed[end.message.id] = f"environment {environment!r}: {error}"
        return forwarded
