"""Log lines and metrics of the transports."""

from mwaa_gateway.observability import logger, metrics, one_at_a_time, publish


@one_at_a_time
def report_fallback(text: str, environment: str, fallback: str) -> None:
    """Log and count a refused web login, while requests use the fallback."""
    logger.warning(
        "no web login; requests use the fallback %s, and the login is tried again in a minute: %s",
        fallback,
        text,
        extra={"environment": environment},
    )
    metrics.add_dimension(name="environment", value=environment)
    publish({"WebLoginRefused": 1})
