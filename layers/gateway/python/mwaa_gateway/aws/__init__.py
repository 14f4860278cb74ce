"""The adapters: boto3 and requests are imported here and nowhere else.

Each module implements a port that a flow declares: `dynamodb/` and `sqs/` by service, `mwaa/` the transports to Airflow.
May import every package but `observability` and `wiring`. Import its modules by name: each is one function's cold start.
"""
