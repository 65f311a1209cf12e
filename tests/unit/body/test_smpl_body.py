"""The vectorised body against the same equations written as loops over joints and vertices."""

import numpy as np
import pytest
import torch

from lifting.body.smpl import BodyModel, approximate_h36m
from lifting.errors import DataError, ShapeError
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.skeleton import H36M_17, SMPL_22, SMPL_24

JOINTS, VERTICES, SHAPES = 24, 60, 10


@pytest.fixture
def model() -> BodyModel:
    rng = np.random.default_rng(4)
    regressor = rng.random((JOINTS, VERTICES)) ** 4
    weights = rng.random((VERTICES, JOINTS)) ** 6
    return BodyModel(
        family="smpl",
        template=torch.from_numpy(rng.normal(size=(VERTICES, 3)) * 400),
        shape_directions=torch.from_numpy(rng.normal(size=(VERTICES, 3, SHAPES)) * 20),
        pose_directions=torch.from_numpy(rng.normal(size=(VERTICES, 3, 9 * (JOINTS - 1)))),
        joint_regressor=torch.from_numpy(regressor / regressor.sum(1, keepdims=True)),
        skinning_weights=torch.from_numpy(weights / weights.sum(1, keepdims=True)),
        parents=SMPL_24.parents,
        faces=torch.zeros(0, 3, dtype=torch.int64),
    )


def rotation_of(vector):
    angle = np.linalg.norm(vector)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def posed_by_loops(model, pose, betas, translation):
    """One person, joint by joint and vertex by vertex, with 4x4 matrices."""
    template, shapes = model.template.numpy(), model.shape_directions.numpy()
    shaped = template.copy()
    for k, beta in enumerate(betas):
        shaped += beta * shapes[:, :, k]
    rest = [
        sum(row[v] * shaped[v] for v in range(VERTICES)) for row in model.joint_regressor.numpy()
    ]
    local = [rotation_of(vector) for vector in pose]
    features = np.concatenate([(r - np.eye(3)).reshape(-1) for r in local[1:]])
    bent = shaped.copy()
    for k, feature in enumerate(features):
        bent += feature * model.pose_directions.numpy()[:, :, k]
    world = []
    for joint, parent in enumerate(model.parents):
        step = np.eye(4)
        step[:3, :3] = local[joint]
        step[:3, 3] = rest[joint] - (rest[parent] if parent >= 0 else 0)
        world.append(step if parent < 0 else world[parent] @ step)
    joints = np.array([w[:3, 3] for w in world]) + translation
    vertices = []
    for vertex, weights in zip(bent, model.skinning_weights.numpy(), strict=True):
        moved = np.zeros(4)
        for joint, weight in enumerate(weights):
            back = np.eye(4)
            back[:3, 3] = -rest[joint]
            moved += weight * (world[joint] @ back @ np.append(vertex, 1))
        vertices.append(moved[:3] + translation)
    return np.array(vertices), joints


def test_forward_equals_loops(model):
    rng = np.random.default_rng(0)
    pose, betas = rng.normal(size=(5, JOINTS, 3)), rng.normal(size=(5, SHAPES))
    shift = rng.normal(size=(5, 3)) * 1000
    rotations = axis_angle_to_matrix(torch.from_numpy(pose))
    got = model.forward(rotations, torch.from_numpy(betas), torch.from_numpy(shift))
    for i in range(5):
        vertices, joints = posed_by_loops(model, pose[i], betas[i], shift[i])
        np.testing.assert_allclose(got.vertices[i], vertices, rtol=0, atol=1e-9)
        np.testing.assert_allclose(got.joints[i], joints, rtol=0, atol=1e-9)
    alone = model.pose_joints(rotations, torch.from_numpy(betas), torch.from_numpy(shift))
    torch.testing.assert_close(alone.joints, got.joints, rtol=0, atol=1e-9)


def test_float32_agrees_with_float64(model):
    generator = torch.Generator().manual_seed(1)
    rotations = axis_angle_to_matrix(torch.randn(3, JOINTS, 3, generator=generator).double())
    betas = torch.randn(3, SHAPES, generator=generator).double()
    exact = model.forward(rotations, betas)
    single = model.to(torch.float32).forward(rotations.float(), betas.float())
    assert single.vertices.dtype == torch.float32
    assert (single.vertices - exact.vertices).abs().max() < 0.01


def test_the_rest_pose_is_the_template(model):
    eye = torch.eye(3, dtype=torch.float64).expand(JOINTS, 3, 3)
    got = model.forward(eye, torch.zeros(SHAPES, dtype=torch.float64))
    torch.testing.assert_close(got.vertices, model.template, rtol=0, atol=1e-9)
    torch.testing.assert_close(got.joints, model.joint_regressor @ model.template)


def test_turning_the_root_turns_everything_about_it(model):
    generator = torch.Generator().manual_seed(2)
    vectors = torch.randn(JOINTS, 3, generator=generator).double()
    betas = torch.randn(SHAPES, generator=generator).double()
    turn = axis_angle_to_matrix(torch.tensor([0.3, -1.0, 0.7]).double())
    rotations = axis_angle_to_matrix(vectors)
    turned = torch.cat((turn[None] @ rotations[:1], rotations[1:]))
    before, after = model.forward(rotations, betas), model.forward(turned, betas)
    pivot = before.joints[0]
    torch.testing.assert_close(after.vertices, (before.vertices - pivot) @ turn.T + pivot)


def test_gradients_are_right(model):
    generator = torch.Generator().manual_seed(3)
    vectors = torch.randn(JOINTS, 3, generator=generator).double().requires_grad_()
    betas = torch.randn(3, generator=generator).double().requires_grad_()
    shift = torch.randn(3, generator=generator).double().requires_grad_()

    def measured(v, b, t):
        return model.forward(axis_angle_to_matrix(v), b, t).vertices[::20]

    assert torch.autograd.gradcheck(measured, (vectors, betas, shift))


def test_shapes_broadcast_over_frames(model):
    rotations = torch.eye(3, dtype=torch.float64).expand(2, 7, JOINTS, 3, 3)
    betas = torch.ones(2, 1, 4, dtype=torch.float64)
    assert model.forward(rotations, betas).vertices.shape == (2, 7, VERTICES, 3)
    assert model.pose_joints(rotations, betas).joints.shape == (2, 7, JOINTS, 3)


def test_errors_name_the_cure(model):
    with pytest.raises(DataError, match="at most 10 shape coefficients, got 11"):
        model.joints(torch.zeros(11, dtype=torch.float64))
    with pytest.raises(ShapeError, match="rotations"):
        model.forward(torch.zeros(23, 3, 3), torch.zeros(10))
    with pytest.raises(ShapeError, match="at least 22"):
        approximate_h36m(torch.zeros(17, 3))


def test_seventeen_joints_of_a_known_body():
    joints = torch.arange(24 * 3, dtype=torch.float64).reshape(24, 3)
    joints[12], joints[15] = torch.tensor([0.0, 0, 0]), torch.tensor([0.0, 0, 90])
    got = approximate_h36m(joints)
    assert len(H36M_17) == got.shape[0]
    rows = {0: 0, 1: 2, 2: 5, 3: 8, 4: 1, 5: 4, 6: 7, 7: 6, 8: 12, 11: 16, 12: 18, 13: 20,
            14: 17, 15: 19, 16: 21}  # fmt: skip
    for ours, theirs in rows.items():
        torch.testing.assert_close(got[ours], joints[theirs])
    assert got[9].tolist() == [0, 0, 45]
    assert got[10].tolist() == [0, 0, 200]
    assert SMPL_22.joints[-1] == "right_wrist"
