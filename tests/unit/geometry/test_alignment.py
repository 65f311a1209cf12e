import math

import pytest
import torch
from torch.testing import assert_close

from lifting.errors import ShapeError
from lifting.geometry.alignment import align, center, optimal_scale, similarity
from lifting.geometry.rotation import axis_angle_to_matrix, best_rotation
from reference.alignment import aligned_by_decomposition


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(3)


def poses(generator, count=64, joints=17):
    return 300 * torch.randn(count, joints, 3, generator=generator, dtype=torch.float64)


def moved(pose, generator, scale=1.7):
    turn = axis_angle_to_matrix(torch.randn(len(pose), 3, generator=generator).double())
    shift = 500 * torch.randn(len(pose), 1, 3, generator=generator, dtype=torch.float64)
    return scale * pose @ turn.mT + shift, turn


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("noise", [0.01, 30.0, 400.0])
def test_agrees_with_the_singular_value_decomposition(generator, noise, scale):
    target = poses(generator)
    pose, _ = moved(target + noise * poses(generator) / 300, generator)
    found = align(pose, target, scale=scale)
    assert_close(found, aligned_by_decomposition(pose, target, scale=scale), rtol=0, atol=1e-6)


def test_agrees_with_the_decomposition_for_mirrored_poses(generator):
    target = poses(generator, count=512)
    pose = target * torch.tensor([1.0, 1.0, -1.0]) + 0.1 * poses(generator, count=512)
    found = (align(pose, target) - target).norm(dim=-1)
    expected = (aligned_by_decomposition(pose, target) - target).norm(dim=-1)
    assert_close(found, expected, rtol=0, atol=1e-6)


def test_undoes_a_similarity(generator):
    target = poses(generator)
    pose, turn = moved(target, generator, scale=2.5)
    motion = similarity(pose, target)
    assert_close(motion.apply(pose), target, rtol=0, atol=1e-8)
    assert_close(motion.scale, torch.full_like(motion.scale, 0.4), rtol=1e-12, atol=0)
    assert_close(motion.rotation, turn.mT, rtol=0, atol=1e-10)


def test_reflection_undoes_a_mirror_and_only_if_asked(generator):
    target = poses(generator)
    mirrored, _ = moved(target * torch.tensor([-1.0, 1.0, 1.0]), generator)
    assert_close(align(mirrored, target, reflection=True), target, rtol=0, atol=1e-8)
    assert_close(align(target, target, reflection=True), target, rtol=0, atol=1e-8)
    assert float((align(mirrored, target) - target).norm(dim=-1).mean()) > 100


def test_rotation_is_proper_in_degenerate_cases(generator):
    flat = poses(generator, count=4) * torch.tensor([1.0, 1.0, 0.0])
    line = poses(generator, count=4) * torch.tensor([1.0, 0.0, 0.0])
    point = torch.zeros_like(flat)
    for pose in (flat, line, point):
        for target in (flat, line, point, flat.flip(-1), line.flip(-1)):
            rotation = similarity(pose, target).rotation
            eye = torch.eye(3, dtype=torch.float64).expand_as(rotation)
            assert_close(rotation @ rotation.mT, eye, rtol=0, atol=1e-12)
            assert_close(torch.linalg.det(rotation), torch.ones(4).double(), rtol=0, atol=1e-12)


def test_a_planar_pose_and_its_mirror_align_equally_well(generator):
    flat = poses(generator) * torch.tensor([1.0, 1.0, 0.0])
    target = poses(generator)
    a = (align(flat, target) - target).norm(dim=-1)
    b = (align(flat * torch.tensor([-1.0, 1.0, 1.0]), target) - target).norm(dim=-1)
    assert_close(a, b, rtol=0, atol=1e-6)


def test_a_single_point_lands_on_the_mean_and_a_tiny_pose_does_not(generator):
    target = poses(generator, count=5)
    mean = target.mean(1, keepdim=True).expand_as(target)
    constant = torch.full_like(target, 40.0)
    assert_close(align(constant, target), mean, rtol=0, atol=1e-9)
    assert_close(align(torch.zeros_like(target), target), mean, rtol=0, atol=1e-9)
    pose = target + 0.3 * poses(generator, count=5)
    assert_close(align(pose * 1e-9, target), align(pose, target), rtol=0, atol=1e-5)
    assert_close(align(pose, constant), constant, rtol=0, atol=1e-9)


