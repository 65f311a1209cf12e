"""SMPL as kernels: on the posed mesh, as wide as the distance to the neighbours."""

from __future__ import annotations

import itertools

import pytest
import torch

from lifting.body.kernel_body import LIMBS, KernelBody
from lifting.body.smpl import BodyModel
from lifting.body.smpl_kernels import RELEASED_SD, SmplKernels, furthest_points
from lifting.errors import DataError, ShapeError
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.skeleton import SMPL_22, SMPL_24

ROWS, AROUND = 12, 10
COUNT, SHAPES = ROWS * AROUND, 4
REST = (torch.eye(3, dtype=torch.float64).expand(1, 24, 3, 3),)


@pytest.fixture(scope="module")
def model():
    """A tube of 100 mm radius and 600 mm height, with the tree of SMPL."""
    generator = torch.Generator().manual_seed(2)

    def random(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    angle = torch.arange(AROUND, dtype=torch.float64) * (2 * torch.pi / AROUND)
    ring = torch.stack((angle.cos(), torch.zeros_like(angle), angle.sin()), dim=-1) * 100
    height = torch.linspace(0, 600, ROWS, dtype=torch.float64)
    template = ring + torch.tensor((0.0, 1.0, 0.0)) * height[:, None, None]
    faces = []
    for row, i in itertools.product(range(ROWS - 1), range(AROUND)):
        a, b = row * AROUND + i, row * AROUND + (i + 1) % AROUND
        faces += [(a, a + AROUND, b), (b, a + AROUND, b + AROUND)]
    weights, regressor = random(COUNT, 24) ** 8, random(24, COUNT) ** 8
    return BodyModel(
        family="smpl",
        template=template.flatten(0, 1),
        shape_directions=20 * random(COUNT, 3, SHAPES),
        pose_directions=random(COUNT, 3, 9 * 23),
        joint_regressor=regressor / regressor.sum(1, keepdim=True),
        skinning_weights=weights / weights.sum(1, keepdim=True),
        parents=SMPL_24.parents,
        faces=torch.tensor(faces),
    )


def people(count=3):
    generator = torch.Generator().manual_seed(5)
    turns = torch.randn(count, 24, 3, generator=generator, dtype=torch.float64)
    betas = torch.randn(count, SHAPES, generator=generator, dtype=torch.float64)
    return axis_angle_to_matrix(0.5 * turns), betas, 100 * turns[:, 0]


def test_kernels_lie_on_the_posed_mesh(model):
    body: KernelBody = SmplKernels(model, 40)
    pose = people()
    kernels, mesh = body.kernels(*pose), model.forward(*pose)
    torch.testing.assert_close(kernels.means, mesh.vertices[:, body.vertices])
    torch.testing.assert_close(kernels.joints, mesh.joints)
    torch.testing.assert_close(body.joints(*pose).joints, mesh.joints)
    assert kernels.joints_17.shape == (3, 17, 3)
    arm = [name for name, _, _ in LIMBS].index("left lower arm")
    ends = [mesh.joints[:, SMPL_22.index(f"left_{joint}")] for joint in ("elbow", "wrist")]
    wanted = torch.nn.functional.normalize(ends[1] - ends[0], dim=-1)
    torch.testing.assert_close(kernels.limbs[:, arm], wanted)


def test_chosen_vertices_are_spread_out(model):
    chosen = furthest_points(model.template, 30)
    assert int(chosen[0]) == 0
    assert len(set(chosen.tolist())) == 30
    apart = torch.cdist(model.template[chosen], model.template[chosen]).fill_diagonal_(9e9)
    assert float(apart.min()) > 60


def test_all_vertices_are_adjacent_along_the_edges(model):
    body = SmplKernels(model, COUNT)
    place = torch.argsort(body.vertices)
    adjacency = body.adjacency[place][:, place]
    wanted = torch.zeros(COUNT, COUNT, dtype=torch.bool)
    for face in model.faces.tolist():
        for a, b in itertools.permutations(face, 2):
            wanted[a, b] = True
    assert torch.equal(adjacency, wanted)


def test_few_kernels_are_adjacent_where_their_cells_touch(model):
    body = SmplKernels(model, 12)
    assert torch.equal(body.adjacency, body.adjacency.T)
    assert not body.adjacency.diagonal().any()
    neighbours = body.adjacency.sum(1)
    assert int(neighbours.min()) >= 2
    assert int(neighbours.max()) < 11


def test_kernels_are_wide_along_the_skin_and_flat_across(model):
    body = SmplKernels(model, COUNT)
    row = int((body.vertices == 5 * AROUND).nonzero()[0, 0])  # on the x axis, normal along x
    kernels = body.kernels(*REST, torch.zeros(1, SHAPES).double())
    variance = torch.linalg.inv(kernels.precisions[0, row]).diagonal()
    points = model.template[body.vertices]
    near = (points - points[row])[body.adjacency[row]].norm(dim=-1).mean()
    torch.testing.assert_close(variance[1].sqrt(), 0.4247 * near)
    torch.testing.assert_close(variance[0], variance[1] / 4, rtol=0.05, atol=0)


def test_released_kernels_are_spheres_of_one_size(model):
    body = SmplKernels(model, 20, "released")
    precisions = body.kernels(*people()).precisions
    wanted = torch.eye(3).double().expand_as(precisions) / RELEASED_SD**2
    torch.testing.assert_close(precisions, wanted)


def test_limbs_follow_the_joint_that_carries_most(model):
    body = SmplKernels(model, COUNT)
    names = [LIMBS[i][0] for i in body.limb.tolist()]
    carried = [SMPL_24.joints[i] for i in body.part.tolist()]
    found = dict(zip(carried, names, strict=True))
    expected = {
        "left_foot": "left calf", "right_hand": "right lower arm", "head": "torso",
        "left_collar": "torso", "right_hip": "right thigh", "left_shoulder": "left upper arm",
    }  # fmt: skip
    checked = {joint: limb for joint, limb in expected.items() if joint in found}
    assert len(checked) >= 4
    assert all(found[joint] == limb for joint, limb in checked.items())


def test_bad_models_and_counts_are_refused(model):
    with pytest.raises(DataError, match=f"between 1 and {COUNT} kernels"):
        SmplKernels(model, COUNT + 1)
    with pytest.raises(ShapeError, match=f"shapes={SHAPES}"):
        SmplKernels(model, 10).joints(*REST, torch.zeros(1, 2).double())
