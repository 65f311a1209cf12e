"""3D motion of one's own: every kind of file, how parts are made, what is masked and said."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch
from own_files import MARKERS, STANDING, save_bvh, save_npz, save_trc, walk

from lifting.data.config import DataConfig
from lifting.data.doctor.check import check
from lifting.data.sets.own.config import Config as OwnConfig
from lifting.data.sets.own.reader import cache_key, filled, motion
from lifting.data.sources import load_tracks
from lifting.errors import ConfigError, DataError, MissingDataError
from lifting.skeleton import COCO_17, H36M_17


@pytest.fixture
def data(tmp_path):
    def section(**options):
        return DataConfig(name="own", root=str(tmp_path), cache=str(tmp_path.parent / "cache"),
                          own=OwnConfig(**options))  # fmt: skip

    return section


@pytest.fixture
def mixed(tmp_path):
    """One file of each kind of text and npz; recordings a, b/b, c of parts by name."""
    save_npz(tmp_path / "a.npz", unit=None)
    save_trc(tmp_path / "kim" / "b.trc", missing=[(3, 0), (4, 0), (5, 13)])
    save_bvh(tmp_path / "c.BVH")
    (tmp_path / "notes.txt").write_text("not motion")
    return tmp_path


def joint(clips, name, row=0):
    return clips.joints_3d[row, clips.skeleton.index(name)].tolist()


def test_npz_trc_and_bvh_in_one_folder(data, mixed, caplog):
    with caplog.at_level(logging.WARNING):
        parts = {split: motion(data(), split) for split in ("train", "val", "test")}
    assert [clips.names for clips in parts.values()] == [("a/0",), ("c/0",), ("kim/b/0",)]
    assert [clips.fps.tolist() for clips in parts.values()] == [[50.0], [120.0], [60.0]]
    for clips in parts.values():
        assert clips.skeleton == H36M_17
        assert clips.subject_names == ("kim", "unknown")
        for name in ("left_hip", "right_knee", "left_elbow", "right_wrist", "left_ankle"):
            expected = STANDING[H36M_17.index(name)]
            np.testing.assert_allclose(joint(clips, name), expected, atol=0.1)
    assert parts["train"].visible is None
    told = [parts[split].source["inferred"] for split in parts]
    assert "a: unit not given: a pose extends over 1570, so mm was taken" in told[0]
    assert "c: unit not given: a leg is 82 long, so cm was taken" in told[1]
    assert "up not given: from ankles to head it is 100% along y" in told[2]
    assert [t in caplog.text for t in told[:1]] == [True]
    assert "last 1 recordings test" in parts["val"].source["split_rule"]


def test_missing_and_approximate_joints_of_markers_are_masked(data, mixed):
    clips = motion(data(), "test")
    hidden = {(row, H36M_17.joints[j]) for row, j in (~clips.visible).nonzero().tolist()}
    always = {(row, j) for row in range(20) for j in ("spine", "thorax", "neck")}
    assert hidden - always == {(3, "left_hip"), (4, "left_hip"), (3, "hip"), (4, "hip")}
    assert always <= hidden
    assert clips.source["approximate_joints"] == "neck"
    assert bool(clips.joints_3d.isfinite().all())
    # A hidden joint is where it was beside the person when it was seen last.
    np.testing.assert_allclose(joint(clips, "left_hip", 3), [150, 0, 900], atol=40)


def test_hidden_joints_have_no_confidence_when_filmed(data, mixed):
    tracks = load_tracks(data(), "test")
    hidden = ~tracks.visible
    assert float(tracks.confidence[hidden].max()) == 0
    assert tracks.fps.tolist() == [60.0] * len(tracks.track_names)
    assert tracks.track_names[0].startswith("kim/b/0/view")


def test_filled():
    positions = walk(6)
    positions[2:4, 5], positions[:, 9] = np.nan, np.nan
    positions[5] = np.nan
    found = filled(positions)
    known = np.isfinite(positions)
    np.testing.assert_array_equal(found[known], positions[known])
    np.testing.assert_allclose(found[2, 5], walk()[2, 5], atol=60)
    np.testing.assert_allclose(found[5], found[4], atol=1e-9)
    assert np.isfinite(found).all()


def test_every_recording_is_in_one_part_and_its_clips_are_even(data, tmp_path):
    for number in range(20):
        save_npz(tmp_path / f"r{number:02d}.npz", joints_3d=walk(70))
    parts = {s: motion(data(clip_seconds=0.5, holdout=0.15), s) for s in ("train", "val", "test")}
    recordings = {s: {name.split("/")[0] for name in clips.names} for s, clips in parts.items()}
    every = [name for names in recordings.values() for name in names]
    assert sorted(every) == [f"r{i:02d}" for i in range(20)]
    assert recordings["test"] == {"r17", "r18", "r19"}
    assert recordings["val"] == {"r14", "r15", "r16"}
    assert parts["test"].offsets.diff().tolist() == [24, 23, 23] * 3


def test_parts_by_file_and_by_subject(data, tmp_path):
    save_npz(tmp_path / "a.npz", offsets=[0, 5, 12, 20], names=["x", "y", "z"],
             subjects=["S1", "S2", "S3"], split=["test", "train", "val"],
             actions=["p", "q", "r"])  # fmt: skip
    save_trc(tmp_path / "kim" / "b.trc")
    save_trc(tmp_path / "lee" / "b.trc")
    options = data(val_subjects=("kim",), test_subjects=("lee",))
    assert motion(options, "test").names == ("a/x/0", "lee/b/0")
    assert motion(options, "val").names == ("a/z/0", "kim/b/0")
    train = motion(options, "train")
    assert (train.names, train.action_names[train.action[0]]) == (("a/y/0",), "q")
    assert train.source["split_rule"] == (
        "as the files say; val subjects kim; test subjects lee"
    )  # fmt: skip


def test_a_known_set_stays_and_different_ones_become_h36m17(data, tmp_path):
    face = {name: STANDING[H36M_17.index(name)] for name in COCO_17.joints if name in
            H36M_17.joints}  # fmt: skip
    coco = np.stack([face.get(name, np.array([0, 100, 1560.0])) for name in COCO_17.joints])
    for name in "abc":
        save_npz(tmp_path / f"{name}.npz", joints_3d=coco[None].repeat(4, 0), skeleton="coco17")
    assert motion(data(), "val").skeleton == COCO_17
    save_npz(tmp_path / "d.npz")
    clips = motion(data(), "train")
    assert clips.skeleton == H36M_17
    assert clips.source["approximate_joints"] == "head, neck, spine, thorax"
    shown = {H36M_17.joints[i] for i in clips.visible[0].nonzero()[:, 0].tolist()}
    assert "hip" in shown
    assert shown.isdisjoint({"head", "neck", "spine", "thorax"})
    np.testing.assert_allclose(joint(clips, "hip"), [0, 0, 900], atol=1e-3)


def test_sets_without_a_recipe_are_refused(data, tmp_path):
    for name in "abc":
        save_npz(tmp_path / f"{name}.npz")
    save_npz(tmp_path / "d.npz", joints_3d=np.pad(walk(), ((0, 0), (0, 7), (0, 0))),
             skeleton="smpl24")  # fmt: skip
    with pytest.raises(DataError, match=r"recordings of one set of joints.*d\.npz cannot be"):
        motion(data(), "train")


@pytest.mark.parametrize("names", [[f"{n}_marker" for n in MARKERS], None])
def test_joint_names_of_an_npz_and_a_map(data, tmp_path, names):
    given = names or [f"m{i}" for i in range(len(MARKERS))]
    joints = walk()[:, list(MARKERS.values())]
    for name in "abc":
        save_npz(tmp_path / f"{name}.npz", joints_3d=joints, skeleton=None, joint_names=given)
    path = tmp_path / "map.json"
    path.write_text(json.dumps({
        H36M_17.joints[index]: name for index, name in zip(MARKERS.values(), given, strict=True)
    }))  # fmt: skip
    with pytest.raises(DataError, match=r"expected .* among the names, got .*data\.own\.map"):
        motion(data(), "train")
    clips = motion(data(map=str(path)), "train")
    np.testing.assert_allclose(joint(clips, "left_knee"), STANDING[5], atol=1e-3)
    assert sorted(H36M_17.joints[i] for i in (~clips.visible[0]).nonzero()[:, 0].tolist()) == [
        "spine", "thorax",
    ]  # fmt: skip


def test_joint_names_of_an_npz_are_mapped_by_name(data, tmp_path):
    joints = walk()[:, list(MARKERS.values())]
    for name in "abc":
        save_npz(tmp_path / f"{name}.npz", joints_3d=joints, skeleton=None, joint_names=[*MARKERS])
    clips = motion(data(), "train")
    np.testing.assert_allclose(joint(clips, "hip"), STANDING[0], atol=1e-3)
    assert {H36M_17.joints[i] for i in (~clips.visible[0]).nonzero()[:, 0].tolist()} == {
        "spine", "thorax", "neck",
    }  # fmt: skip


def test_the_floor_is_near_zero(data, tmp_path):
    for name in "abc":
        save_npz(tmp_path / f"{name}.npz", joints_3d=walk() - [0, 0, 900])
    np.testing.assert_allclose(joint(motion(data(), "val"), "left_ankle"), STANDING[6], atol=1e-3)


def test_options(data, mixed):
    for options, message in (
        ({"holdout": 0.5}, "holdout above 0 and below 0.5"),
        ({"clip_seconds": 0}, "clip_seconds above 0"),
        ({"val_subjects": ("kin",)}, "unknown subject 'kin' in data.own; did you mean 'kim'"),
        ({"val_subjects": ("kim",), "test_subjects": ("kim",)}, "kim in both"),
    ):
        with pytest.raises(ConfigError, match=message):
            motion(data(**options), "train")
    with pytest.raises(MissingDataError, match=r"patterns \*\.c3d.*found none"):
        motion(data(files=("*.c3d",)), "train")
    with pytest.raises(MissingDataError, match=r"data\.own\.map .*none\.json"):
        motion(data(map="none.json"), "train")
    with pytest.raises(DataError, match=r"at least 3 recordings to divide, got 1 \(b\.trc"):
        motion(data(files=("**/*.trc",)), "train")
    with pytest.raises(DataError, match=r"in the test split of own, got none of 3"):
        motion(data(val_subjects=("kim",)), "test")
    save_bvh(mixed / "a.bvh")
    with pytest.raises(DataError, match=r"each recording once.*got a in a\.bvh and a\.npz"):
        motion(data(), "train")


def test_only_the_folder_of_its_name_is_searched(tmp_path, monkeypatch):
    save_npz(tmp_path / "cmu" / "cmu_h36m17.npz")
    monkeypatch.setenv("LIFTING_DATA", str(tmp_path))
    with pytest.raises(MissingDataError, match=f"below {tmp_path}/own, found none"):
        motion(DataConfig(name="own"), "train")
    for name in "abc":
        save_npz(tmp_path / "own" / f"{name}.npz")
    assert motion(DataConfig(name="own"), "test").names == ("c/0",)


def test_cache_key_follows_files_and_options(data, mixed):
    first = cache_key(data(), "train")
    assert first == cache_key(data(), "train")
    assert first != cache_key(data(clip_seconds=5), "train")
    save_npz(mixed / "a.npz", fps=25)
    assert first != cache_key(data(), "train")


def test_check_reads_every_part_and_judges_the_people(data, mixed):
    rows = check(data())
    assert [row.verdict for row in rows[:3]] == ["ok"] * 3
    assert not [row.what for row in rows if row.verdict == "fail"]
    assert {"unit 3D, train", "left and right 3D, test"} <= {row.what for row in rows}
    (mixed / "c.BVH").write_text("HIERARCHY\n")
    assert "fail" in {row.verdict for row in check(data())}


def test_c3d(data, tmp_path):
    ezc3d = pytest.importorskip("ezc3d", reason="needs pip install 'lifting[c3d]'")
    file = ezc3d.c3d()
    places = walk(5)[:, list(MARKERS.values())]
    points = np.ones((4, len(MARKERS), 5))
    points[:3] = places.transpose(2, 1, 0)
    file["parameters"]["POINT"]["RATE"]["value"] = [100]
    file["parameters"]["POINT"]["LABELS"]["value"] = list(MARKERS)
    file["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    file["data"]["points"] = points
    for name in "abc":
        file.write(str(tmp_path / f"{name}.c3d"))
    clips = motion(data(), "test")
    assert clips.fps.tolist() == [100.0]
    np.testing.assert_allclose(joint(clips, "right_elbow"), STANDING[15], atol=0.1)
    assert torch.equal(clips.subject, torch.zeros(1, dtype=torch.int64))
