"""The ellipsoid body: table, kernels, shape, and signs of rotations."""

from __future__ import annotations

import pytest
import torch

from lifting.body.ellipsoid import EllipsoidBody
from lifting.body.ellipsoid_layout import SHAPES, kernel_layout
from lifting.body.kernel_body import LIMBS, KernelBody
from lifting.errors import ConfigError, ShapeError
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.skeleton import H36M_17

J = {name: i for i, name in enumerate(H36M_17.joints)}


def rest(count=1):
    return torch.eye(3).expand(count, 17, 3, 3).clone()


def bent(joint, vector):
    rotations = rest()
    rotations[0, J[joint]] = axis_angle_to_matrix(torch.tensor(vector))
    return rotations


def shaped(**coefficients):
    betas = torch.zeros(1, len(SHAPES))
    for name, value in coefficients.items():
        betas[0, SHAPES.index(name.replace("_", " "))] = value
    return betas


@pytest.fixture(scope="module")
def body() -> KernelBody:
    return EllipsoidBody()


@pytest.mark.parametrize(
    ("detail", "count", "widest"), [("standard", 406, 43.5), ("light", 119, 87.1)]
)
def test_number_and_size_of_kernels(detail, count, widest):
    layout = kernel_layout(detail)
    assert len(layout.joint) == count
    assert float(layout.spreads.min()) > 4.8
    assert float(layout.spreads.max()) == pytest.approx(widest, abs=0.1)
    assert torch.equal(layout.adjacency, layout.adjacency.T)
    assert not layout.adjacency.diagonal().any()
    assert int(layout.adjacency.sum(1).min()) >= 2
    torch.testing.assert_close(layout.weights.sum(1), torch.ones(count))
    assert int((layout.weights > 0).sum(1).max()) <= 2  # a joint, or it and its neighbour
    assert layout.weights.sum() == layout.weights.abs().sum()


def test_neighbours_of_a_ring_kernel():
    layout = kernel_layout("standard")
    thigh = (layout.joint == J["left_hip"]).nonzero()[:, 0]
    middle = int(thigh[2 * 8 + 3])  # third of five rings of eight
    near = set(layout.adjacency[middle].nonzero()[:, 0].tolist())
    # Rings are turned by half a step, so two kernels of each neighbouring ring are within a step.
    assert near == {middle - 1, middle + 1, *(middle + s for s in (-8, -7, 8, 9))} or near == {
        middle - 1, middle + 1, *(middle + s for s in (-9, -8, 7, 8))
    }  # fmt: skip


def test_kernels_lie_within_the_limbs(body):
    kernels = body.kernels(rest(), torch.zeros(1, 14))
    joints, means = kernels.joints[0], kernels.means[0]
    assert float(means[:, 1].max()) < float(joints[J["head"], 1])
    thigh = means[body.part == J["left_hip"]]
    across = (thigh - joints[J["left_hip"]])[:, [0, 2]].norm(dim=-1)
    assert float(across.min()) > 0.69 * 60
    assert float(across.max()) < 0.71 * 88
    left, right = (means[body.part == J[f"{side}_elbow"], 0] for side in ("left", "right"))
    assert float(left.min()) > 300
    assert float(right.max()) < -300


def test_directions_of_limbs_at_rest(body):
    limbs = body.kernels(rest(), torch.zeros(1, 14)).limbs[0]
    found = {name: limbs[i] for i, (name, _, _) in enumerate(LIMBS)}
    torch.testing.assert_close(found["torso"], torch.tensor((0.0, 1.0, 0.0)))
    torch.testing.assert_close(found["left upper arm"], torch.tensor((1.0, 0.0, 0.0)))
    torch.testing.assert_close(found["right calf"], torch.tensor((0.0, -1.0, 0.0)))


@pytest.mark.parametrize(
    ("joint", "vector", "end", "axis", "sign"),
    [
        (
            "left_hip",
            (-0.5, 0.0, 0.0),
            "left_knee",
            2,
            1,
        ),  # flexes the hip: the knee comes forward
        ("left_knee", (0.5, 0.0, 0.0), "left_ankle", 2, -1),  # bends the knee: the foot goes back
        ("left_shoulder", (0.0, 0.0, -0.5), "left_wrist", 1, -1),  # lowers the arm
        ("right_shoulder", (0.0, 0.0, 0.5), "right_wrist", 1, -1),
        ("left_elbow", (0.0, -0.5, 0.0), "left_wrist", 2, 1),  # bends the elbow forwards
        ("right_elbow", (0.0, 0.5, 0.0), "right_wrist", 2, 1),
    ],
)
def test_signs_of_rotations(body, joint, vector, end, axis, sign):
    betas = torch.zeros(1, 14)
    moved = body.joints(bent(joint, vector), betas).joints - body.joints(rest(), betas).joints
    assert sign * float(moved[0, J[end], axis]) > 50


