"""A correct tiny Human3.6M is clean; every kind of damage is named by its own row."""

from __future__ import annotations

import hashlib

import numpy as np
import published_npz
import pytest
from check_files import check_files

from lifting.data.sets.h36m.cameras import EXTRINSICS
from lifting.skeleton import COCO_17, H36M_17, MPI_INF_3DHP_17

SUBJECTS = tuple(EXTRINSICS)
RECORDINGS = {"Walking 1": 60, "Eating": 48}
FLIP = list(H36M_17.flip_index)


@pytest.fixture
def data(tmp_path):
    return published_npz.H36m(tmp_path, RECORDINGS)


@pytest.fixture
def check(data, published_h36m):
    """Rows of the check, by what they are about."""
    published = published_h36m(data, SUBJECTS)

    def run():
        return check_files("h36m", data.folder, published)

    return run


def row(rows, what):
    (found,) = [r for r in rows if r.what == what]
    return found


def in_order_of(skeleton, values):
    """Joints of H36M_17 put where another skeleton has them; what it lacks is nonsense."""
    made = values[:, [0] * len(skeleton)] * 0.5
    for i, joint in enumerate(skeleton.joints):
        if joint in H36M_17.joints:
            made[:, i] = values[:, H36M_17.index(joint)]
    return made


@pytest.mark.parametrize("confident", [False, True])
def test_correct_files_are_clean(data, check, complaints, confident):
    rng = np.random.default_rng(0)

    def detected(pixels):
        noise = rng.normal(scale=4, size=pixels.shape)
        score = np.exp(-np.linalg.norm(noise, axis=-1, keepdims=True) / 8)
        return np.concatenate((pixels + noise, score), axis=-1)

    if confident:
        data.write_two_d("cpn_ft_h36m_dbb", data.views(detected, extra_frames=2))
    else:
        data.write_two_d("gt")
    rows = check()
    assert [r for r in rows if r.verdict != "ok"] == []
    label = "2D cpn_ft_h36m_dbb" if confident else "2D gt"
    assert row(rows, "unit 3D").found.startswith("m (people 1.")
    assert "median" in row(rows, f"reprojection {label}").found
    assert row(rows, "reader test").found == "864 frames in 16 tracks"
    assert all(r.advice == "" for r in rows)


def test_mixtures_are_clean(data, check):
    data.write_two_d("gt_gmm", published_npz.mixture_views(data))
    assert [r for r in check() if r.verdict != "ok"] == []


def test_millimetres_are_told(data, check, complaints):
    data.write_two_d("gt")
    data.write_three_d(scale=1000)
    rows = check()
    assert complaints(rows) == {"unit 3D"}
    assert row(rows, "unit 3D").found.startswith("mm (people 1.")
    assert row(rows, "unit 3D").advice == "multiply the positions by 0.001"
    assert row(rows, "reader test").verdict == "fail"


def change_world(data, change):
    for named in data.world.values():
        for name, joints in named.items():
            named[name] = change(joints)
    data.write_three_d()


def test_exchanged_sides_in_3d(data, check, complaints):
    data.write_two_d("gt")
    change_world(data, lambda joints: joints[:, FLIP])
    rows = check()
    assert complaints(rows) == {"left and right 3D"}
    assert "0 % of bent knees in front" in row(rows, "left and right 3D").found
    assert row(rows, "left and right 2D gt").verdict == "ok"


def test_exchanged_arms_in_3d(data, check, complaints):
    data.write_two_d("gt")
    change_world(data, lambda j: j[:, [*range(11), 14, 15, 16, 11, 12, 13]])
    assert complaints(check()) == {"arms 3D"}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda j: j * (1, 1, -1), "-z"),
        (lambda j: np.stack((j[..., 0], j[..., 2], -j[..., 1]), axis=-1), "+y"),
    ],
)
def test_other_vertical_axes(data, check, complaints, change, found):
    data.write_two_d("gt")
    change_world(data, change)
    rows = check()
    assert complaints(rows) == {"vertical axis 3D"}
    assert row(rows, "vertical axis 3D").found.startswith(found)
    assert row(rows, "reprojection 2D gt").found == "not compared"


def test_3d_joints_in_another_order(data, check, complaints):
    data.write_two_d("gt")
    aliases = {"pelvis": "hip", "head_top": "head"}

    def reordered(joints):
        named = [aliases.get(name, name) for name in MPI_INF_3DHP_17.joints]
        return joints[:, [H36M_17.index(name) for name in named]]

    change_world(data, reordered)
    rows = check()
    assert "joint order 3D" in complaints(rows)
    assert (
        "in the order of mpi17: put them in that of h36m17" in row(rows, "joint order 3D").advice
    )
    assert not {"left and right 3D", "vertical axis 3D", "unit 3D"} & complaints(rows)


def test_2d_joints_in_another_order(data, check, complaints):
    data.write_two_d("gt", data.views(lambda pixels: in_order_of(COCO_17, pixels)))
    rows = check()
    assert complaints(rows) == {"joint order 2D gt", "reprojection 2D gt", "upright 2D gt"}
    assert "56 of 56 views fit if in the order of coco17" in row(rows, "joint order 2D gt").found


