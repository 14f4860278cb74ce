"""Tokens that live 60 seconds, and the four slots."""

import pytest

from local_stack.mwaa.slots import NoFreeSlot, Slots
from local_stack.mwaa.tokens import TokenStore


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now


def test_a_token_opens_its_environment_for_sixty_seconds() -> None:
    """Any number of times, and not a moment longer."""
    clock = Clock()
    tokens = TokenStore(clock)
    token = tokens.issue("analytics")
    clock.now += 59.9
    assert tokens.accepts("analytics", token)
    assert tokens.accepts("analytics", token)
    clock.now += 0.1
    assert not tokens.accepts("analytics", token)


def test_a_token_opens_no_other_environment() -> None:
    """As in MWAA, where each environment has its own keys."""
    tokens = TokenStore(Clock())
    token = tokens.issue("analytics")
    assert not tokens.accepts("legacy", token)
    assert not tokens.accepts("analytics", token + "x")
    assert not tokens.accepts("analytics", "")


def test_an_old_token_stays_dead_when_a_new_one_is_issued() -> None:
    """Forgetting expired tokens is only tidying up."""
    clock = Clock()
    tokens = TokenStore(clock)
    old = tokens.issue("analytics")
    clock.now += 61
    new = tokens.issue("analytics")
    assert not tokens.accepts("analytics", old)
    assert tokens.accepts("analytics", new)


def test_the_fifth_command_is_refused_and_a_freed_slot_is_free() -> None:
    """Four at once; a refusal takes no slot; the most is remembered until it is forgotten."""
    slots = Slots(4)
    with slots.slot(), slots.slot(), slots.slot():
        with slots.slot():
            assert slots.taken == 4
            with pytest.raises(NoFreeSlot), slots.slot():
                pass
            assert slots.taken == 4
        with slots.slot():
            pass
    assert slots.taken == 0
    assert slots.most_taken == 4
    assert slots.begun_before_most == 3
    slots.forget()
    assert slots.most_taken == 0
    for _ in range(3):
        with slots.slot():
            pass
    with slots.slot(), slots.slot():
        assert (slots.most_taken, slots.begun_before_most) == (2, 4)