def test_masked_joints_take_no_part_and_may_hold_nan(generator):
    target = poses(generator, count=8)
    pose, _ = moved(target, generator)
    mask = torch.ones(8, 17, dtype=torch.bool)
    mask[:, 5:9] = False
    spoilt = pose.clone()
    spoilt[:, 5:9] = torch.nan
    motion = similarity(spoilt, target, mask)
    assert_close(motion.apply(pose), target, rtol=0, atol=1e-8)


def test_shapes_of_any_rank_and_none_at_all(generator):
    target = poses(generator, count=12)
    pose = target + 0.1 * poses(generator, count=12)
    flat = align(pose, target)
    shaped = align(pose.reshape(3, 2, 2, 17, 3), target.reshape(3, 2, 2, 17, 3))
    assert_close(shaped.reshape(12, 17, 3), flat)
    assert_close(align(pose[0], target[0]), flat[0])
    assert align(pose[:0], target[:0]).shape == (0, 17, 3)


def test_gradients_see_a_constant_motion(generator):
    target = poses(generator, count=3)
    pose = (target + 0.1 * poses(generator, count=3)).requires_grad_()
    motion = similarity(pose, target)
    assert not motion.scale.requires_grad
    assert not motion.rotation.requires_grad
    align(pose, target)[..., 0].sum().backward()
    expected = (motion.scale[:, None] * motion.rotation[:, 0])[:, None].expand_as(pose)
    assert_close(pose.grad, expected)


def with_singular_values(values, generator):
    """Matrices that have them, with the sign of their product."""
    turns = [torch.randn(len(values), 3, generator=generator).double() for _ in range(2)]
    left, right = (axis_angle_to_matrix(3 * turn) for turn in turns)
    return left @ (values[..., None] * right)


VALUES = {
    "any": lambda u: u,
    "mirrored": lambda u: u * torch.tensor([1.0, 1.0, -1.0]),
    "many scales": lambda u: 10 ** (-8 * u) * torch.tensor([1.0, 1.0, -1.0]),
    "rank one": lambda u: u * torch.tensor([1.0, 0.0, 0.0]),
    "rank two": lambda u: u * torch.tensor([1.0, 1.0, 0.0]),
    "three equal": lambda u: u[:, :1].expand(-1, 3),
    "two large ones equal": lambda u: torch.stack((u[:, 0], u[:, 0], u[:, 1] * u[:, 0]), 1),
    "two small ones equal": lambda u: torch.stack((u[:, 0], *2 * [u[:, 1] * u[:, 0]]), 1),
    "two small ones opposite": lambda u: torch.stack((1 + u[:, 0], u[:, 1], -u[:, 1]), 1),
    "nearly opposite": lambda u: torch.stack(
        (1 + u[:, 0], u[:, 1], -u[:, 1] * (1 - 10 ** (-14 * u[:, 2]))), 1
    ),
    "minus identity": lambda u: -u[:, :1].expand(-1, 3),
    "zero": lambda u: 0 * u,
}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("size", [1.0, 1e-3])
def test_the_best_rotation_is_as_good_as_that_of_the_decomposition(generator, kind, size):
    values = VALUES[kind](torch.rand(3000, 3, generator=generator, dtype=torch.float64))
    moment = with_singular_values(values, generator)
    norm = moment.flatten(1).norm(dim=1)
    moment = size * moment / torch.where(norm > 0, norm, 1.0)[:, None, None]
    found = best_rotation(moment)
    u, s, vh = torch.linalg.svd(moment)
    sign = torch.linalg.det(vh.mT @ u.mT).sign()
    best = s[:, 0] + s[:, 1] + sign * s[:, 2]
    assert_close((found.mT * moment).sum((1, 2)), best, rtol=0, atol=1e-12)
    eye = torch.eye(3, dtype=torch.float64).expand_as(found)
    assert_close(found @ found.mT, eye, rtol=0, atol=1e-12)
    assert_close(torch.linalg.det(found), torch.ones_like(best), rtol=0, atol=1e-12)
    u[:, :, 2] *= sign[:, None]
    unique = s[:, 1] + sign * s[:, 2] > 1e-3 * size
    assert_close(found[unique], (u @ vh).mT[unique], rtol=0, atol=1e-11)


