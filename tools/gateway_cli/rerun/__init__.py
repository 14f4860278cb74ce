"""`mwaa-gateway rerun`: the next generation of what ran."""
