"""Benchmarks: `make benchmark`; what they showed is in docs/benchmarks.md."""
