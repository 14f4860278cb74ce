"""The error sweep: the deployed functions in this process, and every error that AWS can answer them with."""
