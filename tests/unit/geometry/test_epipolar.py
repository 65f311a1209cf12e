import pytest
import torch

from lifting.errors import DataError, ShapeError
from lifting.geometry.epipolar import (
    RelativePose,
    decompose_essential,
    eight_point,
    five_point,
    nearest_essential,
    ray_depths,
    recover_pose,
    sampson_error,
)
from lifting.geometry.hartley_sturm import correct_matches
from lifting.geometry.kinematics import bone_lengths, scale_from_bones
from lifting.geometry.rotation import (
    average_rotations,
    axis_angle_to_matrix,
    synchronise_rotations,
)
from lifting.skeleton import H36M_17


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def two_views(samples=5, points=20, flat=False):
    """Rays of points in front of both cameras, and the pose between them."""
    pose = RelativePose(
        axis_angle_to_matrix(0.4 * draw(samples, 3)),
        torch.nn.functional.normalize(draw(samples, 3, seed=1), dim=-1),
    )
    joints = draw(samples, points, 3, seed=2) * torch.tensor([1.0, 1, 0 if flat else 1])
    first = joints + torch.tensor([0.0, 0, 6])
    second = first @ pose.rotation.mT + pose.translation[:, None]
    assert (second[..., 2] > 0).all()
    return first[..., :2] / first[..., 2:], second[..., :2] / second[..., 2:], pose, first, second


def distance_up_to_sign(found, wanted):
    wanted = wanted.expand_as(found)
    both = torch.stack((found - wanted, found + wanted))
    return torch.linalg.matrix_norm(both).amin(0)


def test_eight_points_without_noise():
    first, second, pose, *_ = two_views()
    found = eight_point(first, second)
    assert distance_up_to_sign(found.matrix, pose.essential()).max() < 1e-9
    assert found.ambiguity.max() < 1e-4
    plane = two_views(flat=True)
    assert (
        eight_point(*(x + 1e-3 * draw(5, 20, 2, seed=7) for x in plane[:2])).ambiguity.min() > 0.1
    )


def test_points_without_weight_are_not_looked_at():
    first, second, pose, *_ = two_views()
    weights = torch.ones(5, 20, dtype=torch.float64)
    weights[:, 3] = 0
    second[:, 3] = torch.nan
    assert (
        distance_up_to_sign(eight_point(first, second, weights).matrix, pose.essential()).max()
        < 1e-9
    )


def test_the_true_matrix_is_among_those_of_five_points():
    first, second, pose, *_ = two_views(samples=40, points=5)
    found = five_point(first, second)
    gap = distance_up_to_sign(found.matrices, pose.essential()[:, None])
    assert (gap.amin(1) < 1e-6).all()
    matrices = found.matrices[found.valid]
    values = torch.linalg.svdvals(matrices)
    assert (values[:, 0] - values[:, 1]).abs().median() < 1e-10
    error = sampson_error(first[:, None], second[:, None], found.matrices)
    assert error[found.valid].abs().max() < 1e-9
    assert (found.matrices[~found.valid] == 0).all()


def test_five_equal_points_have_no_solution_and_harm_nobody():
    first, second, pose, *_ = two_views(samples=3, points=5)
    first[1], second[1] = first[1, :1], second[1, :1]
    found = five_point(first, second)
    assert found.matrices.isfinite().all()
    gap = distance_up_to_sign(found.matrices, pose.essential()[:, None]).amin(1)
    assert gap[0] < 1e-6
    assert gap[2] < 1e-6


def test_the_right_one_of_four_poses():
    first, second, pose, *_ = two_views()
    found = recover_pose(pose.essential(), first, second)
    torch.testing.assert_close(found.pose.rotation, pose.rotation, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.pose.translation, pose.translation, rtol=0, atol=1e-9)
    assert (found.votes.amax(-1) == 20).all()
    four = decompose_essential(pose.essential())
    assert torch.allclose(torch.linalg.det(four.rotation), torch.ones(5, 4).double())
    essential = pose.essential()[:, None]
    assert distance_up_to_sign(four.essential(), essential).max() < 1e-9


