"""`mwaa-gateway console`: the gateway in a browser on this machine, with the operator's own credentials."""
