"""3DNBF's volume renderer: invariances, limits, single precision, bad kernels."""

import math

import pytest
import torch

from lifting.errors import ConfigError, ShapeError
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.methods.nbf.render import RenderOptions, render
from lifting.methods.nbf.selection import RayGrid

ALL = {"count": 64, "least_peak": 0}


def cloud(kernels=24, batch=2, *, depth=4000.0, dtype=torch.float64, seed=0):
    """Anisotropic kernels around a point before the camera, mm, and rays around them."""
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": torch.float64}
    means = 250 * torch.randn(batch, kernels, 3, **draw) + torch.tensor([0, 0, depth])
    axes = axis_angle_to_matrix(2 * torch.randn(batch, kernels, 3, **draw))
    spread = 15 + 60 * torch.rand(batch, kernels, 3, **draw)
    precisions = axes @ torch.diag_embed(spread**-2) @ axes.mT
    focal = torch.full((batch, 2), 0.009 * depth, dtype=torch.float64)
    grid = RayGrid(12, 10, focal.to(dtype), torch.full_like(focal, 5.5).to(dtype))
    return means.to(dtype), precisions.to(dtype), grid


def on_axis(depths, peaks=1.0):
    """Kernels on the optical axis, seen by one ray through their middles."""
    depths = torch.tensor(depths, dtype=torch.float64)
    offset = torch.tensor(-2 * math.log(peaks), dtype=torch.float64).sqrt() * 20
    means = torch.stack((offset.expand_as(depths), 0 * depths, depths), dim=-1)[None]
    precisions = torch.eye(3, dtype=torch.float64).expand(1, len(depths), 3, 3) / 20**2
    one = torch.ones(1, 2, dtype=torch.float64)
    return means, precisions, RayGrid(1, 1, 100 * one, 0.5 * one)


@pytest.mark.parametrize("peak", [1.0, 0.6])
def test_one_kernel(peak):
    found = render(*on_axis([3000.0], peak), RenderOptions(mode="voge", **ALL))
    expected = peak * math.exp(-peak / 2) * math.exp(0.5)
    assert found.weights.item() == pytest.approx(expected, abs=1e-6)


def test_nearer_kernel_hides_the_farther():
    found = render(*on_axis([3000.0, 9000.0]), RenderOptions(mode="voge", **ALL))
    torch.testing.assert_close(
        found.dense()[0, 0], torch.tensor([1, math.exp(-1)], dtype=torch.float64)
    )


def test_weights_add_up_to_the_exact_opacity():
    means, precisions, grid = cloud()
    plain = render(means, precisions, grid, RenderOptions(mode="voge", **ALL))
    exact = render(means, precisions, grid, RenderOptions(**ALL))
    torch.testing.assert_close(exact.dense().sum(-1), exact.opacity, rtol=0, atol=1e-6)
    assert plain.dense().sum(-1).max() > 1.05
    assert exact.opacity.max() < 1
    assert plain.silhouette().max() == 1


@pytest.mark.parametrize("select", ["weight", "top", "front"])
@pytest.mark.parametrize("count", [1, 6])
def test_culling_changes_nothing(select, count):
    means, precisions, grid = cloud(kernels=60)
    precisions = 9 * precisions
    options = {"count": count, "select": select}
    dense = render(means, precisions, grid, RenderOptions(cull=False, **options))
    culled = render(means, precisions, grid, RenderOptions(cull=True, **options))
    assert culled.selection.rays is not None
    assert dense.selection.rays is None
    torch.testing.assert_close(culled.dense(), dense.dense(), rtol=0, atol=1e-12)
    torch.testing.assert_close(culled.opacity, dense.opacity, rtol=0, atol=1e-12)


def test_order_of_the_kernels_does_not_matter():
    means, precisions, grid = cloud()
    order = torch.randperm(means.shape[1], generator=torch.Generator().manual_seed(1))
    options = RenderOptions(count=8)
    found = render(means[:, order], precisions[:, order], grid, options).dense()
    torch.testing.assert_close(found, render(means, precisions, grid, options).dense()[..., order])


