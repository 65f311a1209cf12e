"""Row numbers of windows: ends, strides, and no mixing of tracks."""

import pytest
import torch

from lifting.data.window import sample_rows, track_of_rows, window_rows
from lifting.errors import ConfigError

OFFSETS = torch.tensor([0, 4, 5, 12])


def windows(middle, frames, stride):
    middle = torch.as_tensor(middle)
    track = track_of_rows(OFFSETS)[middle]
    return window_rows(middle, OFFSETS[track], OFFSETS[track + 1] - 1, frames, stride)


def test_every_row_belongs_to_its_track():
    assert track_of_rows(OFFSETS).tolist() == [0] * 4 + [1] + [2] * 7


def test_samples_start_anew_in_each_track():
    assert sample_rows(OFFSETS, 1).tolist() == list(range(12))
    assert sample_rows(OFFSETS, 3).tolist() == [0, 3, 4, 5, 8, 11]


def test_single_frame_window_is_the_frame():
    assert windows([0, 4, 11], 1, 5).tolist() == [[0], [4], [11]]


def test_ends_repeat_the_edge_frame():
    assert windows([0, 3], 5, 1).tolist() == [[0, 0, 0, 1, 2], [1, 2, 3, 3, 3]]


def test_track_of_one_frame_repeats_it():
    assert windows([4], 7, 2).tolist() == [[4] * 7]


def test_stride_separates_the_neighbours():
    assert windows([8], 3, 2).tolist() == [[6, 8, 10]]
    assert windows([6], 5, 3).tolist() == [[5, 5, 6, 9, 11]]


@pytest.mark.parametrize(("frames", "stride"), [(3, 1), (9, 2), (243, 1)])
def test_windows_never_mix_tracks(frames, stride):
    middle = torch.arange(12)
    rows = windows(middle, frames, stride)
    track = track_of_rows(OFFSETS)
    assert rows.shape == (12, frames)
    assert (track[rows] == track[middle][:, None]).all()
    assert (rows[:, frames // 2] == middle).all()
    assert (rows.diff(dim=1) >= 0).all()


@pytest.mark.parametrize("frames", [0, -3, 4])
def test_even_or_empty_windows_are_refused(frames):
    with pytest.raises(ConfigError, match=f"odd, positive number.*got frames={frames}"):
        windows([3], frames, 1)


def test_stride_below_one_is_refused():
    with pytest.raises(ConfigError, match=r"positive stride.*got window_stride=0"):
        windows([3], 3, 0)


def test_sampling_below_one_is_refused():
    with pytest.raises(ConfigError, match=r"positive number of frames.*every=0"):
        sample_rows(OFFSETS, 0)
