"""Motion filmed anew: other cuts, people, cameras and detectors, and the motion as it was."""

from dataclasses import replace

import pytest
import torch

from lifting.data.check import check_config
from lifting.data.config import DataConfig, RefilmConfig
from lifting.data.datamodule import PoseDataModule
from lifting.data.film import film
from lifting.data.refilm import (
    RefilmedBatches,
    cut_clips,
    detect_anew,
    lost_joints,
    other_limbs,
    other_people,
    refilm,
    trunk_of_detectors,
    without_lost,
)
from lifting.data.sampler import stream
from lifting.data.sources import load_motion
from lifting.errors import ConfigError
from lifting.geometry.kinematics import bone_lengths
from lifting.skeleton import H36M_17


def config_of(**options):
    refilmed = {"every": 2, "share": 0.5, "seconds": 0.5, **options}
    config = DataConfig(cameras="wild", batch_size=16, refilm=RefilmConfig(**refilmed))
    config.synthetic.train_sequences, config.synthetic.val_sequences = 6, 1
    config.synthetic.test_sequences, config.synthetic.sequence_frames = 1, 60
    return config


@pytest.fixture(scope="module")
def motion():
    return load_motion(config_of(), "train")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path_factory.getbasetemp() / "refilm"))


def tensors_of(record):
    return {k: v.clone() for k, v in vars(record).items() if isinstance(v, torch.Tensor)}


def assert_unchanged(record, before):
    for name, values in before.items():
        assert torch.equal(getattr(record, name), values), name


def test_films_differ_repeat_and_leave_the_motion_alone(motion):
    before, config = tensors_of(motion), config_of()
    first, again, second = (refilm(motion, config, None, seed=0, number=n) for n in (0, 0, 1))
    assert_unchanged(motion, before)
    assert torch.equal(first.keypoints_2d, again.keypoints_2d)
    assert torch.equal(first.confidence, again.confidence)
    assert len(first) != len(second) or not torch.equal(first.keypoints_2d, second.keypoints_2d)
    assert first.keypoints_2d.isfinite().all()
    assert ((first.confidence >= 0) & (first.confidence <= 1)).all()
    assert first.fps.unique().tolist() == [50.0]
    assert first.world == "z up"


def test_cuts_are_pieces_of_the_motion_at_another_pace_and_rate(motion):
    cut = cut_clips(motion, RefilmConfig(share=1, seconds=0.4, pace=0), None, stream(0))
    assert set(cut.offsets.diff().tolist()) == {20}
    for name, start in zip(cut.names, cut.offsets[:-1].tolist(), strict=True):
        whole = motion.names.index(name.rsplit("/", 1)[0])
        source = motion.joints_3d[motion.offsets[whole] : motion.offsets[whole + 1]]
        # between two frames a joint lies on their line
        away = (source - cut.joints_3d[start]).norm(dim=-1).mean(-1)
        assert away.min() <= 1.01 * source.diff(dim=0).norm(dim=-1).mean(-1).max()
    fast = cut_clips(motion, RefilmConfig(share=1, seconds=0.4, pace=0.5), None, stream(0))
    step = [m.joints_3d[m.offsets[0] : m.offsets[1]].diff(dim=0).norm(dim=-1).mean()
            for m in (cut, fast)]  # fmt: skip
    assert step[0] != step[1]
    slow = cut_clips(motion, RefilmConfig(share=1, seconds=0.4, pace=0), 25.0, stream(0))
    assert set(slow.offsets.diff().tolist()) == {10}
    assert slow.fps.unique().tolist() == [25.0]
    tiny = cut_clips(motion, RefilmConfig(share=0.001, seconds=10), None, stream(1))
    assert len(tiny.names) >= 1
    assert tiny.offsets[-1] <= 60 * len(tiny.names) / (1 - RefilmConfig.pace) + 1


