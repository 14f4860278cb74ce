"""`mwaa-gateway why`: what became of an event, in one sentence."""

import sys
import time

import click

from gateway_cli.answers.addressing import addressed
from gateway_cli.answers.answer import judge
from gateway_cli.answers.gathering import gather
from gateway_cli.answers.screens import print_answer
from gateway_cli.answers.states import Ran
from gateway_cli.answers.subject import Subject, subject_of
from gateway_cli.choice import Age
from gateway_cli.connection import Connection, gateway_options
from gateway_cli.output import output_option, print_json

_EXIT_CODES = """\b
Exit codes:
  0  it ran: Airflow has the run, or it ended well
  1  it did not run, or its run failed
  2  the command line is wrong
  3  not yet: it waits, is collected, or is queued
  4  not known: the reason is in the answer or on stderr
"""


class _Pasted(click.ParamType):
    """Anything that names an event, a run or a batch."""

    name = "subject"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Subject:
        """Return the subject; fails for a log line that is not about an event."""
        try:
            return subject_of(sys.stdin.read() if value == "-" else str(value))
        except ValueError as error:
            self.fail(f"it {error}", param, ctx)


class _Question(click.Command):
    """A command whose refusals mean that the answer is not known."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; a refusal exits with 4, so that no script takes it for "it did not run"."""
        try:
            return super().invoke(ctx)
        except click.UsageError:
            raise
        except click.ClickException as error:
            error.exit_code = Ran.NOT_KNOWN
            raise


@click.command(cls=_Question, epilog=_EXIT_CODES)
@click.argument("subject", metavar="SUBJECT", type=_Pasted())
@click.option(
    "--since",
    type=Age(),
    default="2d",
    show_default=True,
    help="How far back to search the log: 15m, 2h, 3d.",
)
@output_option
@gateway_options
@click.pass_context
def why(
    context: click.Context, connection: Connection, subject: Subject, *, since: float, output: str
) -> None:
    """Say what became of an event, and which command puts it right.

    SUBJECT is what you have: an upload's s3:// URI or ARN, an event id, a run_id, a batch id, a state machine's
    execution ARN, or a log line of the gateway ("-" reads it from stdin). Keys and ids are case-sensitive.

    The command searches the log once and makes at most three more queries. It changes nothing.

    \b
    Examples:
      mwaa-gateway why s3://acme-landing/orders/2026-11-22.csv
      mwaa-gateway why evt__finance.orders__0f3c2a41b7d94e6f8a5b3c2d1e0f9a8b -o json
      mwaa-gateway why 7bf73129-1428-4cd3-a780-95db273d1602 --since 7d
    """
    now = time.time()
    answer = addressed(judge(gather(connection, subject, since=now - since)), connection)
    if output == "json":
        print_json(answer.document())
    else:
        print_answer(answer)
    context.exit(answer.ran)
