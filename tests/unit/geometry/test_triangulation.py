import math

import pytest
import torch
from scipy.optimize import least_squares

from lifting.errors import ConfigError, ShapeError
from lifting.geometry.camera import Camera
from lifting.geometry.hartley_sturm import correct_matches, triangulate_polynomial
from lifting.geometry.rotation import look_at
from lifting.geometry.triangulation import (
    fundamental_from_projections,
    projection_matrix,
    triangulate_dlt,
    triangulate_least_squares,
)
from lifting.geometry.triangulation_consensus import parallax, triangulation_covariance
from reference import triangulation as reference

METHODS = (triangulate_dlt, triangulate_least_squares, triangulate_polynomial)


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def rig(views=2):
    """Cameras 50 degrees apart on a circle around the origin, their projections."""
    angle = torch.arange(views, dtype=torch.float64) * math.radians(50)
    height = torch.full_like(angle, 800.0)
    position = torch.stack((4500 * angle.cos(), 4500 * angle.sin(), height), dim=-1)
    lens = torch.tensor([1100.0, 1120, 500, 490, 0, 0, 0, 0, 0], dtype=torch.float64)
    camera = Camera(
        intrinsics=lens.expand(views, 9),
        size=torch.full((views, 2), 1000.0),
        rotation=look_at(position, torch.zeros(views, 3, dtype=torch.float64)),
        position=position,
    )
    return camera, projection_matrix(camera)


def image(joints, p):
    seen = joints[..., None, :, :] @ p[..., :3].mT + p[..., None, :, 3]
    return seen[..., :2] / seen[..., 2:]


def scene(views=2, noise=0.0, samples=4):
    p = rig(views)[1]
    joints = 400 * draw(samples, 6, 3)
    return joints, image(joints, p) + noise * draw(samples, views, 6, 2, seed=1), p


@pytest.mark.parametrize("method", METHODS)
def test_exact_images_give_the_points(method):
    joints, keypoints, p = scene()
    found = method(keypoints, p)
    torch.testing.assert_close(found.points, joints, rtol=0, atol=1e-7)
    depth = (joints[:, None] @ p[:, 2, :3, None])[..., 0] + p[:, 2, 3:]
    torch.testing.assert_close(found.depths, depth, rtol=1e-9, atol=0)
    assert found.valid.all()
    assert found.in_front().all()


