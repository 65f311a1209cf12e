"""Labels of a teacher: what they are made of, and that no 3D truth reaches the training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lifting.batch import LABEL_WEIGHT, PoseBatch, flip_batch, label_weights
from lifting.data import sources
from lifting.data.config import DataConfig, TeacherConfig
from lifting.data.datamodule import PoseDataModule
from lifting.data.epipolar_labels import epipolar_tracks, rigs, view_name, without_truth
from lifting.data.sets.synthetic.config import Config as SyntheticConfig
from lifting.errors import ConfigError, DataError
from lifting.geometry.camera import Camera
from lifting.skeleton import H36M_17
from lifting.teacher.options import TeacherOptions

FRAMES = 24


def data_config(tmp_path, **teacher):
    sizes = SyntheticConfig(1, 1, 1, sequence_frames=FRAMES)
    return DataConfig(
        cache=str(tmp_path),
        labels="epipolar",
        teacher=TeacherConfig(shifts=0, **teacher),
        synthetic=sizes,
        noise="light",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A cache that the tests of this file share, so that rigs are solved once."""
    return tmp_path_factory.mktemp("labels")


@pytest.fixture
def scrambled(monkeypatch):
    """Replaces the 3D truth of the training split after its 2D was projected and disturbed."""

    def spoil():
        load = sources.load_tracks

        def spoilt(config, split):
            tracks = load(config, split)
            if split != "train":
                return tracks
            noise = 1000 * torch.randn(tracks.joints_3d.shape)
            seen = torch.rand(tracks.joints_3d.shape[:2]) < 0.5
            extra = {"rotations": torch.rand(len(tracks), 3)}
            return replace(tracks, joints_3d=tracks.joints_3d + noise, visible=seen, extras=extra)

        monkeypatch.setattr("lifting.data.datamodule.load_tracks", spoilt)

    return spoil


def root_relative(joints):
    return joints - joints[:, :1]


def test_labels_with_given_cameras_are_near_the_truth(folder):
    config = data_config(folder)
    truth = sources.load_tracks(config, "train")
    tracks = PoseDataModule(config, 0).tracks("train")
    assert tracks.track_names == truth.track_names
    error = (root_relative(tracks.joints_3d) - root_relative(truth.joints_3d)).norm(dim=-1)
    seen = tracks.visible
    assert seen.float().mean() > 0.5
    assert error[seen].mean() < 25
    weight = tracks.extras[LABEL_WEIGHT]
    assert torch.equal(weight > 0, seen)
    assert not seen[~seen[:, 0]].any(), "a frame without its root has labels"
    assert tracks.source["labels_cameras"] == "given"


def test_scrambled_truth_of_the_training_split_changes_no_batch(folder, scrambled, tmp_path):
    config = replace(data_config(folder), batch_size=16, flip=True)
    before = [*PoseDataModule(config, 0).train_dataloader()]
    scrambled()
    # Another cache, so that the rigs are solved again.
    after = [*PoseDataModule(replace(config, cache=str(tmp_path)), 0).train_dataloader()]
    assert len(before) == len(after) > 1
    for a, b in zip(before, after, strict=True):
        for name in ("keypoints_2d", "confidence", "joints_3d", "visible"):
            assert torch.equal(getattr(a, name), getattr(b, name)), name
        assert torch.equal(a.camera.intrinsics, b.camera.intrinsics)
        assert a.extras.keys() == b.extras.keys() == {LABEL_WEIGHT, "mirrored"}
        assert torch.equal(a.extras[LABEL_WEIGHT], b.extras[LABEL_WEIGHT])
    # The same does change a training on the truth.
    supervised = replace(config, labels="truth")
    assert not torch.equal(
        PoseDataModule(supervised, 0).tracks("train").joints_3d,
        PoseDataModule(config, 0).tracks("train").joints_3d,
    )


def test_untold_parts_of_cameras_are_out_of_reach(folder):
    truth = sources.load_tracks(data_config(folder), "train")
    blind = without_truth(truth, "sizes")
    assert blind.joints_3d is None
    assert blind.cameras.rotation is None
    assert blind.cameras.position is None
    assert blind.cameras.intrinsics.isnan().all()
    told = without_truth(truth, "intrinsics").cameras
    assert torch.equal(told.intrinsics, truth.cameras.intrinsics)
    assert told.rotation is None


