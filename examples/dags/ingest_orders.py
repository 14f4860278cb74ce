"""Started for each order file that lands in S3. The first of three examples: what an event brings along.

The conf of the run is what the rule's input transformer makes of the event:

    input_paths: {bucket: $.detail.bucket.name, key: $.detail.object.key, size: $.detail.object.size}
    input_template: {source: "s3://<bucket>/<key>", bytes: <size>}

and, under the reserved key `mwaa_gateway`, where the run came from: event id, source, rule and version.

Two things to know when writing such a DAG:
- Each run belongs to one event, so the conf is the input, not the date. On Airflow 3 a triggered run has no
  logical date at all: `logical_date` and all that derives from it (`ds`, `data_interval_start`) are missing.
- Set `schedule=None`: events start the runs, and nothing is to catch up on.
"""

from datetime import UTC, datetime

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task


@dag(
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example"],
)
def ingest_orders():
    @task
    def receive(dag_run=None) -> dict:
        """Read what the event brought along; fail with a clear word if the run was started without it."""
        order_file = dict(dag_run.conf or {})
        origin = order_file.pop("mwaa_gateway", {})
        if "source" not in order_file:
            raise ValueError('This DAG needs conf {"source": "s3://bucket/key"}; see examples/rules')
        print("Started by", origin or "a person")
        return order_file

    @task
    def load(order_file: dict) -> str:
        """Stand in for the real work: here one would read the object at `source` and load it."""
        print("Loading", order_file["source"], "of", order_file.get("bytes", "unknown"), "bytes")
        return order_file["source"]

    load(receive())


ingest_orders()
