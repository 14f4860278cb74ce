"""`mwaa-gateway namespaces`: what the rules of each team may name."""
