"""Mirroring and bone lengths: involutions, and agreement with the camera."""

from dataclasses import replace

import pytest
import torch

from lifting.batch import PoseBatch
from lifting.data.augment import (
    MIRRORED,
    jitter_bones,
    mirror_samples,
    random_angles,
    random_bone_factors,
    random_half,
    turn_poses,
)
from lifting.errors import DataError
from lifting.geometry.camera import Camera, project
from lifting.geometry.kinematics import bone_lengths, bone_vectors
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.skeleton import H36M_17

INTRINSICS = torch.tensor(
    [
        [1145.0, 1143.0, 512.0, 515.0, -0.21, 0.25, -0.002, 0.0015, -0.001],
        [1149.0, 1147.0, 508.0, 500.0, -0.19, 0.22, -0.006, -0.0012, 0.002],
    ]
)


def make_batch(size=6, frames=3, noise=4.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(5)
    joints = torch.randn(size, frames, 17, 3, generator=generator, dtype=dtype) * 300
    joints[..., 2] += 4500
    camera = Camera(
        intrinsics=INTRINSICS.to(dtype)[torch.arange(size) % 2],
        size=torch.tensor([1000.0, 1002.0], dtype=dtype).expand(size, 2).clone(),
        rotation=torch.eye(3, dtype=dtype).expand(size, 3, 3).clone(),
        position=torch.zeros(size, 3, dtype=dtype),
    )
    shift = torch.randn(size, frames, 17, 2, generator=generator, dtype=dtype) * noise
    return PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=project(joints, camera.intrinsics[:, None]) + shift,
        confidence=torch.rand(size, frames, 17, generator=generator, dtype=dtype),
        joints_3d=joints,
        visible=torch.rand(size, frames, 17, generator=generator) < 0.9,
        camera=camera,
    )


def mirrored(batch, chosen):
    copy = replace(
        batch,
        keypoints_2d=batch.keypoints_2d.clone(),
        confidence=batch.confidence.clone(),
        joints_3d=batch.joints_3d.clone(),
        visible=batch.visible.clone(),
        camera=batch.camera[torch.arange(len(batch))],
    )
    mirror_samples(copy, torch.tensor(chosen), H36M_17)
    return copy


def test_mirroring_twice_gives_the_batch_back():
    batch = make_batch()
    again = mirrored(mirrored(batch, [1, 4]), [1, 4])
    torch.testing.assert_close(again.keypoints_2d, batch.keypoints_2d, rtol=0, atol=1e-9)
    torch.testing.assert_close(again.camera.intrinsics, batch.camera.intrinsics, rtol=0, atol=1e-9)
    assert torch.equal(again.joints_3d, batch.joints_3d)
    assert torch.equal(again.confidence, batch.confidence)
    assert torch.equal(again.visible, batch.visible)


def test_mirroring_agrees_with_the_distorting_camera():
    batch = make_batch(noise=0.0)
    result = mirrored(batch, [0, 1, 5])
    seen = project(result.joints_3d, result.camera.intrinsics[:, None])
    torch.testing.assert_close(seen, result.keypoints_2d, rtol=0, atol=1e-8)
    assert (result.keypoints_2d - batch.keypoints_2d)[[0, 1, 5]].abs().max() > 10


def test_only_the_chosen_samples_change():
    batch = make_batch()
    result = mirrored(batch, [2])
    rest = [0, 1, 3, 4, 5]
    for name in ("keypoints_2d", "joints_3d", "confidence", "visible"):
        assert torch.equal(getattr(result, name)[rest], getattr(batch, name)[rest])
    assert torch.equal(result.camera.intrinsics[rest], batch.camera.intrinsics[rest])


def test_mirroring_exchanges_left_and_right():
    batch = make_batch()
    result = mirrored(batch, [3])
    left, right = H36M_17.index("left_wrist"), H36M_17.index("right_wrist")
    expected = batch.joints_3d[3, :, right] * torch.tensor([-1.0, 1.0, 1.0])
    assert torch.equal(result.joints_3d[3, :, left], expected)
    assert torch.equal(result.confidence[3, :, left], batch.confidence[3, :, right])
    assert torch.equal(result.visible[3, :, left], batch.visible[3, :, right])


def test_mirroring_drops_extrinsics_and_marks_extras():
    batch = make_batch()
    batch.extras = {"mixtures": torch.zeros(6, 3, 17, 5)}
    result = mirrored(batch, [0, 5])
    assert result.camera.rotation is None
    assert result.camera.position is None
    assert result.extras[MIRRORED].tolist() == [True, False, False, False, False, True]
    assert result.extras["mixtures"] is batch.extras["mixtures"]


def test_half_of_the_samples_are_chosen():
    chosen = random_half(4000, torch.Generator().manual_seed(0))
    assert chosen.shape == (4000,)
    assert 1850 < chosen.sum() < 2150