def test_depths_of_rays():
    first, second, pose, here, there = two_views()
    depths = ray_depths(first, second, pose)
    torch.testing.assert_close(depths[0], here[..., 2], rtol=1e-8, atol=0)
    torch.testing.assert_close(depths[1], there[..., 2], rtol=1e-8, atol=0)


def test_sampson_error_is_the_optimal_move_to_first_order():
    first, second, pose, *_ = two_views()
    first, second = first + 1e-4 * draw(5, 20, 2, seed=5), second + 1e-4 * draw(5, 20, 2, seed=6)
    error = sampson_error(first, second, pose.essential())
    best = correct_matches(first, second, pose.essential()).cost
    torch.testing.assert_close(error.square(), best, rtol=1e-2, atol=1e-14)
    assert error.abs().mean() > 1e-5


def test_nearest_essential_matrix():
    matrix = nearest_essential(draw(4, 3, 3))
    values = torch.linalg.svdvals(matrix)
    wanted = torch.tensor([0.5**0.5, 0.5**0.5, 0]).double().expand(4, 3)
    torch.testing.assert_close(values, wanted, rtol=0, atol=1e-7)


def test_wrong_shapes():
    first, second, *_ = two_views()
    with pytest.raises(ShapeError, match="second"):
        eight_point(first, second[:, :9])
    with pytest.raises(ShapeError, match="expected first"):
        five_point(first, second)


def test_mean_of_rotations_about_an_axis():
    axis = torch.tensor([0.0, 0.6, 0.8], dtype=torch.float64)
    around = axis_angle_to_matrix(
        torch.linspace(-0.3, 0.5, 3, dtype=torch.float64)[:, None] * axis
    )
    torch.testing.assert_close(
        average_rotations(around), axis_angle_to_matrix(0.1 * axis), rtol=0, atol=1e-9
    )
    one = average_rotations(around, torch.tensor([0.0, 0, 2]).double())
    torch.testing.assert_close(one, around[2], rtol=0, atol=1e-9)


def test_rotations_of_a_rig():
    truth = axis_angle_to_matrix(draw(5, 3))
    pairs = torch.tensor([[0, 1], [1, 2], [2, 3], [3, 4], [4, 0], [1, 3]])
    relative = truth[pairs[:, 1]] @ truth[pairs[:, 0]].mT
    found = synchronise_rotations(relative, pairs, 5)
    torch.testing.assert_close(found, truth @ truth[0].mT, rtol=0, atol=1e-9)
    noisy = axis_angle_to_matrix(0.02 * draw(6, 3, seed=3)) @ relative
    found = synchronise_rotations(noisy, pairs, 5, torch.full((6,), 3.0).double())
    off = torch.linalg.matrix_norm(found - truth @ truth[0].mT)
    chained = torch.linalg.matrix_norm(noisy[3] @ noisy[2] @ noisy[1] @ noisy[0] - found[4])
    assert off.max() < 0.1
    assert chained > 1e-3
    with pytest.raises(DataError, match="connect all 5 cameras"):
        synchronise_rotations(relative[:3], pairs[:3], 5)


def test_scale_of_bones():
    pose = draw(9, 17, 3)
    reference = 250 * bone_lengths(pose, H36M_17).median(0).values
    pose[0, 3] = torch.nan
    pose[0] = pose[0] * torch.nan
    exact = 250 * bone_lengths(pose[1:], H36M_17).nanmedian(0).values
    torch.testing.assert_close(
        scale_from_bones(pose, exact, H36M_17), torch.tensor(250.0).double()
    )
    wrong = exact.clone()
    wrong[[3, 6]] *= 5
    robust = scale_from_bones(pose, wrong, H36M_17, robust=True)
    torch.testing.assert_close(robust, torch.tensor(250.0).double())
    assert scale_from_bones(pose, wrong, H36M_17) > 300
    weights = torch.ones(17).double()
    weights[[3, 6]] = 0
    torch.testing.assert_close(
        scale_from_bones(pose, wrong, H36M_17, weights), torch.tensor(250.0).double()
    )
    assert scale_from_bones(pose, 0 * reference, H36M_17).isnan()
