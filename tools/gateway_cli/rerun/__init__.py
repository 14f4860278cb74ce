"""`mwaa-gateway rerun`: the next generation of requests that ran."""
