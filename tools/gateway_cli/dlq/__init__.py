"""`mwaa-gateway dlq`: dead requests, and dead events."""
