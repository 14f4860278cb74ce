"""What is promised fault by fault, and which tests show it: `docs/guarantees.md` is made of it."""
