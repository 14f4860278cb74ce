"""The suite can fail: each safeguard switched off turns its own observable red, and nothing else does."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from simulation.checker import Bounds
from simulation.safeguards import Off, switch_off
from simulation.scenario import ANY, NO_TROUBLE, Scenario
from simulation.workload import ORDERS_IN_ANALYTICS, RULES
from simulation.world import Outage, Rates


@dataclass(frozen=True, slots=True)
class Safeguard:
    """What is switched off, the day on which it is needed, and what the checker says when it is gone."""

    off: tuple[Off, ...]
    day: Callable[[], list[str]]
    red: str


def a_second() -> list[str]:
    """Two hundred events of one DAG in one second, on Airflow 2."""
    scenario = Scenario()
    for n in range(1, 201):
        scenario.upload(n, at=n / 1000)
    return scenario.play(Bounds(1.0, 1.0, 200.0)).problems


def lost_answers() -> list[str]:
    scenario = Scenario(Rates(response_lost=0.4, web_server_error=0.2))
    for n in range(1, 21):
        scenario.upload(n, at=n)
    return scenario.play(ANY).problems


def garbled_answers() -> list[str]:
    scenario = Scenario(Rates(garbled=0.5, web_server_error=0.3))
    for n in range(1, 51):
        scenario.upload(n, at=n)
    return scenario.play(ANY).problems


def taken_dates() -> list[str]:
    """Somebody else's runs hold the logical dates."""
    scenario = Scenario()
    scenario.gateway.airflows["legacy"].date_taken = lambda: scenario.world.random.random() < 0.4
    for n in range(1, 51):
        scenario.upload(n, at=n)
    return scenario.play(ANY).problems


def overtaken() -> list[str]:
    """Attempts that overlap: slow commands, duplicates in between."""
    scenario = Scenario(Rates(slow_command=0.5, response_lost=0.3, delivered_twice=0.5))
    for n in range(1, 51):
        scenario.upload(n, at=20 * n, again_at=(20 * n + 10, 20 * n + 25))
    return scenario.play(ANY).problems


def moved_rule() -> list[str]:
    scenario = Scenario(Rates(response_lost=0.6, web_server_error=0.3))
    scenario.gateway.airflows["analytics"].dags.add("ingest_orders")
    for n in range(1, 51):
        scenario.upload(n, at=20 * n, again_at=(20 * n + 12, 20 * n + 300))
        scenario.expected.runs[n, "sales.orders", "default"] |= {("analytics", "ingest_orders")}
    for n in range(0, 1000, 10):
        rule = ORDERS_IN_ANALYTICS if n % 20 else RULES["sales.orders"]
        scenario.at(n, lambda rule=rule, n=n: scenario.gateway.put_rule(rule, version=2 + n))
    return scenario.play(ANY).problems


def lost_writes() -> list[str]:
    """DynamoDB applies every third write and loses its answer: botocore sends it again at once."""
    scenario = Scenario(Rates(answer_lost=0.15))
    for n in range(1, 101):
        scenario.upload(n, at=120 * n)
    return scenario.play(
        Bounds(commands_per_run=1.15, deliveries_per_request=1.1, longest_delay=60.0)
    ).problems


def refusals() -> list[str]:
    """A web server that is away for a while: messages are given back."""
    scenario = Scenario(outages=(Outage("web server legacy", 0, 120),))
    for n in range(1, 31):
        scenario.upload(n, at=n)
    return scenario.play(Bounds(10.0, 60.0, 1000.0)).problems


def no_trouble() -> list[str]:
    scenario = Scenario()
    for n in range(1, 31):
        scenario.upload(n, at=n)
    return scenario.play(NO_TROUBLE, until=86_400).problems


def one_environment_away() -> list[str]:
    """Many events, in three environments, one of them away for two hours."""
    scenario = Scenario(outages=(Outage("web server legacy", 0, 7200),))
    for n in range(1, 101):
        scenario.close(n, at=n)
    problems = scenario.play(Bounds(3.0, 500.0, 7200 + 1200)).problems
    asked = scenario.gateway.servers["legacy"].refused_away
    return (
        problems
        if asked <= 7200 / 20
        else [*problems, f"{asked} commands sent to a web server that was away"]
    )


