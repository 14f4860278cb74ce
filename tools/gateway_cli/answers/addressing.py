"""Makes the commands of an answer ones to copy: with the options that name the same gateway."""

from dataclasses import replace

from gateway_cli.answers.case import Answer
from gateway_cli.answers.states import Remedy

_OURS = "mwaa-gateway "


def addressed(answer: Answer, options: str) -> Answer:
    """Return the answer with `options` added to each of our own commands."""
    cases = (
        case if case.remedy is None else replace(case, remedy=_addressed(case.remedy, options))
        for case in answer.cases
    )
    return replace(answer, cases=tuple(cases))


def _addressed(remedy: Remedy, options: str) -> Remedy:
    return replace(
        remedy, command=with_options(remedy.command, options), then=with_options(remedy.then, options)
    )


def with_options(command: str, options: str) -> str:
    """Add options to one of our commands; another program's stays as it is."""
    return f"{command} {options}" if options and command.startswith(_OURS) else command
