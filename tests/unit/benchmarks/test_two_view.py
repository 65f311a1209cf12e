from __future__ import annotations

import pytest
import torch

import two_view
import two_view_fits
import two_view_scene
from lifting.geometry.epipolar import RelativePose
from lifting.geometry.rotation import axis_angle_to_matrix
from run import benchmark_names
from two_view import COLUMNS, PUBLISHED, agreement, errors, rows
from two_view_fits import E_MAGSAC, F_EIGHT, opencv_fits, own_fits, seven_point
from two_view_scene import people, pose_error, record, rotation_degrees


@pytest.fixture(scope="module")
def poses():
    return people()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def true_pose(recording):
    """The pose that exact keypoints give."""
    return own_fits()[F_EIGHT](recording, 0.0, 0)


def test_it_is_a_benchmark():
    assert "two_view" in benchmark_names()


def test_people_two_cameras_and_gross_errors(poses, monkeypatch):
    frames = 128
    found = record(poses, frames, 2.0, generator())
    monkeypatch.setattr(two_view_scene, "_GROSS_SHARE", 0.0)
    exact = record(poses, frames, 0.0, generator())
    assert torch.equal(found.joints, exact.joints)
    off = (found.keypoints - exact.keypoints).norm(dim=-1)
    far = off > 12
    assert 0.03 < far.any(0).double().mean() < 0.07
    # A wrong pair is wrong in both views.
    assert far.all(0).sum() > 0.8 * far.any(0).sum()
    assert 1.8 < off[~far].square().mean().div(2).sqrt() < 2.2
    assert rotation_degrees(exact.rotation, torch.eye(3).double()) == pytest.approx(65, abs=6)
    inside = ((exact.keypoints > -100) & (exact.keypoints < 1100)).double().mean()
    assert inside > 0.99


def test_the_error_of_a_pose(poses, monkeypatch):
    monkeypatch.setattr(two_view_scene, "_GROSS_SHARE", 0.0)
    exact = record(poses, 16, 0.0, generator())
    pose = true_pose(exact)
    best = pose_error(pose, exact)
    assert best.degrees < 1e-3
    assert best.millimetres < 0.1
    turn = axis_angle_to_matrix(torch.deg2rad(torch.tensor([0.0, 0.0, 10.0]).double()))
    off = pose_error(RelativePose(turn @ pose.rotation, pose.translation), exact)
    assert off.degrees == pytest.approx(10, abs=1e-3)
    assert off.millimetres > 5


def test_the_true_matrix_is_among_those_of_seven_points(poses, monkeypatch):
    monkeypatch.setattr(two_view_scene, "_GROSS_SHARE", 0.0)
    exact = record(poses, 64, 0.0, generator())
    matrix = true_pose(exact).essential()
    rays = exact.rays()[:, :140].unflatten(1, (20, 7))
    found = seven_point(*rays)
    turned = (found.matrices * matrix).sum((-2, -1)).abs()
    best = torch.where(found.valid, turned, 0.0).amax(1)
    assert (1 - best).median() < 1e-6
    assert found.valid.any(1).all()
    assert torch.linalg.det(found.matrices[found.valid]).abs().max() < 1e-9


@pytest.mark.parametrize("name", own_fits())
def test_fits_of_good_keypoints(poses, monkeypatch, name):
    monkeypatch.setattr(two_view_scene, "_GROSS_SHARE", 0.0)
    recording = record(poses, 8, 0.01, generator(1))
    found = own_fits()[name](recording, 0.01, 0)
    assert pose_error(found, recording).degrees < 0.5


def test_minimal_samples_stop_once_a_better_one_is_improbable(poses, monkeypatch):
    calls = []

    def counted(first, second):
        calls.append(len(first))
        return seven_point(first, second)

    def ransac(recording, threshold):
        calls.clear()
        two_view_fits._ransac(
            recording, counted, 7, two_view_fits._line_distance, threshold, 0.99, 0
        )
        return sum(calls)

    recording = record(poses, 16, 5.0, generator(2))
    assert ransac(recording, 200.0) == two_view_fits._BLOCK
    assert ransac(recording, 0.5) == two_view_fits._DRAWS


def test_the_published_numbers_agree_with_themselves():
    found = {key: torch.tensor(PUBLISHED[key], dtype=torch.float64)[None] for key in PUBLISHED}
    close, winner = agreement("these", found)
    assert (close.ours, close.unit) == (40, "of 40")
    assert close.note.endswith("beyond: none")
    assert (winner.ours, winner.unit) == (4, "of 4")
    found[64, 1] = found[64, 1].clone()
    found[64, 1][0, 4, 0] *= 2
    close, winner = agreement("these", found)
    assert close.ours == 39
    assert f"{COLUMNS[4]} rotation at 64 frames, 1 px: 2.00" in close.note
    assert winner.ours == 3
    assert agreement("none", {key: torch.zeros(1, 0, 2) for key in PUBLISHED}) == []


def test_rows_of_a_short_table(monkeypatch):
    monkeypatch.setattr(two_view, "TRIALS", 1)
    monkeypatch.setattr(two_view, "PUBLISHED", {(16, 1): PUBLISHED[16, 1]})
    table = list(rows())
    assert [row.name for row in table[:2]] == [
        "16 frames, 1 px: F, 8 points, rotation",
        "16 frames, 1 px: F, 8 points, PA-MPJPE",
    ]
    assert table[0].reference == 3.3
    assert all(row.ours > 0 for row in table[:10])
    assert table[10].unit == "of 10"


def test_the_same_numbers_from_opencv():
    pytest.importorskip("cv2", reason="compares with OpenCV: pip install opencv-python-headless")
    fits = opencv_fits()
    assert tuple(fits) == COLUMNS
    del fits[E_MAGSAC]  # ours is compared with it among the tests of the geometry
    own = {name: own_fits()[name] for name in fits}
    ours, theirs = (errors(16, 1, each, trials=5) for each in (own, fits))
    torch.testing.assert_close(ours[:, 0], theirs[:, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        ours[..., 1].median(0).values, theirs[..., 1].median(0).values, rtol=0.25, atol=0
    )
