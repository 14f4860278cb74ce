"""Starts what was never started, so that the upload's own event, however late, starts no second run.

    reserve   claim each object for its rule and target. From now on a delivery of its event waits
    settle    wait until each dispatcher that did not see the claims is over: its row is in the ledger, or will never be
    look      read the ledger once more. An object that has a row by now is left to it, and its claim is withdrawn
    start     if the bucket still has the object: turn the claim into `started`, and send the request. From now on its event
              is a delivery of the same request

A crash leaves reservations, which expire, or a claim that is `started` without a request on its queue: the event's own
delivery starts it, and so does the next reconcile. A request is sent with the same identity however often it is sent.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol, TypeVar

from gateway_cli.reconcile.state import Row, State
from mwaa_gateway.dispatch.object_claims import ObjectClaims
from mwaa_gateway.dispatch.s3_objects import Claim, claims_text, read_claims

# The dispatcher runs for 90 s at most, and learns within 5 s that objects may be claimed. Between a listing and the look at
# an object before it is started, CLOCK_SECONDS pass twice: no later upload has a time at which the listing may have seen it.
SETTLE_SECONDS: Final = 120.0
RESERVED_SECONDS: Final = 3_600.0
R = TypeVar("R")
_AT_ONCE: Final = 50


class SideBySide(Protocol):
    """Calls a function for each want, and returns the results in the same order."""

    def __call__(self, function: Callable[[Row], R], wants: Sequence[Row], /) -> Iterable[R]:
        """Call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Starter:
    """Starts wants. `by` names this command in its claims; `now` is a time of it by AWS's clock, in seconds since the epoch.

    `claims_of` returns where the claims of a want are; `send` sends requests, and returns why some were not sent.
    `side_by_side` is `map`, or does the same in threads.
    """

    state: State
    claims_of: Callable[[Row], ObjectClaims]
    is_unchanged: Callable[[Row], bool]
    send: Callable[[Sequence[Row]], dict[int, str]]
    by: str
    now: float
    side_by_side: SideBySide = map

    def reserve(self, states: Sequence[str], show: Callable[[int], None] = lambda _: None) -> None:
        """Reserve every want in these states; `show` gets the number of those done so far."""
        done = after = 0
        while page := self.state.page(states, after, _AT_ONCE):
            results = [*self.side_by_side(self._reserve, page)]
            with self.state.transaction():
                for want, result in zip(page, results, strict=True):
                    if result == "taken":
                        self.state.set(want.id, "unsure", "another reconcile is starting it")
                    else:
                        self.state.set(want.id, "reserved", want.why if want.state == "unsure" else "")
                        self.state.claim(want.id, is_claimed=True)
            after, done = page[-1].id, done + len(page)
            show(done)

    def start(self, show: Callable[[int], None] = lambda _: None) -> None:
        """Start every reserved want, and withdraw the claims of those that are known by now."""
        done = 0
        while page := self.state.claimed(_AT_ONCE):
            decided = [*self.side_by_side(self._decide, page)]
            starting = [want for want, (state, _) in zip(page, decided, strict=True) if state == "started"]
            with self.state.transaction():
                for want, (state, why) in zip(page, decided, strict=True):
                    self.state.set(want.id, state, why)
                    self.state.claim(want.id, is_claimed=state == "started")
            failed = self.send(starting) if starting else {}
            with self.state.transaction():
                for want in starting:
                    self.state.claim(want.id, is_claimed=False)
                    if want.id in failed:
                        self.state.set(want.id, "sent", failed[want.id])
            done += len(page)
            show(done)

    def _decide(self, want: Row) -> tuple[str, str]:
        """Return the want's state after this step, with the reason."""
        if want.state == "started":  # an earlier call ended before its request was sent
            return "started", ""
        if want.state != "reserved":
            self._withdraw(want)
            return want.state, want.why
        if not self.is_unchanged(want):
            self._withdraw(want)
            return "changed", "the object was written again or deleted meanwhile"
        if not want.is_own or self._mark_started(want):
            return "started", ""
        return "arrived", "its own event has arrived meanwhile"

    # --- one want's claims

    def _reserve(self, want: Row) -> Literal["reserved", "taken"]:
        """Write a reservation; also "reserved" if a claim is `started` already: its request is sent again.

        A want whose own event has the same identity needs no claim.
        """
        while want.is_own:
            text, claims, claim = self._read(want)
            others = tuple(each for each in claims if each != claim)
            if claim is not None and claim.state == "started":
                return "reserved"
            if claim is not None and claim.by != self.by and claim.until > self.now:
                return "taken"
            listed = want.listed
            until = self.now + RESERVED_SECONDS
            mine = Claim(listed.modified, listed.seen_at, "reserved", self.by, until)
            if self._replace(want, text, (*others, mine)):
                return "reserved"
        return "reserved"

    def _mark_started(self, want: Row) -> bool:
        """Turn the reservation into `started`; False if a delivery of the event has removed it."""
        while True:
            text, claims, claim = self._read(want)
            if claim is not None and claim.state == "started":
                return True
            if claim is None or claim.by != self.by:
                return False
            others = tuple(each for each in claims if each != claim)
            if self._replace(want, text, (*others, replace(claim, state="started", until=0.0))):
                return True

    def _withdraw(self, want: Row) -> None:
        """Remove the reservation, if it is still there."""
        while want.is_own:
            text, claims, claim = self._read(want)
            if claim is None or claim.by != self.by or claim.state == "started":
                return
            if self._replace(want, text, tuple(each for each in claims if each != claim)):
                return

    def _read(self, want: Row) -> tuple[str, tuple[Claim, ...], Claim | None]:
        text = self.claims_of(want).read(want.listed.name, want.rule_id, want.target_id)
        claims = read_claims(text)
        mine = (claim for claim in claims if claim.modified == want.listed.modified)
        return text, claims, next(mine, None)

    def _replace(self, want: Row, seen: str, claims: tuple[Claim, ...]) -> bool:
        return self.claims_of(want).replace(
            want.listed.name, want.rule_id, want.target_id, seen, claims_text(claims)
        )