def test_exchanged_sides_in_2d(data, check, complaints):
    data.write_two_d("gt", data.views(lambda pixels: pixels[:, FLIP]))
    rows = check()
    assert complaints(rows) == {"left and right 2D gt", "reprojection 2D gt"}
    assert "56 of 56 views fit if exchanged" in row(rows, "left and right 2D gt").found


@pytest.mark.parametrize(
    ("change", "words", "upright"),
    [
        (lambda p: p * (1, -1) + (0, 1000), "y turned up", "fail"),
        (lambda p: p * (-1, 1) + (1000, 0), "x mirrored", "ok"),
    ],
)
def test_turned_image_axes(data, check, complaints, change, words, upright):
    data.write_two_d("gt", data.views(change))
    rows = check()
    assert "image axes 2D gt" in complaints(rows)
    assert words in row(rows, "image axes 2D gt").found
    assert row(rows, "upright 2D gt").verdict == upright
    assert row(rows, "left and right 2D gt").verdict == "ok"


def test_permuted_cameras(data, check, complaints):
    views = data.views()
    views["S9"]["Walking 1"] = [views["S9"]["Walking 1"][i] for i in (1, 0, 2, 3)]
    data.write_two_d("gt", views)
    rows = check()
    assert complaints(rows) == {"cameras 2D gt"}
    found = row(rows, "cameras 2D gt").found
    assert "2 of 56 views fit if the pixels are those of 55011271" in found
    assert "first S9/Walking 1/54138969" in found
    assert "2 of 56 views beyond" in row(rows, "reprojection 2D gt").found


@pytest.mark.parametrize("shift", [3, -7])
def test_shifted_frames(data, check, complaints, shift):
    views = data.views(lambda pixels: np.roll(pixels, shift, axis=0))
    data.write_two_d("gt", views)
    rows = check()
    assert "time 2D gt" in complaints(rows)
    assert complaints(rows) <= {"time 2D gt", "reprojection 2D gt"}
    assert f"shifted by {shift:+d} frames" in row(rows, "time 2D gt").found


def test_truncated_2d(data, check, complaints):
    views = data.views()
    views["S5"]["Eating"][2] = views["S5"]["Eating"][2][:30]
    data.write_two_d("gt", views)
    rows = check()
    assert complaints(rows) == {"frames 2D gt"}
    assert "first S5/Eating/58860488: 30 for 48 labels" in row(rows, "frames 2D gt").found


def test_truncated_3d(data, check, complaints):
    data.write_two_d("gt")
    data.world["S1"]["Walking 1"] = data.world["S1"]["Walking 1"][:20]
    data.write_three_d()
    rows = check()
    assert complaints(rows) == {"frames all"}
    assert row(rows, "frames all").found == "716 (-40)"
    assert complaints(rows, "warn") == {"frames 2D gt"}


def test_missing_subject_and_recording(data, check, complaints):
    data.write_two_d("gt")
    del data.world["S11"]
    del data.world["S6"]["Eating"]
    data.write_three_d()
    rows = check()
    assert complaints(rows) == {"subjects", "recordings", "actions"}
    assert row(rows, "subjects").found == "missing S11"
    assert row(rows, "recordings").found == "S6 1"
    assert row(rows, "actions").found == "missing S6/Eating"
    assert "missing subject 'S11'" in row(rows, "reader test").advice


def test_subject_missing_in_2d(data, check, complaints):
    views = data.views()
    del views["S7"]
    data.write_two_d("gt", views)
    rows = check()
    assert complaints(rows) == {"subjects 2D gt"}
    assert row(rows, "subjects 2D gt").found == "missing S7"


def test_missing_camera(data, check, complaints):
    views = data.views()
    views["S8"]["Walking 1"].pop()
    data.write_two_d("gt", views)
    rows = check()
    assert complaints(rows) == {"shapes 2D gt"}
    assert "S8/Walking 1: 3 cameras" in row(rows, "shapes 2D gt").found


def test_stretching_bone(data, check, complaints):
    data.world["S1"]["Walking 1"][20:24, 3] += (0, 0, -0.15)
    data.write_three_d()
    data.write_two_d("gt")
    rows = check()
    assert complaints(rows) == {"bone lengths 3D"}
    found = row(rows, "bone lengths 3D").found
    assert "4 of 756 frames" in found
    assert "S1/Walking 1, frame 2" in found
    assert "right_ankle" in found


def test_values_that_are_no_numbers(data, check, complaints):
    views = data.views()
    views["S1"]["Walking 1"][0][5, 3] = np.nan
    data.write_two_d("gt", views)
    data.world["S5"]["Eating"][7, 2, 1] = np.inf
    data.write_three_d()
    rows = check()
    assert complaints(rows) == {"values 3D", "values 2D gt"}
    assert "1 of" in row(rows, "values 3D").found
    assert "first S5/Eating, frame 7, right_knee" in row(rows, "values 3D").found
    assert "S1/Walking 1/54138969, frame 5, right_ankle" in row(rows, "values 2D gt").found


