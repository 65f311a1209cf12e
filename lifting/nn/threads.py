"""Threads of torch for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
