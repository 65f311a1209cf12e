from __future__ import annotations

import importlib.util

import pytest
import torch

import triangulation
from lifting.geometry.epipolar import RelativePose
from lifting.geometry.robust import RobustPose
from lifting.geometry.triangulation import projection_matrix


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    for name, value in (("POSES", 20), ("REFERENCE_POSES", 3), ("_REPEATS", 1)):
        monkeypatch.setattr(triangulation, name, value)
    monkeypatch.setattr(triangulation, "_RIG_FRAMES", 8)


def true_pose(camera):
    turn = camera.rotation[1] @ camera.rotation[0].mT
    pose = RelativePose(turn, torch.ones(3))
    return RobustPose(pose, torch.zeros(1), torch.ones(1), torch.zeros(()))


def test_rows_without_opencv(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(triangulation, "robust_relative_pose", lambda *args: None)
    methods = list(triangulation.rows())
    assert [row.name for row in methods] == [
        "direct linear transform",
        "linear least squares, iterated",
        "polynomial method",
        "robust relative pose",
    ]
    assert all(row.reference > 0 for row in methods[:3])
    assert "took 2700 us on another machine" in methods[2].note


def test_answers_beside_opencv(monkeypatch):
    reason = "compares with OpenCV: pip install opencv-python-headless"
    cv2 = pytest.importorskip("cv2", reason=reason)
    camera, keypoints = triangulation._scene(20)
    scene = keypoints, projection_matrix(camera)
    monkeypatch.setattr(  # ours is compared with it among the tests of the geometry
        triangulation, "robust_relative_pose", lambda *args: true_pose(camera)
    )
    points, pairs, rig = triangulation._opencv_rows(cv2, camera, scene)
    assert float(points.note.split("at most ")[1].split(" mm")[0]) < 1e-6
    assert float(pairs.note.split("at most ")[1].split(" px")[0]) < 1e-2
    theirs, ours = rig.note.split("off by ")[1].split(" degrees")[0].split(" and ")
    assert float(ours) < 1e-4
    assert 0 < float(theirs) < 10
