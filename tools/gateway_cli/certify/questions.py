"""The questions of docs/verified-on-aws.md that a command can ask, each with the questions it depends on."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    If one of `needs` failed, this one is not asked. `transport`: asked over this one only, "" for both. A `disruptive` one
    may disturb others, and needs `--disruptive`.
    """

    id: str
    asks: str
    needs: tuple[str, ...] = ()
    transport: str = ""
    disruptive: bool = False


_MWAA: Final = ("environment", "token")
_RUNS: Final = ("environment", "canary")

QUESTIONS: Final = (
    Question("environment", "Is the environment there and AVAILABLE?"),
    Question("canary", "Does Airflow list the canary DAG, unpaused?", ("environment",)),
    Question(
        "token",
        "Does MWAA give a CLI token, and name a web server that the gateway accepts?",
        ("environment",),
        "cli",
    ),
    Question("start", "Does Airflow start a run and name it?", (*_MWAA, "canary")),
    Question("duplicate", "Is a second start with the same run_id recognised?", (*_MWAA, "canary", "start")),
    Question("same-second", "Do two starts at the same moment become two runs?", (*_MWAA, "canary", "start")),
    Question("missing-dag", "Is a DAG that does not exist refused as such?", _MWAA),
    Question(
        "failing-commands", "Does the gateway understand each failure, whatever its HTTP status?", _MWAA
    ),
    Question(
        "conf-32k", "Does a conf of 32 KB, the gateway's largest, arrive whole?", (*_MWAA, "canary", "start")
    ),
    Question("conf-128k", "How does Airflow treat a conf of 128 KB?", (*_MWAA, "canary", "start")),
    Question("login", "Does a web login open Airflow's REST API?", ("environment",)),
    Question("eventbridge", "Does an event on the stack's bus start a run?", _RUNS),
    Question("sns", "Does a notification on the stack's topic start a run?", _RUNS),
    Question("s3", "Does an upload start a run, with its key unchanged?", _RUNS),
    Question("queue", "Does an event in each queue of EventQueueArns start a run?", _RUNS),
    Question("step-functions", "Does a state start a run, and get its result?", _RUNS),
    Question(
        "wait", "Does a state still get its answer after minutes of waiting?", (*_RUNS, "step-functions")
    ),
    Question("busy", "How are commands beyond the limit answered?", (*_MWAA, "missing-dag"), disruptive=True),
    Question("dead-request", "Does a refused request reach the trigger DLQ?", _RUNS, disruptive=True),
    Question("dead-event", "Does an unusable event reach the ingress DLQ?", disruptive=True),
    Question(
        "dead-eventbridge",
        "Does an event that EventBridge cannot deliver reach the ingress DLQ, and run after a redrive?",
        _RUNS,
        disruptive=True,
    ),
    Question("dead-sns", "Does a message that SNS cannot deliver reach the ingress DLQ?", disruptive=True),
)
IDS: Final = tuple(question.id for question in QUESTIONS)
