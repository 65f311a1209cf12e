"""Benchmarks: what an operation costs, beside a straightforward form of the same mathematics.

Each module of this folder with a function ``rows() -> list[BenchRow]`` is a benchmark; ``lifting
bench NAME`` runs one and ``lifting bench`` all of them.
"""
