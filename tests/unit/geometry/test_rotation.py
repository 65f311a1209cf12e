import math

import pytest
import torch

from lifting.errors import ConfigError, ShapeError
from lifting.geometry.rotation import (
    axis_angle_to_matrix,
    cross_matrix,
    euler_to_matrix,
    look_at,
    quaternion_to_matrix,
)

F64 = torch.float64


def random_vectors(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(0))


def assert_rotation(matrix: torch.Tensor) -> None:
    eye = torch.eye(3, dtype=matrix.dtype).expand_as(matrix)
    torch.testing.assert_close(matrix @ matrix.transpose(-1, -2), eye, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        torch.linalg.det(matrix), torch.ones(matrix.shape[:-2], dtype=F64), rtol=0, atol=1e-12
    )


def test_quaternion_and_axis_angle_agree():
    vector = random_vectors(50, 3)
    angle = vector.norm(dim=-1, keepdim=True)
    quaternion = torch.cat(((angle / 2).cos(), (angle / 2).sin() * vector / angle), dim=-1)
    matrix = axis_angle_to_matrix(vector)
    assert_rotation(matrix)
    torch.testing.assert_close(quaternion_to_matrix(3 * quaternion), matrix, rtol=0, atol=1e-12)


def test_quarter_turn_about_z_takes_x_to_y():
    matrix = axis_angle_to_matrix(torch.tensor([0, 0, math.pi / 2], dtype=F64))
    x = torch.tensor([1.0, 0, 0], dtype=F64)
    torch.testing.assert_close(matrix @ x, torch.tensor([0.0, 1, 0], dtype=F64))


def test_axis_angle_is_differentiable_at_zero_and_near_it():
    for scale in (0.0, 1e-6, 1e-3, 1.0):
        vector = (scale * random_vectors(2, 3)).requires_grad_()
        assert torch.autograd.gradcheck(axis_angle_to_matrix, vector, atol=1e-6)


def test_series_joins_the_closed_form():
    vector = torch.tensor([[1.001e-4, 0, 0], [0.999e-4, 0, 0]], dtype=F64)
    exact = torch.linalg.matrix_exp(cross_matrix(vector))
    torch.testing.assert_close(axis_angle_to_matrix(vector), exact, rtol=0, atol=1e-15)


def test_euler_is_the_product_of_its_axes():
    angles = random_vectors(7, 3)
    parts = [
        axis_angle_to_matrix(angles[:, i, None] * torch.eye(3, dtype=F64)[a])
        for i, a in enumerate((2, 0, 1))
    ]
    expected = parts[0] @ parts[1] @ parts[2]
    torch.testing.assert_close(euler_to_matrix(angles, "ZXY"), expected)


def test_look_at_points_forward_and_keeps_the_horizon():
    position = torch.tensor([[3000.0, -4000, 1600], [100, 200, 3000]], dtype=F64)
    target = torch.tensor([[0.0, 0, 900], [500, -300, 900]], dtype=F64)
    rotation = look_at(position, target)
    assert_rotation(rotation)
    seen = (rotation @ (target - position)[..., None]).squeeze(-1)
    torch.testing.assert_close(seen[:, :2], torch.zeros(2, 2, dtype=F64), rtol=0, atol=1e-9)
    assert (seen[:, 2] > 0).all()
    assert (rotation[:, 0, 2].abs() < 1e-12).all()  # right is horizontal
    assert (rotation[:, 1, 2] < 0).all()  # down points to the floor


def test_roll_turns_about_the_optical_axis():
    position = torch.tensor([3000.0, 0, 1500], dtype=F64)
    target = torch.zeros(3, dtype=F64)
    plain = look_at(position, target)
    rolled = look_at(position, target, torch.tensor(0.3, dtype=F64))
    torch.testing.assert_close(rolled[2], plain[2])
    cosine = (rolled[0] * plain[0]).sum()
    torch.testing.assert_close(cosine, torch.tensor(math.cos(0.3), dtype=F64))


def test_errors():
    with pytest.raises(ShapeError, match="expected quaternion of shape"):
        quaternion_to_matrix(torch.zeros(3))
    with pytest.raises(ConfigError, match="expected axes among x, y, z, got 'q'"):
        euler_to_matrix(torch.zeros(3), "xyq")
