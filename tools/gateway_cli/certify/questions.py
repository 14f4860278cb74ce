"""The questions of docs/verified-on-aws.md that a command can ask, as data: what each asks, and what it needs."""

from dataclasses import dataclass
from typing import Final

__all__ = ["IDS", "QUESTIONS", "Question"]


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    `needs` are questions that this one makes no sense without: where one of them failed, it is not asked. `transport` is
    the only one it is about, "" for both. A `disruptive` one disturbs others, and needs `--disruptive`.
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
        "Does MWAA give a CLI token, and name a web server the gateway accepts?",
        ("environment",),
        "cli",
    ),
    Question("start", "Does Airflow start a run and name it?", (*_MWAA, "canary")),
    Question("duplicate", "Is a second start with the same run_id recognised?", (*_MWAA, "canary", "start")),
    Question("same-second", "Do two starts at the same moment become two runs?", (*_MWAA, "canary", "start")),
    Question("missing-dag", "Is a DAG that does not exist refused as such?", _MWAA),
    Question("failing-commands", "With which HTTP status does a failure come, and is it understood?", _MWAA),
    Question(
        "conf-32k", "Does a conf of 32 KB, the gateway's largest, arrive whole?", (*_MWAA, "canary", "start")
    ),
    Question("conf-128k", "What becomes of a conf of 128 KB?", (*_MWAA, "canary", "start")),
    Question("login", "Does a web login open Airflow's REST API?", ("environment",)),
    Question("eventbridge", "Does an event on the stack's bus become a run?", _RUNS),
    Question("sns", "Does a notification on the stack's topic become a run?", _RUNS),
    Question("s3", "Does an upload become a run, its key as it is?", _RUNS),
    Question("queue", "Does an event in each queue of EventQueueArns become a run?", _RUNS),
    Question("step-functions", "Does a state get a run, and the run's end?", _RUNS),
    Question("wait", "Is a state still answered after minutes of waiting?", (*_RUNS, "step-functions")),
    Question("busy", "What do commands beyond the limit get?", (*_MWAA, "missing-dag"), disruptive=True),
    Question("dead-request", "Does a refused request reach the trigger DLQ?", _RUNS, disruptive=True),
    Question("dead-event", "Does an unusable event reach the ingress DLQ?", disruptive=True),
    Question(
        "dead-eventbridge",
        "Does what EventBridge cannot deliver reach the ingress DLQ, and run?",
        _RUNS,
        disruptive=True,
    ),
    Question("dead-sns", "Does what SNS cannot deliver reach the ingress DLQ?", disruptive=True),
)
IDS: Final = tuple(question.id for question in QUESTIONS)
