"""Views that do not show the same person at the same time: a verdict with its reason."""

from dataclasses import replace

import pytest

from lifting.teacher.options import TeacherOptions
from lifting.teacher.solve import solve_rig


def told(filmed, known):
    return filmed.views if known == "given" else filmed.intrinsics_only()


def words(solution):
    return "; ".join(solution.quality.reasons)


@pytest.mark.parametrize(("known", "views"), [("given", 2), ("given", 3), ("intrinsics", 3)])
def test_another_person_in_a_view(rig, known, views):
    filmed = rig.film(rig.motion(24), rig.ring(views), noise=1.0)
    keypoints = filmed.views.keypoints.clone()
    keypoints[-1] = rig.see(filmed.camera, rig.motion(24, seed=9))[-1]
    solution = solve_rig(replace(told(filmed, known), keypoints=keypoints), rig.quick)
    assert solution.quality.verdict == "unusable"
    assert "do not show the same person or the same time" in words(solution)
    if views == 3:
        assert "keypoints of camera c (" in words(solution)


@pytest.mark.parametrize(("known", "views"), [("given", 2), ("given", 3), ("intrinsics", 2)])
def test_a_view_that_is_late(rig, known, views):
    filmed = rig.film(rig.motion(60), rig.ring(views), noise=1.0)
    late = filmed.views.keypoints[:, 3:].clone()
    late[-1] = filmed.views.keypoints[-1, :-3]
    given = replace(told(filmed, known), keypoints=late, confidence=filmed.views.confidence[:, 3:])
    solution = solve_rig(given, rig.quick)
    quality = solution.quality
    assert quality.verdict != "good"
    if known == "given":
        untried = solve_rig(given, replace(rig.quick, shifts=0)).quality
        assert untried.shift == (0,) * views
        assert quality.shift[-1] == 3
        assert f"camera {'abc'[views - 1]} agrees better when it is read 3 frames later" in words(
            solution
        )


def test_a_view_that_is_one_frame_late_costs_the_good_verdict(rig):
    filmed = rig.film(rig.motion(80), rig.ring(2), noise=1.0)
    late = filmed.views.keypoints[:, 1:].clone()
    late[-1] = filmed.views.keypoints[-1, :-1]
    given = replace(filmed.views, keypoints=late, confidence=filmed.views.confidence[:, 1:])
    solution = solve_rig(given, rig.quick)
    assert solution.quality.verdict == "low"
    assert "read 1 frame later: not synchronised" in words(solution)


def test_noise_that_is_not_believed(rig):
    filmed = rig.film(rig.motion(40), rig.ring(3), noise=8.0)
    assert solve_rig(filmed.views).quality.verdict != "good"
    believed = solve_rig(filmed.views, TeacherOptions(sigma_max=10.0))
    assert believed.quality.verdict == "good"
    assert 7 < believed.sigma < 9
