"""Makes the commands of an answer ones to copy: with the options that name the same gateway and account."""

from dataclasses import replace

from gateway_cli.answers.case import Answer
from gateway_cli.connection import Connection

_OURS = "mwaa-gateway "


def addressed(answer: Answer, connection: Connection) -> Answer:
    """Return the answer with what each of its commands needs to reach this gateway."""

    def reaching(command: str) -> str:
        if command.startswith("aws "):
            return connection.aws_command(command)
        return with_options(command, connection.as_options)

    cases = (
        case
        if (remedy := case.remedy) is None
        else replace(
            case, remedy=replace(remedy, command=reaching(remedy.command), then=reaching(remedy.then))
        )
        for case in answer.cases
    )
    return replace(answer, cases=tuple(cases))


def with_options(command: str, options: str) -> str:
    """Add options to one of our commands; another program's stays as it is."""
    return f"{command} {options}" if options and command.startswith(_OURS) else command
