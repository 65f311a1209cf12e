from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lifting.experiment.load import load_experiment
from lifting.studies.frames import Frames, choose_rows
from lifting.studies.measure import middle

CPU = torch.device("cpu")


def test_frames_are_drawn_by_the_seed_alone(tiny_tracks):
    first = choose_rows(tiny_tracks, 1, 10, seed=0)
    assert len(first.unique()) == 10
    assert (first.diff() > 0).all()
    assert torch.equal(first, choose_rows(tiny_tracks, 1, 10, seed=0))
    assert not torch.equal(first, choose_rows(tiny_tracks, 1, 10, seed=1))


def test_every_nth_frame_and_labelled_ones_only(tiny_tracks):
    every = choose_rows(tiny_tracks, 5, None, seed=0)
    assert every.tolist() == [start + k for start in (0, 12, 24, 36) for k in (0, 5, 10)]
    assert set(choose_rows(tiny_tracks, 5, 4, seed=0).tolist()) < set(every.tolist())
    visible = torch.zeros(48, 17, dtype=torch.bool)
    visible[5, 3] = True
    seen = replace(tiny_tracks, visible=visible)
    assert choose_rows(seen, 5, None, seed=0).tolist() == [5]


@pytest.fixture
def experiments(tmp_path, monkeypatch):
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(Path(__file__).parents[3] / "experiments"))
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path))
    return [load_experiment(n, ["extends=overlay/smoke"]) for n in ("uao", "videopose3d")]


def test_windows_of_any_length_are_around_the_same_frames(experiments):
    one, many = (Frames(c, "test", every=5, poses=9, seed=3) for c in experiments)
    assert one.fingerprint() == many.fingerprint()
    assert (
        one.fingerprint() != Frames(experiments[0], "test", every=5, poses=9, seed=4).fingerprint()
    )
    places = []
    for frames in (one, many):
        batches = list(frames.batches(4, CPU))
        assert [len(batch) for batch in batches] == [4, 4, 1]
        places.append(
            [
                torch.cat([value(batch) for batch in batches])
                for value in (
                    lambda b: b.sequence,
                    lambda b: b.frame,
                    lambda b: middle(b.keypoints_2d),
                    lambda b: b.joints_3d,
                )
            ]
        )
    for a, b in zip(*places, strict=True):
        assert torch.equal(a, b)
    rows = one.tracks.offsets[places[0][0]] + places[0][1]
    assert torch.equal(rows, one.rows)