DERIVED_RUN_ID: Off = (
    "airflow_cli",
    "-o json --run-id={run_id} --conf",
    "-o json --run-id=manual__{__import__('uuid').uuid4().hex} --conf",
)
MICROSECONDS: Off = ("airflow_cli", 'f"dags trigger --no-replace-microseconds -o', 'f"dags trigger -o')
EVIDENCE_OF_OUR_RUN: Off = (
    "airflow_cli",
    'if text.endswith(f"for DAG {target.dag_id} with run id {target.run_id}"):',
    "if text:",
)
EVIDENCE_AT_ALL: Off = (
    "airflow_cli",
    'return OutcomeUnknown(Reason.UNCLEAR_ANSWER, "Airflow\'s answer names neither our run nor an error")',
    "return Triggered()",
)

SAFEGUARDS = {
    "the run_id is derived": Safeguard((DERIVED_RUN_ID,), lost_answers, "doubled"),
    "evidence of our run_id, and microseconds kept": Safeguard(
        (EVIDENCE_OF_OUR_RUN, MICROSECONDS), a_second, "lost"
    ),
    "evidence of our run_id, alone": Safeguard((EVIDENCE_OF_OUR_RUN,), taken_dates, "lost"),
    "evidence of any run, alone": Safeguard((EVIDENCE_AT_ALL,), garbled_answers, "lost"),
    "microseconds kept, alone": Safeguard((MICROSECONDS,), a_second, "commands per run"),
    "writes are fenced by the attempt": Safeguard(
        (
            (
                "aws.ledger_table",
                '_STILL_MINE = "#state = :open AND attempt = :attempt"',
                '_STILL_MINE = "attribute_exists(#state)"',
            ),
            (
                "aws.ledger_table",
                '_MINE_TO_END = "(#state = :open OR #state = :held) AND attempt = :attempt"',
                '_MINE_TO_END = "attribute_exists(#state)"',
            ),
        ),
        overtaken,
        "finished ledger rows changed",
    ),
    "the first attempt's target is pinned": Safeguard(
        (
            (
                "aws.ledger_table",
                "            return _claim(new)\n        # Refused",
                "            return __import__('dataclasses').replace(_claim(new), request=request)\n        # Refused",
            ),
            (
                "aws.ledger_table",
                "#state = :open AND environment = :environment AND claim_id <> :claim_id",
                "#state = :open AND claim_id <> :claim_id",
            ),
        ),
        moved_rule,
        "doubled",
    ),
    "our own claim is recognised": Safeguard(
        (("aws.ledger_table", 'if old["claim_id"]["S"] == claim_id:', "if False:"),),
        lost_writes,
        "deliveries per request",
    ),
    "our own record is recognised": Safeguard(
        (
            (
                "aws.ledger_table",
                'if int(old["attempt"]["N"]) == claim.attempt and old["state"]["S"] == state:',
                "if False:",
            ),
        ),
        lost_writes,
        "deliveries per request",
    ),
    "what is given back is reported": Safeguard(
        (("dispatcher", "        raise GivenBack", "        return"),), refusals, "lost"
    ),
    "what is done is not reported": Safeguard(
        (
            (
                "dispatcher",
                "    if dispatched.redeliver_after is not None:",
                "    if dispatched.redeliver_after is None:\n        raise GivenBack\n    else:",
            ),
        ),
        no_trouble,
        "deliveries per request",
    ),
    "an exception's own text is not told": Safeguard(
        (
            (
                "aws.mwaa",
                'text = f"{type(error).__name__} while talking to the web server"',
                'text = f"{error} while talking to the web server"',
            ),
        ),
        lost_answers,
        "a CLI token",
    ),
    "the gate of an environment": Safeguard(
        (("gates", "if isinstance(at_environment, Wait):", "if False:"),),
        one_environment_away,
        "commands sent to a web server that was away",
    ),
}


@pytest.mark.parametrize("name", SAFEGUARDS)
def test_without_it_the_suite_is_red(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the safeguard its day is without a problem; without it, the observable named here goes red."""
    safeguard = SAFEGUARDS[name]
    assert [] == safeguard.day()
    switch_off(monkeypatch, *safeguard.off)
    problems = safeguard.day()
    assert any(safeguard.red in problem for problem in problems), problems
