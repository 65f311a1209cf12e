"""Frames and viewpoints: up is up, near is near, lengths are kept."""

import numpy as np
import pytest
import torch

from lifting.errors import ShapeError
from lifting.visualization.style import (
    View,
    camera_to_display,
    facing_heading,
    floor_grid,
    to_display,
    view_matrix,
)


def tilted_camera(pitch_degrees):
    """World to camera of a camera that looks along the world's y, pitched down."""
    pitch = np.radians(pitch_degrees)
    right = np.array((1.0, 0, 0))
    ahead = np.array((0.0, np.cos(pitch), -np.sin(pitch)))
    return np.stack((right, np.cross(ahead, right), ahead))


def test_camera_y_down_becomes_display_z_up():
    shown = camera_to_display(torch.tensor([[10.0, -300.0, 2000.0]]))
    np.testing.assert_allclose(shown, [[10.0, 2000.0, 300.0]])


def test_a_tilted_camera_is_levelled_by_its_rotation():
    rotation = tilted_camera(30)
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0)
    world = np.array([[0.0, 0, 0], [0, 0, 1700.0], [500.0, 0, 0], [0, 500.0, 0]])
    shown = camera_to_display(world @ rotation.T, rotation)
    np.testing.assert_allclose(shown, world, atol=1e-9)
    level = camera_to_display(world @ rotation.T)
    assert abs(level[1, 1]) > 500  # without the rotation a standing person leans


def test_a_camera_that_looks_straight_down_still_has_axes():
    rotation = tilted_camera(90)
    shown = camera_to_display(np.eye(3) @ rotation.T, rotation)
    np.testing.assert_allclose(shown @ shown.T, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(shown[2], (0, 0, 1), atol=1e-9)


def test_the_world_frame_is_shown_as_it_is():
    points = np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(to_display(points, "world"), points)


@pytest.mark.parametrize("azimuth", [-120, 0, 35, 90])
@pytest.mark.parametrize("elevation", [-20, 0, 45])
def test_views_are_rotations_in_which_up_points_up(azimuth, elevation):
    matrix = view_matrix(View(azimuth, elevation))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    up = matrix @ np.array((0, 0, 1.0))
    assert up[0] == pytest.approx(0)
    assert up[1] == pytest.approx(np.cos(np.radians(elevation)))


def test_viewpoints_are_where_their_angles_say():
    points = np.eye(3)
    front = points @ view_matrix(View(0, 0)).T
    np.testing.assert_allclose(front, [[1, 0, 0], [0, 0, 1], [0, 1, 0]], atol=1e-12)
    from_right = points @ view_matrix(View(90, 0)).T
    np.testing.assert_allclose(from_right[0], (0, 0, -1), atol=1e-12)  # x is nearest
    above = points @ view_matrix(View(0, 90)).T
    np.testing.assert_allclose(above[2], (0, 0, -1), atol=1e-12)  # z is nearest
    np.testing.assert_allclose(above[1], (0, 1, 0), atol=1e-12)  # what is far lies high


def test_floor_grid_covers_its_area_in_cells_of_half_a_metre():
    grid = floor_grid(np.array((-10.0, 20.0)), np.array((510.0, 480.0)), 7.0)
    assert grid.shape == (6, 2, 3)  # 4 lines along y at -500..1000, 2 along x at 0 and 500
    assert set(grid[..., 2].ravel()) == {7.0}
    assert (grid[..., 0].min(), grid[..., 0].max()) == (-500.0, 1000.0)
    assert (grid[..., 1].min(), grid[..., 1].max()) == (0.0, 500.0)


def test_every_pose_is_turned_to_face_the_viewer():
    rng = np.random.default_rng(0)
    poses = rng.normal(size=(20, 5, 3)) * 100
    turned = facing_heading(poses, left=1, right=2)
    across = turned[:, 1] - turned[:, 2]
    np.testing.assert_allclose(across[:, 1], 0, atol=1e-9)
    assert (across[:, 0] > 0).all()
    np.testing.assert_allclose(turned[..., 2], poses[..., 2])
    np.testing.assert_allclose(
        np.linalg.norm(turned[:, 0] - turned[:, 4], axis=-1),
        np.linalg.norm(poses[:, 0] - poses[:, 4], axis=-1),
    )


def test_wrong_axes_are_named():
    with pytest.raises(ShapeError, match=r"expected points of shape \(\*batch 3\), got \(4, 2\)"):
        camera_to_display(np.zeros((4, 2)))