def test_cameras_of_the_labels_are_those_of_the_solution(folder):
    config = data_config(folder, cameras="intrinsics", hypotheses=16, pool_frames=12)
    tracks = PoseDataModule(config, 0).tracks("train")
    first = tracks.cameras[tracks.camera[0]]
    torch.testing.assert_close(first.rotation, torch.eye(3), atol=1e-5, rtol=0)
    assert tracks.source["labels_cameras"] == "intrinsics"
    assert "bone lengths of people" in tracks.source["labels_scale"]
    info = PoseDataModule(config, 0).info("test")
    assert info.supervision.protocol == "self-supervised without extrinsics"
    assert not info.supervision.metric


def test_test_split_keeps_its_truth_and_validation_does_on_demand(folder):
    config = data_config(folder)
    truth = {s: sources.load_tracks(config, s).joints_3d for s in ("val", "test")}
    data = PoseDataModule(config, 0)
    assert torch.equal(data.tracks("test").joints_3d, truth["test"])
    assert not torch.equal(data.tracks("val").joints_3d, truth["val"])
    assert data.info("val").supervision.facts["checkpoint_chosen_by"] == "the teacher's labels"
    chosen = replace(config, teacher=replace(config.teacher, validation="truth"))
    data = PoseDataModule(chosen, 0)
    assert torch.equal(data.tracks("val").joints_3d, truth["val"])
    assert data.info("val").supervision.facts["checkpoint_chosen_by"] == "3D truth"


def test_a_held_out_view_neither_labels_nor_trains(folder):
    config = data_config(folder)
    truth = sources.load_tracks(config, "train")
    names = sorted({view_name(n) for n in truth.track_names})
    groups = [*rigs(truth, TeacherConfig(held_out=names[1]))]
    kept = {view_name(truth.track_names[i]) for g in groups for i in g.tolist()}
    assert kept == set(names) - {names[1]}
    chosen = [*rigs(truth, TeacherConfig(views=(names[0], names[2])))]
    assert all(len(g) == 2 for g in chosen)
    with pytest.raises(ConfigError, match="unknown view 'view9'"):
        [*rigs(truth, TeacherConfig(held_out="view9"))]


def test_a_recording_with_one_view_has_no_labels(folder):
    truth = sources.load_tracks(data_config(folder), "train")
    with pytest.raises(DataError, match="no recording has two views"):
        epipolar_tracks(truth.select(torch.tensor([0])), TeacherConfig())


def test_refused_rigs_end_in_an_error_with_the_reason(folder, monkeypatch):
    config = data_config(folder)
    truth = sources.load_tracks(config, "train")
    shuffled = replace(truth, keypoints_2d=truth.keypoints_2d[torch.randperm(len(truth))])
    with pytest.raises(DataError, match=r"expected a rig .* got none of 1"):
        epipolar_tracks(shuffled, TeacherConfig(shifts=0, accept="good"))


def test_options_of_the_teacher_are_passed_on():
    assert TeacherConfig().options() == TeacherOptions()
    assert TeacherConfig(pool_frames=1, bones=0.1).options() == TeacherOptions(
        pool_frames=1, bones=0.1
    )
    with pytest.raises(ConfigError, match="pool_frames above 0"):
        TeacherConfig(pool_frames=0).options()


def test_weights_follow_their_joints_through_a_mirror():
    weights = torch.rand(2, 3, 17)
    batch = PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=torch.rand(2, 3, 17, 2),
        joints_3d=torch.rand(2, 1, 17, 3),
        visible=torch.rand(2, 1, 17) > 0.3,
        camera=Camera(intrinsics=torch.ones(2, 9), size=torch.ones(2, 2)),
        extras={LABEL_WEIGHT: weights, "mirrored": torch.zeros(2, dtype=torch.bool)},
    )
    middle = weights[:, 1:2] * batch.visible
    torch.testing.assert_close(label_weights(batch, H36M_17), middle)
    flipped = label_weights(flip_batch(batch, H36M_17), H36M_17)
    torch.testing.assert_close(flipped, middle[..., list(H36M_17.flip_index)])
    plain = replace(batch, extras={})
    assert label_weights(plain, H36M_17) is batch.visible
