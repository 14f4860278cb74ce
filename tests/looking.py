"""The outcome of events on a running local stack: runs as Airflow lists them, messages in queues, secrets in logs."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from local_stack.airflow_runs import AirflowRuns, DagRun
from local_stack.stack import redeploy
from local_stack.state import StackState
from polling import until

SECRET_CHARACTERS = 64  # of the local MWAA's CLI tokens, web login tokens and sessions: base64url
# With both cases and a digit it is no SHA-256 and no run_id.
SECRET = re.compile(
    rf"(?<![\w-])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])(?=[\w-]*\d)[\w-]{{{SECRET_CHARACTERS}}}(?![\w-])"
    r"|Bearer [\w-]+|session=[\w.-]{40,}|AWS4-HMAC"
)


def runs(gateway: StackState, environment: str, rule_id: str, dag_id: str = "waiting") -> list[DagRun]:
    """The runs that a rule has started, as Airflow lists them; costs it nothing while there are none."""
    if not number_of_runs(gateway, environment, rule_id):
        return []
    found = AirflowRuns(gateway.environments[environment]).all(dag_id)
    return [run for run in found if run.run_id.startswith(f"evt__{rule_id}__")]


def number_of_runs(gateway: StackState, environment: str, rule_id: str, conf_has: str = "") -> int:
    """How many runs a rule has started, and of those with a text in their conf, as Airflow's database has them.

    For waiting: asked for hundreds of runs every second, Airflow's REST API would keep busy the processor, and the
    server, that are to make them.
    """
    file = Path(gateway.environments[environment].airflow_home) / "airflow.db"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as database:
        # Airflow 2 keeps a conf pickled, Airflow 3 in JSON: plain text is plain in both.
        [(number,)] = database.execute(
            "SELECT count(*) FROM dag_run WHERE run_id GLOB ? AND instr(CAST(conf AS BLOB), CAST(? AS BLOB))",
            [f"evt__{rule_id}__*", conf_has],
        )
    return int(number)


def messages_in(gateway: StackState, queue_url: str) -> int:
    """Every message of a queue: waiting, being worked on, or put off."""
    attributes = gateway.aws.client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])
    return sum(
        int(attributes["Attributes"][f"ApproximateNumberOfMessages{name}"])
        for name in ("", "NotVisible", "Delayed")
    )


def settle(gateway: StackState, *, seconds: float = 60) -> None:
    """Wait until nothing is on its way any more: no message waits, is worked on, or is to come back."""

    def empty() -> bool:
        queues = [environment.trigger_queue_url for environment in gateway.environments.values()]
        return not any(messages_in(gateway, queue_url) for queue_url in queues)

    until("empty trigger queues", empty, seconds=seconds, every=0.3)


@contextmanager
def transport(gateway: StackState, name: str) -> Iterator[None]:
    """Reach both environments by another transport for as long as it lasts; nothing is on its way when it changes."""
    environments = {each: replace(state, transport=name) for each, state in gateway.environments.items()}
    folder = Path(gateway.log_folder).parent
    settle(gateway)
    redeploy(replace(gateway, environments=environments), folder)
    yield
    settle(gateway)
    redeploy(gateway, folder)


def queue_that_takes(gateway: StackState, name: str, service: str) -> str:
    """A new queue that a service may send to; its ARN."""
    arn = f"arn:aws:sqs:{gateway.region}:{gateway.account_id}:{name}"
    sends = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [sends]})
    gateway.aws.client("sqs").create_queue(QueueName=name, Attributes={"Policy": policy})
    return arn


def dead_letters(gateway: StackState, queue_url: str) -> list[dict[str, Any]]:
    """Every message of a dead-letter queue, taken out of it."""
    sqs = gateway.aws.client("sqs")
    taken: list[dict[str, Any]] = []
    while messages := sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
            taken.append(json.loads(message["Body"]))
    return taken
