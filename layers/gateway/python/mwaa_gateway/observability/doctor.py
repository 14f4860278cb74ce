"""The log line of the doctor's examination."""

from collections.abc import Mapping
from typing import Any

from mwaa_gateway.observability import logger


def report_examination(found: Mapping[str, Any]) -> None:
    """Log the outcome of each step, without server responses or DAG ids."""
    if "environment" not in found:
        logger.warning("no examination: this stack has no such environment")
        return
    if "problem" in found:
        logger.warning(
            "no examination, fix the environment's setting: %s",
            found["problem"],
            environment=found["environment"],
        )
        return
    steps = {step: found[step]["outcome"] for step in ("token", "web_server", "airflow") if step in found}
    endpoints = {endpoint["service"]: endpoint["outcome"] for endpoint in found["endpoints"]}
    logger.info(
        "environment examined",
        environment=found["environment"],
        transport=found["transport"],
        **steps,
        endpoints=endpoints,
    )
