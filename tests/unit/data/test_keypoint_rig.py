"""Own recordings of several cameras: files, matching of frames, cameras, and labels from them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lifting.data.config import DataConfig, TeacherConfig
from lifting.data.datamodule import PoseDataModule
from lifting.data.keypoints.cameras import read_cameras
from lifting.data.sets.keypoint_rig.config import Config as KeypointRigConfig
from lifting.data.sets.keypoint_rig.reader import tracks
from lifting.errors import ConfigError, DataError, MissingDataError
from lifting.geometry.camera import project, world_to_camera
from lifting.geometry.rotation import look_at
from lifting.skeleton import H36M_17

SIZE = (1000, 800)
LENS = [1000.0, 1000.0, 500.0, 400.0]
FRAMES = 40


def person(standing):
    """A person that turns and walks, ``(frames, 17, 3)``, world with z up, mm."""
    poses = []
    for i in range(FRAMES):
        pose = standing(9.0 * i) - torch.tensor([0.0, 900, 4000])
        swing = 60 * torch.sin(torch.arange(17) + 0.4 * i)[:, None] * torch.tensor([0.3, 1, 0.5])
        world = torch.stack((pose[:, 0], pose[:, 2], -pose[:, 1] + 900), dim=-1) + swing
        poses.append(world + torch.tensor([12.0 * i, -6.0 * i, 0]))
    return torch.stack(poses)


@pytest.fixture
def rig(tmp_path, standing):
    """Writes a recording of three cameras, ``root/walk/<camera>.npz``; returns the person."""
    joints = person(standing)
    places = {
        "left": (-4000.0, -2500, 1500), "middle": (300.0, -5000, 1600),
        "right": (4200.0, -2000, 1300),
    }  # fmt: skip
    facts = {}
    (tmp_path / "walk").mkdir()
    for name, place in places.items():
        centre = torch.tensor(place)
        turn = look_at(centre, torch.tensor([200.0, 0, 900]))
        seen = world_to_camera(joints, turn, centre)
        pixels = project(seen, torch.tensor([*LENS, 0, 0, 0, 0, 0]), clamp=False)
        np.savez(tmp_path / "walk" / f"{name}.npz", keypoints_2d=pixels.numpy())
        facts[name] = {
            "image_size": SIZE, "intrinsics": LENS, "rotation": turn.tolist(),
            "position": list(place),
        }  # fmt: skip
    return tmp_path, facts, joints


def config(root, facts=None, labels="epipolar", **options):
    if facts is not None:
        (root / "cameras.json").write_text(json.dumps(facts))
    return DataConfig(
        name="keypoint_rig",
        root=str(root),
        cache=str(root.with_name(f"{root.name}_cache")),
        labels=labels,
        teacher=TeacherConfig(shifts=0, hypotheses=16, pool_frames=40),
        keypoint_rig=KeypointRigConfig(**options),
    )


def test_known_cameras_give_labels_in_millimetres(rig):
    root, facts, joints = rig
    data = PoseDataModule(config(root, facts), 0)
    found = data.tracks("train")
    assert found.track_names == ("walk/left", "walk/middle", "walk/right")
    assert found.offsets.tolist() == [0, 32, 64, 96]
    view = world_to_camera(
        joints[:32],
        torch.tensor(facts["left"]["rotation"]),
        torch.tensor(facts["left"]["position"]),
    )
    assert (found.joints_3d[:32] - view).norm(dim=-1)[found.visible[:32]].mean() < 1
    assert data.info("test").supervision.metric
    assert data.info("test").supervision.protocol == "self-supervised with extrinsics"
    assert len(data.tracks("test")) == 3 * (FRAMES - 32)
    assert data.tracks("test").source["labels"] == "epipolar"


@pytest.mark.parametrize(("left_out", "known"), [("rotation", "intrinsics"), ("all", "sizes")])
def test_less_is_known_where_the_file_says_less(rig, left_out, known):
    root, facts, _ = rig
    for camera in facts.values():
        for key in ("rotation", "position", *(["intrinsics"] if left_out == "all" else [])):
            del camera[key]
    raw = tracks(config(root, facts), "train")
    assert raw.joints_3d is None
    assert raw.cameras.rotation is None
    assert bool(raw.cameras.intrinsics.isnan().all()) == (known == "sizes")
    assert raw.cameras.size.unique(dim=0).tolist() == [list(map(float, SIZE))]
    info = PoseDataModule(config(root, facts), 0, {"test": raw}).info("test")
    words = {"intrinsics": "without extrinsics", "sizes": "without cameras"}[known]
    assert info.supervision.protocol == f"self-supervised {words}"
    assert not info.supervision.metric


def test_frames_are_matched_by_the_numbers_in_their_names(tmp_path):
    for camera, first in (("a", 5), ("b", 2)):
        folder = tmp_path / "rec" / camera
        folder.mkdir(parents=True)
        for i in range(first, 12):
            points = [v for j in range(25) for v in (100.0 + i + j, 50.0 + 3 * j, 0.9)]
            people = {"people": [{"pose_keypoints_2d": points}]}
            (folder / f"x_{i:012d}_keypoints.json").write_text(json.dumps(people))
    found = tracks(config(tmp_path, image_size=(640, 480), holdout=0.5), "train")
    assert found.offsets.tolist() == [0, 4, 8]
    # Frame 5 comes first in both, though b began at 2.
    torch.testing.assert_close(found.keypoints_2d[0], found.keypoints_2d[4])
    assert found.source["frames_left_out"] == "3"
    assert found.skeleton == H36M_17


def test_what_a_folder_lacks(rig):
    root, facts, _ = rig
    with pytest.raises(ConfigError, match="unknown recording 'run'"):
        tracks(config(root, facts, recordings=("run",)), "train")
    with pytest.raises(ConfigError, match="holdout above 0"):
        tracks(config(root, facts, holdout=1.0), "train")
    with pytest.raises(MissingDataError, match="'keypoint_rig'"):
        tracks(DataConfig(name="keypoint_rig", root=str(root / "none")), "train")
    with pytest.raises(DataError, match="expected tracks with 3D labels, got none"):
        PoseDataModule(config(root, facts, labels="truth"), 0).train_dataloader()
    (root / "cameras.json").unlink()
    with pytest.raises(DataError, match="expected the width and height"):
        tracks(config(root), "train")
    short = np.load(root / "walk" / "left.npz")["keypoints_2d"][:7]
    np.savez(root / "walk" / "left.npz", keypoints_2d=short)
    assert tracks(config(root, facts), "val").source["frames_left_out"] == str(2 * (FRAMES - 7))
    for file in (root / "walk").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="expected folders of recordings"):
        tracks(config(root), "train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"focal": 3}, "unknown key 'focal' of camera 'left'"),
        ({"position": None}, "rotation and position .* one of them"),
        ({"rotation": [[2, 0, 0], [0, 1, 0], [0, 0, 1]]}, "expected a rotation matrix"),
        ({"intrinsics": [1, 2, 3]}, "expected 4 or 9 finite numbers as intrinsics"),
        ({"image_size": "big"}, "image_size of camera 'left' .* to be a list"),
    ],
)
def test_mistakes_in_the_file_of_cameras(rig, change, message):
    root, facts, _ = rig
    for key, value in change.items():
        if value is None:
            del facts["left"][key]
        else:
            facts["left"][key] = value
    (root / "cameras.json").write_text(json.dumps(facts))
    with pytest.raises(DataError, match=message):
        read_cameras(root / "cameras.json")
