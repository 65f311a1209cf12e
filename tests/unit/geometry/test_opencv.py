"""Two views beside a well-kept library, where it is installed."""

import numpy as np
import pytest
import torch

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
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.geometry.triangulation import fundamental_from_projections, triangulate_dlt

cv2 = pytest.importorskip("cv2", reason="compares with OpenCV: pip install opencv-python-headless")

K = torch.tensor([[1145.0, 0, 512], [0, 1140, 515], [0, 0, 1]], dtype=torch.float64)
UNIT = np.eye(3)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scene(noise=0.0, points=40, seed=0):
    """Pixels in two views, the cameras' projections, and the pose between them."""
    turn = axis_angle_to_matrix(torch.tensor([0.1, -0.9, 0.2], dtype=torch.float64))
    pose = RelativePose(turn, torch.tensor([4000.0, 200.0, 2500.0], dtype=torch.float64))
    joints = 500 * draw(points, 3, seed=seed) + torch.tensor([0.0, 0.0, 5000.0])
    p = torch.stack((torch.eye(3, 4).double(), torch.cat((turn, pose.translation[:, None]), 1)))
    p = K @ p
    seen = joints @ p[:, :, :3].mT + p[:, None, :, 3]
    assert (seen[..., 2] > 0).all()
    return seen[..., :2] / seen[..., 2:] + noise * draw(2, points, 2, seed=seed + 50), p, pose


def rays(pixels):
    return (pixels - K[:2, 2]) / K.diagonal()[:2]


def apart(found, wanted):
    """Distance of matrices that have no sign and no scale."""
    found, wanted = (m / torch.linalg.matrix_norm(m)[..., None, None] for m in (found, wanted))
    return torch.linalg.matrix_norm(torch.stack((found - wanted, found + wanted))).amin(0)


def degrees(rotation, wanted):
    return torch.rad2deg(torch.arccos((((rotation * wanted).sum() - 1) / 2).clamp(-1, 1)))


def test_triangulated_points():
    pixels, p, _ = scene(noise=4.0)
    wanted = torch.from_numpy(cv2.triangulatePoints(*p.numpy(), *(x.T.numpy() for x in pixels)))
    found = triangulate_dlt(pixels, p, normalise=False).points
    torch.testing.assert_close(found, (wanted[:3] / wanted[3]).T, rtol=1e-7, atol=1e-6)


def test_corrected_pairs():
    pixels, p, _ = scene(noise=8.0, points=200)
    matrix = fundamental_from_projections(*p)
    wanted = cv2.correctMatches(matrix.numpy(), *(x[None].numpy() for x in pixels))
    found = correct_matches(*pixels, matrix)
    cost = torch.zeros_like(found.cost)
    for ours, theirs, seen in zip(found[:2], wanted, pixels, strict=True):
        points = torch.from_numpy(theirs[0])
        torch.testing.assert_close(ours, points, rtol=0, atol=5e-3)
        cost += (points - seen).square().sum(-1)
    # Its roots are less exact than ours.
    assert (found.cost <= cost + 1e-9).all()
    torch.testing.assert_close(found.cost, cost, rtol=0, atol=1e-4)
    assert cost.max() > 10


def test_eight_points():
    pixels, *_ = scene(noise=2.0)
    wanted = cv2.findFundamentalMat(*(x.numpy() for x in pixels), cv2.FM_8POINT)[0]
    assert apart(eight_point(*pixels).matrix, torch.from_numpy(wanted)) < 1e-6


def test_five_points():
    pixels, _, pose = scene(points=5)
    a, b = rays(pixels)
    matrices = cv2.findEssentialMat(a.numpy(), b.numpy(), UNIT, cv2.RANSAC, 0.999, 1e-3)[0]
    wanted = torch.from_numpy(matrices).unflatten(0, (-1, 3))
    found = five_point(a, b)
    for matrix in wanted:
        assert apart(found.matrices[found.valid], matrix).min() < 1e-6
    assert apart(found.matrices[found.valid], pose.essential()).min() < 1e-6


def test_the_four_poses_and_the_right_one():
    pixels, _, pose = scene(noise=1.0)
    a, b = rays(pixels)
    essential = nearest_essential(eight_point(a, b).matrix)
    one, other, along = (torch.from_numpy(x) for x in cv2.decomposeEssentialMat(essential.numpy()))
    four = decompose_essential(essential)
    for rotation in (one, other):
        assert (four.rotation - rotation).abs().amax((-2, -1)).min() < 1e-9
    assert (four.translation - along[:, 0]).abs().amax(-1).min() < 1e-9
    votes, rotation, translation, _ = cv2.recoverPose(
        essential.numpy(), a.numpy(), b.numpy(), UNIT
    )
    found = recover_pose(essential, a, b)
    assert found.votes.max() == votes == len(a)
    torch.testing.assert_close(found.pose.rotation, torch.from_numpy(rotation))
    torch.testing.assert_close(found.pose.translation, torch.from_numpy(translation[:, 0]))
    assert all((depth > 0).all() for depth in ray_depths(a, b, found.pose))
    assert degrees(found.pose.rotation, pose.rotation) < 5


def test_sampson_distances():
    pixels, p, _ = scene(noise=3.0, points=10)
    matrix = fundamental_from_projections(*p)
    one = torch.ones(10, 1, dtype=torch.float64)
    a, b = (torch.cat((x, one), dim=1).numpy() for x in pixels)
    wanted = [cv2.sampsonDistance(x, y, matrix.numpy()) for x, y in zip(a, b, strict=True)]
    found = sampson_error(*pixels, matrix).square()
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64))
