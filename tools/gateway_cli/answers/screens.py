"""Prints an answer: the sentence first, then what to do, then the time line."""

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from gateway_cli.answers.case import Answer, Case
from gateway_cli.answers.states import Ran, State
from gateway_cli.answers.trail import TrailLine
from gateway_cli.answers.words import cut
from gateway_cli.output import print_text

_WORDS: Final = {Ran.YES: "ran", Ran.NO: "did not run", Ran.NOT_YET: "not yet", Ran.NOT_KNOWN: "not known"}
_FAILED: Final = {State.ENDED_FAILED: "ran and failed", State.RUN_MISSING: "has no run now"}
_COLOURS: Final = {
    Ran.YES: "bold green",
    Ran.NO: "bold red",
    Ran.NOT_YET: "bold yellow",
    Ran.NOT_KNOWN: "bold yellow",
}
_MOST_LINES: Final = 40
_LABEL: Final = 8


def print_answer(answer: Answer) -> None:
    """Print an answer for people."""
    for number, case in enumerate(answer.cases):
        if number:
            print_text("")
        _print_case(case)
    if answer.facts:
        print_text("")
        _print_event(answer)
    if answer.lines:
        print_text("")
        print_time_line(answer.lines)
    if answer.notes:
        print_text("")
    for note in answer.notes:
        for line in wrapped(note, 2):
            print_text((line, "dim"))


def _print_case(case: Case) -> None:
    ran = case.state.ran
    name, word = case.state.replace("_", " ").upper(), _FAILED.get(case.state, _WORDS[ran])
    print_text((name, _COLOURS[ran]), ("" if name.lower() == word else f"  {word}", "dim"))
    for line in wrapped(case.sentence, 2):
        print_text(line)
    if case.remedy is None:
        return
    print_text("")
    for line in wrapped(case.remedy.advice, 2):
        print_text((line, "italic"))
    for command in filter(None, (case.remedy.command, case.remedy.then)):
        print_text("    ", (f"$ {command}", "bold"))


def _print_event(answer: Answer) -> None:
    facts = answer.facts
    kind = " · ".join(filter(None, (facts.get("source"), facts.get("detail_type"), facts.get("event_time"))))
    for label, value in (("event", facts.get("resource")), ("", kind), ("id", facts.get("event_id"))):
        if value:
            print_text(f"  {label:{_LABEL}}", value)


def print_time_line(lines: Sequence[TrailLine]) -> None:
    """Print the lines of a trail, the oldest first; of very many the newest."""
    if len(lines) > _MOST_LINES:
        print_text((f"  {len(lines) - _MOST_LINES:,} earlier lines are in -o json", "dim"))
    day = ""
    for line in lines[-_MOST_LINES:]:
        moment = datetime.fromtimestamp(line.at, UTC)
        if (date := f"{moment:%Y-%m-%d}") != day:
            print_text((f"  {date} (UTC)", "dim"))
            day = date
        first, *more = wrapped(_what(line), 32) or [""]
        print_text(
            f"  {moment:%H:%M:%S}.{moment.microsecond // 1000:03}  ",
            (f"{line.outcome:16.16}", "bold"),
            "  ",
            first.strip(),
        )
        for each in more:
            print_text(each)


def line_text(line: TrailLine) -> tuple[str | tuple[str, str], ...]:
    """Return a line of the trail as the parts of one printed line, with the event's resource."""
    moment = datetime.fromtimestamp(line.at, UTC)
    subject = line.resource or line.event_id or line.batch_id
    return (
        (f"{moment:%H:%M:%S}  ", "dim"),
        (f"{line.outcome:16.16}  ", "bold"),
        " · ".join(filter(None, (subject, _what(line)))),
    )


def _what(line: TrailLine) -> str:
    """Return what a line says, beyond its outcome."""
    target = f"→ {line.environment}:{line.dag_id}" if line.dag_id else ""
    attempt = f"attempt {line.attempt}" if line.attempt else ""
    text = cut(line.message)
    return " · ".join(
        filter(None, (" ".join(filter(None, (line.rule_id, target))), attempt, line.reason, text))
    )


def wrapped(text: str, indent: int) -> list[str]:
    """Return the lines of a text, indented and wrapped to the terminal; one line for a pipe."""
    return [*_lines(text, indent)]


def _lines(text: str, indent: int) -> Iterator[str]:
    space = " " * indent
    if not sys.stdout.isatty():
        yield space + text
        return
    width = max(40, shutil.get_terminal_size().columns)
    yield from textwrap.wrap(
        text,
        width,
        initial_indent=space,
        subsequent_indent=space,
        break_long_words=False,
        break_on_hyphens=False,
    )
