import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import gammaincc
from torch.nn import functional

from lifting.errors import ConfigError, DataError
from lifting.geometry import robust
from lifting.geometry.camera import project, world_to_camera
from lifting.geometry.epipolar import RelativePose
from lifting.geometry.robust import (
    REACH,
    RobustOptions,
    marginal_loss,
    marginal_weight,
    robust_relative_pose,
)
from lifting.geometry.rotation import axis_angle_to_matrix, look_at
from lifting.geometry.solver import linearise

LENS = torch.tensor([1145.0, 1143, 512, 515, 0, 0, 0, 0, 0], dtype=torch.float64)
BENT = torch.tensor([1145.0, 1143, 512, 515, -0.2, 0.2, 0, -0.001, 0.001], dtype=torch.float64)


def rig(frames, noise, *, seed=0, wrong=0.05, lens=LENS):
    """Keypoints of a moving cloud of joints in two views, some gross errors, and the rotation."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    body = torch.tensor([250.0, 250, 500], dtype=torch.float64) * draw(frames, 17, 3)
    joints = body + torch.tensor([500.0, 500, 50]) * draw(frames, 1, 3)
    angle = 1.0 + seed + torch.tensor([0.0, math.radians(65)], dtype=torch.float64)
    height = torch.tensor([600.0, 800.0], dtype=torch.float64)
    position = torch.stack((5000 * angle.cos(), 5000 * angle.sin(), height), dim=-1)
    rotation = look_at(position, torch.zeros(2, 3, dtype=torch.float64))
    views = []
    for r, c in zip(rotation, position, strict=True):
        pixels = project(world_to_camera(joints.flatten(0, 1), r, c), lens)
        gross = torch.rand(len(pixels), generator=generator) < wrong
        views.append(
            pixels + noise * draw(*pixels.shape) + 60 * gross[:, None] * draw(*pixels.shape)
        )
    return (*views, rotation[1] @ rotation[0].mT)


def degrees(found, wanted):
    cosine = ((found * wanted).sum((-2, -1)) - 1) / 2
    return torch.rad2deg(torch.arccos(cosine.clamp(-1, 1)))


def test_exact_keypoints_give_the_rotation():
    first, second, rotation = rig(4, 0.0, wrong=0.0, lens=BENT)
    found = robust_relative_pose(first, second, BENT, BENT)
    assert degrees(found.pose.rotation, rotation) < 1e-3
    assert found.score < 1e-4
    assert found.inlier.all()


@pytest.mark.parametrize(
    ("frames", "noise", "most"), [(16, 1.0, 1.0), (64, 1.0, 0.5), (64, 5.0, 2.5)]
)
def test_pooled_frames_with_gross_errors(frames, noise, most):
    errors = []
    for seed in range(2):
        first, second, rotation = rig(frames, noise, seed=seed)
        found = robust_relative_pose(first, second, LENS, LENS)
        errors.append(degrees(found.pose.rotation, rotation))
        assert found.inlier.double().mean() > 0.85
    assert torch.stack(errors).mean() < most


def test_many_wrong_pairs():
    first, second, rotation = rig(32, 1.0, wrong=0.2)
    found = robust_relative_pose(first, second, LENS, LENS, options=RobustOptions(sigma_max=3.0))
    assert degrees(found.pose.rotation, rotation) < 1.0
    assert found.inlier.double().mean() < 0.9


def test_rigs_of_a_batch_and_pairs_without_weight():
    rigs = [rig(16, 1.0, seed=seed) for seed in range(2)]
    first, second, rotation = (torch.stack(x) for x in zip(*rigs, strict=True))
    weights = torch.ones(2, first.shape[1], dtype=torch.float64)
    weights[:, ::10] = 0
    first[:, ::10] = torch.nan
    found = robust_relative_pose(first, second, LENS, LENS, weights)
    assert degrees(found.pose.rotation, rotation).max() < 2.0
    assert not found.inlier[:, ::10].any()
    assert found.error.isfinite().all()
    again = robust_relative_pose(first, second, LENS, LENS, weights)
    assert torch.equal(found.pose.rotation, again.pose.rotation)


def test_a_small_pool_loses_little():
    first, second, rotation = rig(64, 1.0)
    found = robust_relative_pose(first, second, LENS, LENS, options=RobustOptions(pool=200))
    assert degrees(found.pose.rotation, rotation) < 1.0
    assert found.error.shape == first.shape[:1]


def test_no_worse_than_opencv():
    cv2 = pytest.importorskip(
        "cv2", reason="compares with OpenCV: pip install opencv-python-headless"
    )
    matrix = np.array([[1145.0, 0, 512], [0, 1143, 515], [0, 0, 1]])
    ours, theirs = [], []
    for seed in range(4):
        first, second, rotation = rig(32, 2.0, seed=seed)
        found = robust_relative_pose(first, second, LENS, LENS)
        ours.append(degrees(found.pose.rotation, rotation))
        a, b = first.numpy(), second.numpy()
        essential, mask = cv2.findEssentialMat(a, b, matrix, cv2.USAC_MAGSAC, 0.999, 3.0)
        turned = cv2.recoverPose(essential, a, b, matrix, mask=mask)[1]
        theirs.append(degrees(torch.from_numpy(turned), rotation))
    assert torch.stack(ours).median() < 1.1 * torch.stack(theirs).median()


def test_the_score_is_the_mean_of_truncated_squares():
    error = torch.linspace(0.1, 12, 7, dtype=torch.float64)
    limits = torch.linspace(0, 2 * REACH, 200_001, dtype=torch.float64)[1:]
    wanted = (error[:, None] / limits).square().clamp(max=1).mean(1)
    torch.testing.assert_close(marginal_loss(error, 2.0), wanted, rtol=1e-4, atol=0)


def test_the_weight_is_an_incomplete_gamma_function():
    error = torch.linspace(0, 9, 10, dtype=torch.float64)
    upper = torch.from_numpy(gammaincc(1.5, (error / 2.0).square().numpy() / 2))
    end = gammaincc(1.5, REACH**2 / 2)
    wanted = ((upper - end) / (1 - end)).clamp(min=0)
    torch.testing.assert_close(marginal_weight(error, 2.0), wanted, rtol=0, atol=1e-12)
    assert wanted[-1] == 0


def test_errors():
    first, second, _ = rig(1, 1.0)
    weights = torch.zeros(17, dtype=torch.float64)
    weights[:7] = 1
    with pytest.raises(DataError, match="at least 8 pairs of keypoints with weight, got 7"):
        robust_relative_pose(first, second, LENS, LENS, weights)
    with pytest.raises(ConfigError, match="sigma_max above 0, got 0"):
        RobustOptions(sigma_max=0)


@pytest.mark.parametrize("size", [0.0, 1e-5, 0.3])
def test_slopes_are_those_of_forward_differentiation(size):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    rays = 0.3 * draw(2, 3, 40, 2)
    pairs = robust._Pairs(rays[0], rays[1], draw(3, 40).abs(), 1e3 + draw(3))
    pose = RelativePose(axis_angle_to_matrix(draw(3, 3)), functional.normalize(draw(3, 3), dim=-1))
    step = size * draw(3, 5)
    expected = linearise(partial(robust._residuals, pairs, pairs.weights, pose), step).jacobian
    found = robust._slopes(pairs, pairs.weights, pose, step)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-9)
