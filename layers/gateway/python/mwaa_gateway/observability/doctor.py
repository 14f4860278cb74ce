"""The log line of an examination."""

from collections.abc import Mapping
from typing import Any

from mwaa_gateway.observability import logger

__all__ = ["report_examination"]


def report_examination(found: Mapping[str, Any]) -> None:
    """Log the outcome of each step: no text of a server, no DAG."""
    if "environment" not in found:
        logger.warning("the doctor was asked for an environment that this stack does not have")
        return
    if "problem" in found:
        logger.warning("the doctor cannot look: %s", found["problem"], environment=found["environment"])
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