def test_turning_the_image_by_a_quarter_turns_the_weights():
    means, precisions, grid = cloud()
    square = RayGrid(10, 10, grid.focal, torch.full_like(grid.centre, 5.0))
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    found = render(means @ quarter.T, quarter @ precisions @ quarter.T, square, RenderOptions())
    plain = render(means, precisions, square, RenderOptions()).dense()
    turned = found.dense().view(2, 10, 10, -1)
    expected = plain.view(2, 10, 10, -1).rot90(-1, dims=(1, 2))
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("cull", [True, False])
def test_single_precision_forty_metres_away(cull):
    means, precisions, grid = cloud(depth=40_000.0)
    options = RenderOptions(count=16, cull=cull)
    exact = render(means, precisions, grid, options).dense()
    single = RayGrid(grid.height, grid.width, grid.focal.float(), grid.centre.float())
    found = render(means.float(), precisions.float(), single, options).dense()
    assert (found.double() - exact).abs().max() < 1e-3
    assert exact.max() > 0.5


def test_single_precision_in_a_half_precision_region():
    means, precisions, grid = cloud(dtype=torch.float32)
    plain = render(means, precisions, grid, RenderOptions())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = render(means, precisions, grid, RenderOptions())
    assert torch.equal(found.weights, plain.weights)


