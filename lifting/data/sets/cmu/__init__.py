"""CMU motion capture."""
