import math

import pytest
import torch

from lifting.errors import ShapeError
from lifting.geometry.camera import Camera, project, world_to_camera
from lifting.geometry.rotation import look_at
from lifting.geometry.triangulation import projection_matrix
from lifting.geometry.triangulation_consensus import (
    parallax,
    reprojection_distance,
    triangulate_consensus,
)


def scene(views=4, joints=6, frames=5):
    generator = torch.Generator().manual_seed(0)
    points = 400 * torch.randn(frames, joints, 3, generator=generator, dtype=torch.float64)
    angle = torch.arange(views, dtype=torch.float64)
    position = 4000 * torch.stack((angle.cos(), angle.sin(), 0.2 * angle), dim=-1)
    lens = torch.tensor([1000.0, 1000, 500, 500, 0, 0, 0, 0, 0], dtype=torch.float64)
    camera = Camera(
        intrinsics=lens.repeat(views, 1),
        size=torch.full((views, 2), 1000.0, dtype=torch.float64),
        rotation=look_at(position, torch.zeros(views, 3, dtype=torch.float64)),
        position=position,
    )
    local = world_to_camera(points[:, None], camera.rotation, camera.position)
    return points, project(local, camera.intrinsics), camera


def test_the_views_that_agree_give_the_point():
    points, keypoints, camera = scene()
    keypoints[:, 2, 1] += 50.0
    keypoints[3, 0, 4] -= 70.0
    weights = torch.ones(5, 4, 6, dtype=torch.float64)
    found = triangulate_consensus(keypoints, projection_matrix(camera), weights, reach=4.0)
    torch.testing.assert_close(found.found.points, points, rtol=0, atol=1e-6)
    wrong = torch.zeros(5, 4, 6, dtype=torch.bool)
    wrong[:, 2, 1] = wrong[3, 0, 4] = True
    assert torch.equal(found.agree, ~wrong)
    torch.testing.assert_close(found.loss, wrong.sum(1).double(), rtol=0, atol=1e-9)
    assert found.distance[wrong].min() > 30


def test_views_without_weight_are_not_looked_at():
    points, keypoints, camera = scene()
    weights = torch.ones(5, 4, 6, dtype=torch.float64)
    weights[:, 1] = weights[:, :3, 2] = 0
    keypoints[:, 1] = torch.nan
    found = triangulate_consensus(keypoints, projection_matrix(camera), weights, reach=4.0)
    assert not found.found.valid[:, 2].any()
    assert found.found.points[:, 2].isnan().all()
    seen = [0, 1, 3, 4, 5]
    torch.testing.assert_close(found.found.points[:, seen], points[:, seen], rtol=0, atol=1e-6)
    assert not found.agree[:, 1].any()
    assert (found.distance[:, 1] == 0).all()


def test_two_views_have_nothing_to_disagree_with_but_the_line():
    points, keypoints, camera = scene(views=2)
    weights = torch.ones(5, 2, 6, dtype=torch.float64)
    found = triangulate_consensus(keypoints, projection_matrix(camera), weights, reach=4.0)
    torch.testing.assert_close(found.found.points, points, rtol=0, atol=1e-6)
    assert found.agree.all()
    keypoints[:, 1, 0] += torch.tensor([0.0, 60.0])
    found = triangulate_consensus(keypoints, projection_matrix(camera), weights, reach=4.0)
    assert not found.agree[:, :, 0].all(1).any()


def test_points_behind_a_camera_are_infinitely_far():
    points, keypoints, camera = scene()
    matrices = projection_matrix(camera)
    error = reprojection_distance(points, keypoints + torch.tensor([3.0, 4.0]), matrices)
    torch.testing.assert_close(error, torch.full_like(error, 5.0))
    behind = 3 * camera.position[:1].expand(5, 6, 3)
    assert reprojection_distance(behind, keypoints, matrices)[:, 0].isinf().all()
    with pytest.raises(ShapeError, match="expected keypoints of shape"):
        triangulate_consensus(keypoints[..., :1], matrices, torch.ones(5, 4, 6), reach=4.0)


def test_rays_that_do_not_see_a_point_open_no_angle():
    place = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0]])
    points = torch.zeros(2, 3)
    used = torch.tensor([[True, True], [True, True], [True, False]])
    angle = parallax(points, place, used)
    torch.testing.assert_close(angle, torch.tensor([math.pi, math.pi / 2]))
    torch.testing.assert_close(parallax(points, place), torch.full((2,), math.pi))
    used[1:, 1] = False
    assert parallax(points, place, used)[1] == 0
    with pytest.raises(ShapeError, match="expected used of shape"):
        parallax(points, place, used[:2])
