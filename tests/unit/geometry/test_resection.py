import pytest
import torch

from lifting.errors import DataError
from lifting.geometry.camera import project, world_to_camera
from lifting.geometry.resection import resect
from lifting.geometry.rotation import look_at

LENS = torch.tensor([1145.0, 1130, 512, 515, 0, 0, 0, 0, 0], dtype=torch.float64)
SIZE = torch.tensor([1000.0, 1000.0], dtype=torch.float64)


def scene(noise, wrong=0.0, points=200, seed=0):
    """Joints, their keypoints in one camera, and the camera's rotation and place."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    joints = torch.tensor([900.0, 700, 500], dtype=torch.float64) * draw(points, 3)
    place = torch.tensor([3500.0, -2500.0, 1200.0], dtype=torch.float64)
    turn = look_at(place, torch.tensor([0.0, 0.0, 100.0], dtype=torch.float64))
    pixels = project(world_to_camera(joints, turn, place), LENS) + noise * draw(points, 2)
    gross = torch.rand(points, generator=generator) < wrong
    return joints, pixels + 80 * gross[:, None] * draw(points, 2), turn, place


@pytest.mark.parametrize("focal", [False, True])
def test_exact_keypoints_give_the_camera(focal):
    joints, pixels, turn, place = scene(0.0)
    guess = LENS.clone()
    if focal:
        guess[:2] *= 1.25
    camera = resect(joints, pixels, guess, SIZE, sigma=0.1, focal=focal)
    torch.testing.assert_close(camera.position[0], place, rtol=0, atol=1e-5)
    torch.testing.assert_close(camera.rotation[0], turn, rtol=0, atol=1e-8)
    torch.testing.assert_close(camera.intrinsics[0], LENS, rtol=1e-8, atol=1e-6)


def test_wrong_keypoints_are_let_go_of():
    joints, pixels, turn, place = scene(1.0, wrong=0.25)
    camera = resect(joints, pixels, LENS, SIZE, sigma=1.0)
    assert (camera.position[0] - place).norm() < 10
    assert (camera.rotation[0] - turn).norm() < 0.003
    torch.testing.assert_close(camera.size[0], SIZE)


def test_few_joints():
    joints, pixels, _, _ = scene(0.0, points=7)
    with pytest.raises(DataError, match="at least 8 joints to place a camera, got 7"):
        resect(joints, pixels, LENS, SIZE, sigma=1.0)
