"""The operator's command, `mwaa-gateway`: for people and pipelines, never shipped to Lambda."""
