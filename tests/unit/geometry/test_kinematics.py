import torch

from lifting.geometry.kinematics import (
    ancestor_matrix,
    bone_lengths,
    bone_vectors,
    from_bone_vectors,
    scale_bones,
)
from lifting.skeleton import H36M_17


def poses() -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return 300 * torch.randn(5, 17, 3, dtype=torch.float64, generator=generator)


def test_bones_by_hand():
    pose = poses()
    vectors = bone_vectors(pose, H36M_17)
    torch.testing.assert_close(vectors[:, 0], pose[:, 0])
    torch.testing.assert_close(vectors[:, 14], pose[:, 14] - pose[:, 8])
    lengths = bone_lengths(pose, H36M_17)
    assert (lengths[:, 0] == 0).all()
    torch.testing.assert_close(lengths[:, 2], (pose[:, 2] - pose[:, 1]).norm(dim=-1))


def test_poses_are_rebuilt_from_their_bones():
    pose = poses()
    torch.testing.assert_close(from_bone_vectors(bone_vectors(pose, H36M_17), H36M_17), pose)


def test_scaling_changes_lengths_and_keeps_directions_and_root():
    pose = poses()
    factors = torch.linspace(0.8, 1.2, 17, dtype=torch.float64).expand(5, 17)
    scaled = scale_bones(pose, factors, H36M_17)
    torch.testing.assert_close(scaled[:, 0], pose[:, 0])
    lengths = bone_lengths(pose, H36M_17)
    torch.testing.assert_close(bone_lengths(scaled, H36M_17), lengths * factors)
    cosine = torch.cosine_similarity(
        bone_vectors(scaled, H36M_17)[:, 1:], bone_vectors(pose, H36M_17)[:, 1:], dim=-1
    )
    torch.testing.assert_close(cosine, torch.ones_like(cosine))


def test_ancestors_of_a_wrist():
    row = ancestor_matrix(H36M_17, torch.zeros(1))[13]
    assert row.nonzero().flatten().tolist() == [0, 7, 8, 11, 12, 13]
