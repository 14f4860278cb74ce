"""Started for each notification published to an SNS topic.

    input_paths: {topic: $.detail.topic-arn, subject: $.detail.subject, message: $.detail.message}
    input_template: {topic: <topic>, subject: <subject>, message: <message>}

A message that is JSON arrives parsed, any other as text: a publisher may send either, so the DAG takes both.
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
def handle_notification():
    @task
    def handle(dag_run=None) -> None:
        conf = dag_run.conf or {}
        message = conf.get("message")
        if isinstance(message, dict):
            print("A structured message with the fields", ", ".join(sorted(message)) or "none")
        else:
            print("A message in text:", message)
        print("Subject:", conf.get("subject"))

    handle()


handle_notification()
