"""Filming: clips in the world become tracks that four cameras saw."""

import math
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from lifting.data.film import film, out_of_view
from lifting.data.sequence import MotionClips
from lifting.data.sets.h36m.cameras import INTRINSICS, h36m_cameras
from lifting.errors import ConfigError, DataError
from lifting.geometry.camera import camera_to_world, project, reprojection_error
from lifting.skeleton import H36M_17


def walker(frames, *, start=(0.0, 0.0), speed=15.0, heading=0.0):
    """A stick figure that walks straight on, world frame, z up; ``speed`` in mm a frame."""
    time = torch.arange(frames, dtype=torch.float32)
    phase = (time * (2 * math.pi / 55)).sin()[:, None]
    # per joint: to the left, up, and how far it swings forward
    shape = torch.tensor(
        [
            (0, 900, 0), (-120, 900, 0), (-130, 480, -120), (-130, 80, -280), (120, 900, 0),
            (130, 480, 120), (130, 80, 280), (0, 1130, 0), (0, 1390, 0), (0, 1500, 0),
            (0, 1620, 0), (170, 1380, 0), (230, 1110, -90), (240, 860, -230), (-170, 1380, 0),
            (-230, 1110, 90), (-240, 860, 230),
        ],
        dtype=torch.float32,
    )  # fmt: skip
    forward = phase * shape[:, 2] + speed * (time - time.mean())[:, None]
    left = shape[:, 0].expand(frames, 17)
    cosine, sine = math.cos(heading), math.sin(heading)
    x = start[0] + forward * cosine - left * sine
    y = start[1] + forward * sine + left * cosine
    return torch.stack((x, y, shape[:, 1].expand(frames, 17)), dim=-1)


def clips(*poses, fps=50.0):
    lengths = torch.tensor([len(p) for p in poses])
    count = len(poses)
    return MotionClips(
        skeleton=H36M_17,
        joints_3d=torch.cat(poses) if poses else torch.zeros(0, 17, 3),
        offsets=torch.cat((torch.zeros(1, dtype=torch.long), lengths.cumsum(0).long())),
        subject=torch.arange(count) % 2,
        action=torch.zeros(count, dtype=torch.long),
        names=tuple(f"clip{i}" for i in range(count)),
        subject_names=("A", "B"),
        action_names=("Walking",),
        fps=fps,
        source={"dataset": "stick figures"},
    )


@pytest.fixture
def motion():
    return clips(
        walker(60), walker(35, start=(20000.0, -5000.0), heading=2.0), walker(80, heading=1.0)
    )


def rows_of(tracks, index):
    return slice(int(tracks.offsets[index]), int(tracks.offsets[index + 1]))


@pytest.mark.parametrize("rig", ["h36m", "random", "wild"])
def test_tracks_are_clip_major_views_of_each_clip(motion, rig):
    tracks = film(motion, rig=rig, noise="none", seed=1)
    assert (tracks.recording.diff() >= 0).all()
    lengths = torch.tensor([60, 35, 80])
    assert torch.equal(tracks.offsets.diff(), lengths[tracks.recording])
    assert torch.equal(tracks.subject, motion.subject[tracks.recording])
    for name, recording in zip(tracks.track_names, tracks.recording.tolist(), strict=True):
        assert name.startswith(f"clip{recording}/view")
    assert len(set(tracks.track_names)) == len(tracks.track_names)
    assert len(tracks.cameras.size) == len(tracks.track_names)


def test_all_four_views_of_a_real_rig_see_people_wherever_they_are(motion):
    tracks = film(motion, rig="h36m", noise="none", seed=0)
    assert tracks.recording.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    lenses = torch.tensor(list(INTRINSICS.values()))[:, 2:]
    assert torch.equal(tracks.cameras.intrinsics, lenses.repeat(3, 1))
    # the second rig stands around the second clip
    centre = tracks.cameras.position[4:8] - torch.tensor([20000.0, -5000.0, 0.0])
    real = h36m_cameras().position.view(7, 4, 3)
    assert (centre - real).abs().amax((1, 2)).min() < 0.01


def test_labels_are_the_motion_and_keypoints_their_projection(motion):
    tracks = film(motion, rig="random", noise="none", seed=2)
    for index in range(len(tracks.track_names)):
        camera = tracks.cameras[int(tracks.camera[index])]
        part = rows_of(tracks, index)
        clip = int(tracks.recording[index])
        expected = motion.joints_3d[int(motion.offsets[clip]) : int(motion.offsets[clip + 1])]
        world = camera_to_world(tracks.joints_3d[part], camera.rotation, camera.position)
        torch.testing.assert_close(world, expected, atol=0.05, rtol=0)
        pixels = project(tracks.joints_3d[part], camera.intrinsics)
        torch.testing.assert_close(tracks.keypoints_2d[part], pixels, atol=1e-2, rtol=0)
        assert not out_of_view(tracks.joints_3d[part], camera).any()
    assert tracks.confidence.min() == 1
    assert tracks.extras == {}


def test_noise_moves_keypoints_and_leaves_labels(motion):
    exact = film(motion, rig="h36m", noise="none", seed=4)
    noisy = film(motion, rig="h36m", noise="cpn", seed=4)
    assert torch.equal(exact.joints_3d, noisy.joints_3d)
    cameras = noisy.cameras[torch.arange(12).repeat_interleave(noisy.offsets.diff())]
    error = reprojection_error(noisy.joints_3d, noisy.keypoints_2d, cameras.intrinsics)
    assert 2 < error.mean() < 9
    assert noisy.confidence.std() > 0.05


