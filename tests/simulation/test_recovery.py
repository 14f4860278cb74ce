"""Row 52: trouble slows the gateway down while it lasts, and not afterwards.

The oracle knows the faults. It has every slot at work on a command whenever something waits and the environment answers.
What is left at the end of the trouble takes it one command each, and a look-up for each run that may have been started.
"""

import pytest

from simulation.scenario import Scenario
from simulation.world import Outage, Rates

SLOTS, SECONDS = 3, 2.0
MINUTE, HOUR = 60.0, 3600.0
FULL_SPEED_WITHIN = 15.0
WATCHED = 30.0  # from then on
BEGINS = 12.0  # when every request is in its queue: Lambda repeats an event that ingress cannot handle after minutes
LAST_WITHIN = 60.0  # of the oracle
# Answers that say nothing of the load: of commands that ran and of some that did not, lost, garbled, or an error.
FAULTS = {
    0.45: Rates(web_server_error=0.30, response_lost=0.15, garbled=0.10),
    0.60: Rates(web_server_error=0.50, response_lost=0.20, garbled=0.10),
}


class Troubled(Scenario):
    """Uploads into one environment with three slots of two seconds a command; `trouble` ends at a stated time."""

    def __init__(
        self, events: int, ends: float, rates: Rates | None = None, outage: str | None = None
    ) -> None:
        outages = (Outage(outage, BEGINS, ends),) if outage else ()
        super().__init__(rates, outages=outages)
        self.ends = ends
        self.server = self.gateway.servers["legacy"]
        self.server.seconds = (SECONDS, SECONDS)
        for n in range(1, events + 1):
            self.upload(n, at=n * 10 / events)
        self.left = 0  # commands of the oracle
        self.asked_seconds: list[float] = []  # at the end, when full speed must be back, and a while later
        self.at(ends, self._end)
        for at in (ends, ends + FULL_SPEED_WITHIN, ends + FULL_SPEED_WITHIN + WATCHED):
            self.at(at, lambda: self.asked_seconds.append(self.server.asked_seconds))

    def _end(self) -> None:
        self.world.rates = Rates()
        rows = self.gateway.ledger.items.values()
        doubtful = sum(row.get("doubtful", {}).get("BOOL", False) for row in rows)
        self.left = len(self.expected.runs) - len(self.runs) + doubtful

    def recovered(self) -> None:
        """Assert that full speed is back 15 s after the end, and that the last run is a minute later than the oracle's."""
        assert [] == self.play().problems
        assert (FULL_SPEED_WITHIN + WATCHED) * SLOTS / SECONDS < self.left  # else there is less to do
        _, back, later = self.asked_seconds
        assert later - back >= 0.9 * SLOTS * WATCHED
        last = max(run.created_at - self.world.start - self.ends for run in self.runs)
        assert last <= self.left * SECONDS / SLOTS + LAST_WITHIN


@pytest.mark.guarantee(52)
@pytest.mark.parametrize("share", FAULTS)
@pytest.mark.parametrize(("minutes", "events"), [(2, 200), pytest.param(20, 1500, marks=pytest.mark.full)])
def test_row_52_answers_that_say_nothing_leave_the_slots_at_work(
    share: float, minutes: int, events: int
) -> None:
    """At least 80 % of their time goes to commands while anything waits; whatever was tried, it is there soon after."""
    scenario = Troubled(events, minutes * MINUTE, FAULTS[share])
    scenario.recovered()
    assert scenario.asked_seconds[0] >= 0.8 * SLOTS * scenario.ends


@pytest.mark.guarantee(52)
@pytest.mark.parametrize("service", ["web server legacy", "mwaa legacy", "dynamodb"])
@pytest.mark.parametrize(
    "minutes", [0.5, 5, *(pytest.param(long, marks=pytest.mark.full) for long in (40, 720))]
)
def test_row_52_full_speed_seconds_after_an_outage(service: str, minutes: float) -> None:
    """Of any length, and of whatever the dispatcher needs."""
    Troubled(200, minutes * MINUTE, outage=service).recovered()
