"""Every state of an answer: from what was read to the sentence, the remedy and the exit code."""

import shlex

import click
import pytest

from fakes.answers import CASES, NOW, REQUESTED, RUN, UPLOAD, Expected, accepted, attempt, line, row
from gateway_cli.answers.answer import judge
from gateway_cli.answers.evidence import Evidence, RunNow
from gateway_cli.answers.states import Ran, State
from gateway_cli.main import cli


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_answer_is_one_sentence_and_the_command_that_puts_it_right(case: Expected) -> None:
    headline = judge(case.evidence).headline
    assert headline.state is case.state
    for words in case.says:
        assert words in headline.sentence
    remedy = headline.remedy
    found = tuple(filter(None, (remedy.command, remedy.then))) if remedy else ()
    assert found == case.commands


def test_every_state_has_a_case_and_a_place_and_an_exit_code() -> None:
    assert {case.state for case in CASES} == set(State)
    assert {state.ran for state in State} == set(Ran)
    assert len({state.severity for state in State}) == len(State)


@pytest.mark.parametrize(
    "command", sorted({command for case in CASES for command in case.commands if command.startswith("mwaa-")})
)
def test_every_remedy_is_a_command_with_options_that_exist(command: str) -> None:
    parse(command)


def test_a_remedy_with_an_option_that_does_not_exist_is_found() -> None:
    with pytest.raises(click.UsageError):
        parse("mwaa-gateway rules enable finance.orders --now")


def parse(command: str) -> None:
    """Parse a command line as the command does, without running it."""
    program, *words = shlex.split(command)
    assert program == "mwaa-gateway"
    group: click.Command = cli
    context = click.Context(cli)
    while isinstance(group, click.Group):
        name, found, words = group.resolve_command(context, words)
        assert name is not None
        assert found is not None
        group = found
    group.make_context(name, words)


def test_the_worst_case_of_several_rules_is_the_headline() -> None:
    """One rule's run ended well, another's is dead: the exit code says that something did not run."""
    other = RUN.replace("orders", "audit")
    evidence = Evidence(
        subject=UPLOAD,
        now=NOW,
        searched_since=0.0,
        lines=(REQUESTED, line("Requested", rule_id="finance.audit", run_id=other)),
        rows=(accepted(), row("dead", run_id=other, rule_id="finance.audit", reason="dag_missing")),
        runs={RUN: RunNow("success")},
    )
    answer = judge(evidence)
    assert [case.state for case in answer.cases] == [State.DEAD, State.ENDED_SUCCESS]
    assert answer.ran is Ran.NO


def test_a_second_route_of_the_same_event_is_no_duplicate() -> None:
    """The first request came before the run: the event itself started it."""
    lines = (
        REQUESTED,
        attempt("Triggered"),
        line("Requested", 30.0, run_id=RUN),
        attempt("AlreadyTriggered", 20.0),
    )
    evidence = Evidence(
        subject=UPLOAD,
        now=NOW,
        searched_since=0.0,
        lines=lines,
        rows=(accepted(),),
        runs={RUN: RunNow("success")},
    )
    assert judge(evidence).headline.state is State.ENDED_SUCCESS


def test_notes_name_earlier_events_lagging_logs_and_what_was_not_read() -> None:
    evidence = Evidence(
        subject=UPLOAD,
        now=NOW,
        searched_since=0.0,
        lines=(line("Requested", 1.0, run_id=RUN),),
        earlier=("e-0",),
        unread=("the ledger could not be read: denied",),
    )
    first, second, third = judge(evidence).notes
    assert "`mwaa-gateway why e-0`" in first
    assert "ask again" in second
    assert third == "the ledger could not be read: denied"


def test_the_document_has_the_headline_the_event_and_the_time_line() -> None:
    case = next(case for case in CASES if case.state is State.DEAD and case.evidence.rows)
    document = judge(case.evidence).document()
    assert document["state"] == "dead"
    assert document["ran"] == "no"
    assert document["command"] == f"mwaa-gateway dlq redrive {RUN}"
    assert document["event"]["resource"] == UPLOAD.value
    assert document["timeline"][0] == {
        "at": "2026-11-29T09:57:00.000Z",
        "outcome": "Requested",
        "message": "run requested",
        "event_id": "e-1",
        "identity": "1" * 64,
        "source": "aws.s3",
        "detail_type": "Object Created",
        "resource": UPLOAD.value,
        "rule_id": "finance.orders",
        "target_id": "finance.orders",
        "environment": "analytics",
        "dag_id": "ingest",
        "run_id": RUN,
    }


def test_a_late_event_of_an_object_that_reconcile_started_is_no_request_that_waits() -> None:
    """It became a delivery of the command's request, which has another run_id and no line of ingress."""
    command = RUN.replace("0f3c", "aaaa")
    evidence = Evidence(
        subject=UPLOAD,
        now=NOW,
        searched_since=0.0,
        lines=(
            attempt("Triggered", 300.0, run_id=command),
            REQUESTED,
            attempt("AlreadyTriggered", run_id=command),
        ),
        rows=(row("triggered", run_id=command, finished_at=NOW - 300),),
        runs={command: RunNow("success")},
    )
    assert [(case.state, case.run_id) for case in judge(evidence).cases] == [(State.ENDED_SUCCESS, command)]
