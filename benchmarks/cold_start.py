"""What a cold start costs a function's own code: importing its handler and wiring it, beside boto3's DynamoDB client alone.

    python -m benchmarks.cold_start

Each start is a new process of the environment that holds what a Lambda sandbox holds, made by `make run` or `make test`; the
functions take turns, and the quickest of the starts counts, in processor time less that of a bare interpreter.
"""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venvs" / "lambda" / "bin" / "python"
LAYER = ROOT / "layers" / "gateway" / "python"
REFERENCE = "boto3.client('dynamodb')"
WIRED = {
    **dict.fromkeys(
        ("s3_events", "sns_events", "eventbridge_events"),
        "from mwaa_gateway.wiring.ingress import ingress as wired",
    ),
    "queued_events": "from mwaa_gateway.wiring.queued_events import queued_events as wired",
    "dispatcher": "from mwaa_gateway.wiring.dispatcher import dispatcher as wired",
    "step_functions_task": "from mwaa_gateway.wiring.step_functions_task import step_functions_task as wired",
    "ended_executions": "from mwaa_gateway.wiring.ended_executions import ended_executions as wired",
    "run_watcher": "from mwaa_gateway.wiring.run_watcher import run_watcher as wired",
    **{
        name: f"from mwaa_gateway.wiring.feeds import {name} as wired"
        for name in ("batch_collector", "batch_releaser", "batch_timers")
    },
}
SETTINGS = {
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "RULES_TABLE": "rules",
    "LEDGER_TABLE": "ledger",
    "TRIGGER_QUEUE_URL": "https://queue/{environment}",
    "TRIGGER_DLQ_URL": "https://queue/dlq",
    "INGRESS_DLQ_URL": "https://queue/ingress-dlq",
    "INGRESS_RETRY_QUEUE_ARN": "arn:aws:sqs:eu-central-1:123456789012:retry",
    "WATCH_QUEUE_URL": "https://queue/watch/{environment}",
    "TASK_TOKEN_KEY": "arn:aws:kms:eu-central-1:123456789012:key/none",
    "BATCHES_TABLE": "batches",
    "COLLECT_QUEUE_URL": "https://queue/collect",
    "LOOK_QUEUE_URL": "https://queue/look",
    "EVENT_BUS": "bus",
    "CLAIM_CHECK_BUCKET": "bucket",
    "ENVIRONMENTS": "analytics",
    "ENVIRONMENT": "analytics",
    "MWAA_ENVIRONMENT_NAME": "analytics",
    "TRANSPORTS": "cli",
}


def measured(*, starts: int = 9) -> dict[str, float]:
    """Return the milliseconds of processor time that each function's start takes beyond a bare interpreter's."""
    programs = {"": "", REFERENCE: f"import boto3; {REFERENCE}"}
    programs |= {name: f"import app; {wired}; wired()" for name, wired in WIRED.items()}
    quickest = dict.fromkeys(programs, float("inf"))
    for _ in range(starts):
        for name, program in programs.items():
            quickest[name] = min(quickest[name], _milliseconds(name, program))
    bare = quickest.pop("")
    return {name: time - bare for name, time in quickest.items()}


def _milliseconds(name: str, program: str) -> float:
    paths = os.pathsep.join([str(LAYER), str(ROOT / "functions" / name)])
    told = subprocess.run(
        [PYTHON, "-c", f"{program}\nimport time; print(1000 * time.process_time())"],
        env=SETTINGS | {"PYTHONPATH": paths},
        check=True,
        capture_output=True,
        text=True,
    )
    return float(told.stdout)


def main() -> None:
    """Print a table."""
    found = measured()
    print(f"| start | ms of processor time | times {REFERENCE} |\n|---|--:|--:|")
    for name, milliseconds in found.items():
        print(f"| {name} | {milliseconds:.0f} | {milliseconds / found[REFERENCE]:.2f} |")


if __name__ == "__main__":
    main()
