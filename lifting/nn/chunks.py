"""How many hypotheses a network is given at a time: measured at the first answer, then kept.

On a processor one large call can be slower than several small ones, whose values stay in its
caches, or faster, where a call costs more than what it computes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

LARGEST = 8
"""Hypotheses that a processor is tried with at most."""
GAIN = 0.97
"""Share of the time of the best so far that a larger chunk must stay below."""
ATOL = 1e-4
_REPEATS = 3
_LONG_S = 0.5  # in which one measurement is enough

_known: dict[Hashable, int] = {}


def chunk_size(run: Callable[[int, int], Tensor], count: int, key: Hashable) -> int:
    """Hypotheses to compute in one call: never slower than one by one, of equal answers.

    Only parts of equal size are tried. On the processor only those of the same answers as one by
    one to the bit count, so that an answer does not depend on what was measured; elsewhere those
    of the same answers to rounding.

    Args:
        run: Computes hypotheses in one call, along axis 0: from the given one on, so many.
        count: Hypotheses.
        key: Of what the time depends on beside the number; measured once for each in a process.
    """
    if (key, count) not in _known:
        with torch.no_grad():
            _known[key, count] = _measured(run, count)
    return _known[key, count]


def _measured(run: Callable[[int, int], Tensor], count: int) -> int:
    first = run(0, 1)
    most = LARGEST if first.device.type == "cpu" else count
    sizes = [size for size in range(2, min(count, most) + 1) if count % size == 0]
    if not sizes:
        return 1
    alone = torch.cat([first, *(run(i, 1) for i in range(1, sizes[-1]))])
    best, least = 1, _seconds(run, 1)
    for size in sizes:
        if not _same(run(0, size), alone[:size]):
            continue
        seconds = _seconds(run, size) / size
        if seconds < GAIN * least:
            best, least = size, seconds
    return best


def _same(found: Tensor, alone: Tensor) -> bool:
    if alone.device.type == "cpu":
        return torch.equal(found, alone)
    return torch.allclose(found, alone, rtol=0, atol=ATOL)


def _seconds(run: Callable[[int, int], Tensor], size: int) -> float:
    """Least time of a call: of the processor where it works in one thread, else of the wall."""
    times: list[float] = []
    while len(times) < _REPEATS and sum(times) < _LONG_S:
        start, busy = time.perf_counter(), time.process_time()
        found = run(0, size)
        if found.is_cuda:
            torch.cuda.synchronize(found.device)
        alone = torch.get_num_threads() == 1 and not found.is_cuda
        times.append(time.process_time() - busy if alone else time.perf_counter() - start)
    return min(times)
