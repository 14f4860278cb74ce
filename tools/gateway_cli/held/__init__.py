"""`mwaa-gateway held`: requests that wait in the ledger until they are released or cancelled."""
