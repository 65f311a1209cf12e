from dataclasses import replace

import pytest
import torch

from lifting.errors import ConfigError, DataError
from lifting.geometry.camera import project, world_to_camera
from lifting.teacher.held_out_view import held_out_error


@pytest.mark.parametrize("known", ["given", "intrinsics"])
def test_the_error_is_that_of_the_joints_and_of_the_keypoints(rig, noisy, known):
    views = noisy.views if known == "given" else noisy.intrinsics_only()
    found = held_out_error(views, rig.quick, view=2)
    assert found.resected == (known == "intrinsics")
    assert found.view == 2
    assert len(found.solution.names) == 3
    # 2 px of both coordinates have a median of 2.35 px; the joints' own error comes on top.
    assert 2.2 < found.median < 4.0
    assert 0.6 < found.inlier_share <= 1.0
    assert found.error.shape == (60, 17)
    if known == "given":
        solved = found.solution.joints
        camera = noisy.camera[2]
        local = world_to_camera(solved, camera.rotation, camera.position)
        wanted = project(local, camera.intrinsics) - noisy.views.keypoints[2]
        seen = found.error.isfinite()
        assert seen.double().mean() > 0.95
        bent = wanted.norm(dim=-1)[seen]  # with the lens, which changes the error a little
        torch.testing.assert_close(found.error[seen].median(), bent.median(), rtol=0.15, atol=0)
    else:
        assert found.error[::2].isnan().all()  # these placed the camera
        assert found.error[1::2].isfinite().double().mean() > 0.95


def test_a_wrong_view_shows(rig, noisy):
    keypoints = noisy.views.keypoints.clone()
    keypoints[2] = keypoints[2].roll(8, 0)
    found = held_out_error(replace(noisy.views, keypoints=keypoints), rig.quick, view=2)
    assert found.median > 30
    assert found.solution.quality.verdict == "good"


def test_a_view_without_intrinsics_is_placed_too(rig):
    filmed = rig.film(rig.motion(40), rig.ring(3, lens=(0.0,) * 5), noise=1.0)
    options = replace(rig.quick, focal_guesses=(1.15,), hypotheses=16)
    found = held_out_error(filmed.sizes_only(), options, view=0)
    assert found.median < 4.0


def test_errors(noisy):
    with pytest.raises(DataError, match="three views or more to leave one out, got 2"):
        held_out_error(noisy.views.take([0, 1]), view=0)
    with pytest.raises(ConfigError, match="expected a view from 0 to 3, got 4"):
        held_out_error(noisy.views, view=4)
