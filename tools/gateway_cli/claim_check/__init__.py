"""`mwaa-gateway claim-check`: DAGs' access to confs that are too large to pass."""
