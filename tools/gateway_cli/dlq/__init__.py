"""`mwaa-gateway dlq`: dead requests and events that were put aside."""
