"""`mwaa-gateway rules`: rule files, and the rules in the rules table."""
