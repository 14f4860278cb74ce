"""`mwaa-gateway namespaces`: what each team's rules may name."""
