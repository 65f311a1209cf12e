"""Threads of torch: how many a process may use, and how many it uses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

TORCHS_OWN = torch.get_num_threads()
"""Torch's own choice, which heeds OMP_NUM_THREADS and takes no core twice."""
_CGROUP = Path("/sys/fs/cgroup")


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Compute in so many threads of torch, also as a decorator; the number before comes back.

    Many small steps hardly gain by a second one, and beside other work they wait for each other
    most of the time (eight times as long, measured).

    Args:
        count: Threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def usable_threads() -> int:
    """Threads that this process may use, of its affinity and its control groups."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    quota = _quota()
    return max(1, count if quota is None else min(count, round(quota)))


def set_threads(wanted: int | str) -> None:
    """Let torch compute in so many threads, but no more than the process may use.

    Args:
        wanted: Number; ``auto`` and 0 take torch's own choice.
    """
    count = TORCHS_OWN if wanted in ("auto", 0) else int(wanted)
    torch.set_num_threads(min(count, usable_threads()))


def _quota() -> float | None:
    """Processors that the control groups of this process grant it; None without a limit."""
    pairs = []
    with suppress(OSError):
        own = Path("/proc/self/cgroup").read_text(encoding="ascii").rpartition("::")[2].strip()
        folder = _CGROUP / own.lstrip("/")
        pairs += [
            _words(place / "cpu.max")
            for place in (folder, *folder.parents)
            if place.is_relative_to(_CGROUP)
        ]
    older = _CGROUP / "cpu"
    pairs.append(_words(older / "cpu.cfs_quota_us") + _words(older / "cpu.cfs_period_us"))
    limited = [p for p in pairs if len(p) == 2 and all(word.isdigit() for word in p)]
    return min((int(limit) / int(period) for limit, period in limited), default=None)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").split()
    except OSError:
        return []
