import torch

from lifting.batch import (
    PoseBatch,
    collate,
    flip_batch,
    flip_per_joint,
    flip_pose,
    root_relative,
)
from lifting.geometry.camera import Camera, project
from lifting.skeleton import H36M_17


def make_batch(size: int, frames: int = 3, seed: int = 0) -> PoseBatch:
    generator = torch.Generator().manual_seed(seed)
    pose = 400 * torch.randn(size, frames, 17, 3, generator=generator)
    pose[..., 2] += 5000
    intrinsics = torch.tensor([1145.0, 1144, 512, 515, -0.2, 0.24, 0, -0.001, -0.0014])
    camera = Camera(
        intrinsics=intrinsics.expand(size, 9), size=torch.tensor([1000.0, 1002]).expand(size, 2)
    )
    return PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=project(pose, camera.intrinsics[:, None]),
        camera=camera,
        joints_3d=pose,
        visible=torch.rand(size, frames, 17, generator=generator) > 0.5,
        confidence=torch.rand(size, frames, 17, generator=generator),
        action=torch.arange(size),
    )


def test_mirroring_twice_gives_the_batch_back():
    batch = make_batch(4)
    twice = flip_batch(flip_batch(batch, H36M_17), H36M_17)
    torch.testing.assert_close(twice.keypoints_2d, batch.keypoints_2d, rtol=0, atol=1e-3)
    assert torch.equal(twice.joints_3d, batch.joints_3d)
    assert torch.equal(twice.visible, batch.visible)
    assert torch.equal(twice.confidence, batch.confidence)
    torch.testing.assert_close(twice.camera.intrinsics, batch.camera.intrinsics)


def test_mirrored_labels_project_onto_mirrored_keypoints():
    mirrored = flip_batch(make_batch(4), H36M_17)
    seen = project(mirrored.joints_3d, mirrored.camera.intrinsics[:, None])
    torch.testing.assert_close(seen, mirrored.keypoints_2d, rtol=0, atol=2e-2)


def test_mirroring_exchanges_left_and_right():
    pose = torch.arange(51.0).view(17, 3)
    mirrored = flip_pose(pose, H36M_17)
    assert torch.equal(mirrored[3], pose[6] * torch.tensor([-1.0, 1, 1]))
    assert torch.equal(flip_per_joint(pose[:, 0], H36M_17)[13], pose[16, 0])


def test_root_relative_leaves_exact_zeros_and_the_input_alone():
    pose = make_batch(2).joints_3d
    before = pose.clone()
    centred = root_relative(pose, 0)
    assert (centred[..., 0, :] == 0).all()
    assert torch.equal(pose, before)
    torch.testing.assert_close(centred[..., 5, :], before[..., 5, :] - before[..., 0, :])


def test_collate_joins_fields_and_drops_those_not_shared():
    a, b = make_batch(2), make_batch(3, seed=1)
    a.extras = {"mixture": torch.ones(2, 1)}
    b.extras = {"mixture": torch.zeros(3, 1), "other": torch.zeros(3)}
    b.confidence = None
    joined = collate([a, b])
    assert len(joined) == 5
    assert joined.confidence is None
    assert list(joined.extras) == ["mixture"]
    assert torch.equal(joined.joints_3d[2:], b.joints_3d)
    assert joined.camera.intrinsics.shape == (5, 9)
    assert joined.action.tolist() == [0, 1, 0, 1, 2]
