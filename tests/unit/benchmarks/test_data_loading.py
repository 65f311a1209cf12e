"""The stand-in for the full size of Human3.6M has the true form; the full size fits in memory."""

from __future__ import annotations

import pytest

from data_loading import FRAMES, load_once, write_stand_in
from lifting.data.config import DataConfig
from lifting.data.sets.h36m.config import Config as H36mConfig
from lifting.data.sets.h36m.reader import tracks


def test_the_stand_in_is_read_like_the_data_set(tmp_path):
    write_stand_in(tmp_path, frames=3)
    options = H36mConfig(two_d="gt", val_subjects=())
    got = tracks(DataConfig(name="h36m", root=str(tmp_path), h36m=options), "train")
    assert len(got.track_names) == 5 * 15 * 2 * 4
    assert len(got) == 3 * len(got.track_names)


@pytest.mark.slow
def test_the_full_size_stays_below_four_gigabytes(tmp_path):
    write_stand_in(tmp_path, FRAMES)
    for _ in range(2):
        result = load_once(tmp_path, tmp_path / "cache")
        assert result["frames"] == 1_560_000
        assert result["gigabytes"] < 4