def test_bone_factors_are_symmetric_and_limited():
    generator = torch.Generator().manual_seed(1)
    factors = random_bone_factors(2000, 0.05, H36M_17, generator)
    assert torch.equal(factors[:, list(H36M_17.left)], factors[:, list(H36M_17.right)])
    assert factors.std().item() == pytest.approx(0.05, rel=0.05)
    wild = random_bone_factors(2000, 0.3, H36M_17, generator)
    assert wild.min() >= 0.5
    assert wild.max() <= 1.5


def test_new_bones_keep_directions_and_root():
    batch = replace(make_batch(), visible=None)
    factors = random_bone_factors(6, 0.1, H36M_17, torch.Generator().manual_seed(2))
    result = jitter_bones(batch, factors, H36M_17)
    before, after = (bone_vectors(b.joints_3d, H36M_17)[..., 1:, :] for b in (batch, result))
    unit = torch.nn.functional.normalize
    torch.testing.assert_close(unit(after, dim=-1), unit(before, dim=-1), rtol=0, atol=1e-9)
    ratio = bone_lengths(result.joints_3d, H36M_17)[..., 1:] / before.norm(dim=-1)
    expected = factors[:, None, 1:].double().expand_as(ratio)
    torch.testing.assert_close(ratio, expected, rtol=0, atol=1e-9)
    assert torch.equal(result.joints_3d[..., 0, :], batch.joints_3d[..., 0, :])


def test_new_bones_are_projected_with_the_old_noise():
    batch = replace(make_batch(), visible=None)
    factors = random_bone_factors(6, 0.1, H36M_17, torch.Generator().manual_seed(2))
    result = jitter_bones(batch, factors, H36M_17)
    camera = batch.camera.intrinsics[:, None]
    before = batch.keypoints_2d - project(batch.joints_3d, camera)
    after = result.keypoints_2d - project(result.joints_3d, camera)
    torch.testing.assert_close(after, before, rtol=0, atol=1e-8)
    assert (result.keypoints_2d - batch.keypoints_2d).abs().max() > 1


def test_samples_with_invalid_joints_keep_their_bones():
    batch = make_batch()
    batch.visible[:] = True
    batch.visible[4, 1, 7] = False
    batch.joints_3d[4, 1, 7] = 0
    factors = random_bone_factors(6, 0.1, H36M_17, torch.Generator().manual_seed(2))
    result = jitter_bones(batch, factors, H36M_17)
    assert torch.equal(result.joints_3d[4], batch.joints_3d[4])
    assert torch.equal(result.keypoints_2d[4], batch.keypoints_2d[4])
    assert not torch.equal(result.joints_3d[3], batch.joints_3d[3])
    assert torch.isfinite(result.keypoints_2d).all()


@pytest.mark.parametrize("labels", ["none", "middle"])
def test_new_bones_need_labels_of_every_frame(labels):
    batch = make_batch()
    batch.joints_3d = None if labels == "none" else batch.joints_3d[:, 1:2]
    with pytest.raises(
        DataError, match=r"labels of every frame of a window for data\.bone_jitter.*set it to 0"
    ):
        jitter_bones(batch, torch.ones(6, 17), H36M_17)


def test_turned_people_keep_their_bones_their_place_and_their_noise():
    batch = replace(make_batch(), visible=None)
    angles = random_angles(6, 90.0, torch.Generator().manual_seed(2)).double()
    turns = axis_angle_to_matrix(angles[:, None] * torch.tensor([0.0, 1.0, 0.0]))
    result = turn_poses(batch, turns, H36M_17)
    before, after = (bone_vectors(b.joints_3d, H36M_17)[..., 1:, :] for b in (batch, result))
    torch.testing.assert_close(after.norm(dim=-1), before.norm(dim=-1), rtol=0, atol=1e-9)
    torch.testing.assert_close(after[..., 1], before[..., 1], rtol=0, atol=1e-9)  # the vertical
    angles = angles[:, None, None]
    turned = before[..., 0] * angles.cos() + before[..., 2] * angles.sin()
    torch.testing.assert_close(after[..., 0], turned, rtol=0, atol=1e-9)
    assert angles.abs().max() > 0.3
    root = slice(0, 1)
    torch.testing.assert_close(
        result.joints_3d[..., root, :], batch.joints_3d[..., root, :], rtol=0, atol=1e-9
    )
    camera = batch.camera.intrinsics[:, None]
    noise = (b.keypoints_2d - project(b.joints_3d, camera) for b in (batch, result))
    torch.testing.assert_close(*noise, rtol=0, atol=1e-8)


def test_turns_reach_as_far_as_asked_for_on_both_sides():
    angles = torch.rad2deg(random_angles(10_000, 40.0, torch.Generator().manual_seed(0)))
    assert 39 < angles.max() <= 40
    assert -40 <= angles.min() < -39
    assert angles.mean().abs() < 1
    assert abs(angles.std() - 40 / 3**0.5) < 0.5


def test_turning_needs_labels_of_every_frame():
    batch = replace(make_batch(), joints_3d=None)
    with pytest.raises(DataError, match=r"every frame of a window for data\.turn, got none"):
        turn_poses(batch, torch.eye(3).repeat(6, 1, 1), H36M_17)
