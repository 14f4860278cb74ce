"""Started once for many events: a rule with `collect` gathers a night's files, and the run maps over them.

The gateway adds the batch to every conf, whatever the rule's input_transformer names: so this DAG suits any such rule.

    split        divides the members of the batch into at most PARTS parts
    load         runs once for each part, side by side; a try that fails repeats its part alone
    finish       runs when every part is loaded

A part is three small values and no list of members: what passes between tasks stays small, however long the manifest is, and
Airflow maps over at most 1,024 values (`max_map_length`).

MWAA's execution role needs s3:GetObject on the manifest: `mwaa-gateway claim-check policy` prints the policy.
"""

import gzip
import json
from datetime import UTC, datetime

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

PARTS = 100


def members(manifest: str) -> list[dict]:
    """Return what a manifest lists: for each S3 object its uri, bucket, key and more; for other events the whole event."""
    import boto3

    bucket, key = manifest.removeprefix("s3://").split("/", 1)
    body = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return [json.loads(line) for line in gzip.decompress(body).splitlines()]


def parts(manifest: str, count: int) -> list[dict]:
    """Divide `count` members into at most PARTS parts of the same size; the last one may be smaller."""
    size = max(1, -(-count // PARTS))
    return [
        {"manifest": manifest, "start": start, "stop": min(start + size, count)}
        for start in range(0, count, size)
    ]


@dag(
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
)
def load_batch():
    @task
    def split(dag_run=None) -> list[dict]:
        batch = dag_run.conf["mwaa_gateway"]["batch"]
        return parts(batch["manifest"], batch["count"])

    @task(retries=2)
    def load(part: dict) -> int:
        some = members(part["manifest"])[part["start"] : part["stop"]]
        for member in some:
            print("Loading", member["uri"])
        return len(some)

    @task
    def finish(counts, dag_run=None) -> None:
        batch = dag_run.conf["mwaa_gateway"]["batch"]
        missing = ", ".join(batch["missing"]) or "nothing"
        print(f"Loaded {sum(counts)} files of {batch['key']}; missing: {missing}")

    finish(load.expand(part=split()))


load_batch()
