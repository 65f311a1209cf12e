"""Human3.6M files: read back exactly, split as published, refused in words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mutation import damaged_copies
from published_npz import (
    COCO_SYMMETRY,
    H36M_SYMMETRY,
    MPII_SYMMETRY,
    H36m,
    mixture_views,
    write_object_npz,
)

from lifting.data.config import DataConfig
from lifting.data.datamodule import PoseDataModule
from lifting.data.sets.h36m.config import Config as H36mConfig
from lifting.data.sets.h36m.reader import cache_key, tracks
from lifting.data.sources import load_tracks
from lifting.errors import ConfigError, DataError, MissingDataError
from lifting.geometry.camera import project
from lifting.skeleton import H36M_17

RECORDINGS = {"Walking": 5, "Walking 1": 3, "TakingPhoto 1": 4, "Greeting 2": 2, "Greeting": 6}
CAMERAS = ("54138969", "55011271", "58860488", "60457274")


@pytest.fixture
def data(tmp_path):
    made = H36m(tmp_path, RECORDINGS)
    made.write_two_d("gt")
    return made


def read(data, split="test", **options):
    options = {"two_d": "gt", **options}
    config = DataConfig(name="h36m", root=str(data.folder), h36m=H36mConfig(**options))
    return tracks(config, split)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_files_are_read_back(tmp_path, protocol, rows):
    data = H36m(tmp_path, RECORDINGS, protocol=protocol)
    data.write_two_d("gt")
    got = read(data)
    assert len(got.track_names) == 2 * 5 * 4
    assert got.skeleton is H36M_17
    assert got.fps.unique().tolist() == [50]
    for subject in ("S9", "S11"):
        for name, frames in RECORDINGS.items():
            for i, camera in enumerate(CAMERAS):
                normal = name.replace("TakingPhoto", "Photo")
                at = rows(got, f"{subject}/{normal}/{camera}")
                assert at.stop - at.start == frames
                np.testing.assert_allclose(
                    got.joints_3d[at], data.joints(subject, name, i), atol=5e-3
                )
                np.testing.assert_allclose(
                    got.keypoints_2d[at], data.pixels(subject, name, i), atol=1e-3
                )


def test_keypoints_are_the_projection_by_the_attached_cameras(data):
    got = read(data)
    camera = got.cameras[got.camera.repeat_interleave(got.offsets.diff())]
    again = project(got.joints_3d, camera.intrinsics)
    torch.testing.assert_close(again, got.keypoints_2d, atol=2e-3, rtol=0)
    assert got.cameras.rotation is not None
    assert got.cameras.size[:2].tolist() == [[1000, 1002], [1000, 1000]]


def test_names_indices_and_facts(data):
    got = read(data)
    by_name = {name: i for i, name in enumerate(got.track_names)}
    i, j = by_name["S9/Photo 1/54138969"], by_name["S9/Photo 1/60457274"]
    assert got.subject_names[got.subject[i]] == "S9"
    assert got.action_names[got.action[i]] == "Photo"
    assert got.recording[i] == got.recording[j]
    assert (got.camera[i] % 4, got.camera[j] % 4) == (0, 3)
    assert len(got.action_names) == 15
    assert got.visible is None
    assert bool((got.confidence == 1).all())
    assert got.source["two_d"] == "gt"
    assert got.source["split_rule"] == "subjects S9, S11"
    assert "academic" in got.source["terms"]
    assert len(got.source["three_d_sha256"]) == 64


def subjects_of(got):
    return {got.subject_names[i] for i in got.subject.tolist()}


def test_a_training_subject_can_validate(data):
    assert subjects_of(read(data, "train", val_subjects=("S8",))) == {"S1", "S5", "S6", "S7"}
    assert subjects_of(read(data, "val", val_subjects=("S8",))) == {"S8"}
    assert subjects_of(read(data, "test")) == {"S9", "S11"}


def test_all_five_subjects_train_and_some_recordings_are_held_out(data):
    train, val = (read(data, s, val_subjects=(), val_holdout=4) for s in ("train", "val"))
    assert subjects_of(train) == {"S1", "S5", "S6", "S7", "S8"}
    assert not set(train.track_names) & set(val.track_names)
    assert len(train.track_names) + len(val.track_names) == 5 * 5 * 4
    assert len(val.track_names) == 7 * 4
    assert "every 4th training recording, held out" in val.source["split_rule"]


def test_without_a_hold_out_validation_repeats_training(data):
    train, val = (read(data, s, val_subjects=(), val_holdout=0) for s in ("train", "val"))
    assert len(train.track_names) == 5 * 5 * 4
    assert set(val.track_names) < set(train.track_names)
    assert "also trained on" in val.source["split_rule"]


def test_actions_cameras_and_frames_can_be_chosen(data):
    got = read(data, actions=("Walking",), cameras=("55011271",), every=2)
    assert got.track_names[:2] == ("S9/Walking/55011271", "S9/Walking 1/55011271")
    assert got.fps.unique().tolist() == [25]
    assert got.offsets.diff().tolist() == [3, 2, 3, 2]
    whole = data.joints("S9", "Walking", 1)
    np.testing.assert_allclose(got.joints_3d[:3], whole[::2], atol=5e-3)
    np.testing.assert_allclose(
        got.keypoints_2d[:3], data.pixels("S9", "Walking", 1)[::2], atol=1e-3
    )


def test_drifting_recordings_are_left_out_on_demand(data):
    names = {n.rpartition("/")[0] for n in read(data, drop_corrupt=True).track_names}
    everything = {n.rpartition("/")[0] for n in read(data).track_names}
    assert everything - names == {"S9/Greeting 2"}  # the second recording, whatever its number


def test_the_corrupt_recording_is_skipped_wherever_it_is(tmp_path):
    data = H36m(tmp_path, {"Directions": 3, "Directions 1": 3})
    data.write_two_d("gt")
    names = {n.rpartition("/")[0] for n in read(data).track_names}
    assert names == {"S9/Directions", "S9/Directions 1", "S11/Directions 1"}


def test_longer_keypoints_are_cut_and_further_subjects_ignored(data, rows):
    views = data.views(extra_frames=4)
    views["S2"] = {"Walking": [np.zeros((3, 17, 2), np.float32)] * 4}
    views["S9"]["_ALL 1"] = 0
    views["S11"]["Directions"] = [np.zeros((3, 17, 2), np.float32)] * 4
    data.write_two_d("gt", views)
    got = read(data)
    at = rows(got, "S11/Walking/58860488")
    np.testing.assert_allclose(got.keypoints_2d[at], data.pixels("S11", "Walking", 2), atol=1e-3)


def test_shorter_keypoints_are_refused(data):
    data.write_two_d("gt", data.views(lambda p: p[:-1]))
    with pytest.raises(DataError, match=r"at least 6 frames.*positions_2d/S9/Greeting/0.*got 5"):
        read(data)


def test_a_third_channel_is_confidence(data):
    scores = np.linspace(0.1, 1.4, 17)[None, :, None]

    def change(pixels):
        return np.concatenate((pixels, np.broadcast_to(scores, (len(pixels), 17, 1))), axis=-1)

    data.write_two_d("gt", data.views(change))
    got = read(data)
    expected = torch.tensor(scores[0, :, 0], dtype=torch.float32).clamp(max=1)
    torch.testing.assert_close(got.confidence[0], expected)
    np.testing.assert_allclose(got.keypoints_2d[0], data.pixels("S9", "Greeting", 0)[0], atol=1e-3)


def test_coco_keypoints_are_converted_by_name(data, rows):
    pixels = data.pixels("S9", "Walking", 0)
    # from Human3.6M order: the limbs are the same joints, the face is somewhere
    order = [9, 9, 9, 9, 9, 11, 14, 12, 15, 13, 16, 4, 1, 5, 2, 6, 3]
    metadata = {"layout_name": "coco", "num_joints": 17, "keypoints_symmetry": COCO_SYMMETRY}
    data.write_two_d("detectron_pt_coco", data.views(lambda p: p[:, order]), metadata)
    got = read(data, two_d="detectron_pt_coco")
    at = rows(got, "S9/Walking/54138969")
    limbs = [1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16]
    np.testing.assert_allclose(got.keypoints_2d[at][:, limbs], pixels[:, limbs], atol=1e-3)
    np.testing.assert_allclose(
        got.keypoints_2d[at][:, 0], (pixels[:, 1] + pixels[:, 4]) / 2, atol=1e-3
    )
    assert got.source["two_d_joints"] == "keypoints in the order of coco17, converted to h36m17"


def test_sixteen_joints_are_mpii(data, rows):
    order = [3, 2, 1, 4, 5, 6, 0, 8, 9, 10, 16, 15, 14, 11, 12, 13]
    metadata = {"layout_name": "mpii", "num_joints": 16, "keypoints_symmetry": MPII_SYMMETRY}
    data.write_two_d("sh_ft_h36m", data.views(lambda p: p[:, order]), metadata)
    got = read(data, two_d="sh_ft_h36m")
    pixels = data.pixels("S9", "Walking", 0)
    pixels[:, 7] = (pixels[:, 0] + pixels[:, 8]) / 2  # the 16 joints have no spine
    np.testing.assert_allclose(
        got.keypoints_2d[rows(got, "S9/Walking/54138969")], pixels, atol=1e-3
    )


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"layout_name": "boxes"}, "expected a known layout_name"),
        ({"keypoints_symmetry": H36M_SYMMETRY[::-1]}, "sides are likely swapped"),
        ({"keypoints_symmetry": [[1], [2]]}, "expected the left and right joints of h36m17 or"),
        ({"keypoints_symmetry": [[1, 2]]}, "a list of left and one of right"),
        ({"keypoints_symmetry": [["a"], [2]]}, "a list of left and one of right"),
        ({"keypoints_symmetry": 4}, "expected a list at"),
        (
            {"layout_name": "coco", "keypoints_symmetry": H36M_SYMMETRY},
            "expected one joint order",
        ),
        ({"layout_name": "mpii"}, "expected one of h36m17, coco17 with 17 joints"),
        (["h36m"], "expected a dictionary by name at 'metadata'"),
    ],
)
def test_metadata_that_does_not_fit(data, metadata, message):
    data.write_two_d("gt", metadata=metadata)
    with pytest.raises(DataError, match=message):
        read(data)


@pytest.mark.parametrize("metadata", [None, {"num_joints": 17}, {"layout_name": "h36m"}])
def test_metadata_may_say_little(data, metadata):
    data.write_two_d("gt", metadata=metadata)
    assert read(data).source["two_d_joints"] == "keypoints in the order of h36m17"


def test_other_numbers_of_joints_are_refused(data):
    data.write_two_d("gt", data.views(lambda p: p[:, :12]), None)
    with pytest.raises(DataError, match=r"expected 16 or 17 joints in .*got 12"):
        read(data)


@pytest.mark.parametrize("detector", ["gt_gmm", "cpn_ft_h36m_dbb_gmm"])
def test_mixtures_are_extras_and_their_best_means_keypoints(data, detector, rows):
    views = mixture_views(data)
    data.write_two_d(detector, views, None)
    got = read(data, two_d=detector)
    at = rows(got, "S11/Walking 1/55011271")
    mixtures = got.extras["mixtures"]
    assert mixtures.shape[1:] == (17, 3, 5)
    torch.testing.assert_close(mixtures[..., 0].sum(-1), torch.ones(mixtures.shape[:2]))
    np.testing.assert_allclose(
        mixtures[at, :, :, 1:], views["S11"]["Walking 1"][1][:3, :, :, 1:], atol=1e-4
    )
    np.testing.assert_allclose(got.keypoints_2d[at], data.pixels("S11", "Walking 1", 1), atol=1e-3)
    assert got.source["two_d_joints"].startswith("mixtures")


def test_weights_of_mixtures_are_normalised(data):
    views = mixture_views(data)
    for arrays in (a for named in views.values() for a in named.values()):
        for array in arrays:
            array[..., 0] *= 1.002
    data.write_two_d("gt_gmm", views, None)
    weights = read(data, two_d="gt_gmm").extras["mixtures"][..., 0]
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("channel", "value"), [(0, -0.1), (0, 0.0), (3, -1.0)])
def test_impossible_mixtures_are_refused(data, channel, value):
    views = mixture_views(data)
    views["S9"]["Walking"][0][2, 3, :, channel] = value
    data.write_two_d("gt_gmm", views, None)
    with pytest.raises(DataError, match="expected weights and spreads from 0"):
        read(data, two_d="gt_gmm")


def test_mixtures_of_two_sizes_are_refused(data):
    views = mixture_views(data)
    views["S9"]["Walking"][1] = views["S9"]["Walking"][1][:, :, :2]
    data.write_two_d("gt_gmm", views, None)
    with pytest.raises(DataError, match="expected the same form in every recording"):
        read(data, two_d="gt_gmm")


def test_training_and_test_may_use_different_2d_files(data):
    data.write_two_d("cpn_ft_h36m_dbb", data.views(lambda p: p + 3))
    options = {"two_d": "gt", "two_d_test": "cpn_ft_h36m_dbb"}
    assert read(data, "train", **options).source["two_d"] == "gt"
    test = read(data, "test", **options)
    assert test.source["two_d"] == "cpn_ft_h36m_dbb"
    np.testing.assert_allclose(
        test.keypoints_2d[0], data.pixels("S9", "Greeting", 0)[0] + 3, atol=1e-3
    )


def without(data, change):
    views = data.views()
    change(views)
    data.write_two_d("gt", views)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("S11"), "missing subject 'S11' in positions_2d"),
        (lambda v: v["S9"].pop("Walking 1"), r"missing action 'Walking 1' in positions_2d/S9"),
        (lambda v: v["S9"]["Walking"].pop(), "missing camera '60457274'"),
        (lambda v: v["S9"]["Walking"].append(v["S9"]["Walking"][0]), "got 5; get"),
        (lambda v: v["S9"].update({"Photo 1": []}), "under two spellings"),
        (lambda v: v["S9"].update({"Walking": 3}), "expected a list at Walking in"),
        (lambda v: v.update({"S9": []}), r"expected a dictionary by name at positions_2d/S9"),
        (lambda v: v["S9"]["Walking"].__setitem__(1, None), "got NoneType at positions_2d/S9/Wal"),
        (lambda v: v["S9"]["Walking"].__setitem__(1, "x"), r"expected numbers of shape \(any, 17"),
        (
            lambda v: v["S9"]["Walking"].__setitem__(1, np.zeros((9, 17, 4))),
            r"of shape \(any, 17, 2 or 3\) at positions_2d/S9/Walking/1.*got an array of float64",
        ),
        (
            lambda v: v["S9"]["Walking"][1].__setitem__((2, 3, 1), np.nan),
            r"expected finite numbers at positions_2d/S9/Walking/1.*index \(2, 3, 1\)",
        ),
    ],
)
def test_what_a_2d_file_lacks_is_named(data, change, message):
    without(data, change)
    with pytest.raises(DataError, match=message):
        read(data)


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ({"S9": {"Walking": np.ones((4, 32, 3))}}, "missing subject 'S11'|thigh"),
        ({}, "expected a dictionary by name at positions_3d"),
        ({"S9": {"Walking": np.ones((4, 17, 3))}}, r"shape \(any, 32, 3\)"),
        ({"S9": {"Walking": np.ones((0, 32, 3))}}, r"shape \(any, 32, 3\)"),
        ({"S9": {"Walking": np.full((4, 32, 3), np.inf)}}, "expected finite numbers"),
        ({"S9": {"Walking": np.full((4, 32, 3), 1e300)}}, "expected finite numbers"),
        ({"S9": {"walking": np.ones((4, 32, 3))}}, "did you mean 'Walking'"),
        ({"S9": {"Walking x": np.ones((4, 32, 3))}}, "an action and a number.*got 'Walking x'"),
    ],
)
def test_what_a_3d_file_lacks_is_named(data, positions, message):
    write_object_npz(data.folder / "data_3d_h36m.npz", positions_3d=positions)
    with pytest.raises(DataError, match=message):
        read(data)


def test_millimetres_are_told_from_metres(data):
    data.write_three_d(scale=1000.0)
    with pytest.raises(DataError, match=r"expected poses in m in .*got a thigh of 4"):
        read(data)


def test_missing_files_are_named(data):
    with pytest.raises(MissingDataError, match=r"data_2d_h36m_cpn_ft_h36m_dbb\.npz"):
        read(data, two_d="cpn_ft_h36m_dbb")
    (data.folder / "data_3d_h36m.npz").unlink()
    with pytest.raises(MissingDataError, match=r"data_3d_h36m\.npz.*lifting data describe h36m"):
        read(data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_subjects": ("S3",)}, r"unknown name 'S3' in data\.h36m\.train_subjects"),
        ({"val_subjects": ("S9",)}, r"expected test subjects apart.*got S9 in both"),
        ({"actions": ("Walk",)}, r"unknown name 'Walk'.*did you mean 'Walking'"),
        ({"cameras": ("1",)}, r"unknown name '1' in data\.h36m\.cameras"),
        ({"two_d": "../gt"}, r"expected a word of letters.*got '\.\./gt'"),
        ({"every": 0}, r"data\.h36m\.every of at least 1, got 0"),
    ],
)
def test_options_are_checked(data, options, message):
    with pytest.raises(ConfigError, match=message):
        read(data, **options)


@pytest.mark.parametrize("holdout", [1, -1])
def test_hold_out_of_everything_is_refused(data, holdout):
    with pytest.raises(ConfigError, match="expected val_holdout of 0 or from 2"):
        read(data, "train", val_subjects=(), val_holdout=holdout)


def test_a_split_without_recordings_is_refused(data):
    with pytest.raises(DataError, match="expected recordings in the test split of h36m, got none"):
        read(data, actions=("Eating",))


def test_tracks_come_from_the_cache_until_a_file_changes(data, tmp_path):
    config = DataConfig(
        name="h36m",
        root=str(data.folder),
        cache=str(tmp_path / "cache"),
        h36m=H36mConfig(two_d="gt"),
    )
    first = load_tracks(config, "test")
    key = cache_key(config, "test")
    again = load_tracks(config, "test")
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert torch.equal(first.keypoints_2d, again.keypoints_2d)
    assert first.source == again.source
    data.write_two_d("gt", data.views(lambda p: p + 1))
    assert cache_key(config, "test") != key
    changed = load_tracks(config, "test")
    torch.testing.assert_close(changed.keypoints_2d, first.keypoints_2d + 1, atol=1e-3, rtol=0)


def test_the_data_module_delivers_windows(data, tmp_path):
    config = DataConfig(
        name="h36m",
        root=str(data.folder),
        cache=str(tmp_path / "cache"),
        frames=3,
        batch_size=16,
        h36m=H36mConfig(two_d="gt"),
    )
    module = PoseDataModule(config, seed=0)
    batch = next(iter(module.train_dataloader()))
    assert batch.keypoints_2d.shape == (16, 3, 17, 2)
    assert batch.joints_3d.shape == (16, 1, 17, 3)


def test_code_in_a_file_is_refused_and_not_run(data, trap):
    data.write_two_d("gt", {**data.views(), "S9": trap})
    with pytest.raises(DataError, match=r"unsafe: it asks for \w+\.system; nothing of it was run"):
        read(data)
    assert not trap.mark.exists()


@pytest.mark.parametrize(
    "file", ["data_3d_h36m", "data_2d_h36m_gt", "data_2d_h36m_gt_gmm"], ids=["3d", "2d", "mixture"]
)
def test_damaged_files_raise_nothing_but_data_errors(
    tmp_path, file, damage_count, count_refused, memory_below
):
    data = H36m(tmp_path, {"Walking": 2}, subjects=("S9",), protocol=4)
    data.write_two_d("gt")
    data.write_two_d("gt_gmm", mixture_views(data), None)
    options = {"two_d": file.removeprefix("data_2d_h36m_") if "2d" in file else "gt"}
    read(data, test_subjects=("S9",), **options)
    versions = damaged_copies(tmp_path / f"{file}.npz", damage_count)
    with memory_below(30e6):
        refused = count_refused(versions, lambda: read(data, test_subjects=("S9",), **options))
    assert refused > damage_count / 2
