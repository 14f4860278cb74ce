"""The MWAA Trigger Gateway: every event becomes exactly one Airflow DAG run per matching rule target.

Follow one event: `functions/s3_events/app.py` → `events` → `ingress` (with `routing`, `rules`, `patterns`, `conf`) →
trigger queue → `functions/dispatcher/app.py` → `dispatch` → `aws.mwaa`.
"""

__version__ = "0.1.0"
