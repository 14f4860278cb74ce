"""`mwaa-gateway environments check`: what stands between an event and its DAG run, and what to do about it."""