FLAT = torch.tensor([1.0, 1.0, 0.0]).double()
LINE = torch.tensor([1.0, 0.0, 0.0]).double()
SHAPES = {
    "near": lambda x, y: (y + 0.1 * x, y),
    "unrelated": lambda x, y: (x, y),
    "mirror": lambda x, y: (y * torch.tensor([-1.0, 1.0, 1.0]), y),
    "nearly mirror": lambda x, y: (1e-6 * x - y, y),
    "flat": lambda x, y: (x * FLAT, y),
    "both flat": lambda x, y: (x * FLAT, y * FLAT),
    "nearly flat": lambda x, y: (x * (FLAT + 1e-9), y),
    "line": lambda x, y: (x * LINE, y),
    "line for a target": lambda x, y: (x, y * LINE),
    "nearly a line": lambda x, y: (x * (LINE + 1e-7), y),
    "tiny": lambda x, y: (1e-9 * x, y),
    "huge": lambda x, y: (1e9 * x, y),
    "tiny target": lambda x, y: (x, 1e-9 * y),
    "both tiny": lambda x, y: (1e-90 * x, 1e-90 * y),
    "both huge": lambda x, y: (1e90 * x, 1e90 * y),
    "far away": lambda x, y: (x + 1e6, y - 1e5),
    "three joints": lambda x, y: (x[:, :3], y[:, :3]),
    "two joints": lambda x, y: (x[:, :2], y[:, :2]),
    "cube": lambda x, y: (y[:, :8], 200 * torch.cartesian_prod(*3 * [FLAT[1:]]) + 0 * y[:, :8]),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_the_least_squares_of_all_kinds_of_poses_are_those_of_the_decomposition(generator, kind):
    pose, target = SHAPES[kind](poses(generator, 500), poses(generator, 500))
    unit = 1e-90 if kind == "both tiny" else 1.0
    found = similarity(pose, target, unit=unit).apply(pose)
    expected = aligned_by_decomposition(pose, target)
    size = (target - target.mean(1, keepdim=True)).flatten(1).norm(dim=1)
    far = 1e-9 * max(1.0, float(pose.abs().max() / pose.std()) / 1e3)
    error = (found - target).flatten(1).norm(dim=1) / size
    least = (expected - target).flatten(1).norm(dim=1) / size
    assert_close(error, least, rtol=0, atol=far)
    if kind in ("near", "unrelated", "flat", "tiny", "huge", "both tiny", "both huge"):
        shares = [(moved - target).norm(dim=-1) / size[:, None] for moved in (found, expected)]
        assert_close(*shares, rtol=0, atol=1e-9)


def test_a_pose_of_nan_spoils_itself_alone(generator):
    target = poses(generator, count=6)
    pose = target + 0.2 * poses(generator, count=6)
    expected = align(pose, target)
    pose[2, 5, 1] = torch.nan
    pose[4] = torch.inf
    found = align(pose, target)
    sound = torch.tensor([0, 1, 3, 5])
    assert_close(found[sound], expected[sound], rtol=0, atol=1e-9)
    assert bool(found[[2, 4]].isnan().all())


def test_optimal_scale_is_least_squares_and_may_be_negative(generator):
    target = poses(generator, count=6)
    target = center(target, 0)
    assert_close(optimal_scale(3 * target, target), torch.full((6,), 1 / 3).double())
    assert_close(optimal_scale(-target, target), -torch.ones(6).double())
    assert_close(optimal_scale(torch.zeros_like(target), target), torch.zeros(6).double())
    pose = target + 0.2 * poses(generator, count=6)
    best = optimal_scale(pose, target)
    for step in (-1e-3, 1e-3):
        worse = (((best + step)[:, None, None] * pose - target) ** 2).sum((1, 2))
        assert bool((worse > ((best[:, None, None] * pose - target) ** 2).sum((1, 2))).all())
    mask = torch.ones(6, 17, dtype=torch.bool)
    mask[:, 3] = False
    spoilt = 2 * target
    spoilt[:, 3] = math.nan
    assert_close(optimal_scale(spoilt, target, mask), torch.full((6,), 0.5).double())


def test_center_on_a_joint_or_on_the_middle_of_several(generator):
    pose = poses(generator, count=2)
    assert torch.equal(center(pose, 4)[:, 4], torch.zeros(2, 3).double())
    middle = center(pose, (1, 4))
    assert_close(middle[:, 1] + middle[:, 4], torch.zeros(2, 3).double(), rtol=0, atol=1e-10)


def test_shapes_that_do_not_fit_are_refused(generator):
    pose = poses(generator, count=2)
    with pytest.raises(ShapeError, match=r"expected target of shape \(2 17 3\), got \(2, 16, 3\)"):
        similarity(pose, pose[:, :16])
    with pytest.raises(ShapeError, match=r"expected mask of shape \(2 17\), got \(17,\)"):
        similarity(pose, pose, torch.ones(17, dtype=torch.bool))
    with pytest.raises(ShapeError, match="expected pose of shape"):
        center(pose[..., :2], 0)
