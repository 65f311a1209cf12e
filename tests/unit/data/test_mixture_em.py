"""Expectation maximisation of many mixtures at once, against one point after another."""

import math

import pytest
import torch

from lifting.data.mixtures import Gaussians, fit_gaussians, start_by_rank


def one_step(points, share, weight, mean, variance):
    """A step of EM on one set by the textbook, in plain Python."""
    kernels, axes = len(weight), len(points[0])
    owned = []
    for point in points:
        density = [
            weight[k]
            * math.prod(
                math.exp(-((point[a] - mean[k][a]) ** 2) / (2 * variance[k][a]))
                / math.sqrt(2 * math.pi * variance[k][a])
                for a in range(axes)
            )
            for k in range(kernels)
        ]
        owned.append([d / sum(density) for d in density])
    total = [sum(share[i] * owned[i][k] for i in range(len(points))) for k in range(kernels)]
    new_mean = [
        [sum(s * o[k] * p[a] for s, o, p in zip(share, owned, points, strict=True)) / total[k]
         for a in range(axes)]
        for k in range(kernels)
    ]  # fmt: skip
    new_variance = [
        [sum(s * o[k] * (p[a] - new_mean[k][a]) ** 2
             for s, o, p in zip(share, owned, points, strict=True)) / total[k]
         for a in range(axes)]
        for k in range(kernels)
    ]  # fmt: skip
    return total, new_mean, new_variance


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_steps_are_those_of_the_textbook(axes):
    generator = torch.Generator().manual_seed(axes)
    points = torch.randn(3, 12, axes, generator=generator, dtype=torch.float64)
    share = torch.rand(3, 12, generator=generator, dtype=torch.float64)
    share = share / share.sum(-1, keepdim=True)
    start = start_by_rank(points, 2)
    fitted = fit_gaussians(points, share, start, 2, 1e-9)
    for i in range(3):
        state = [v[i].tolist() for v in start]
        for _ in range(2):
            state = one_step(points[i].tolist(), share[i].tolist(), *state)
        for got, wanted in zip(fitted, state, strict=True):
            torch.testing.assert_close(got[i], torch.tensor(wanted, dtype=torch.float64))


def draw(counts, mean, deviation, generator):
    axes = mean.shape[-1]
    parts = [
        m + d * torch.randn(n, axes, generator=generator)
        for n, m, d in zip(counts, mean, deviation, strict=True)
    ]
    return torch.cat(parts)


def test_known_mixtures_are_found_whatever_the_order_of_the_points():
    generator = torch.Generator().manual_seed(0)
    mean = torch.tensor([[-2.0, 0.5, 1.0], [1.0, -1.0, 0.0], [4.0, 2.0, -2.0]])
    deviation = torch.tensor([[0.3, 0.5, 0.2], [0.6, 0.2, 0.4], [0.4, 0.4, 0.7]])
    points = draw((1000, 3000, 2000), mean, deviation, generator)
    shuffled = points[torch.randperm(len(points), generator=generator)]
    both = torch.stack((points, shuffled))
    share = torch.full(both.shape[:2], 1 / 6000)
    fitted = fit_gaussians(both, share, start_by_rank(both, 3), 60, 1e-4)
    order = fitted.mean[..., 0].argsort(dim=1)
    assert order.tolist() == [[0, 1, 2]] * 2
    torch.testing.assert_close(fitted.weight, torch.tensor([[1, 3, 2]] * 2) / 6, atol=0.01, rtol=0)
    torch.testing.assert_close(fitted.mean, mean.expand(2, 3, 3), atol=0.05, rtol=0)
    found = fitted.variance.sqrt()
    torch.testing.assert_close(found, deviation.expand(2, 3, 3), atol=0.03, rtol=0)
    torch.testing.assert_close(fitted.mean[0], fitted.mean[1], atol=1e-3, rtol=0)


def test_the_likelihood_never_falls():
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(4, 300, 2, generator=generator).sign() + 0.4 * torch.randn(
        4, 300, 2, generator=generator
    )
    share = torch.full((4, 300), 1 / 300)
    start, before = start_by_rank(points, 4), None
    for steps in range(0, 30, 3):
        weight, mean, variance = fit_gaussians(points, share, start, steps, 1e-4)
        away = (points[:, None] - mean[:, :, None]).square() / variance[:, :, None]
        logs = weight.log() - variance.log().sum(-1) / 2
        now = (logs[..., None] - away.sum(-1) / 2).logsumexp(1).mean(-1)
        assert before is None or (now >= before - 1e-5).all()
        before = now
    assert (before > -1.1).all()


def test_a_kernel_without_points_stays_and_bounds_hold():
    points = torch.zeros(1, 5, 1)
    start = Gaussians(
        torch.tensor([[0.5, 0.5]]), torch.tensor([[[0.0], [100.0]]]), torch.ones(1, 2, 1)
    )
    fitted = fit_gaussians(points, torch.full((1, 5), 0.2), start, 10, 0.04)
    torch.testing.assert_close(fitted.weight, torch.tensor([[1.0, 0.0]]))
    assert fitted.mean[0, 1, 0] == 100
    assert fitted.variance.min() == pytest.approx(0.04)


@pytest.mark.gpu
def test_on_the_device_without_waiting_for_it():
    points = torch.randn(50, 400, 2, generator=torch.Generator().manual_seed(0))
    share = torch.full((50, 400), 1 / 400)
    wanted = fit_gaussians(points, share, start_by_rank(points, 3), 20, 1e-4)
    there, weights = points.cuda(), share.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        got = fit_gaussians(there, weights, start_by_rank(there, 3), 20, 1e-4)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one.cpu(), other, rtol=1e-3, atol=1e-3)
