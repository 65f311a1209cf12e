"""The stated error: its units, and that it is learnt without a word to the pose."""

import math

import pytest
import torch

from lifting.nn.expected_error import (
    LENGTH_PER_AXIS,
    LOG_LIMITS,
    ErrorHead,
    Lifted,
    axis_deviation,
    error_loss,
    lift_losses,
)


def test_an_isotropic_error_has_the_stated_mean_length():
    errors = 30 * torch.randn(100_000, 3, generator=torch.Generator().manual_seed(0))
    length = errors.norm(dim=-1).mean()
    assert length.item() == pytest.approx(30 * LENGTH_PER_AXIS, rel=5e-3)
    assert axis_deviation(length.log()).item() == pytest.approx(30, rel=5e-3)


def test_the_loss_is_least_at_the_mean_distance():
    generator = torch.Generator().manual_seed(1)
    pose = torch.randn(4000, 3, 3, generator=generator) * torch.tensor([0.01, 0.05, 0.2])[:, None]
    pose.requires_grad_()
    target = torch.zeros(3, 3)
    best = pose.detach().norm(dim=-1).mean(0).log()
    stated = best.clone().requires_grad_()
    loss = error_loss(Lifted(pose, stated.expand(4000, 3)), target, None)
    loss.backward()
    assert stated.grad.abs().max() < 1e-5
    assert pose.grad is None
    for other in (best - 0.2, best + 0.2):
        assert error_loss(Lifted(pose, other.expand(4000, 3)), target, None) > loss + 0.01


def test_joints_without_a_label_do_not_count():
    answer = Lifted(torch.zeros(2, 3, 3), torch.zeros(2, 3))
    target = torch.full((2, 3, 3), 1.0)
    target[0, 1] = 1e6
    visible = torch.ones(2, 3, dtype=torch.bool)
    visible[0, 1] = False
    losses = lift_losses(answer, target, visible, "distance")
    assert losses.keys() == {"pose", "expected_error"}
    assert losses["pose"].item() == losses["expected_error"].item() == pytest.approx(math.sqrt(3))
    assert lift_losses(Lifted(answer.pose), target, visible, "distance").keys() == {"pose"}


def test_the_head_leaves_the_features_alone_and_keeps_its_limits():
    torch.manual_seed(0)
    head, features = ErrorHead(8, 17), torch.randn(5, 8, requires_grad=True)
    answer = head(1e4 * features)
    assert answer.shape == (5, 17)
    assert LOG_LIMITS[0] <= answer.min()
    assert answer.max() <= LOG_LIMITS[1]
    head(features).sum().backward()
    assert features.grad is None
    assert all(p.grad is not None for p in head.parameters())
