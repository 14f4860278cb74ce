"""The example DAG for a batch, as real Airflow runs it: with its members, and with the date of its key."""

import random
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local_stack.state import StackState
from looking import number_of_runs, runs
from polling import until

RULE = "test.dated"


@pytest.mark.guarantee(47)
def test_two_batches_of_a_date_are_two_runs_of_that_date_on_either_airflow(gateway: StackState) -> None:
    """The conf is the event, and no input_transformer: the DAG finds its batch all the same."""
    date = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=random.Random().randrange(2_000))
    for batch in (1, 2):
        for number in range(3):
            key = f"dated/{date:%Y-%m-%d}/{batch}-{number}.csv"
            gateway.aws.client("s3").put_object(Bucket=gateway.bucket, Key=key, Body=b"1")
        for environment in gateway.environments:
            until(
                f"a run of batch {batch} in {environment}",
                lambda environment=environment, batch=batch: (
                    number_of_runs(gateway, environment, RULE) >= batch
                ),
                seconds=60,
            )

    def are_over(environment: str) -> bool:
        return {run.state for run in runs(gateway, environment, RULE, "load_batch")} <= {"success", "failed"}

    for environment in gateway.environments:
        until(f"the end of the runs in {environment}", lambda env=environment: are_over(env), seconds=120)
        found = runs(gateway, environment, RULE, "load_batch")
        assert [run.state for run in found] == ["success", "success"]
        members = {
            run.conf["mwaa_gateway"]["batch"]["number"]: run.conf["detail"]["members"] for run in found
        }
        assert {number: [line["key"][-7:] for line in lines] for number, lines in members.items()} == {
            1: ["1-0.csv", "1-1.csv", "1-2.csv"],
            2: ["2-0.csv", "2-1.csv", "2-2.csv"],
        }
        assert sorted(logical_dates(gateway, environment)) == [date, date + timedelta(microseconds=1)]


def logical_dates(gateway: StackState, environment: str) -> list[datetime]:
    """Of every run of the rule, as Airflow's database has them."""
    file = Path(gateway.environments[environment].airflow_home) / "airflow.db"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as database:
        columns = {name for _, name, *_ in database.execute("PRAGMA table_info(dag_run)")}
        name = "logical_date" if "logical_date" in columns else "execution_date"
        rows = database.execute(f"SELECT {name} FROM dag_run WHERE run_id GLOB 'evt__{RULE}__*'")  # noqa: S608
        return [datetime.fromisoformat(value).replace(tzinfo=UTC) for (value,) in rows]
