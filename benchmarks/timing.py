"""Measures of cost: processor seconds and wall seconds of a call."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class BenchRow:
    """One line of a benchmark table.

    Attributes:
        name: What was measured.
        reference: Cost of the straightforward form; None where there is none.
        ours: Cost of ours.
        unit: Unit of the costs, for example ``CPU-s`` or ``samples/s``.
        note: Sizes, threads, and what limits it.
        higher_is_better: True for rates.
    """

    name: str
    reference: float | None
    ours: float
    unit: str
    note: str = ""
    higher_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times better ours is."""
        if self.reference is None:
            return None
        return self.ours / self.reference if self.higher_is_better else self.reference / self.ours


def cpu_seconds(call: Callable[[], object], *, repeats: int = 5, warmup: int = 1) -> float:
    """Median processor seconds, over all threads of the process, of a call."""
    return _median(call, time.process_time, repeats, warmup)


def wall_seconds(call: Callable[[], object], *, repeats: int = 5, warmup: int = 1) -> float:
    """Median wall seconds of a call."""
    return _median(call, time.perf_counter, repeats, warmup)


def _median(
    call: Callable[[], object], clock: Callable[[], float], repeats: int, warmup: int
) -> float:
    for _ in range(warmup):
        call()
    times = []
    for _ in range(repeats):
        start = clock()
        call()
        times.append(clock() - start)
    return statistics.median(times)