def test_the_seed_decides_everything(motion):
    first = film(motion, rig="wild", noise="cpn", seed=5)
    again = film(motion, rig="wild", noise="cpn", seed=5)
    other = film(motion, rig="wild", noise="cpn", seed=6)
    assert torch.equal(first.keypoints_2d, again.keypoints_2d)
    assert not torch.equal(first.cameras.position[:2], other.cameras.position[:2])


def test_the_source_tells_how_it_was_filmed(motion):
    tracks = film(motion, rig="random", noise="light", seed=7)
    assert tracks.source["dataset"] == "stick figures"
    assert tracks.source["rig"] == "random"
    assert tracks.source["noise_seed"] == "7"
    assert "light" in tracks.source["two_d"]
    assert tracks.source["dropped_tracks"].startswith("0 of 12")
    assert motion.source == {"dataset": "stick figures"}


def test_views_that_lose_the_person_are_dropped_and_the_rest_stay_in_step():
    # 24 m straight on: the walker comes past every camera of a rig 5 m away
    long = clips(walker(50), walker(800, speed=30.0, heading=math.radians(70)), walker(50))
    tracks = film(long, rig="h36m", noise="cpn", seed=0)
    assert set(tracks.recording.tolist()) == {0, 2}
    assert torch.equal(tracks.camera, torch.arange(8))
    assert torch.equal(tracks.offsets, torch.arange(9) * 50)
    assert tracks.source["dropped_tracks"].startswith("4 of 12")
    pixels = project(tracks.joints_3d, tracks.cameras.intrinsics.repeat_interleave(50, 0))
    assert (tracks.keypoints_2d - pixels).norm(dim=-1).median() < 10


def test_a_view_whose_camera_is_walked_into_is_dropped_however_brief_it_is():
    pose = walker(200, speed=0.0)
    before = film(clips(pose), rig="h36m", noise="none", seed=0)
    assert before.track_names == tuple(f"clip0/view{i}" for i in range(4))
    pose[100, :, :2] += before.cameras.position[0, :2]
    after = film(clips(pose), rig="h36m", noise="none", seed=0)
    assert after.track_names == tuple(f"clip0/view{i}" for i in (1, 2, 3))


def test_extras_are_made_only_when_asked_for(motion):
    tracks = film(motion, rig="h36m", noise="cpn", seed=8, extras=("mixtures", "heatmaps"))
    frames = len(tracks)
    mixtures, sigma = tracks.extras["mixtures"], tracks.extras["sigma"]
    assert mixtures.shape == (frames, 17, 5, 5)
    assert sigma.shape == (frames, 17)
    torch.testing.assert_close(mixtures[..., 0].sum(-1), torch.ones(frames, 17))
    assert torch.equal(mixtures[:, :, 0, 1:3], tracks.keypoints_2d)
    torch.testing.assert_close(mixtures[:, :, 0, 3] * 500, sigma.clamp(min=1.0))
    swapped = tracks.keypoints_2d[:, list(H36M_17.flip_index)]
    assert torch.equal(mixtures[:, :, 4, 1:3], swapped)
    exact = film(motion, rig="h36m", noise="none", seed=8, extras=("mixtures",))
    spread_out = exact.extras["mixtures"][..., 1:3] - exact.keypoints_2d[:, :, None]
    assert spread_out.abs().max() == 0


def test_bad_requests_are_refused(motion):
    with pytest.raises(ConfigError, match="unknown extra 'mixture'; did you mean 'mixtures'"):
        film(motion, rig="h36m", noise="cpn", seed=0, extras=("mixture",))
    with pytest.raises(ConfigError, match="unknown noise level 'loud'"):
        film(motion, rig="h36m", noise="loud", seed=0)
    with pytest.raises(ConfigError, match="unknown rig 'studio'"):
        film(motion, rig="studio", noise="cpn", seed=0)
    with pytest.raises(DataError, match="at least one clip"):
        film(clips(), rig="h36m", noise="cpn", seed=0)
    far = clips(walker(100, speed=500.0))
    with pytest.raises(DataError, match="4 tracks that all leave the image"):
        film(far, rig="h36m", noise="cpn", seed=0)


@pytest.mark.parametrize(("rig", "least"), [("h36m", 0.9), ("random", 0.85), ("wild", 0.5)])
def test_most_views_of_captured_motion_are_kept(rig, least):
    path = Path(os.environ.get("LIFTING_DATA", "")) / "cmu" / "cmu_h36m17.npz"
    if not path.is_file():
        pytest.skip("set LIFTING_DATA to the folder that holds cmu/cmu_h36m17.npz")
    with np.load(path, allow_pickle=False) as data:
        world = torch.from_numpy(data["positions_mm"].astype(np.float32))
        offsets = data["offsets"].tolist()
    pieces = [world[a:b] for a, b in pairwise(offsets)]
    tracks = film(clips(*pieces), rig=rig, noise="cpn", seed=0)
    assert len(tracks.track_names) > least * 4 * len(pieces)
    assert tracks.keypoints_2d.isfinite().all()
    assert (tracks.joints_3d[..., 2] >= 300).all()
