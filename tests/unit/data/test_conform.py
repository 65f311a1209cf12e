"""Tracks in other joints and at other rates, and answers back at the input's frames."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lifting.batch import LABEL_WEIGHT
from lifting.data.config import DataConfig
from lifting.data.conform import at_input_frames, to_rate, to_skeleton
from lifting.data.datamodule import PoseDataModule
from lifting.data.sequence import PoseTracks
from lifting.errors import ConfigError, DataError
from lifting.geometry.camera import Camera, project
from lifting.skeleton import (
    COCO_17,
    H36M_17,
    HUMANEVA_15,
    MPI_INF_3DHP_17,
    SMPL_24,
    Skeleton,
)
from lifting.skeleton.convert import remap_joints


def moving(skeleton: Skeleton, fps: float, seconds: float = 4.0, tracks: int = 2) -> PoseTracks:
    """People whose joints swing at up to 2 Hz, sampled at a rate."""
    generator = torch.Generator().manual_seed(3)
    joints = len(skeleton)
    frames = round(seconds * fps) + 1
    time = torch.arange(frames, dtype=torch.float64) / fps
    pieces = []
    for _ in range(tracks):
        rest = 250 * torch.randn(joints, 3, generator=generator).double()
        swing = 60 * torch.randn(3, joints, 3, generator=generator).double()
        phase = torch.rand(3, joints, 3, generator=generator).double() * 6.28
        pose = rest + sum(
            swing[i] * torch.sin(6.2832 * (0.5 + 0.7 * i) * time[:, None, None] + phase[i])
            for i in range(3)
        )
        pieces.append(pose + torch.tensor([0.0, 0.0, 4000.0]))
    labels = torch.cat(pieces).float()
    lens = torch.tensor([[1100.0, 1100, 500, 500, 0, 0, 0, 0, 0]])
    return PoseTracks(
        skeleton=skeleton,
        joints_3d=labels,
        keypoints_2d=project(labels, lens),
        confidence=torch.ones(labels.shape[:2]),
        offsets=torch.arange(tracks + 1) * frames,
        cameras=Camera(intrinsics=lens, size=torch.tensor([[1000.0, 1000]])),
        camera=torch.zeros(tracks, dtype=torch.int64),
        recording=torch.arange(tracks),
        subject=torch.zeros(tracks, dtype=torch.int64),
        action=torch.zeros(tracks, dtype=torch.int64),
        track_names=tuple(f"track {i}" for i in range(tracks)),
        subject_names=("S1",),
        action_names=("swing",),
        fps=torch.tensor(fps),
        source={"dataset": "swinging people"},
        extras={},
    )


@pytest.mark.parametrize("fps", [12.5, 25.0, 60.0, 100.0, 29.97])
def test_other_rates_become_the_methods_and_answers_return(fps):
    truth, given = moving(H36M_17, 50.0), moving(H36M_17, fps)
    found = to_rate(given, 50.0)
    assert found.fps.tolist() == [50.0, 50.0]
    assert found.source["frames_resampled"] == f"from {fps:g} to 50 a second"
    for track in range(2):
        ours = found.joints_3d[found.offsets[track] : found.offsets[track + 1]]
        theirs = truth.joints_3d[truth.offsets[track] : truth.offsets[track + 1]]
        shared = min(len(ours), len(theirs)) - 4
        away = (ours[2:shared] - theirs[2:shared]).norm(dim=-1)
        assert float(away.mean()) < (6.0 if fps < 20 else 0.5)
        assert float((ours[:shared:4] - theirs[:shared:4]).norm(dim=-1).max()) < 1.0

    answers = {"joints_3d": found.joints_3d[:, None], "frame": torch.arange(len(found))}
    back = at_input_frames({**answers, "track": torch.zeros(len(found))}, found)
    assert back["track"].tolist() == [0] * len(given.joints_3d[: given.offsets[1]]) + [1] * int(
        given.offsets[1]
    )
    assert back["frame"][:3].tolist() == [0, 1, 2]
    away = (back["joints_3d"][:, 0] - given.joints_3d).norm(dim=-1)
    assert float(away.mean()) < 0.5
    third = at_input_frames({**answers, "track": torch.zeros(len(found))}, found, every=3)
    torch.testing.assert_close(third["joints_3d"][1], back["joints_3d"][3])


def test_the_same_rate_is_left_alone_to_the_bit():
    given = moving(H36M_17, 50.0)
    found = to_rate(given, 50.0)
    assert found.keypoints_2d is given.keypoints_2d
    assert found.read_fps is None
    columns = {"joints_3d": given.joints_3d}
    assert at_input_frames(columns, given) is columns


def test_tracks_of_two_rates_keep_their_own_until_a_method_asks():
    slow, fast = moving(H36M_17, 25.0, tracks=1), moving(H36M_17, 50.0, tracks=1)
    both = replace(
        slow,
        **{
            name: torch.cat((getattr(slow, name), getattr(fast, name)))
            for name in ("keypoints_2d", "confidence", "joints_3d", "camera", "subject", "action")
        },
        offsets=torch.tensor([0, len(slow), len(slow) + len(fast)]),
        recording=torch.tensor([0, 1]),
        track_names=("slow", "fast"),
        fps=torch.tensor([25.0, 50.0]),
    )
    single = PoseDataModule(DataConfig(), 0, {"train": both, "val": both, "test": both})
    assert single.tracks("train").fps.tolist() == [25.0, 50.0]
    windows = PoseDataModule(DataConfig(frames=9), 0, {"train": both, "val": both, "test": both})
    found = windows.tracks("train")
    assert windows.fps == 50.0
    assert found.fps.tolist() == [50.0, 50.0]
    torch.testing.assert_close(found.joints_3d[found.offsets[1] :], fast.joints_3d)
    torch.testing.assert_close(found.joints_3d[: found.offsets[1] : 2], slow.joints_3d)


def test_gaps_stay_gaps():
    given = moving(H36M_17, 25.0, tracks=1)
    given.confidence[10:15, 3] = 0
    given.keypoints_2d[10:15, 3] = 1e6
    given.visible = torch.ones(given.confidence.shape, dtype=torch.bool)
    given.visible[20:22, 5] = False
    given.joints_3d[20:22, 5] = torch.nan
    found = to_rate(given, 50.0)
    lost = found.confidence[:, 3] == 0
    assert lost[19:30].all()
    assert not lost[:19].any()
    assert not lost[31:].any()
    assert float(found.keypoints_2d[~lost][:, 3].abs().max()) < 1e4
    hidden = ~found.visible[:, 5]
    assert hidden[39:44].all()
    assert not hidden[:39].any()
    assert bool(found.joints_3d.isfinite().all())


def test_an_unknown_rate_is_taken_as_the_methods_own_and_said(caplog):
    given = replace(moving(H36M_17, 50.0), fps=torch.tensor(torch.nan))
    found = to_rate(given, 50.0)
    assert "not known, taken as the method's own, 50 a second" in found.source["frame_rate"]
    assert "swinging people" in caplog.text
    assert found.keypoints_2d is given.keypoints_2d


def test_pictures_are_not_interpolated():
    given = moving(H36M_17, 25.0, seconds=0.2, tracks=1)
    given.image = torch.zeros(len(given), 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(DataError, match=r"expected pictures at 50 frames a second .* data\.fps"):
        to_rate(given, 50.0)


def test_renamed_joints_are_the_same_joints():
    given = moving(MPI_INF_3DHP_17, 50.0)
    given.extras = {
        LABEL_WEIGHT: torch.rand(len(given), 17),
        "mixtures": torch.rand(len(given), 17, 2, 5),
        "place": torch.rand(len(given), 3),
    }
    found = to_skeleton(given, H36M_17)
    knee, theirs = H36M_17.index("right_knee"), MPI_INF_3DHP_17.index("right_knee")
    assert torch.equal(found.joints_3d[:, knee], given.joints_3d[:, theirs])
    assert torch.equal(found.keypoints_2d[:, 0], given.keypoints_2d[:, 14])
    for name in (LABEL_WEIGHT, "mixtures"):
        assert torch.equal(found.extras[name][:, knee], given.extras[name][:, theirs])
    assert torch.equal(found.extras["place"], given.extras["place"])
    assert found.visible is None
    assert found.source["joints_converted"] == "mpi17 to h36m17"
    assert "approximate_joints" not in found.source
    back = to_skeleton(found, MPI_INF_3DHP_17)
    assert torch.equal(back.joints_3d, given.joints_3d)


def test_what_a_conversion_approximates_is_masked_and_named(caplog):
    given = moving(HUMANEVA_15, 60.0)
    found = to_skeleton(given, H36M_17)
    masked = [j for j, seen in zip(H36M_17.joints, found.visible[0], strict=True) if not seen]
    assert masked == ["spine", "neck"]
    assert found.source["approximate_joints"] == "spine, neck (masked)"
    assert "approximate: spine, neck (masked)" in caplog.text
    scored = to_skeleton(given, H36M_17, scored={"neck"})
    assert bool(scored.visible[:, H36M_17.index("neck")].all())
    assert scored.source["approximate_joints"] == "spine (masked); neck (scored by the protocol)"


def test_labels_without_a_hip_are_converted_before_a_root_is_taken():
    given = moving(COCO_17, 50.0)
    given.joints_3d[3, COCO_17.index("left_hip")] = torch.nan
    given.visible = given.joints_3d.isfinite().all(-1)
    splits = {"train": given, "val": given, "test": given}
    data = PoseDataModule(DataConfig(), 0, splits)
    assert data.skeleton == H36M_17
    found = data.tracks("train")
    hips = [COCO_17.index("left_hip"), COCO_17.index("right_hip")]
    torch.testing.assert_close(found.joints_3d[5, 0], given.joints_3d[5, hips].mean(0))
    assert bool(found.visible[5, 0])
    assert not bool(found.visible[3, 0])
    assert bool(found.joints_3d.isfinite().all())
    wanted, _ = remap_joints(given.keypoints_2d, COCO_17, H36M_17)
    torch.testing.assert_close(found.keypoints_2d, wanted)


def test_joints_that_no_recipe_reaches_are_refused():
    with pytest.raises(ConfigError, match="expected a known conversion of joints, got smpl24"):
        to_skeleton(moving(SMPL_24, 50.0), H36M_17)
    odd = moving(COCO_17, 50.0)
    odd.extras = {"mixtures": torch.rand(len(odd), 17, 2, 5)}
    with pytest.raises(ConfigError, match="expected extras that can be converted"):
        to_skeleton(odd, H36M_17)


def test_a_data_section_asks_for_joints():
    given = moving(MPI_INF_3DHP_17, 50.0)
    splits = {"train": given, "val": given, "test": given}
    assert PoseDataModule(DataConfig(), 0, splits).skeleton == MPI_INF_3DHP_17
    wished = PoseDataModule(DataConfig(skeleton="h36m17"), 0, splits)
    assert wished.tracks("test").skeleton == H36M_17
    told = PoseDataModule(DataConfig(), 0, splits, skeleton=H36M_17)
    assert next(iter(told.test_dataloader())).skeleton == H36M_17
