"""The whole gateway on one machine: MiniStack, real Airflow behind MWAA's API, and template.yaml itself."""
