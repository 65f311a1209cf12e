from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from lifting.errors import ConfigError, DataError, LiftingError, MissingDataError, OutputError
from lifting.poses import Poses
from lifting.skeleton import COCO_17, H36M_17, Skeleton

LENS = np.array([1000.0, 1010.0, 500.0, 400.0])


@pytest.fixture
def poses():
    """Two people, the second seen in two frames of three, by a camera without distortion."""
    rng = np.random.default_rng(0)
    joints = rng.normal(0, 300, (5, 17, 3)).astype(np.float32)
    joints[:, 0] = 0
    trajectory = np.array([[0.0, 100.0, 4000.0]] * 5, np.float32)
    absolute = joints + trajectory[:, None]
    pixels = absolute[..., :2] / absolute[..., 2:] * LENS[:2] + LENS[2:]
    return Poses(
        skeleton=H36M_17,
        joints_3d=joints,
        frame=np.array([7, 8, 9, 7, 9]),
        track=np.array([0, 0, 0, 1, 1]),
        track_names=("person 3", "person 5"),
        fps=np.array(50.0),
        trajectory=trajectory,
        keypoints_2d=pixels,
        confidence=np.full((5, 17), 0.5),
        intrinsics=LENS,
        image_size=np.array([1000, 800]),
        meta={"method": "tiny", "notes": ["a note"], "lens": (1, 2)},
    )


