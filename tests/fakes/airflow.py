"""One environment's Airflow: runs unique by run_id and by logical date, and a script of what goes wrong next."""

from collections.abc import Callable
from dataclasses import dataclass, field

from mwaa_gateway.airflow.dag_list import ListedDag, NotListed
from mwaa_gateway.dispatch.dispatcher import LOOK_UPS
from mwaa_gateway.outcomes import AlreadyTriggered, Outcome, OutcomeUnknown, Reason, Retryable, Triggered
from mwaa_gateway.trigger_request import ResolvedTarget

LOST = OutcomeUnknown(Reason.UNCLEAR_ANSWER, "the answer was lost")
DATE_EXISTS = OutcomeUnknown(Reason.LOGICAL_DATE_TAKEN, "a run of this date exists")
BUSY = Retryable(Reason.WEB_SERVER_BUSY, "busy")
ALL_LOST = [LOST] * LOOK_UPS  # the answers to all look-ups of an attempt


@dataclass
class FakeAirflow:
    """Implements `mwaa_gateway.airflow.port.Airflow`.

    `answers` and `findings` are taken first, one for each command; `lost_after` makes that many triggers create the
    run and lose the answer. `during_trigger` runs while a command is on its way: the place for a rival attempt.
    """

    runs: dict[tuple[str, str], ResolvedTarget] = field(default_factory=dict)
    answers: list[Outcome] = field(default_factory=list)
    findings: list[Outcome] = field(default_factory=list)
    lost_after: int = 0
    commands: list[str] = field(default_factory=list)
    listed: tuple[ListedDag, ...] | NotListed = ()
    lists: int = 0
    during_list: Callable[[], None] | None = None
    during_trigger: Callable[[], None] | None = None

    def trigger(self, target: ResolvedTarget) -> Outcome:
        self.commands.append("trigger")
        if self.during_trigger is not None:
            action, self.during_trigger = self.during_trigger, None
            action()
        if self.answers:
            return self.answers.pop(0)
        key = (target.dag_id, target.run_id)  # what is unique in Airflow's database
        known = key in self.runs
        if target.logical_date is not None:
            dates = [(each.dag_id, each.logical_date) for each in self.runs.values()]
            if (target.dag_id, target.logical_date) in dates:  # of whichever run: it does not say
                return DATE_EXISTS
        self.runs.setdefault(key, target)
        if self.lost_after:
            self.lost_after -= 1
            return LOST
        return AlreadyTriggered("it exists") if known else Triggered()

    def look_up(self, target: ResolvedTarget) -> Outcome:
        self.commands.append("look up")
        if self.findings:
            return self.findings.pop(0)
        if (target.dag_id, target.run_id) in self.runs:
            return AlreadyTriggered("found")
        return Retryable(Reason.RUN_NOT_THERE, "not there")

    def close(self) -> None:
        """Close the connections; there are none."""

    def list_dags(self) -> tuple[ListedDag, ...] | NotListed:
        self.lists += 1
        if self.during_list is not None:
            action, self.during_list = self.during_list, None
            action()
        return self.listed
