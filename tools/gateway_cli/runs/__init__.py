"""`mwaa-gateway runs`: the runs that the trail has."""
