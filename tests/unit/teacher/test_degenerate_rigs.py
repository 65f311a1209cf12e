"""Rigs and movements that do not determine the cameras: a verdict with its reason."""

from dataclasses import replace

import pytest
import torch

from lifting.geometry.rotation import look_at
from lifting.teacher.solve import solve_rig


def told(filmed, known):
    return filmed.views if known == "given" else filmed.intrinsics_only()


def words(solution):
    return "; ".join(solution.quality.reasons)


@pytest.mark.parametrize(("known", "noise"), [("given", 0.0), ("given", 2.0), ("intrinsics", 2.0)])
def test_cameras_in_one_place(rig, known, noise):
    camera = rig.ring(2)
    place = camera.position[:1].expand(2, 3).clone()
    target = torch.tensor([[0.0, 0, 900], [300, 200, 800]], dtype=torch.float64)
    camera = replace(camera, position=place, rotation=look_at(place, target))
    solution = solve_rig(told(rig.film(rig.motion(24), camera, noise), known), rig.quick)
    assert solution.quality.verdict == "unusable"
    assert "no baseline" in words(solution)
    if known == "given":
        assert not solution.valid.any()


def test_the_same_file_twice(rig, noisy):
    views = noisy.intrinsics_only().take([0, 1])
    same = views.keypoints[:1, :24].expand(2, -1, -1, -1)
    given = replace(views, keypoints=same, confidence=views.confidence[:, :24])
    solution = solve_rig(given, rig.quick)
    assert solution.quality.verdict == "unusable"
    assert "no baseline" in words(solution)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_joints_of_one_plane(rig, noise):
    joints = rig.motion(24)
    joints[..., 0] = 0
    filmed = rig.film(joints, rig.ring(2), noise)
    solution = solve_rig(filmed.intrinsics_only(), rig.quick)
    assert solution.quality.ambiguity > 0.5
    assert solution.quality.verdict == "unusable"
    assert "joints of one plane" in words(solution)
    assert solve_rig(filmed.views, rig.quick).quality.verdict == "good"  # given cameras do


def test_a_person_who_stands_still_and_frames_that_are_few(rig):
    still = rig.film(rig.motion(1).expand(20, -1, -1), rig.ring(3), noise=1.0)
    solution = solve_rig(still.intrinsics_only(), rig.quick)
    assert solution.quality.verdict == "low"
    assert "the person moves by" in words(solution)
    few = rig.film(rig.motion(4), rig.ring(3), noise=1.0)
    solution = solve_rig(few.intrinsics_only(), rig.quick)
    assert "cameras were estimated from 4 frame(s) only" in words(solution)
