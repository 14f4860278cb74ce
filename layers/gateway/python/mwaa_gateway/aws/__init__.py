"""The adapters: only this package imports boto3 and requests.

Each module implements a port that a flow declares: `dynamodb/` and `sqs/` by service, `mwaa/` the transports to Airflow.
May import every package but `observability` and `wiring`. Import its modules by name: each belongs to some cold starts only.
"""
