"""What a cold start costs a function's own code: importing its handler and wiring it, beside boto3's DynamoDB client alone.

    python -m benchmarks.cold_start

Each start is a new process of the environment that holds what a Lambda sandbox holds, made by `make run` or `make test`; the
functions take turns, and the quickest of the starts counts, in processor time less that of a bare interpreter. As on Lambda,
there is bytecode of the layers and of boto3, and none of the function's own file.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
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


def measured(*, starts: int = 15) -> dict[str, float]:
    """Return the milliseconds of processor time that each start takes beyond a bare interpreter's."""
    programs = {"": "", REFERENCE: f"import boto3; {REFERENCE}"}
    programs |= {name: f"import app; {wired}; wired()" for name, wired in WIRED.items()}
    quickest = dict.fromkeys(programs, float("inf"))
    subprocess.run([PYTHON, "-m", "compileall", "-q", LAYER], check=True)
    with tempfile.TemporaryDirectory() as folder:
        functions = Path(folder, "functions")
        shutil.copytree(ROOT / "functions", functions, ignore=shutil.ignore_patterns("__pycache__"))
        for _ in range(starts):
            for name, best in quickest.items():
                quickest[name] = min(best, _milliseconds(programs[name], [LAYER, functions / name]))
    return {name: quickest[name] - quickest[""] for name in programs if name}


def _milliseconds(program: str, paths: list[Path]) -> float:
    printed = subprocess.run(
        [PYTHON, "-c", f"{program}\nimport time; print(1000 * time.process_time())"],
        env=SETTINGS | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    return float(printed.stdout)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=15, help="how many of each; more on a busy machine")
    found = measured(starts=parser.parse_args().starts)
    print(f"| start | ms of processor time | times {REFERENCE} |\n|---|--:|--:|")
    for name, milliseconds in found.items():
        print(f"| {name} | {milliseconds:.0f} | {milliseconds / found[REFERENCE]:.2f} |")


if __name__ == "__main__":
    main()
