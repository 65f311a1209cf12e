"""Noise that persists and events that last."""

import math

import pytest
import torch

from lifting.data.detections import draw_runs, persistent_noise


def test_persistent_noise_is_stationary_with_the_given_correlation():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4000, 50, 2, generator=generator)
    age = torch.arange(4000) % 100
    slow = persistent_noise(noise, age, 0.9)
    torch.testing.assert_close(slow[age == 0].std(), torch.tensor(1.0), atol=0.03, rtol=0)
    torch.testing.assert_close(slow[age == 99].std(), torch.tensor(1.0), atol=0.05, rtol=0)
    for lag in (1, 5, 20):
        late = age >= lag
        product = slow[late] * slow[late.nonzero()[:, 0] - lag]
        torch.testing.assert_close(product.mean(), torch.tensor(0.9**lag), atol=0.05, rtol=0)
    starts = (age == 0).nonzero()[1:, 0]
    assert (slow[starts] * slow[starts - 1]).mean().abs() < 0.05


def test_persistent_noise_equals_the_recursion():
    noise = torch.randn(300, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    age = torch.cat((torch.arange(250), torch.arange(50)))
    expected = noise.clone()
    for i in range(300):
        if age[i]:
            expected[i] = 0.95 * expected[i - 1] + math.sqrt(1 - 0.95**2) * noise[i]
    found = persistent_noise(noise, age, 0.95)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("length", [1, 10, 1000])
def test_runs_cover_their_share_in_tracks_of_any_length(length):
    tracks = 20000 // length
    start = (torch.arange(tracks) * length).repeat_interleave(length)
    left = start + length - torch.arange(tracks * length)
    share = torch.full((tracks * length, 8), 0.05)
    generator = torch.Generator().manual_seed(0)
    runs = draw_runs(share, start, left, frames=6.0, generator=generator)
    covered = torch.zeros_like(share)
    covered[runs.row, runs.column] = 1
    assert 0.043 < covered.mean() < 0.055
    duration = torch.bincount(runs.event, minlength=runs.total).float()
    if length == 1000:
        assert 5.7 < duration.mean() < 6.3
        assert 5 < duration.std() < 6
    first = torch.full((runs.total,), tracks * length).scatter_reduce(
        0, runs.event, runs.row, "amin"
    )
    assert (start[runs.row] == start[first][runs.event]).all()


def test_runs_shorter_than_a_frame_count_as_one():
    start = torch.zeros(5000, dtype=torch.long)
    runs = draw_runs(
        torch.full((5000, 1), 0.1),
        start,
        5000 - torch.arange(5000),
        frames=0.3,
        generator=torch.Generator().manual_seed(0),
    )
    assert len(runs.row) == runs.total
    assert 400 < runs.total < 600
