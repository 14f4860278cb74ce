"""Ended executions: forward each notice to the watchers of the environments where the execution waits for a run.

EventBridge reports every execution of the account, or those of named state machines. Almost none waits for a run, and a
watcher runs its rounds one after another, so a notice for another environment would only delay it. The stack therefore takes
each notice once, looks for open watches of its execution, and forwards it to the queues of their environments. If the lookup
or the send fails, SQS redelivers the notice; a watcher that gets the same notice twice does nothing the second time.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mwaa_gateway.errors import Unavailable
from mwaa_gateway.step_functions.notices import read_notices

__all__ = ["Forwarded", "OpenWatches", "WatchQueues", "forward_ends"]


class OpenWatches(Protocol):
    """Where watches are stored. Raises Unavailable when it cannot answer."""

    def executions(self, environment: str, among: Collection[str]) -> frozenset[str]:
        """Return which of these executions wait for a run of the environment."""
        ...


class WatchQueues(Protocol):
    """The watch queues of all environments. Raises Unavailable if SQS does not take a message."""

    def forward(self, environment: str, notice: str, message_id: str) -> None:
        """Forward a notice unchanged; the same `message_id` twice within five minutes is sent once."""
        ...


@dataclass(slots=True)
class Forwarded:
    """The results of one batch: messages to redeliver, and why; messages that are no notice; notices sent."""

    failed: dict[str, str] = field(default_factory=dict)
    unreadable: tuple[tuple[str, str], ...] = ()
    sent: Counter[str] = field(default_factory=Counter)  # by environment


def forward_ends(
    records: Sequence[Mapping[str, Any]],
    *,
    environments: Collection[str],
    watches: OpenWatches,
    queues: WatchQueues,
) -> Forwarded:
    """Send each notice of an execution's end to the environments that watch for it. Never raises Unavailable."""
    notices = read_notices(records)
    forwarded = Forwarded(unreadable=notices.unreadable)
    executions = frozenset(notices.ended_executions)
    for environment in sorted(environments) if executions else ():
        try:
            waiting = watches.executions(environment, executions)
        except Unavailable as error:
            # Any of the executions may wait in this environment.
            text = f"environment {environment!r}: {error}"
            forwarded.failed |= {records[end.message]["messageId"]: text for end in notices.ends}
            continue
        for end in notices.ends:
            if end.execution_arn not in waiting:
                continue
            record = records[end.message]
            try:
                queues.forward(environment, record["body"], record["messageId"])
                forwarded.sent[environment] += 1
            except Unavailable as error:
                forwarded.failed[record["messageId"]] = f"environment {environment!r}: {error}"
    return forwarded