def assert_same(one: Poses, other: Poses) -> None:
    for f in fields(Poses):
        a, b = getattr(one, f.name), getattr(other, f.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, f.name
            np.testing.assert_array_equal(a, b, f.name)
        else:
            assert a == b, f.name


def test_what_is_saved_is_loaded(poses, tmp_path):
    path = tmp_path / "new" / "poses.npz"
    poses.save(path)
    assert_same(Poses.load(path), poses)
    with np.load(path, allow_pickle=False) as file:
        assert file["skeleton"] == "h36m17"
        assert file["joint_names"][0] == "hip"
        assert file["parents"][0] == -1
        assert file["notes"].tolist() == ["a note"]
        meta = json.loads(file["meta"].tobytes())
    assert (meta["format"], meta["version"], meta["unit"]) == ("lifting-poses", 2, "mm")
    assert meta["program"].startswith("lifting ")


def test_a_rig_and_what_is_not_known_come_back(poses, tmp_path):
    world = np.full((5, 17, 3), np.nan)
    world[2] = 1.0
    rig = replace(
        poses,
        world=world,
        sigma=np.where(np.arange(17) == 3, np.nan, 20.0)[None].repeat(5, 0),
        expected_error=np.full((5, 17), 32.0),
        fps=np.array([50, np.nan]),
        rotation=np.stack([np.eye(3)] * 3),
        position=np.zeros((3, 3)),
        camera_names=("a", "b", "c"),
        intrinsics=np.stack([np.pad(LENS, (0, 5))] * 3),
    )
    rig.save(tmp_path / "rig.npz")
    assert_same(Poses.load(tmp_path / "rig.npz"), rig)


def test_what_a_chain_adds_comes_back(poses, tmp_path):
    full = replace(
        poses,
        world=poses.joints_3d,
        people=("person 3", "person 3"),
        contacts=np.where(np.arange(17) == 6, 0.75, np.nan)[None].repeat(5, 0),
        keypoints_read=np.where(np.arange(17)[:, None] == 2, np.nan, 3.0)[None].repeat(5, 0)
        * np.ones(2),
        flags=np.arange(85).reshape(5, 17) % 4,
        flag_names=("filled", "outlier"),
        up=[0.0, -0.8, 0.6],
        up_sigma=8.0,
        ground=-1500.0,
        ground_sigma=120.0,
    )
    full.save(tmp_path / "full.npz")
    loaded = Poses.load(tmp_path / "full.npz")
    assert_same(loaded, full)
    assert loaded.flags.dtype == np.uint8
    assert loaded.people == ("person 3", "person 3")
    rows = {"up_sigma": np.full(5, 8.0), "ground": [np.nan, -1, -2, -2, -2], "ground_sigma": None}
    each = replace(full, up=np.tile([0.0, -0.8, 0.6], (5, 1)), **rows)
    each.save(tmp_path / "each.npz")
    assert_same(Poses.load(tmp_path / "each.npz"), each)
    with pytest.raises(DataError, match=r"of shape \(5,\) in 'up_sigma', got 8.0"):
        replace(each, up_sigma=8.0)


def test_files_of_the_first_version_are_read(poses, tmp_path):
    assert_same(Poses.load(changed(poses, tmp_path, meta={"version": 1})), poses)


def test_the_file_checks_itself(poses):
    assert poses.reprojection_error().max() < 1e-3
    moved = replace(poses, trajectory=poses.trajectory + np.float32([100, 0, 0]))
    assert np.median(moved.reprojection_error()) == pytest.approx(25, rel=0.2)
    each = replace(poses, intrinsics=np.stack((LENS, [*LENS[:2], 550, 400])))
    error = each.reprojection_error()
    assert error[:3].max() < 1e-3
    np.testing.assert_allclose(error[3:], 50, rtol=1e-4)
    with pytest.raises(DataError, match="got no trajectory; lift with"):
        replace(poses, trajectory=None).reprojection_error()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints_3d": np.zeros((5, 16, 3))}, r"joints_3d of shape .* got \(5, 16, 3\)"),
        ({"trajectory": np.zeros((4, 3))}, r"trajectory of shape .* got \(4, 3\)"),
        ({"joints_3d": np.full((5, 17, 3), np.inf)}, "in 'joints_3d', got infinity"),
        ({"trajectory": np.array([[0, np.nan, 1]] * 5)}, "in all coordinates of a point of 'traj"),
        ({"sigma": np.full((5, 17), -1.0)}, "'sigma' from 0 to inf, got -1 to -1"),
        ({"expected_error": np.full((5, 17), -2.0)}, "'expected_error' from 0 to inf, got -2"),
        ({"confidence": np.full((5, 17), 1.5)}, "'confidence' from 0 to 1, got 1.5"),
        ({"frame": np.zeros(5)}, "whole numbers in 'frame', got float64"),
        ({"frame": np.zeros(5, int)}, "each frame once in a track"),
        ({"track": np.array([0, 0, 0, 1, 2])}, "count the 2 names of tracks, got 0 to 2"),
        ({"fps": np.array(0.0)}, "frames a second above zero"),
        ({"fps": np.array([50.0] * 3)}, "frames a second above zero, one or 2"),
        ({"intrinsics": np.zeros(4)}, "finite numbers in 'intrinsics'"),
        ({"intrinsics": np.ones((3, 9))}, r"'intrinsics' of shape .*\(2, 9\), got \(3, 9\)"),
        ({"image_size": np.array([9, np.nan])}, "finite numbers in 'image_size'"),
        ({"rotation": np.eye(3)[None]}, "rotation, position and camera_names of a rig"),
        ({"meta": {"a": np.nan}}, "plain values in 'meta'"),
        ({"meta": None}, "dictionary in 'meta', got None"),
        ({"meta": [1]}, r"dictionary in 'meta', got \[1\]"),
        ({"meta": {"unit": "m", "version": 3}}, "in 'meta', got version, unit; give it another"),
        ({"track_names": "ab"}, "list of names in 'track_names', got 'ab'"),
        ({"track_names": None}, "list of names in 'track_names', got None"),
        ({"track_names": ("a", "a")}, "each name once in 'track_names', got 'a' more"),
        ({"skeleton": None}, "'skeleton' as a Skeleton or the name of .*got None"),
        ({"skeleton": "h36m71"}, "unknown skeleton 'h36m71'; did you mean 'h36m17'"),
        (
            {"skeleton": Skeleton("h36m17", COCO_17.joints, COCO_17.parents, COCO_17.mirror)},
            "joints, parents and mirror pairs of h36m17 under its name, got others",
        ),
        ({"joints_3d": None}, "numbers in 'joints_3d', got None"),
        ({"joints_3d": "x"}, "numbers in 'joints_3d', got <U1"),
        ({"joints_3d": [[1.0], [1.0, 2.0]]}, "array of numbers in 'joints_3d', got what is none"),
        ({"joints_3d": np.zeros((5, 17, 3), complex)}, "in 'joints_3d', got complex128"),
        ({"fps": None}, "numbers in 'fps', got None"),
        ({"fps": "x"}, "numbers in 'fps', got <U1"),
        ({"hypotheses": np.zeros((5, 0, 17, 3))}, "expected hypotheses, got none"),
        (
            {"rotation": 2 * np.eye(3)[None], "position": [[0, 0, 0]], "camera_names": ["a"]},
            "in 'rotation', got another matrix for camera 'a'; its rows",
        ),
        (
            {"rotation": -np.eye(3)[None], "position": [[0, 0, 0]], "camera_names": ["a"]},
            "in 'rotation', got another matrix for camera 'a'; its rows",
        ),
        ({"meta": {"a": np.zeros(3)}}, "plain values in 'meta'"),
        ({"people": ("a",)}, "a person for each of the 2 tracks in 'people', got 1"),
        ({"contacts": np.full((5, 17), 1.5)}, "'contacts' from 0 to 1, got 1.5"),
        ({"flags": np.full((5, 17), 2), "flag_names": ("a",)}, "of their 1 bits, got 2 to 2"),
        ({"up": [0, -2, 0]}, "vectors of length 1 in 'up'"),
        ({"ground": np.nan}, r"finite numbers of shape \(\) in 'ground', got nan"),
    ],
)
def test_what_does_not_fit_is_refused(poses, change, message):
    with pytest.raises(LiftingError, match=message):
        replace(poses, **change)


