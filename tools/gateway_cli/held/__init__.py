"""`mwaa-gateway held`: what waits in the ledger until it is released or cancelled."""
