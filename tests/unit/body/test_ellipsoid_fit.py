"""Bodies that stand like given joints."""

from __future__ import annotations

import math

import pytest
import torch

from lifting.body.ellipsoid import EllipsoidBody
from lifting.body.ellipsoid_fit import fit_body, shape_of_bones
from lifting.body.ellipsoid_layout import SHAPES, rest_joints
from lifting.errors import ShapeError
from lifting.geometry.kinematics import bone_lengths
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.skeleton import H36M_17

J = {name: i for i, name in enumerate(H36M_17.joints)}
UNSEEN = [SHAPES.index(name) for name in SHAPES if name.endswith("thickness") or name == "foot"]


@pytest.fixture(scope="module")
def body():
    return EllipsoidBody("light")


def people(count=40):
    """Poses that a body can take: hinges bend one way, free joints any."""
    generator = torch.Generator().manual_seed(1)
    angles = 0.4 * torch.randn(count, 17, 3, generator=generator)
    bends = 0.5 + torch.rand(count, 4, generator=generator)
    angles[
        :, [J[n] for n in ("left_ankle", "right_ankle", "left_wrist", "right_wrist", "head")]
    ] = 0
    for i, (name, axis, sign) in enumerate(
        (("left_knee", 0, 1), ("right_knee", 0, 1), ("left_elbow", 1, -1), ("right_elbow", 1, 1))
    ):
        angles[:, J[name]] = 0
        angles[:, J[name], axis] = sign * bends[:, i]
    angles[:, 0] *= 3
    betas = torch.randn(count, len(SHAPES), generator=generator)
    betas[:, UNSEEN] = 0
    place = 2000 * torch.randn(count, 3, generator=generator)
    return axis_angle_to_matrix(angles), betas, place


def test_a_body_is_fitted_exactly(body):
    rotations, betas, place = people()
    joints = body.joints(rotations, betas, place).joints
    fit = fit_body(body, joints)
    torch.testing.assert_close(fit.betas, betas, atol=1e-3, rtol=0)
    torch.testing.assert_close(fit.translation, place, atol=2e-2, rtol=0)
    torch.testing.assert_close(fit.rotations[:, 0], rotations[:, 0], atol=1e-4, rtol=0)
    assert float(fit.error.max()) < 0.02
    eye = torch.eye(3).expand_as(fit.rotations)
    torch.testing.assert_close(fit.rotations @ fit.rotations.mT, eye, atol=1e-5, rtol=0)
    assert float(torch.linalg.det(fit.rotations).min()) > 0.99


def test_hinges_keep_their_axes(body):
    rotations, betas, place = people()
    fit = fit_body(body, body.joints(rotations, betas, place).joints)
    # The plane of a bent limb tells the turn of its upper part.
    for name in ("left_hip", "left_knee", "right_elbow", "right_shoulder"):
        joint = J[name]
        torch.testing.assert_close(fit.rotations[:, joint], rotations[:, joint], atol=2e-4, rtol=0)


def test_the_fit_turns_with_the_joints(body):
    rotations, betas, place = people(8)
    noise = 20 * torch.sin(torch.arange(51.0)).view(17, 3)
    joints = body.joints(rotations, betas, place).joints + noise
    turn = axis_angle_to_matrix(torch.tensor((0.4, 1.1, -0.7)))
    first, second = fit_body(body, joints), fit_body(body, joints @ turn.T)
    torch.testing.assert_close(second.rotations[:, 1:], first.rotations[:, 1:], atol=1e-3, rtol=0)
    turned = turn @ first.rotations[:, 0]
    torch.testing.assert_close(second.rotations[:, 0], turned, atol=1e-3, rtol=0)
    assert 1 < float(first.error.mean()) < 20


def test_straight_limbs_and_joints_in_one_place_stay_finite(body):
    t_pose = rest_joints().float()[None]
    fit = fit_body(body, t_pose)
    assert float(fit.error) < 1e-2
    torch.testing.assert_close(fit.rotations, torch.eye(3).expand(1, 17, 3, 3), atol=1e-4, rtol=0)
    assert bool(fit_body(body, torch.zeros(1, 17, 3)).rotations.isfinite().all())


def test_shape_adds_up_bones_that_share_a_coefficient():
    lengths = bone_lengths(rest_joints(), H36M_17)
    longer = lengths.clone()
    longer[J["left_knee"]] *= 1.1
    betas = shape_of_bones(torch.stack((lengths, longer)))
    torch.testing.assert_close(betas[0], torch.zeros_like(betas[0]), atol=1e-6, rtol=0)
    thigh = SHAPES.index("thigh")
    assert float(betas[1, thigh]) == pytest.approx(math.log(1.05) / 0.06, rel=1e-3)
    assert float(betas[1].abs().sum()) == pytest.approx(float(betas[1, thigh]), rel=1e-3)


def test_another_number_of_joints_is_refused(body):
    with pytest.raises(ShapeError, match="joints=17"):
        fit_body(body, torch.zeros(2, 16, 3))
