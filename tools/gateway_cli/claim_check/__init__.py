"""`mwaa-gateway claim-check`: what DAGs need to read confs that are too large to be passed."""
