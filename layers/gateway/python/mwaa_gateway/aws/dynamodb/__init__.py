"""What the gateway keeps in its two tables, rules and ledger: one module for each kind of item."""