def test_other_people_have_other_bones_on_the_same_floor(motion):
    before = tensors_of(motion)
    new = other_people(motion, 0.1, stream(0))
    assert_unchanged(motion, before)
    old_bones, bones = (bone_lengths(m.joints_3d, H36M_17)[:, 1:] for m in (motion, new))
    factor = bones / old_bones
    for clip in range(len(motion.names)):
        rows = slice(int(motion.offsets[clip]), int(motion.offsets[clip + 1]))
        assert factor[rows].std(0).max() < 1e-3
        assert new.joints_3d[rows, :, 2].min() == pytest.approx(
            motion.joints_3d[rows, :, 2].min().item(), abs=0.1
        )
    assert factor.std() > 0.05
    left, right = (torch.tensor(side) - 1 for side in (H36M_17.left, H36M_17.right))
    torch.testing.assert_close(factor[:, left], factor[:, right], rtol=1e-3, atol=1e-3)
    assert other_people(motion, 0.0, stream(0)) is motion
    partly = replace(motion, visible=torch.ones(motion.joints_3d.shape[:2], dtype=torch.bool))
    assert other_people(partly, 0.1, stream(0)) is partly


def test_limbs_move_as_those_of_other_clips_and_keep_their_lengths(motion):
    before = tensors_of(motion)
    new = other_limbs(motion, 1.0, stream(0))
    assert_unchanged(motion, before)
    torch.testing.assert_close(
        bone_lengths(new.joints_3d, H36M_17), bone_lengths(motion.joints_3d, H36M_17),
        rtol=1e-3, atol=0.1,
    )  # fmt: skip
    hip = H36M_17.root
    old_pose, pose = (m.joints_3d - m.joints_3d[:, hip : hip + 1] for m in (motion, new))
    moved = (pose - old_pose).norm(dim=-1).mean(0) > 1
    names = {H36M_17.joints[i] for i in moved.nonzero()[:, 0].tolist()}
    ends = ("knee", "ankle", "elbow", "wrist")
    assert names == {f"{side}_{joint}" for side in ("left", "right") for joint in ends}
    for clip in range(len(motion.names)):
        rows = slice(int(motion.offsets[clip]), int(motion.offsets[clip + 1]))
        # as smooth as before, and on the same floor
        assert new.joints_3d[rows].diff(dim=0).norm(dim=-1).max() < 400
        assert new.joints_3d[rows, :, 2].min() == pytest.approx(
            motion.joints_3d[rows, :, 2].min().item(), abs=0.1
        )
    assert other_limbs(motion, 0.0, stream(0)) is motion
    # a clip with itself for a partner stays as it is
    alone = cut_clips(motion, RefilmConfig(share=0.001, seconds=10), None, stream(1))
    alone = replace(
        alone, joints_3d=alone.joints_3d[: alone.offsets[1]], offsets=alone.offsets[:2],
        names=alone.names[:1],
        **{k: getattr(alone, k)[:1] for k in ("subject", "action", "fps")},
    )  # fmt: skip
    torch.testing.assert_close(
        other_limbs(alone, 1.0, stream(0)).joints_3d, alone.joints_3d, rtol=0, atol=0.1
    )


def test_detectors_see_every_joint_near_its_place_and_leave_the_tracks_alone(motion):
    tracks = film(motion, rig="wild", noise="none", seed=0)
    before = tensors_of(tracks)
    plain = RefilmConfig(noise=("none",), other_joints=0, lost=0)
    exact = detect_anew(tracks, plain, stream(0))
    assert_unchanged(tracks, before)
    assert torch.equal(exact.keypoints_2d, tracks.keypoints_2d)
    found = detect_anew(tracks, replace(plain, noise=("light", "coarse")), stream(0))
    assert_unchanged(tracks, before)
    away = (found.keypoints_2d - tracks.keypoints_2d).norm(dim=-1)
    # a fault once moved the left hip alone
    per_joint = away.median(0).values
    assert (per_joint > 0).all()
    assert per_joint.max() < 4 * per_joint.median()
    wide = detect_anew(tracks, replace(plain, other_joints=1), stream(0))
    assert_unchanged(tracks, before)
    moved = (wide.keypoints_2d - tracks.keypoints_2d).norm(dim=-1).mean(0) > 0
    names = {H36M_17.joints[i] for i in moved.nonzero()[:, 0].tolist()}
    assert names == {
        "hip", "spine", "thorax", "left_hip", "right_hip", "left_shoulder", "right_shoulder",
    }  # fmt: skip


