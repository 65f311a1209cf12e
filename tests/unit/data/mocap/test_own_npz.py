"""3D motion of one's own: what the file says, what is inferred, what is refused."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

from lifting.data.mocap.captured import TURNS
from lifting.data.sets.own.config import SCHEMA
from lifting.data.sets.own.npz import read_own_npz
from lifting.errors import DataError, LiftingError, MissingDataError
from lifting.skeleton import COCO_17, H36M_17

# A standing person, millimetres, z up, in the order of h36m17.
STANDING = np.array([
    [0, 0, 900], [-120, 0, 900], [-120, 0, 480], [-120, 0, 80], [120, 0, 900], [120, 0, 480],
    [120, 0, 80], [0, 0, 1150], [0, 0, 1400], [0, 20, 1500], [0, 0, 1650], [180, 0, 1380],
    [200, 0, 1100], [210, 10, 850], [-180, 0, 1380], [-200, 0, 1100], [-210, 10, 850],
], dtype=np.float64)  # fmt: skip


@pytest.fixture
def save(tmp_path):
    def place(drop=(), **changes):
        motion = STANDING + np.arange(6)[:, None, None] * [10.0, 0, 0]
        arrays = {"joints_3d": motion, "skeleton": "h36m17", "fps": 50, "unit": "mm", "up": "z",
                  **changes}  # fmt: skip
        path = tmp_path / "own.npz"
        np.savez(path, **{k: np.asarray(v) for k, v in arrays.items() if k not in drop})
        return path

    return place


def in_file(up="z", mm=1.0):
    return (STANDING @ TURNS[up] / mm)[None].repeat(4, axis=0)


def test_a_file_that_says_everything(save):
    found = read_own_npz(save())
    (clip,) = found.clips
    assert (found.skeleton, found.joints, found.fps) == (H36M_17, H36M_17.joints, 50.0)
    assert (found.unit, found.up, found.notes) == ("mm", "z", ())
    assert (clip.name, clip.subject, clip.action, clip.split) == (
        "own",
        "unknown",
        "unknown",
        None,
    )
    np.testing.assert_allclose(clip.positions[2], STANDING + np.array([20, 0, 0]), atol=1e-3)
    assert np.isfinite(clip.positions).all()
    assert clip.positions.shape == (6, 17, 3)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("up", ["z", "y", "-y"])
@pytest.mark.parametrize(("unit", "mm"), [("m", 1000.0), ("cm", 10.0), ("mm", 1.0)])
def test_unit_and_axis_told_or_inferred_give_the_same(save, told, up, unit, mm):
    drop = () if told else ("unit", "up")
    found = read_own_npz(save(drop, joints_3d=in_file(up, mm), unit=unit, up=up))
    assert (found.unit, found.up) == (unit, up)
    np.testing.assert_allclose(found.clips[0].positions[0], STANDING, atol=1e-3)
    assert len(found.notes) == (0 if told else 2)
    if not told:
        assert f"so {unit} was taken" in found.notes[0]
        assert f"along {up}, so {up} was taken" in found.notes[1]


def test_turns_are_rotations():
    for turn in TURNS.values():
        np.testing.assert_array_equal(turn @ turn.T, np.eye(3))
        assert np.linalg.det(turn) == 1


def test_nan_is_missing(save):
    motion = in_file()
    motion[1, 3, 2], motion[2, 5] = np.nan, np.nan
    clip = read_own_npz(save(("unit", "up"), joints_3d=motion)).clips[0]
    missing = np.isnan(clip.positions)
    assert np.argwhere(missing.any(axis=-1)).tolist() == [[1, 3], [2, 5]]
    assert (missing.any(axis=-1) == missing.all(axis=-1)).all()


def test_a_joint_that_is_never_there_does_not_hide_the_unit(save):
    motion = in_file(mm=1000.0)
    motion[:, 7] = np.nan
    assert read_own_npz(save(("unit",), joints_3d=motion)).unit == "m"
    motion[1:] = np.nan
    path = save(("unit",), joints_3d=motion)
    with pytest.raises(DataError, match=r"expected 'unit' among .*whole poses.*extent of 0"):
        read_own_npz(path)


def test_recordings_in_one_array_of_integers(save):
    found = read_own_npz(save(
        ("joints_3d", "unit"), positions_mm=np.round(in_file()).astype(np.int16),
        offsets=[0, 1, 4], names=["a", "b"], subjects=np.array([b"S1", b"S2"]),
        actions=["walk", "run"], split=["train", "test"],
    ))  # fmt: skip
    assert [(c.name, c.subject, c.action, c.split, len(c.positions)) for c in found.clips] == [
        ("a", "S1", "walk", "train", 1), ("b", "S2", "run", "test", 3),
    ]  # fmt: skip
    assert found.unit == "mm"
    assert found.clips[1].positions.dtype == np.float32


def test_names_of_joints(save):
    assert read_own_npz(save(("skeleton",), joint_names=H36M_17.joints)).skeleton is H36M_17
    renamed = [f"j{i}_{name}" for i, name in enumerate(H36M_17.joints)]
    found = read_own_npz(save(("skeleton", "up"), joint_names=renamed))
    assert (found.skeleton, found.joints, found.up) == (None, tuple(renamed), "z")


def diagonal():
    """A turn after which no axis has 60 % of a standing body."""
    third = np.array([1, 1, 1]) / np.sqrt(3)
    side = np.array([1, -1, 0]) / np.sqrt(2)
    return np.stack((side, np.cross(third, side), third))


@pytest.mark.parametrize(("drop", "changes", "message"), [
    (("joints_3d",), {}, "expected one of joints_3d and positions_mm .*got neither"),
    ((), {"positions_mm": np.zeros((2, 17, 3))}, "got joints_3d and positions_mm"),
    (("fps",), {}, r"expected 'fps' above 0 and at most 1000 .*got none"),
    ((), {"fps": 0}, "expected 'fps'.*got 0"),
    ((), {"fps": float("nan")}, "expected 'fps'.*got nan"),
    ((), {"skeleton": "h36m71"}, "did you mean 'h36m17'"),
    ((), {"skeleton": "body25"}, "expected the 25 joints of body25.*got 17 joints"),
    ((), {"joint_names": COCO_17.joints}, "expected the 17 joints of h36m17.*nose"),
    (("skeleton",), {}, r"'skeleton' \(with 17 joints: h36m17, mpi17, .*\) or 'joint_names'"),
    (("skeleton",), {"joint_names": ["a"] * 17}, "expected 17 different joint_names.*got 1 of 17"),
    ((), {"unit": "inch"}, "expected 'unit' among m, cm, mm.*got inch"),
    ((), {"unit": "m"}, "expected poses in m, as 'unit' says.*people in mm"),
    ((), {"up": "x"}, "expected 'up' among z, y, -y.*got x"),
    (("unit",), {"joints_3d": in_file() * 0.05}, "or whole poses as large.*got a median"),
    (("up",), {"joints_3d": in_file()[..., [2, 0, 1]]}, "expected 'up' among .*people.*along x"),
    (("up",), {"joints_3d": in_file() @ diagonal()}, "expected 'up' among .*people.*5[89]% along"),
    (("up",), {"joints_3d": -in_file()}, "along -z"),
    ((), {"joints_3d": in_file()[..., :2]}, r"shape \(4, 17, 2\)"),
    ((), {"joints_3d": in_file() + np.inf}, "infinite"),
    ((), {"joints_3d": in_file() * np.nan}, "68 joints missing"),
    ((), {"joints_3d": in_file() + 1e30}, "positions within 1e"),
    ((), {"offsets": [0, 3, 2, 6]}, "expected rising 'offsets' from 0 to 6"),
    ((), {"offsets": [0, 2, 6], "names": ["a", "a"]}, "a name twice"),
    ((), {"subjects": ["a", "b"]}, r"of 1 recordings.*got \{2\}"),
    ((), {"split": ["tset"]}, "expected parts among train, val, test.*got tset"),
    ((), {"joints_3d": np.array([{}], dtype=object)}, "pickled objects"),
    ((), {"skeleton": np.array(b"\xff")}, "expected text in UTF-8 in 'skeleton'"),
])  # fmt: skip
def test_refusals(save, drop, changes, message):
    path = save(drop, **changes)
    with pytest.raises(DataError, match=message) as refusal:
        read_own_npz(path)
    assert len(str(refusal.value)) < 400


def test_up_that_contradicts_the_people_counts_and_is_said(save):
    found = read_own_npz(save(up="y"))
    assert found.up == "y"
    assert "'up' says y, but" in found.notes[0]


def test_missing_and_mutated_files_raise_nothing_else(save, tmp_path):
    with pytest.raises(MissingDataError):
        read_own_npz(tmp_path / "none.npz")
    whole, rng, refused = save(("unit",)).read_bytes(), random.Random(2), 0
    for number in range(300):
        data = bytearray(whole)
        if number % 4 == 0:
            del data[rng.randrange(len(data)) :]
        for _ in range(rng.randrange(1, 5)):
            data[rng.randrange(max(1, len(data)))] = rng.randrange(256) if data else 0
            if not data:
                break
        (tmp_path / "m.npz").write_bytes(data)
        try:
            read_own_npz(tmp_path / "m.npz")
        except LiftingError:
            refused += 1
    assert refused > 100


def test_schema_names_every_array():
    from lifting.data.sets.own.npz import _KEYS

    assert all(f"  {key} " in SCHEMA for key in _KEYS)


def test_real_file():
    root = os.environ.get("LIFTING_DATA")
    path = Path(root or "", "cmu", "cmu_h36m17.npz")
    if not root or not path.is_file():
        pytest.skip("LIFTING_DATA does not hold cmu/cmu_h36m17.npz")
    found = read_own_npz(path)
    assert (len(found.clips), found.fps, found.unit, found.up) == (167, 50.0, "mm", "z")
    assert found.clips[0].name == "01_01"
    assert sum(len(clip.positions) for clip in found.clips) == 65617


def test_keys_that_are_not_of_the_form_are_said(save):
    assert read_own_npz(save(subject=["a"], zoom=1)).notes == ("not read: subject, zoom",)