def changed(poses, tmp_path, meta=None, **arrays):
    """The file of poses with some of its arrays exchanged, or left out where they are None."""
    path = tmp_path / "poses.npz"
    poses.save(path)
    with np.load(path) as file:
        kept = {name: file[name] for name in file.files}
    if meta is not None:
        stated = {**json.loads(kept["meta"].tobytes()), **meta}
        kept["meta"] = np.frombuffer(json.dumps(stated).encode(), np.uint8)
    kept |= arrays
    np.savez(path, **{name: array for name, array in kept.items() if array is not None})
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"meta": {"version": 3}}, "expected version 1 to 2 .* got 3; a newer lifting"),
        ({"meta": {"version": True}}, "expected version 1 to 2 .* got True; the file is damaged"),
        ({"meta": {"version": None}}, "expected version 1 .* got None; the file is damaged"),
        ({"meta": {"unit": "m"}}, "expected unit 'mm' .* got m; convert"),
        ({"meta": {"unit": None}}, "expected unit 'mm' .* got None"),
        ({"meta": {"mirror": []}}, "parents and mirror pairs of h36m17 under its name"),
        ({"joint_names": np.array(COCO_17.joints)}, "got a fault: "),
        ({"meta": {"format": "x"}}, "expected format 'lifting-poses' .* got x"),
        ({"meta": {"mirror": 3}}, "expected mirror pairs"),
        (
            {"joints_3d": None},
            r"got a file without joints_3d; write it again with `lifting predict`",
        ),
        ({"fps": None, "track": None}, "got a file without track, fps"),
        (
            {"parents": np.zeros(17, int)},
            "in .* got a fault: expected name, joints, parents",
        ),
        ({"joints_3d": np.zeros((5, 1, 17, 3))}, "'joints_3d' .* float with 3 axes"),
        ({"joints_3d": np.zeros((5, 16, 3))}, r"whole poses in .*poses.npz, got a fault: .*16"),
        ({"track_names": np.array([object()])}, "pickled objects"),
    ],
)
def test_damaged_files_are_refused(poses, tmp_path, change, message):
    path = changed(poses, tmp_path, **change)
    with pytest.raises(LiftingError, match=message):
        Poses.load(path)


def test_other_files_are_refused(poses, tmp_path):
    np.savez(tmp_path / "other.npz", joints_3d=np.zeros((2, 17, 3)))
    with pytest.raises(DataError, match=r"got an npz without 'meta' .*predict again"):
        Poses.load(tmp_path / "other.npz")
    with pytest.raises(MissingDataError, match=r"none\.npz"):
        Poses.load(tmp_path / "none.npz")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="expected to write"):
        poses.save(tmp_path / "file" / "poses.npz")


def test_paths_are_paths_of_files(poses, tmp_path):
    for call in (Poses.load, poses.save):
        with pytest.raises(ConfigError, match=r"expected a path .*, got None; give it as text"):
            call(None)
    with pytest.raises(OutputError, match=r"got the folder .*; give .*poses\.npz"):
        poses.save(tmp_path)


def test_a_known_skeleton_goes_by_name_and_masked_points_are_not_known(poses):
    masked = np.ma.masked_array(poses.joints_3d, np.zeros(poses.joints_3d.shape, bool))
    masked[1, 3] = np.ma.masked
    found = replace(poses, skeleton="h36m17", joints_3d=masked)
    assert found.skeleton == H36M_17
    assert np.isnan(found.joints_3d[1, 3]).all()


def test_joints_go_by_content(poses, tmp_path):
    other = replace(poses, skeleton=COCO_17)
    other.save(tmp_path / "a.npz")
    assert Poses.load(tmp_path / "a.npz").skeleton == COCO_17
    assert other.joint_names[0] == "nose"
    assert (other.unit, len(other)) == ("mm", 5)
