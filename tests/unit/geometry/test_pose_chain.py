import pytest
import torch

from lifting.errors import ConfigError, ShapeError
from lifting.geometry.kinematics import pose_chain
from lifting.geometry.rotation import (
    axis_angle_to_matrix,
    axis_angle_to_quaternion,
    quaternion_to_matrix,
)

PARENTS = (2, 2, -1, 0, 3)  # a child may stand before its parent


def test_a_chain_equals_steps_from_the_root():
    generator = torch.Generator().manual_seed(0)
    rest = torch.randn(3, 5, 3, generator=generator).double()
    turns = axis_angle_to_matrix(torch.randn(3, 5, 3, generator=generator).double())
    got = pose_chain(turns, rest, PARENTS)
    root = rest[:, 2]
    first = turns[:, 2]
    third = first @ turns[:, 0]
    zero = root + (first @ (rest[:, 0] - root)[..., None])[..., 0]
    three = zero + (third @ (rest[:, 3] - rest[:, 0])[..., None])[..., 0]
    torch.testing.assert_close(got.joints[:, 2], root)
    torch.testing.assert_close(got.joints[:, 0], zero)
    torch.testing.assert_close(got.joints[:, 3], three)
    torch.testing.assert_close(got.rotations[:, 4], third @ turns[:, 3] @ turns[:, 4])


def test_one_rest_pose_serves_many_frames():
    rest, turns = torch.randn(5, 3), torch.eye(3).expand(4, 7, 5, 3, 3)
    got = pose_chain(turns, rest, PARENTS)
    torch.testing.assert_close(got.joints, rest.expand(4, 7, 5, 3))


@pytest.mark.parametrize("parents", [(-1, -1, 0), (1, 0, -1), (0, 1, 2), (-1, 5, 0)])
def test_what_is_no_tree_is_refused(parents):
    with pytest.raises(ConfigError, match="one tree"):
        pose_chain(torch.eye(3).expand(3, 3, 3), torch.zeros(3, 3), parents)


def test_the_number_of_joints_must_agree():
    with pytest.raises(ShapeError, match="rest_joints"):
        pose_chain(torch.eye(3).expand(5, 3, 3), torch.zeros(4, 3), PARENTS)


def test_quaternions_of_rotation_vectors():
    generator = torch.Generator().manual_seed(1)
    vectors = 3 * torch.randn(50, 3, generator=generator).double()
    vectors[:3] = torch.tensor([[0, 0, 0], [1e-6, 0, 0], [0, 1e-4, 1e-4]])
    quaternions = axis_angle_to_quaternion(vectors)
    torch.testing.assert_close(quaternions.norm(dim=-1), torch.ones(50, dtype=torch.float64))
    torch.testing.assert_close(quaternion_to_matrix(quaternions), axis_angle_to_matrix(vectors))
    assert torch.autograd.gradcheck(axis_angle_to_quaternion, vectors[:5].requires_grad_())