@pytest.mark.parametrize("mode", ["voge", "voge_renorm"])
def test_gradients(mode):
    means, precisions, _ = cloud(kernels=3, batch=1)
    means = means / 1000
    precisions = precisions * 1e6 / 64
    one = torch.ones(1, 2, dtype=torch.float64)
    grid = RayGrid(2, 2, 4 * one, one)
    features = torch.randn(
        1, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    inputs = [values.clone().requires_grad_(True) for values in (means, precisions, features)]

    def call(means, precisions, features):
        symmetric = (precisions + precisions.mT) / 2
        found = render(means, symmetric, grid, RenderOptions(mode=mode, **ALL))
        return found.composite(features), found.opacity

    assert call(*inputs)[1].min() > 1e-3
    assert torch.autograd.gradcheck(call, inputs)


def test_chunks_change_nothing(monkeypatch):
    means, precisions, grid = cloud()

    def run():
        leaf = means.clone().requires_grad_(True)
        found = render(leaf, precisions, grid, RenderOptions(cull=False))
        (slope,) = torch.autograd.grad(found.dense().square().sum(), leaf)
        return found.dense().detach(), slope

    whole = run()
    monkeypatch.setattr("lifting.methods.nbf.kernels._CHUNK", 100)
    monkeypatch.setattr("lifting.methods.nbf.kernels._PAIR_CHUNK", 1000)
    monkeypatch.setattr("lifting.methods.nbf.selection._DENSE_CHUNK", 500)
    for a, b in zip(whole, run(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_few_kernels_are_nearly_all():
    means, precisions, grid = cloud(kernels=60)
    every = render(means, precisions, grid, RenderOptions(**ALL)).dense()

    def error(count, select):
        found = render(means, precisions, grid, RenderOptions(count=count, select=select))
        return (found.dense() - every).abs().max()

    errors = [error(count, "weight") for count in (1, 4, 16)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3
    assert error(8, "weight") < error(8, "top") < error(8, "front")


def test_kernels_behind_the_camera_and_broken_ones_are_left_out():
    means, precisions, grid = cloud(kernels=6, batch=2)
    good = render(means[:, :4], precisions[:, :4], grid, RenderOptions(**ALL))
    means[:, 4, 2] = -3000.0
    precisions[:, 5] = torch.diag(precisions.new_tensor([1.0, 1.0, -1.0]))
    means[1, 5] = math.nan
    means.requires_grad_(True)
    for options in (RenderOptions(count=6), RenderOptions(**ALL)):
        found = render(means, precisions, grid, options)
        assert found.behind.tolist() == [1, 1]
        assert found.degenerate.tolist() == [1, 1]
        assert found.dense()[..., 4:].abs().max() == 0
        tolerance = 1e-4 if options.least_peak else 1e-12
        torch.testing.assert_close(found.opacity, good.opacity, rtol=0, atol=tolerance)
        (slope,) = torch.autograd.grad(found.opacity.sum(), means)
        assert slope.isfinite().all()


def test_nothing_to_see():
    means, precisions, grid = cloud(kernels=5)
    means[..., 2] *= -1
    means.requires_grad_(True)
    found = render(means, precisions, grid, RenderOptions(count=3))
    mixed = found.composite(torch.ones(2, 5, 3, dtype=torch.float64))
    assert mixed.shape == (2, 120, 3)
    assert mixed.abs().max() == 0
    assert found.opacity.max() == 0
    (slope,) = torch.autograd.grad((mixed.sum() + found.opacity.sum()), means)
    assert slope.abs().max() == 0


def test_a_kernel_around_the_camera_is_not_culled():
    means, precisions, grid = cloud(kernels=40, batch=1)
    precisions = 9 * precisions
    means[0, 0] = means.new_tensor((0.0, 0.0, 50.0))
    precisions[0, 0] = torch.eye(3) / 60.0**2
    dense = render(means, precisions, grid, RenderOptions(cull=False))
    culled = render(means, precisions, grid, RenderOptions(cull=True))
    torch.testing.assert_close(culled.dense(), dense.dense(), rtol=0, atol=1e-12)
    assert dense.dense()[..., 0].max() > 0.1


def test_refusals():
    means, precisions, grid = cloud(kernels=4)
    with pytest.raises(ShapeError, match="precisions"):
        render(means, precisions[:, :3], grid, RenderOptions())
    with pytest.raises(ConfigError, match="at least 1 kernel a ray"):
        RenderOptions(count=0)
    large = RayGrid(400, 400, grid.focal, grid.centre)
    many = torch.zeros(2, 200, 3), torch.zeros(2, 200, 3, 3)
    with pytest.raises(ConfigError, match="few kernels a ray"):
        render(*many, large, RenderOptions(count=200))


@pytest.mark.gpu
def test_cuda_agrees():
    means, precisions, grid = cloud(kernels=60, dtype=torch.float32)
    there = RayGrid(grid.height, grid.width, grid.focal.cuda(), grid.centre.cuda())
    for cull in (None, True):
        found = render(means.cuda(), precisions.cuda(), there, RenderOptions(cull=cull)).dense()
        here = render(means, precisions, grid, RenderOptions()).dense()
        torch.testing.assert_close(found.cpu(), here, rtol=0, atol=1e-4)


def test_blur_adds_the_pixels_footprint_to_every_kernel():
    means, precisions, grid = cloud()
    footprint = 0.7 * means[..., 2] / grid.focal[0, 0]
    wide = torch.linalg.inv(precisions) + footprint[..., None, None] ** 2 * torch.eye(3)
    expected = render(means, torch.linalg.inv(wide), grid, RenderOptions(**ALL)).dense()
    found = render(means, precisions, grid, RenderOptions(blur=0.7, **ALL)).dense()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    plain = render(means, precisions, grid, RenderOptions(**ALL)).dense()
    assert (found - plain).abs().max() > 0.1


def test_blur_finds_a_kernel_between_two_rays():
    means = torch.tensor([[[0.0, 0, 4000]]], requires_grad=True)
    precisions = torch.eye(3)[None, None] / 5**2
    focal = torch.full((1, 2), 40.0)  # a pixel is 100 mm at that depth
    grid = RayGrid(2, 2, focal, torch.ones(1, 2))
    assert render(means, precisions, grid, RenderOptions()).opacity.max() == 0
    blurred = render(means, precisions, grid, RenderOptions(blur=0.5))
    assert blurred.opacity.min() > 0.3
    (slope,) = torch.autograd.grad(blurred.opacity[0, 0], means)
    assert slope[0, 0, 0] < 0  # the first ray passes to the left of it
    degenerate = torch.cat((precisions, torch.zeros_like(precisions)), dim=1)
    both = means.detach().expand(1, 2, 3).clone().requires_grad_(True)
    found = render(both, degenerate, grid, RenderOptions(blur=0.5))
    assert found.degenerate.item() == 1
    assert torch.autograd.grad(found.opacity.sum(), both)[0].isfinite().all()
