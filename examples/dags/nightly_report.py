"""Started by an event on the gateway's bus: here an upstream system says that a business day is closed.

    input_paths: {day: $.detail.business-day, region: $.detail.region}
    input_template: {business_day: <day>, region: <region>}

The day comes with the event. The time at which the run starts says nothing about it: a redelivered or
replayed event starts its run later, for the same day.
"""

from datetime import UTC, date, datetime

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
def nightly_report():
    @task
    def report(dag_run=None) -> None:
        conf = dag_run.conf or {}
        day = date.fromisoformat(conf["business_day"])
        print(f"Report for {day:%A, %d %B %Y}, region {conf.get('region') or 'all'}")

    report()


nightly_report()
