"""Straightforward forms of what the methods compute, as yardsticks of the benchmarks.

They share weights with ours and pass the same reference numbers.
"""
