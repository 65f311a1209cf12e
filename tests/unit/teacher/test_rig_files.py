"""Solutions on disk: the file, the cache, the report."""

import json
import math
import os
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from lifting.data import epipolar_labels
from lifting.data.epipolar_labels import rig_hash, solved_rig
from lifting.errors import DataError, MissingDataError
from lifting.files.json_file import as_json
from lifting.skeleton import MPI_INF_3DHP_17
from lifting.teacher.options import TeacherOptions
from lifting.teacher.rig_report import as_values, markdown, up_direction
from lifting.teacher.solution import read_solution, write_solution


def same(a, b):
    for field in fields(a):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if isinstance(one, torch.Tensor):
            torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
        else:
            assert one == other, field.name


def test_a_solution_is_read_as_it_was_written(tmp_path, solved):
    path = tmp_path / "deep" / "rig.npz"
    write_solution(path, solved, {"known": "intrinsics"})
    kept = read_solution(path)
    same(kept.solution, solved)
    assert kept.facts == {"known": "intrinsics"}
    with np.load(path, allow_pickle=False) as archive:
        assert archive["joints"].shape == (60, 17, 3)
        assert json.loads(archive["meta"].tobytes())["quality"]["verdict"] == "good"


def test_a_residual_that_is_infinite_survives(tmp_path, solved):
    quality = replace(solved.quality, median_residual=(math.inf, 1.0, math.nan, 2.0))
    path = tmp_path / "rig.npz"
    write_solution(path, replace(solved, quality=quality))
    found = read_solution(path).solution.quality.median_residual
    assert found[0] == math.inf
    assert math.isnan(found[2])
    report = json.loads(as_json(as_values(replace(solved, quality=quality))))
    assert report["quality"]["median_residual"] == [None, 1.0, None, 2.0]


def test_files_that_are_no_solution(tmp_path, solved):
    with pytest.raises(MissingDataError, match="make one with 'lifting rig solve'"):
        read_solution(tmp_path / "none.npz")
    path = tmp_path / "rig.npz"
    write_solution(path, solved)
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="got damage or another file"):
            read_solution(path)
    np.savez(path, joints=np.zeros(3))
    with pytest.raises(DataError, match="got damage or another file"):
        read_solution(path)
    np.savez(path, meta=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="got damage or another file"):
        read_solution(path)


def test_a_rig_is_solved_once(tmp_path, noisy, monkeypatch, caplog):
    calls = []
    solve = epipolar_labels.solve_rig
    monkeypatch.setattr(
        epipolar_labels, "solve_rig", lambda *given: calls.append(given) or solve(*given)
    )
    first = solved_rig(noisy.views, cache_dir=tmp_path)
    again = solved_rig(noisy.views, TeacherOptions(), tmp_path)
    assert len(calls) == 1
    same(first, again)
    (kept,) = tmp_path.glob("rig-*.npz")
    kept.write_bytes(b"broken")
    same(solved_rig(noisy.views, cache_dir=tmp_path), first)
    assert len(calls) == 2
    assert "is damaged" in caplog.text
    solved_rig(noisy.views)
    assert len(calls) == 3
    assert len(list(tmp_path.iterdir())) == 1


def test_everything_that_matters_is_in_the_name(noisy):
    views, options = noisy.views, TeacherOptions()
    known = {rig_hash(views, options)}
    keypoints = views.keypoints.clone()
    keypoints[1, 2, 3, 0] += 1e-9
    for changed in (
        replace(views, keypoints=keypoints),
        replace(views, confidence=views.confidence * 0.99),
        replace(views, sizes=views.sizes + 1),
        replace(views, centre=views.centre + 1),
        replace(views, rotation=None, centre=None),
        replace(views, rotation=None, centre=None, intrinsics=None),
        replace(views, names=None),
        replace(views, skeleton=MPI_INF_3DHP_17),
        views.take([1, 0, 2, 3]),
    ):
        known.add(rig_hash(changed, options))
    known.add(rig_hash(views, TeacherOptions(bone_lengths={"left_knee": 430.0})))
    known.add(rig_hash(views, TeacherOptions(seed=1)))
    assert len(known) == 12
    assert rig_hash(views, TeacherOptions()) in known
    listed = replace(views, keypoints=tuple(views.keypoints))
    assert rig_hash(listed, options) != ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written(tmp_path, noisy, caplog):
    tmp_path.chmod(0o500)
    assert solved_rig(noisy.views, cache_dir=tmp_path / "rigs").quality.verdict == "good"
    assert "cannot keep a solved rig" in caplog.text


def test_a_cache_that_is_a_file_costs_a_warning(tmp_path, noisy, caplog):
    place = tmp_path / "file"
    place.write_text("in the way")
    assert solved_rig(noisy.views, cache_dir=place).quality.verdict == "good"
    assert "cannot keep a solved rig" in caplog.text


def test_the_report_says_what_it_is_worth(solved):
    text = markdown(solved, {"held_out_px": {"camera b": 3.456}, "command": "lifting rig solve a"})
    assert text.startswith("# Rig of 4 cameras: good\n\nVerdict **good**: labels may be learnt")
    assert "| camera b | 1145 |" in text
    assert "| 3.46 |" in text
    assert "| left_wrist | 100.0 |" in text
    assert "Made by `lifting rig solve a`." in text
    assert "held-out" not in markdown(solved)
    quality = replace(solved.quality, verdict="low", reasons=("a reason",))
    assert "- a reason\n" in markdown(replace(solved, quality=quality))
    report = as_values(solved)
    assert report["quality"]["verdict"] == "good"
    error = report["joints"]["left_wrist"]["error_mm"]
    assert 5 < error < 40
    assert len(report["centre"]) == 4


def test_up_is_that_of_the_body_or_of_a_given_world(noisy, solved):
    up = up_direction(solved)
    torch.testing.assert_close(up.norm(), torch.ones((), dtype=torch.float64))
    level = noisy.camera.rotation[0] @ torch.tensor([0.0, 0, 1], dtype=torch.float64)
    assert up @ level > 0.97  # z of the world in the first camera
    given = replace(solved, joints=noisy.joints, metric=True)
    assert up_direction(given).tolist() == [0, 0, 1]
    lost = replace(solved, joints=torch.full_like(solved.joints, torch.nan))
    assert up_direction(lost).tolist() == [0, 0, 1]
