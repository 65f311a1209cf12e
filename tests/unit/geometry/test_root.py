import pytest
import torch

from lifting.errors import ShapeError
from lifting.geometry.camera import distort_rays, pixels_to_rays, project, undistort_rays
from lifting.geometry.root import fit_orthography, solve_root

CAMERA = torch.tensor(
    [1145.0, 1143.0, 512.0, 515.0, -0.2, 0.24, -0.002, -9e-4, -1.6e-3], dtype=torch.float64
)


def people(batch=5, seed=0):
    """Root-relative poses in front of a camera, their roots and exact rays."""
    generator = torch.Generator().manual_seed(seed)
    pose = 300 * torch.randn(batch, 17, 3, generator=generator, dtype=torch.float64)
    pose[:, 0] = 0
    spread = torch.tensor([500.0, 400.0, 800.0], dtype=torch.float64)
    root = spread * torch.randn(batch, 3, generator=generator, dtype=torch.float64)
    root[:, 2] = root[:, 2].clamp(-1000, 1000) + 4500
    placed = pose + root[:, None]
    return pose, root, placed[..., :2] / placed[..., 2:]


def test_noise_free_rays_give_the_exact_root():
    pose, root, rays = people()
    weights = torch.rand(5, 17, dtype=torch.float64) + 0.1
    torch.testing.assert_close(solve_root(pose, rays, weights), root, rtol=1e-9, atol=1e-6)


def test_single_precision_is_enough():
    pose, root, rays = (v.float() for v in people())
    found = solve_root(pose, rays, torch.ones(5, 17))
    torch.testing.assert_close(found, root, rtol=0, atol=0.1)


def test_the_root_is_found_through_a_distorting_lens():
    pose, root, rays = people()
    camera = CAMERA.expand(5, 9)
    pixels = project(pose + root[:, None], camera)
    back = undistort_rays(pixels_to_rays(pixels, camera), camera, iterations=30)
    torch.testing.assert_close(back, rays, rtol=0, atol=1e-9)
    torch.testing.assert_close(distort_rays(back, camera), pixels_to_rays(pixels, camera))
    found = solve_root(pose, back, torch.ones(5, 17, dtype=torch.float64))
    torch.testing.assert_close(found, root, rtol=0, atol=1e-3)


def test_a_joint_without_weight_does_not_count():
    pose, root, rays = people()
    rays[:, 3] += 5.0
    weights = torch.ones(5, 17, dtype=torch.float64)
    weights[:, 3] = 0
    torch.testing.assert_close(solve_root(pose, rays, weights), root, rtol=1e-9, atol=1e-6)


def test_the_second_solve_is_nearer_to_the_best_fit_in_the_image():
    pose, root, rays = people(batch=64)
    rays = rays + 0.004 * torch.randn(rays.shape, dtype=rays.dtype)
    found = solve_root(pose, rays, torch.ones(64, 17, dtype=torch.float64))

    def residual(at):
        placed = pose + at[:, None]
        return (placed[..., :2] / placed[..., 2:] - rays).square().sum((1, 2))

    # One solve alone leaves the rows of far joints with more say.
    first = solve_root(pose, rays, torch.ones(64, 17, dtype=torch.float64), nearest=1e9)
    assert residual(found).mean() < residual(first).mean()
    assert residual(found).mean() < residual(root).mean()


def test_gradients_of_the_solved_root():
    pose, _, rays = people(batch=2)
    weights = torch.rand(2, 17, dtype=torch.float64) + 0.1
    inputs = tuple(v.clone().requires_grad_(True) for v in (pose / 1000, rays, weights))
    assert torch.autograd.gradcheck(
        lambda p, r, w: solve_root(1000 * p, r, w) / 1000, inputs, eps=1e-6, atol=1e-5
    )


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_rays_give_something_finite(count):
    pose, _, rays = people()
    weights = torch.zeros(5, 17, dtype=torch.float64)
    weights[:, :count] = 1
    assert solve_root(pose, rays, weights).isfinite().all()


def test_orthography_is_exact_for_what_it_models():
    pose, _, _ = people()
    pixels = 0.2 * pose[..., :2] + torch.tensor([400.0, 300.0], dtype=torch.float64)
    fit = fit_orthography(pose, pixels, torch.rand(5, 17, dtype=torch.float64) + 0.1)
    torch.testing.assert_close(fit.scale, torch.full((5,), 0.2, dtype=torch.float64))
    torch.testing.assert_close(fit.project(pose), pixels)


def test_shapes_must_agree():
    pose, _, rays = people()
    with pytest.raises(ShapeError, match="expected weights of shape"):
        solve_root(pose, rays, torch.ones(5, 16))
    with pytest.raises(ShapeError, match="expected pixels of shape"):
        fit_orthography(pose, rays[:, :5], torch.ones(5, 17))
