"""Linear intrinsics from joints and keypoints: exact, robust, refused when undetermined."""

from __future__ import annotations

import pytest
import torch

from lifting.data.lens_fit import fit_lens
from lifting.errors import DataError
from lifting.geometry.camera import project

LENS = torch.tensor([900.0, 950, 310, 250, 0, 0, 0, 0, 0])


def seen(frames=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(frames, 17, 3, generator=generator) * 500
    points[..., 2] += 4000
    return points, project(points, LENS)


def test_a_pinhole_is_recovered():
    fit = fit_lens(*seen(), "camera")
    torch.testing.assert_close(fit.intrinsics, LENS, atol=1e-2, rtol=0)
    assert fit.residual < 1e-3


def test_gross_errors_are_left_out():
    points, pixels = seen()
    pixels[::5, ::4] += 300
    torch.testing.assert_close(
        fit_lens(points, pixels, "camera").intrinsics, LENS, atol=0.1, rtol=0
    )


def test_joints_behind_the_camera_do_not_count():
    points, pixels = seen()
    points[0] *= -1
    torch.testing.assert_close(
        fit_lens(points, pixels, "camera").intrinsics, LENS, atol=1e-2, rtol=0
    )


def test_distortion_is_averaged():
    points, _ = seen()
    distorted = LENS + torch.tensor([0, 0, 0, 0, -0.2, 0.1, 0, 0.001, 0.001])
    fit = fit_lens(points, project(points, distorted), "camera")
    torch.testing.assert_close(fit.intrinsics[:4], LENS[:4], rtol=0.02, atol=5)
    assert 0.05 < fit.residual < 2


@pytest.mark.parametrize("behind", [False, True])
def test_too_few_joints(behind):
    points, pixels = seen()
    if behind:
        points = -points
    with pytest.raises(DataError, match=r"at least 12 joints before camera C1, in different"):
        fit_lens(points[: 20 if behind else 1, :3], pixels[: 20 if behind else 1, :3], "camera C1")


def test_joints_in_one_direction():
    points, pixels = seen()
    points[..., 0] = 0.1 * points[..., 2]
    with pytest.raises(DataError, match="in different directions"):
        fit_lens(points, pixels, "camera C1")


@pytest.mark.parametrize("change", [lambda p: torch.full_like(p, 3.0), lambda p: -p])
def test_keypoints_of_something_else(change):
    points, pixels = seen()
    with pytest.raises(DataError, match="that move with the joints in camera C1"):
        fit_lens(points, change(pixels), "camera C1")
