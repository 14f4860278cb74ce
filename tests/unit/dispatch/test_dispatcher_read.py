"""The step `read`: a message is a trigger request, or goes to the dead-letter queue as it came."""

from fakes.dispatching import Gateway
from mwaa_gateway.outcomes import (
    Reason,
)


def test_an_unreadable_message_is_kept_and_done_with(gateway: Gateway) -> None:
    """It will never be readable by this version: to the dead-letter queue as it came, not round and round."""
    dispatched = gateway.deliver("{}")
    assert dispatched.redeliver_after is None
    assert dispatched.request is None
    assert [("{}", Reason.MESSAGE_UNREADABLE)] == [
        (body, r.reason) for body, r in gateway.dead_letters.unreadable
    ]


def test_an_unreadable_message_that_cannot_be_kept_comes_again(gateway: Gateway) -> None:
    """Nothing is lost while the dead-letter queue is down."""
    gateway.dead_letters.failures.coming["keep_unreadable"] = 1
    assert gateway.deliver("{}").redeliver_after is not None
