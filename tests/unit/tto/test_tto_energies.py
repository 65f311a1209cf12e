import math

import pytest
import torch

from lifting.skeleton import H36M_17
from lifting.tto.objective import (
    anchor_energy,
    bone_energy,
    projection_energy,
    symmetry_energy,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_projection_is_the_mean_distance_of_the_weighted_joints():
    residual = torch.zeros(2, 1, 4, 2)
    residual[:, 0, 1] = torch.tensor([3.0, 4.0])
    assert projection_energy(residual, torch.ones(2, 1, 4)).tolist() == [1.25, 1.25]
    weights = torch.tensor([[[0.0, 1, 0, 0]], [[1.0, 0.5, 0, 0]]])
    torch.testing.assert_close(projection_energy(residual, weights), torch.tensor([5.0, 5 / 3]))
    assert projection_energy(residual, torch.zeros(2, 1, 4)).tolist() == [0, 0]


def test_no_distance_has_no_gradient():
    residual = torch.zeros(1, 1, 3, 2, requires_grad=True)
    projection_energy(residual, torch.ones(1, 1, 3)).sum().backward()
    assert torch.equal(residual.grad, torch.zeros_like(residual))


def test_the_anchor_counts_in_expected_errors():
    pose = torch.zeros(1, 1, 2, 3)
    moved = pose.clone()
    moved[0, 0, 0, 2] = 30.0
    first = torch.full((1, 1, 2), math.log(10.0))
    ones = torch.ones(1, 1, 2)
    assert float(anchor_energy(pose, pose, first, first, ones)) == 0
    assert float(anchor_energy(moved, pose, first, first, ones)) == pytest.approx(1.5)
    later = first + math.log(2.0)
    expected = 0.75 + math.log(2.0)
    assert float(anchor_energy(moved, pose, later, first, ones)) == pytest.approx(expected)
    ones[..., 0] = 0
    assert float(anchor_energy(moved, pose, first, first, ones)) == 0


def test_the_expected_error_gets_no_gradient():
    pose, log_sigma = draw(1, 1, 4, 3).requires_grad_(), draw(1, 1, 4, seed=1).requires_grad_()
    anchor_energy(pose, pose.detach() + 1, log_sigma, log_sigma, torch.ones(1, 1, 4)).backward()
    assert log_sigma.grad is None
    assert pose.grad.abs().sum() > 0


def test_bones_that_only_turn_cost_nothing():
    pose = 200 * draw(3, 2, 17, 3)
    turn = torch.linalg.qr(draw(3, 3, seed=2)).Q
    assert bone_energy(pose @ turn, pose, H36M_17).max() < 1e-6
    lengths = bone_energy(1.1 * pose, pose, H36M_17)
    bones = [(j, p) for j, p in enumerate(H36M_17.parents) if p >= 0]
    mean = sum((pose[:, :, j] - pose[:, :, p]).norm(dim=-1) for j, p in bones) / len(bones)
    torch.testing.assert_close(lengths, 0.1 * mean.mean(1) / 1000)


def test_symmetric_bodies_cost_nothing():
    from lifting.batch import flip_pose

    pose = 200 * draw(3, 1, 17, 3)
    pose = pose + flip_pose(pose, H36M_17)
    assert symmetry_energy(pose, H36M_17).max() < 1e-6
    shank = pose[..., 3, :] - pose[..., 2, :]
    pose[..., 3, :] += shank / 2
    # Each of the twelve bones that have a partner counts the pair once.
    expected = 2 * 0.5 * shank.norm(dim=-1).mean(1) / 12 / 1000
    torch.testing.assert_close(symmetry_energy(pose, H36M_17), expected)


def test_every_term_is_per_sample():
    pose, anchor = 200 * draw(4, 3, 17, 3), 200 * draw(4, 3, 17, 3, seed=1)
    sigma, ones = draw(4, 3, 17, seed=2), torch.ones(4, 3, 17)
    terms = (
        lambda i: projection_energy(pose[i, ..., :2], ones[i]),
        lambda i: anchor_energy(pose[i], anchor[i], sigma[i], sigma[i], ones[i]),
        lambda i: bone_energy(pose[i], anchor[i], H36M_17),
        lambda i: symmetry_energy(pose[i], H36M_17),
    )
    for term in terms:
        torch.testing.assert_close(term(slice(2, 3)), term(slice(None))[2:3])
