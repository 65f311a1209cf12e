from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lifting.batch import root_relative
from lifting.data.config import DataConfig
from lifting.data.datamodule import PoseDataModule
from lifting.errors import DataError
from lifting.experiment.baselines import (
    baseline_scores,
    mean_pose,
    nearest_rows,
    normalised_input,
)
from lifting.methods.settings import ModuleSettings

SIZE = torch.tensor([1000.0, 800.0])


def test_mean_pose_is_the_mean_over_valid_labels(tiny_tracks):
    relative = root_relative(tiny_tracks.joints_3d, 0)
    torch.testing.assert_close(mean_pose(tiny_tracks), relative.mean(0), atol=1e-3, rtol=1e-5)
    visible = torch.ones(relative.shape[:2], dtype=torch.bool)
    visible[1:, 3] = False
    visible[5, 0] = False  # without a root the frame has no root-relative pose
    pose = mean_pose(replace(tiny_tracks, visible=visible))
    torch.testing.assert_close(pose[3], relative[0, 3], atol=1e-3, rtol=1e-5)
    rest = torch.cat((relative[:5], relative[6:]))
    torch.testing.assert_close(pose[7], rest[:, 7].mean(0), atol=1e-3, rtol=1e-5)


def test_unlabelled_tracks_have_no_baseline(tiny_tracks):
    with pytest.raises(DataError, match="expected labelled training tracks"):
        mean_pose(replace(tiny_tracks, joints_3d=None))


def test_normalised_input_ignores_place_and_size():
    points = torch.rand(5, 17, 2, generator=torch.Generator().manual_seed(0)) * 500
    moved = 1.7 * points + torch.tensor([30.0, -50.0])
    a, b = (normalised_input(p, SIZE.expand(5, 2), 0) for p in (points, moved))
    assert a.shape == (5, 34)
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(a.square().mean(-1), torch.ones(5))


def test_nearest_rows_against_all_distances():
    generator = torch.Generator().manual_seed(1)
    queries, references = torch.rand(9000, 6, generator=generator), torch.rand(50, 6)
    expected = torch.cdist(queries.double(), references.double()).argmin(-1)
    assert (nearest_rows(queries, references) == expected).float().mean() > 0.999


@pytest.mark.parametrize(("frames", "target"), [(1, "middle"), (5, "middle"), (5, "all")])
def test_scores(tiny_tracks, frames, target):
    config = DataConfig(frames=frames, target=target, eval_batch_size=20, flip=False)
    splits = dict.fromkeys(("train", "val", "test"), tiny_tracks)
    data = PoseDataModule(config, 0, splits)
    scores = baseline_scores(data, ModuleSettings("any", frames=frames, target=target))
    # The test samples are the training samples: their nearest neighbours are themselves.
    assert scores["nearest_neighbour"]["mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    if target == "middle":
        relative = root_relative(tiny_tracks.joints_3d, 0)
        expected = (relative - relative.mean(0)).norm(dim=-1).mean()
        assert scores["mean_pose"]["mpjpe_mm"] == pytest.approx(float(expected), rel=1e-4)
    limited = baseline_scores(data, ModuleSettings("any", frames=frames, target=target), limit=1)
    assert limited["mean_pose"]["n_poses"] < scores["mean_pose"]["n_poses"]
