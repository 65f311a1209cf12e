"""The size of chunks: what is faster and equal is taken, measured once."""

import time

import pytest
import torch

from lifting.nn import chunks


@pytest.fixture(autouse=True)
def _nothing_known_and_all_time_counts(monkeypatch):
    monkeypatch.setattr(chunks, "_known", {})
    monkeypatch.setattr(chunks.time, "process_time", time.perf_counter)


def runner(seconds, changed=(), calls=None):
    """Answers of so many hypotheses, which take so long; some sizes answer otherwise."""

    def run(first, size):
        if calls is not None:
            calls.append(size)
        time.sleep(seconds(size))
        answer = 1 + torch.arange(20.0)[first : first + size]
        return answer * (1 + 1e-6) if size in changed else answer

    return run


@pytest.mark.parametrize(
    ("seconds", "changed", "size"),
    [
        (lambda size: 0.002, (), 6),  # a call costs as much, however many it computes
        (lambda size: 0.002 * size * size, (), 1),
        (lambda size: 0.002 if size < 4 else 0.02, (), 3),
        (lambda size: 0.002, (6,), 4),  # of other answers
    ],
)
def test_the_fastest_of_equal_answers_is_taken(seconds, changed, size):
    assert chunks.chunk_size(runner(seconds, changed), 12, "key") == size


def test_parts_are_equal_and_at_most_eight():
    calls = []
    chunks.chunk_size(runner(lambda size: 0.0, calls=calls), 20, "key")
    assert set(calls) == {1, 2, 4, 5}


def test_it_is_measured_once_for_every_key():
    calls = []
    run = runner(lambda size: 0.0, calls=calls)
    first = chunks.chunk_size(run, 2, "key")
    done = len(calls)
    assert chunks.chunk_size(run, 2, "key") == first
    assert len(calls) == done
    chunks.chunk_size(run, 2, "other")
    assert len(calls) > done