@pytest.mark.parametrize(
    ("change", "what", "words"),
    [
        (lambda c: 100 * c, "confidence 2D cpn", " to 9"),
        (lambda c: 1 - c, "trust 2D cpn", "+1.00"),
        (lambda c: c * np.nan, "confidence 2D cpn", "not finite"),
    ],
)
def test_distorted_confidence(data, check, complaints, change, what, words):
    rng = np.random.default_rng(1)

    def detected(pixels):
        noise = rng.normal(scale=4, size=pixels.shape)
        score = change(np.exp(-np.linalg.norm(noise, axis=-1, keepdims=True) / 8))
        return np.concatenate((pixels + noise, score), axis=-1)

    data.write_two_d("cpn", data.views(detected))
    rows = check()
    assert what in complaints(rows)
    assert words in row(rows, what).found


def test_constant_confidence_is_doubted(data, check, complaints):
    data.write_two_d("cpn", data.views(lambda p: np.concatenate((p, 0 * p[..., :1] + 0.7), -1)))
    rows = check()
    assert complaints(rows) == set()
    assert complaints(rows, "warn") == {"confidence 2D cpn"}


def test_normalised_pixels(data, check, complaints):
    data.write_two_d("gt", data.views(lambda pixels: pixels / 500 - 1))
    rows = check()
    assert complaints(rows) == {"pixels 2D gt"}
    assert "normalised" in row(rows, "pixels 2D gt").advice


def test_copied_recording(data, check, complaints):
    data.world["S9"]["Eating"] = data.world["S1"]["Eating"]
    data.write_three_d()
    data.write_two_d("gt")
    rows = check()
    assert "repeats 3D" in complaints(rows)
    assert "S9/Eating is S1/Eating again" in row(rows, "repeats 3D").found


def test_frozen_frames_and_jumps(data, check, complaints):
    world = data.world["S9"]["Walking 1"]
    world[20:40] = world[20]
    world[45:] += (3, 0, 0)
    data.write_three_d()
    data.write_two_d("gt")
    rows = check()
    assert complaints(rows) == set()
    assert complaints(rows, "warn") == {"repeats 3D", "speed 3D"}
    assert "of the frames of S9/Walking 1 repeat" in row(rows, "repeats 3D").found
    assert "S9/Walking 1, frame 44" in row(rows, "speed 3D").found


def test_wrong_file_by_its_checksum(data, check, complaints):
    path = data.write_two_d("gt")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    sums = data.folder / "SHA256SUMS"
    sums.write_text(f"{digest}  {path.name}\n{'0' * 64} *data_3d_h36m.npz\nnot a sum\n")
    rows = check()
    assert complaints(rows) == {"content data_3d_h36m.npz"}
    assert row(rows, f"content {path.name}").expected.startswith(f"sha256 {digest[:12]}")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git-lfs pointer"),
        (b"<!DOCTYPE html>", "saved web page"),
    ],
)
def test_files_of_another_kind(data, check, complaints, content, words):
    data.write_two_d("gt")
    (data.folder / "data_3d_h36m.npz").write_bytes(content)
    rows = check()
    assert complaints(rows) == {"form data_3d_h36m.npz"}
    assert words in row(rows, "form data_3d_h36m.npz").advice


def test_truncated_archive(data, check, complaints):
    path = data.write_two_d("gt")
    path.write_bytes(path.read_bytes()[:-100])
    rows = check()
    assert complaints(rows) == {f"form {path.name}"}
    assert "truncated" in row(rows, f"form {path.name}").advice


def test_absent_files(tmp_path, complaints):
    rows = check_files("h36m", tmp_path)
    assert complaints(rows) == {"files"}
    assert all(str(tmp_path) in r.found for r in rows)
    assert "lifting data describe h36m" in rows[0].advice


def test_wrong_shapes_and_names(data, check, complaints):
    data.write_two_d("gt")
    data.world["S1"]["Cooking 1"] = np.zeros((5, 17, 3))
    data.write_three_d()
    rows = check()
    assert complaints(rows) == {"shapes 3D"}
    assert "S1/Cooking 1 is no action and number" in row(rows, "shapes 3D").found


def test_metadata_of_another_detector(data, check, complaints):
    data.write_two_d("gt", metadata={"layout_name": "halpe"})
    rows = check()
    assert complaints(rows) == {"layout 2D gt"}
    assert "known layout_name" in row(rows, "layout 2D gt").advice


def test_files_that_do_not_belong_together(data, check, complaints):
    rng = np.random.default_rng(3)
    data.write_two_d("gt", data.views(lambda p: p + rng.uniform(-200, 200, size=p.shape)))
    rows = check()
    assert complaints(rows) == {"reprojection 2D gt"}
    assert "do not belong together" in row(rows, "reprojection 2D gt").advice