@pytest.mark.parametrize("method", METHODS)
def test_cameras_of_every_sample(method):
    _, keypoints, p = scene(noise=3.0)
    one = method(keypoints, p).points
    each = method(keypoints, p.expand(4, 2, 3, 4)).points
    torch.testing.assert_close(one, each, rtol=0, atol=1e-9)
    shaped = method(keypoints.reshape(2, 2, 2, 6, 2), p).points
    torch.testing.assert_close(one, shaped.reshape(4, 6, 3), rtol=0, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_gradients(method):
    _, keypoints, p = scene(noise=2.0, samples=1)
    # The unit homogeneous point depends on the origin; only gradients are looked at here.
    assert torch.autograd.gradcheck(
        lambda k, m: method(k, m).points / 1000,
        (keypoints[:, :, :3].clone().requires_grad_(), p.clone().requires_grad_()),
        atol=1e-4,
    )


def test_the_dlt_is_the_least_singular_vector():
    camera, _ = rig(3)
    # Far from the origin: this method's answer is worthless within the error of it.
    camera.position = camera.position + 2000
    p = projection_matrix(camera)
    keypoints = image(2000 + 400 * draw(4, 6, 3), p) + 10 * draw(4, 3, 6, 2, seed=1)
    rows = keypoints[..., None] * p[:, None, 2:, :] - p[:, None, :2, :]  # samples views joints 2 4
    rows = rows.transpose(1, 2).flatten(2, 3)
    for normalise in (True, False):
        scaled = rows / rows.norm(dim=-1, keepdim=True) if normalise else rows
        vector = torch.linalg.svd(scaled).Vh[..., -1, :]
        wanted = vector[..., :3] / vector[..., 3:]
        found = triangulate_dlt(keypoints, p, normalise=normalise).points
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_rounds_lead_to_the_least_error_in_the_image():
    joints, keypoints, p = scene(views=4, noise=6.0, samples=1)
    weights = draw(1, 4, 6, seed=3).abs() + 0.2

    def optimum(j):
        def residuals(x):
            seen = image(torch.from_numpy(x)[None], p)[:, 0]
            return (weights[0, :, j, None] * (seen - keypoints[0, :, j])).flatten().numpy()

        return torch.from_numpy(least_squares(residuals, joints[0, j].numpy(), xtol=1e-12).x)

    wanted = torch.stack([optimum(j) for j in range(6)])
    far = [
        (triangulate_least_squares(keypoints, p, weights, rounds=r).points[0] - wanted).norm()
        for r in (1, 4)
    ]
    assert far[1] < 0.4 * far[0]


def test_polynomial_is_the_least_error_in_two_views():
    joints, keypoints, p = scene(noise=10.0, samples=1)
    fundamental = fundamental_from_projections(p[0], p[1])
    pair = correct_matches(keypoints[:, 0], keypoints[:, 1], fundamental)
    for j in range(6):
        best = least_squares(
            lambda x, j=j: (
                (image(torch.from_numpy(x)[None], p)[:, 0] - keypoints[0, :, j]).flatten().numpy()
            ),
            joints[0, j].numpy(),
            xtol=1e-14,
            ftol=1e-14,
        )
        assert pair.cost[0, j] == pytest.approx(2 * best.cost, rel=1e-6)


@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_hard_pairs_reach_the_cost_of_the_roots(spread):
    """Any matrix of rank two and points anywhere: many local minima."""
    u, s, vt = torch.linalg.svd(draw(8, 3, 3))
    s[:, 2] = 0
    matrices = (u * s[:, None]) @ vt
    first, second = spread * draw(2, 8, 40, 2, seed=2)
    found = correct_matches(first, second, matrices)
    wide = [
        torch.cat((x, torch.ones_like(x[..., :1])), dim=-1) for x in (found.first, found.second)
    ]
    assert ((wide[1] @ matrices) * wide[0]).sum(-1).abs().max() < 1e-12 * max(1, spread) ** 2
    for i in range(8):
        for j in range(40):
            points = first[i, j].numpy(), second[i, j].numpy()
            answer = reference.corrected(*points, matrices[i].numpy())
            cost = sum(((a - b) ** 2).sum() for a, b in zip(answer, points, strict=True))
            assert found.cost[i, j] <= cost * (1 + 1e-6) + 1e-12


def test_views_without_weight_are_not_looked_at():
    joints, keypoints, p = scene(views=3)
    weights = torch.ones(4, 3, 6, dtype=torch.float64)
    weights[:, 1] = 0
    weights[0, 2, 0] = 0
    keypoints[:, 1] = torch.nan
    keypoints.requires_grad_()
    for method in (triangulate_dlt, triangulate_least_squares):
        found = method(keypoints, p, weights)
        assert not found.valid[0, 0]
        assert found.valid.sum() == 23
        assert found.points[0, 0].isnan().all()
        torch.testing.assert_close(
            found.points[found.valid], joints[found.valid], rtol=0, atol=1e-6
        )
        (slope,) = torch.autograd.grad(found.points[found.valid].sum(), keypoints)
        assert slope.isfinite().all()
    alone = triangulate_least_squares(keypoints[:, :1], p[:1])
    assert not alone.valid.any()


def test_covariance_of_many_trials():
    joints, keypoints, p = scene(views=3, samples=1)
    weights = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)[:, None].expand(3, 6)
    noise = 2 * draw(4000, 3, 6, 2, seed=4) / weights[..., None]
    found = triangulate_least_squares(keypoints + noise, p, weights.expand(4000, 3, 6)).points
    wanted = triangulation_covariance(joints[0], p, weights, sigma=2.0)
    off = found - joints
    measured = torch.einsum("sji,sjk->jik", off, off) / 4000
    size = torch.linalg.matrix_norm(wanted)
    assert (torch.linalg.matrix_norm(measured - wanted) < 0.1 * size).all()
    weights = weights.clone()
    weights[:2] = 0
    assert triangulation_covariance(joints[0], p, weights).isinf().all()


def test_parallax():
    camera, _ = rig(3)
    middle = torch.tensor([[0.0, 0.0, 800.0]], dtype=torch.float64)
    assert parallax(middle, camera.position).item() == pytest.approx(math.radians(100))


def test_errors():
    _, keypoints, p = scene(views=3)
    with pytest.raises(ShapeError, match="projections"):
        triangulate_dlt(keypoints, p[:2])
    with pytest.raises(ShapeError, match="weights"):
        triangulate_dlt(keypoints, p, keypoints[..., 0, 0])
    with pytest.raises(ConfigError, match="rounds from 1, got 0"):
        triangulate_least_squares(keypoints, p, rounds=0)
    with pytest.raises(ShapeError, match="2 joints 2"):
        triangulate_polynomial(keypoints, p)
    camera = rig()[0]
    camera.rotation = None
    with pytest.raises(ConfigError, match="expected cameras with rotation"):
        projection_matrix(camera)
