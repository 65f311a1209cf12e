"""Real and virtual rigs."""

import json
import math
import os
from pathlib import Path

import pytest
import torch

from lifting.data.film import out_of_view, sample_rigs
from lifting.data.sets.h36m.cameras import EXTRINSICS, h36m_cameras
from lifting.errors import ConfigError
from lifting.geometry.camera import Camera, project, world_to_camera
from lifting.geometry.rotation import quaternion_to_matrix

RIGS = ("h36m", "random", "wild")


def seen(points, camera: Camera):
    return world_to_camera(points, camera.rotation, camera.position)


def test_real_cameras_equal_the_published_figures():
    root = os.environ.get("LIFTING_DATA")
    if not root or not (Path(root) / "h36m_cameras.json").is_file():
        pytest.skip("set LIFTING_DATA to the folder that holds h36m_cameras.json")
    facts = json.loads((Path(root) / "h36m_cameras.json").read_text(encoding="utf-8"))
    calibrated = {name: rows for name, rows in facts["extrinsics"].items() if rows}
    assert tuple(EXTRINSICS) == tuple(calibrated)
    for subject, rows in calibrated.items():
        camera = h36m_cameras(subject)
        for i, (lens, pose) in enumerate(zip(facts["cameras"], rows, strict=True)):
            figures = [
                *lens["focal_length"],
                *lens["center"],
                *lens["radial_distortion"],
                *lens["tangential_distortion"],
            ]
            quaternion = torch.tensor(pose["orientation_wxyz"], dtype=torch.float64)
            rotation = quaternion_to_matrix(quaternion).T.float()
            torch.testing.assert_close(camera.intrinsics[i], torch.tensor(figures))
            torch.testing.assert_close(camera.size[i], torch.tensor(lens["resolution"]).float())
            torch.testing.assert_close(camera.position[i], torch.tensor(pose["translation_mm"]))
            torch.testing.assert_close(camera.rotation[i], rotation, atol=1e-6, rtol=0)


def test_all_real_cameras_are_those_of_the_subjects_in_order():
    every = h36m_cameras()
    assert every.position.shape == (28, 3)
    torch.testing.assert_close(every.position[20:24], h36m_cameras("S9").position)
    eye = every.rotation @ every.rotation.transpose(-1, -2)
    torch.testing.assert_close(eye, torch.eye(3).expand(28, 3, 3), atol=1e-5, rtol=0)


def test_real_cameras_look_down_at_the_middle_of_the_room():
    camera = h36m_cameras()
    forward = camera.rotation[:, 2]
    pitch = -forward[:, 2].asin().rad2deg()
    assert pitch.min() > 9
    assert pitch.max() < 17
    person = torch.tensor([[0.0, 0.0, 900.0]])
    assert not out_of_view(seen(person, camera), camera).any()


def test_unknown_subject_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"S2.*known: S1, S11, S5"):
        h36m_cameras("S2")


@pytest.mark.parametrize("rig", RIGS)
def test_rigs_are_repeatable_rotations_of_four_cameras(rig):
    first, again = sample_rigs(rig, 6, seed=3), sample_rigs(rig, 6, seed=3)
    other = sample_rigs(rig, 6, seed=4)
    assert first.intrinsics.shape == (6, 4, 9)
    assert first.size.shape == (6, 4, 2)
    assert torch.equal(first.position, again.position)
    assert torch.equal(first.rotation, again.rotation)
    assert not torch.equal(first.position, other.position)
    identity = first.rotation @ first.rotation.transpose(-1, -2)
    torch.testing.assert_close(identity, torch.eye(3).expand(6, 4, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(first.rotation), torch.ones(6, 4))


def test_h36m_rigs_are_whole_rigs_of_real_subjects():
    real = h36m_cameras().position.view(7, 4, 3)
    drawn = sample_rigs("h36m", 40, seed=0).position
    match = (drawn[:, None] == real).all(-1).all(-1)
    assert (match.sum(1) == 1).all()
    assert match.any(0).sum() >= 5


def test_random_rigs_follow_their_figures():
    rigs = sample_rigs("random", 800, seed=0)
    azimuth = torch.atan2(rigs.position[..., 1], rigs.position[..., 0]).rad2deg()
    expected = torch.tensor([70.0, -70.0, 110.0, -115.0])
    wrapped = (azimuth - expected + 180) % 360 - 180
    torch.testing.assert_close(wrapped.mean(0), torch.zeros(4), atol=1.0, rtol=0)
    torch.testing.assert_close(wrapped.std(0), torch.full((4,), 8.0), atol=0.8, rtol=0)
    distance = rigs.position[..., :2].norm(dim=-1).mean(0)
    figures = torch.tensor([5400.0, 5400, 5400, 4150])
    torch.testing.assert_close(distance, figures, atol=25, rtol=0)
    pitch = (-rigs.rotation[..., 2, 2]).asin().rad2deg()
    assert 9 < pitch.mean() < 13
    field = 2 * math.degrees(math.atan(500 / 1146))
    drawn = 2 * (500 / rigs.intrinsics[..., 0]).atan().rad2deg()
    torch.testing.assert_close(drawn.mean(), torch.tensor(field), atol=0.1, rtol=0)


def test_wild_rigs_frame_a_standing_person_in_either_orientation():
    rigs = sample_rigs("wild", 200, seed=1)
    distance = rigs.position[..., :2].norm(dim=-1)
    assert distance.min() >= 2000
    assert distance.max() <= 8000
    assert rigs.position[..., 2].min() >= 300
    zoom = rigs.intrinsics[..., 0] / rigs.size[..., 0]
    assert zoom.min() >= 0.8
    assert zoom.max() <= 2.2001
    portrait = (rigs.size[..., 1] > rigs.size[..., 0]).float().mean()
    assert 0.2 < portrait < 0.8
    person = torch.stack((torch.zeros(9), torch.zeros(9), torch.linspace(50, 1750, 9)), dim=-1)
    hidden = out_of_view(seen(person, rigs), rigs)
    assert hidden.any(-1).float().mean() < 0.01


def test_out_of_view_finds_points_behind_beside_and_too_near():
    camera = Camera(
        intrinsics=torch.tensor([1000.0, 1000, 500, 500, 0, 0, 0, 0, 0]),
        size=torch.tensor([1000.0, 1000.0]),
    )
    points = torch.tensor(
        [[0.0, 0, 3000], [0, 0, -3000], [0, 0, 200], [1770, 0, 3000], [1830, 0, 3000], [0, 0, 0]]
    )
    expected = torch.tensor([False, True, True, False, True, True])
    assert torch.equal(out_of_view(points, camera), expected)
    # the pixel of a point behind the camera looks harmless
    assert (project(points[1:2], camera.intrinsics) == 500).all()


def test_bad_requests_are_refused():
    with pytest.raises(ConfigError, match="unknown rig 'wlid'; did you mean 'wild'"):
        sample_rigs("wlid", 1, seed=0)
    with pytest.raises(ConfigError, match="at least one rig, got count=0"):
        sample_rigs("wild", 0, seed=0)
