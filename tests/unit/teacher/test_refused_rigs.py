"""Input that no rig can be made of: an error that says what to do."""

from dataclasses import replace

import pytest
import torch

from lifting.errors import ConfigError, DataError, ShapeError
from lifting.skeleton import Skeleton
from lifting.teacher.options import TeacherOptions
from lifting.teacher.solve import solve_rig


def test_one_view_only(noisy):
    with pytest.raises(DataError, match="at least two views, got 1; depth is not to be had"):
        solve_rig(noisy.views.take([0]))


def test_unequal_lengths(noisy):
    views = noisy.views.take([0, 1])
    cut = replace(
        views,
        keypoints=(views.keypoints[0], views.keypoints[1, :50]),
        confidence=(views.confidence[0], views.confidence[1, :50]),
    )
    with pytest.raises(DataError, match="as many frames in every view, got camera a: 60"):
        solve_rig(cut)
    cut = replace(cut, keypoints=(views.keypoints[0], views.keypoints[1]))
    with pytest.raises(DataError, match="expected confidences of shape"):
        solve_rig(cut)


def test_joints_that_are_not_those_of_the_skeleton(noisy):
    views = noisy.views
    with pytest.raises(DataError, match="expected the 17 joints of skeleton h36m17, got 16"):
        solve_rig(
            replace(
                views, keypoints=views.keypoints[:, :, :16], confidence=views.confidence[..., :16]
            )
        )
    mixed = (views.keypoints[0, :, :16], *views.keypoints[1:])
    with pytest.raises(DataError, match="as many joints in every view"):
        solve_rig(replace(views, keypoints=mixed))


def test_views_that_see_no_joint_together(noisy):
    confidence = torch.zeros_like(noisy.views.confidence)
    confidence[0, :30] = confidence[1, 30:] = 1
    with pytest.raises(DataError, match="at least 8 joints that two views see"):
        solve_rig(replace(noisy.views, confidence=confidence))


def test_a_view_that_shares_no_joint_with_the_others(rig, noisy):
    confidence = noisy.views.confidence.clone()
    confidence[3] = 0
    with pytest.raises(DataError, match="share keypoints with the others, got none for camera d"):
        solve_rig(replace(noisy.intrinsics_only(), confidence=confidence), rig.quick)


def test_cameras_that_are_half_known(noisy):
    with pytest.raises(ConfigError, match="rotation and centre of the cameras, got one"):
        solve_rig(replace(noisy.views, centre=None))
    with pytest.raises(ConfigError, match="expected intrinsics with rotation and centre"):
        solve_rig(replace(noisy.views, intrinsics=None))
    with pytest.raises(ShapeError, match="expected intrinsics of shape"):
        solve_rig(replace(noisy.views, intrinsics=noisy.views.intrinsics[:3]))


def test_options_and_skeletons_that_will_not_do(rig, noisy):
    with pytest.raises(ConfigError, match="unknown focal_model 'one'"):
        TeacherOptions(focal_model="one")
    with pytest.raises(ConfigError, match="expected hypotheses above 0, got 0"):
        TeacherOptions(hypotheses=0)
    with pytest.raises(ConfigError, match="expected min_angle from 0, got -1"):
        TeacherOptions(min_angle=-1)
    with pytest.raises(ConfigError, match="expected focal_guesses above 0"):
        TeacherOptions(focal_guesses=())
    odd = Skeleton("dots", tuple(f"p{i}" for i in range(17)), (-1, *range(16)), ())
    with pytest.raises(ConfigError, match="bones of known length, got none for skeleton dots"):
        solve_rig(replace(noisy.intrinsics_only(), skeleton=odd), rig.quick)
    with pytest.raises(ConfigError, match="no joint 'tail'"):
        solve_rig(noisy.intrinsics_only(), replace(rig.quick, bone_lengths={"tail": 300.0}))
    assert solve_rig(replace(noisy.views, skeleton=odd)).metric
