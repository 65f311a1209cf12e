import pytest
import torch

from lifting.errors import ShapeError
from lifting.geometry.camera import (
    Camera,
    camera_to_world,
    denormalize_screen,
    distort_rays,
    flip_intrinsics,
    flip_pixels,
    normalize_screen,
    pixels_to_rays,
    project,
    reprojection_error,
    screen_intrinsics,
    undistort_rays,
    world_to_camera,
)
from lifting.geometry.rotation import look_at
from lifting.geometry.triangulation import calibration_intrinsics, calibration_matrix

F64 = torch.float64
INTRINSICS = torch.tensor(
    [1145.0, 1143.8, 512.5, 515.5, -0.2071, 0.2475, -0.0031, -0.00098, -0.0014], dtype=F64
)
SIZE = torch.tensor([1000.0, 1002.0], dtype=F64)


def points(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    spread = torch.randn(*shape, 3, dtype=F64, generator=generator) * 600
    return spread + torch.tensor([0.0, 0.0, 4500.0], dtype=F64)


def test_a_calibration_matrix_and_back():
    lenses = torch.stack((INTRINSICS, 2 * INTRINSICS))
    back = calibration_intrinsics(calibration_matrix(lenses))
    torch.testing.assert_close(back[:, :4], lenses[:, :4])
    assert (back[:, 4:] == 0).all()


def test_pinhole_by_hand():
    linear = torch.tensor([1000.0, 900, 500, 400, 0, 0, 0, 0, 0], dtype=F64)
    pixel = project(torch.tensor([[200.0, -100, 2000]], dtype=F64), linear)
    torch.testing.assert_close(pixel, torch.tensor([[600.0, 355]], dtype=F64))


def test_distortion_by_hand():
    ray = torch.tensor([[0.3, -0.2]], dtype=F64)
    k1, k2, k3, p1, p2 = INTRINSICS[4:].tolist()
    r2 = 0.13
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    tangent = p1 * 0.3 + p2 * -0.2
    expected = [0.3 * (radial + tangent) + p1 * r2, -0.2 * (radial + tangent) + p2 * r2]
    got = distort_rays(ray, INTRINSICS)
    torch.testing.assert_close(got, torch.tensor([expected], dtype=F64))


def test_brown_by_hand():
    ray = torch.tensor([[0.3, -0.2]], dtype=F64)
    k1, k2, k3, p1, p2 = INTRINSICS[4:].tolist()
    r2 = 0.13
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    x = 0.3 * radial + 2 * p1 * 0.3 * -0.2 + p2 * (r2 + 2 * 0.3**2)
    y = -0.2 * radial + p1 * (r2 + 2 * 0.2**2) + 2 * p2 * 0.3 * -0.2
    got = distort_rays(ray, INTRINSICS, tangential="brown")
    torch.testing.assert_close(got, torch.tensor([[x, y]], dtype=F64))


@pytest.mark.parametrize("tangential", ["videopose", "brown"])
def test_undistortion_inverts_distortion(tangential):
    cloud = points(6, 17)
    rays = cloud[..., :2] / cloud[..., 2:]
    bent = distort_rays(rays, INTRINSICS, tangential=tangential)
    back = undistort_rays(bent, INTRINSICS, iterations=30, tangential=tangential)
    torch.testing.assert_close(back, rays, rtol=0, atol=1e-9)


def test_world_and_back():
    position = torch.tensor([[3000.0, -4000, 1600], [-2000, 2500, 1400]], dtype=F64)
    rotation = look_at(position, torch.tensor([0.0, 0, 900], dtype=F64).expand(2, 3))
    world = points(2, 5)
    seen = world_to_camera(world, rotation, position)
    torch.testing.assert_close(camera_to_world(seen, rotation, position), world)
    by_hand = torch.einsum("bij,bpj->bpi", rotation, world - position[:, None])
    torch.testing.assert_close(seen, by_hand)


def test_screen_units_keep_the_aspect_and_invert():
    pixels = torch.tensor([[0.0, 0], [1000, 1002], [500, 501]], dtype=F64)
    screen = normalize_screen(pixels, SIZE)
    expected = torch.tensor([[-1, -1.002], [1, 1.002], [0, 0]], dtype=F64)
    torch.testing.assert_close(screen, expected)
    torch.testing.assert_close(denormalize_screen(screen, SIZE), pixels)


def test_screen_intrinsics_project_to_screen_units():
    cloud = points(17)
    direct = project(cloud, screen_intrinsics(INTRINSICS, SIZE))
    torch.testing.assert_close(direct, normalize_screen(project(cloud, INTRINSICS), SIZE))


def test_mirrored_camera_sees_the_mirrored_world():
    cloud = points(4, 17)
    mirrored = cloud * torch.tensor([-1.0, 1, 1], dtype=F64)
    seen = project(mirrored, flip_intrinsics(INTRINSICS, SIZE))
    torch.testing.assert_close(seen, flip_pixels(project(cloud, INTRINSICS), SIZE))
    twice = flip_intrinsics(flip_intrinsics(INTRINSICS, SIZE), SIZE)
    torch.testing.assert_close(twice, INTRINSICS)
    negated = normalize_screen(flip_pixels(project(cloud, INTRINSICS), SIZE), SIZE)[..., 0]
    torch.testing.assert_close(
        negated, -normalize_screen(project(cloud, INTRINSICS), SIZE)[..., 0]
    )


def test_clamp_limits_wide_rays():
    wide = torch.tensor([[9000.0, 0, 1000]], dtype=F64)
    linear = torch.tensor([1000.0, 1000, 500, 500, 0, 0, 0, 0, 0], dtype=F64)
    assert project(wide, linear)[0, 0] == 1500
    assert project(wide, linear, clamp=False)[0, 0] == 9500


def test_rays_and_reprojection_error():
    cloud = points(3, 17)
    pixels = project(cloud, INTRINSICS)
    rays = undistort_rays(pixels_to_rays(pixels, INTRINSICS), INTRINSICS, iterations=30)
    torch.testing.assert_close(rays, cloud[..., :2] / cloud[..., 2:], rtol=0, atol=1e-9)
    moved = pixels + torch.tensor([3.0, 4.0], dtype=F64)
    error = reprojection_error(cloud, moved, INTRINSICS)
    torch.testing.assert_close(error, torch.full((3, 17), 5.0, dtype=F64))


def test_cameras_are_selected_like_tensors():
    camera = Camera(intrinsics=INTRINSICS.expand(4, 9), size=SIZE.expand(4, 2))
    some = camera[torch.tensor([1, 3])]
    assert some.intrinsics.shape == (2, 9)
    assert some.rotation is None


def test_wrong_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"expected intrinsics of shape \(\*batch 9\)"):
        project(points(17), INTRINSICS[:4])