def test_the_trunk_of_a_detector_is_put_together(motion):
    tracks = film(motion, rig="wild", noise="none", seed=0)
    track = torch.zeros(len(tracks), dtype=torch.int64)
    made = trunk_of_detectors(tracks.keypoints_2d, H36M_17, track, 1, stream(3))
    hip, spine, thorax, left, right = (
        made[:, H36M_17.index(n)] for n in ("hip", "spine", "thorax", "left_hip", "right_hip")
    )
    torch.testing.assert_close(hip, (left + right) / 2)
    torch.testing.assert_close(spine, (hip + thorax) / 2)


def test_lost_joints_are_where_nothing_is_told():
    points = 100 * torch.rand(400, 17, 2, generator=stream(0))
    track = torch.arange(400) // 4
    lost = lost_joints(points, track, 100, 0.5, stream(1))
    hit = lost.view(100, -1).any(1).float().mean()
    assert 0.3 < hit < 0.6
    assert ((~lost).sum(1) >= 5).all()
    assert not lost_joints(points, track, 100, 0.0, stream(1)).any()
    confidence = torch.where(lost, 0.0, 0.9)
    placed = without_lost(points, confidence)
    assert torch.equal(placed[~lost], points[~lost])
    middle = torch.stack([p[c > 0].mean(0) for p, c in zip(points, confidence, strict=True)])
    torch.testing.assert_close(placed[lost], middle.repeat_interleave(lost.sum(1), 0))


def test_training_batches_follow_the_epochs_and_the_rest_stays(motion):
    module = PoseDataModule(config_of(), seed=0)
    loader, once = module.train_dataloader(), PoseDataModule(config_of(every=0), seed=0)
    assert isinstance(loader.dataset, RefilmedBatches)
    assert len(loader.dataset) == len(once.train_dataloader().dataset)
    epochs = []
    for epoch in (0, 1, 2, 0):
        loader.sampler.set_epoch(epoch)
        epochs.append((next(iter(loader)), loader.dataset.number))
    assert [number for _, number in epochs] == [0, 0, 1, 0]
    first, last = epochs[0][0], epochs[3][0]
    assert torch.equal(first.keypoints_2d, last.keypoints_2d)
    assert first.joints_3d.isfinite().all()
    for split in ("val", "test"):
        a, b = module.tracks(split), once.tracks(split)
        assert torch.equal(a.keypoints_2d, b.keypoints_2d)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": "epipolar"}, "data.labels=truth where motion is filmed anew, got epipolar"),
        ({"views": "together"}, "data.views=apart"),
        ({"train_recordings": 3}, "data.train_recordings=0"),
        ({"refilm": RefilmConfig(every=1, share=0)}, r"data.refilm.share from 0.001 to 1, got 0"),
        ({"refilm": RefilmConfig(every=1, noise=())}, "levels of noise in data.refilm.noise"),
    ],
)
def test_what_does_not_go_together_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        check_config(replace(config_of(), **change))


def test_motion_is_needed_in_the_joints_of_the_batches(motion):
    config = config_of()
    config.name = "keypoint_rig"
    with pytest.raises(ConfigError, match=r"motion without cameras and extras for data\.refilm"):
        load_motion(config, "train")
    module = PoseDataModule(replace(config_of(), skeleton="mpi17"), seed=0)
    with pytest.raises(ConfigError, match=r"joints of mpi17 for data\.refilm, got h36m17"):
        module.train_dataloader()
