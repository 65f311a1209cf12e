"""How many threads prepare data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread of torch, also as a decorator.

    Making motion and pictures is many small steps: two threads hardly gain there, and beside other
    work they wait for each other most of the time (eight times as long, measured).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
