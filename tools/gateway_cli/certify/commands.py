"""The command `environments certify`."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway_cli.certify.canary import CANARY_DAG, canary_state_machine
from gateway_cli.certify.policy import Needs
from gateway_cli.certify.questions import IDS, QUESTIONS, Question
from gateway_cli.certify.redaction import Redaction
from gateway_cli.choice import Age
from gateway_cli.connection import Connection, gateway_options
from gateway_cli.filter_names import refuse_unknown_environment
from gateway_cli.output import Refused, end_progress, print_json, print_marked, print_progress, print_text
from mwaa_gateway import __version__

if TYPE_CHECKING:
    from gateway_cli.certify.certification import Answered, Certification

_FORMAT: Final = 1  # of the report, whose answers may become fixtures of the gateway's tests
_WIDTH: Final = max(map(len, IDS))


@click.command()
@click.argument("name")
@click.option("--print-dag", is_flag=True, help="Only print the canary DAG.")
@click.option("--print-policy", is_flag=True, help="Only print the IAM policy that these options need.")
@click.option("--print-state-machine", is_flag=True, help="Only print the canary state machine.")
@click.option(
    "--disruptive",
    is_flag=True,
    help="Also ask what may disturb others: the command limit, the dead-letter paths.",
)
@click.option(
    "--state-machine",
    metavar="ARN",
    default="",
    help="The canary state machine; without it the questions about states are skipped.",
)
@click.option(
    "--bucket", default="", help="A bucket that sends its events to the gateway; default: the landing bucket."
)
@click.option(
    "--only",
    metavar="ID",
    multiple=True,
    type=click.Choice(IDS),
    help="Ask only this question; repeatable.",
)
@click.option(
    "--wait",
    "wait_seconds",
    type=Age(),
    default="7m",
    show_default=True,
    help="Length of the run that a state waits for; 0s skips the question.",
)
@click.option(
    "--patience",
    type=Age(),
    default="2m",
    show_default=True,
    help="How long to wait for the outcome of one event.",
)
@click.option(
    "--conf-kilobytes",
    type=click.IntRange(33, 1024),
    default=128,
    show_default=True,
    help="The size of the conf above the gateway's 32 KB.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0.1, max=120),
    default=30.0,
    show_default=True,
    help="Time limit; questions that are left then are not asked.",
)
@click.option(
    "--report",
    "report_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File for the report; default: certify-NAME-TIME.json in this folder.",
)
@gateway_options
@click.pass_context
def certify(
    context: click.Context,
    /,
    connection: Connection,
    name: str,
    *,
    print_dag: bool,
    print_policy: bool,
    print_state_machine: bool,
    disruptive: bool,
    state_machine: str,
    bucket: str,
    only: tuple[str, ...],
    report_file: Path | None,
    **sizes: Any,
) -> None:
    """Test on a real environment what no emulator can show.

    The command starts runs of a canary DAG, sends events through the gateway, and judges each answer: pass, fail or
    unknown. It takes up to 30 minutes. At the end it removes its rules and objects, lists what it leaves behind, and
    writes a report without account ids, ARNs, host names and tokens. Deploy the DAG first, and attach the policy:

    \b
      mwaa-gateway environments certify analytics --print-dag > dags/mwaa_gateway_certify.py
      mwaa-gateway environments certify analytics --print-policy > policy.json

    \b
    Examples:
      mwaa-gateway environments certify analytics
      mwaa-gateway environments certify analytics --state-machine arn:aws:states:… --disruptive
      mwaa-gateway environments certify analytics --only token --only login

    \b
    Exit codes:
      0  every question passed, or was skipped for the reason in its line
      1  a question failed: the lines with a cross
      2  the command line is wrong
      3  no question failed, but some have no answer: the lines with a question mark
    """
    if print_dag:
        click.echo(CANARY_DAG, nl=False)
        return
    if print_state_machine:
        function = connection.stack_outputs.get("StepFunctionsTaskFunctionArn")
        if function is None:
            raise Refused("the stack's parameter StepFunctionsTasks is false: no state can start a run")
        print_json(canary_state_machine(function))
        return
    # Imports requests: a tenth of a second, which the other commands on environments do not pay.
    from gateway_cli.certify.certification import Certification, Plan, names_of  # noqa: PLC0415

    refuse_unknown_environment(connection, name)
    asked = tuple(each for each in QUESTIONS if not only or each.id in only)
    plan = Plan(asked, disruptive=disruptive, state_machine=state_machine, bucket=bucket, **sizes)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    certification = Certification(connection, name, plan, stamp)
    if print_policy:
        print_json(_policy(certification))
        return
    file = report_file or Path(f"certify-{name}-{stamp}.json")
    try:
        file.touch()  # fail now rather than after half an hour
    except OSError as error:
        raise Refused(f"the report cannot be written to {file}: {error.strerror}") from error
    answers, left_behind = _certified(certification)
    report = {
        "format": _FORMAT,
        "certified_at": stamp,
        "gateway_version": __version__,
        "transport": certification.transport,
        "airflow_version": certification.described.get("AirflowVersion"),
        "region": certification.probe.expected(name).region,
        "questions": [answered.document() for answered in answers],
        "left_behind": left_behind,
    }
    redacted = Redaction(names_of(certification)).value(report)
    file.write_text(json.dumps(redacted, indent=2) + "\n", encoding="utf-8")
    verdicts: Counter[str] = Counter(answered.verdict.verdict for answered in answers)
    _print_end(verdicts, left_behind, file)
    context.exit(1 if verdicts["fail"] else 3 if verdicts["unknown"] else 0)


def _certified(certification: "Certification") -> "tuple[list[Answered], list[str]]":
    """Ask the questions, print each answer at once, and always clean up."""
    plan = certification.plan
    version = certification.described.get("AirflowVersion", "of unknown version")
    print_text(
        (certification.environment, "bold"),
        f": Airflow {version}, over {certification.transport}; at most {plan.minutes:g} minutes; Ctrl-C stops and cleans up",
    )
    answers: list[Answered] = []

    def begun(question: Question) -> None:
        print_progress(f"    {len(answers) + 1}/{len(plan.questions)}  {question.asks}")

    try:
        for answered in certification.answers(begun):
            answers.append(answered)
            verdict = answered.verdict
            end_progress()
            print_marked(verdict.verdict, answered.question.id, verdict.text, verdict.remedy, _WIDTH)
    finally:
        certification.close()
    return answers, certification.left_behind()


def _policy(certification: "Certification") -> dict[str, Any]:
    connection, plan = certification.connection, certification.plan
    return Needs(
        outputs=connection.stack_outputs,
        parameters=connection.stack_parameters,
        stack=connection.stack,
        environment=certification.environment,
        mwaa_name=certification.mwaa_name,
        transport=certification.transport,
        bucket=plan.bucket or connection.stack_outputs.get("LandingBucketName", ""),
        state_machine=plan.state_machine,
        disruptive=plan.disruptive,
    ).policy()


def _print_end(counts: Counter[str], left_behind: Sequence[str], file: Path) -> None:
    print_text("")
    print_text(
        ", ".join(f"{counts[each]} {each}" for each in ("pass", "fail", "unknown", "skipped") if counts[each])
    )
    for each in left_behind:
        print_text("Left behind: ", each)
    print_text("Report, without names of your account: ", str(file))