def test_turning_the_root_turns_means_and_precisions(body):
    turn = axis_angle_to_matrix(torch.tensor((0.3, -0.8, 0.5)))
    place = torch.tensor(((10.0, 20.0, 3000.0),))
    rotations = rest()
    before = body.kernels(rotations, torch.zeros(1, 14))
    rotations[:, 0] = turn
    after = body.kernels(rotations, torch.zeros(1, 14), place)
    torch.testing.assert_close(after.means, before.means @ turn.T + place, atol=1e-2, rtol=1e-5)
    turned = turn @ before.precisions @ turn.T
    torch.testing.assert_close(after.precisions, turned, atol=1e-6, rtol=1e-4)


def test_length_moves_joints_and_kernels_and_thickness_only_widens(body):
    plain = body.kernels(rest(), torch.zeros(1, 14))
    longer = body.kernels(rest(), shaped(thigh=2.0))
    factor = torch.tensor(0.12).exp()
    knee = (longer.joints - longer.joints[:, :1])[0, J["left_knee"], 1]
    torch.testing.assert_close(knee + 20, (plain.joints[0, J["left_knee"], 1] + 20) * factor)
    thigh = body.part == J["left_hip"]
    start = plain.joints[0, J["left_hip"]]
    along = [(k.means[0, thigh] - start)[:, 1] for k in (plain, longer)]
    torch.testing.assert_close(along[1], along[0] * factor)

    thicker = body.kernels(rest(), shaped(leg_thickness=1.0))
    torch.testing.assert_close(thicker.joints, plain.joints)
    across = [(k.means[0, thigh] - start)[:, [0, 2]].norm(dim=-1) for k in (plain, thicker)]
    torch.testing.assert_close(across[1], across[0] * torch.tensor(0.12).exp())
    # Precision is one over variance: two axes of each kernel widen by the factor.
    volume = [torch.linalg.slogdet(k.precisions[0, thigh]).logabsdet for k in (plain, thicker)]
    torch.testing.assert_close(volume[1], volume[0] - 4 * 0.12, rtol=1e-3, atol=0)


def test_blended_kernels_follow_both_segments():
    rotations = bent("left_elbow", (0.0, -1.2, 0.0))
    rigid, blended = (
        EllipsoidBody(blend=b).kernels(rotations, torch.zeros(1, 14)) for b in (False, True)
    )
    moved = (rigid.means - blended.means)[0].norm(dim=-1)
    near = EllipsoidBody().part == J["left_elbow"]
    assert float(moved[near].max()) > 1
    straight = [EllipsoidBody(blend=b).kernels(rest(), torch.zeros(1, 14)) for b in (False, True)]
    torch.testing.assert_close(straight[0].means, straight[1].means, atol=1e-3, rtol=0)
    assert bool((torch.linalg.eigvalsh(blended.precisions[0]) > 0).all())


def test_gradients_reach_every_input(body):
    rotations = rest().requires_grad_()
    betas, place = torch.zeros(1, 14, requires_grad=True), torch.zeros(1, 3, requires_grad=True)
    kernels = body.kernels(rotations, betas, place)
    (kernels.means.square().mean() + kernels.precisions.sum()).backward()
    for value in (rotations, betas, place):
        assert value.grad is not None
        assert bool(value.grad.isfinite().all())
        assert float(value.grad.abs().max()) > 0


def test_bad_input_is_refused(body):
    with pytest.raises(ConfigError, match="unknown body detail 'ligth'; did you mean 'light'"):
        EllipsoidBody("ligth")
    with pytest.raises(ShapeError, match="shapes=14"):
        body.kernels(rest(), torch.zeros(1, 10))
    with pytest.raises(ShapeError, match="joints=17"):
        body.joints(torch.eye(3).expand(1, 24, 3, 3), torch.zeros(1, 14))
