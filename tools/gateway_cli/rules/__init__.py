"""`mwaa-gateway rules`: rules as files, and as items of the rules table."""
