"""`mwaa-gateway batches`: the batches of rules that collect, until they are released or cancelled."""
