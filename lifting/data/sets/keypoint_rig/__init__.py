"""Own recordings of several cameras."""
