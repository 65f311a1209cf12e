"""What tests of readers share: traps, damaged files and limits of memory."""

from __future__ import annotations

import os
import tracemalloc
from contextlib import contextmanager

import pytest

from lifting.errors import DataError


class Trap:
    """Whoever runs what its pickle asks for makes the file ``mark``."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def trap(tmp_path):
    """An object for a pickle; ``trap.mark`` exists once its code was run."""
    return Trap(tmp_path / "ran")


@pytest.fixture(params=[300, pytest.param(10_000, marks=pytest.mark.slow)], ids=["quick", "long"])
def damage_count(request):
    """How many damaged versions of a file are read."""
    return request.param


@pytest.fixture
def count_refused():
    """Counts the versions of a file that a reader refuses; no other error may come."""

    def count(versions, read):
        refused = 0
        for _ in versions:
            try:
                read()
            except DataError:
                refused += 1
        return refused

    return count


@pytest.fixture
def memory_below():
    """A context in which Python may not take more than so many bytes at once."""

    @contextmanager
    def below(limit):
        tracemalloc.start()
        try:
            yield
            assert tracemalloc.get_traced_memory()[1] < limit
        finally:
            tracemalloc.stop()

    return below
