"""What ``lifting data`` answers: rows of plain text, and what the command line makes of them."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lifting.cli import data as cli
from lifting.data.describe import describe, list_datasets, prepare
from lifting.data.doctor.check import check
from lifting.data.sets.cmu.config import FILE_NAME
from lifting.data.sets.cmu.files import FILE_JOINTS, read_cmu_file
from lifting.data.sets.cmu.prepare import _some
from lifting.errors import ConfigError, DataError, MissingDataError, OutputError
from lifting.experiment.load import load_data
from lifting.files.npz import write_npz_atomically
from lifting.skeleton import H36M_17

LEFT, RIGHT = list(H36M_17.left), list(H36M_17.right)


def walker(frames=50):
    """A person who walks along x: every joint given as (x, y, z) in millimetres."""
    side = {"hip": 100, "knee": 100, "ankle": 100, "shoulder": 150, "elbow": 150, "wrist": 150}
    height = {
        "hip": 900, "knee": 500, "ankle": 80, "spine": 1120, "thorax": 1350, "neck": 1470,
        "head": 1580, "shoulder": 1350, "elbow": 1070, "wrist": 820,
    }  # fmt: skip
    pose = []
    for name in H36M_17.joints:
        where, _, part = name.rpartition("_")
        sign = {"left": 1, "right": -1, "": 0}[where]
        pose.append((0, sign * side.get(part, 0), height[part]))
    steps = np.arange(frames)[:, None, None] * np.array([20.0, 0, 0])
    return np.array(pose, dtype=np.float64)[None] + steps


def write(folder, positions, dtype=np.int16, **changes):
    parents = np.maximum(np.array(H36M_17.parents), 0)
    lengths = np.linalg.norm(positions[0] - positions[0, parents], axis=-1)
    content = {
        "positions_mm": positions.astype(dtype),
        "offsets": np.array([0, len(positions)]),
        "names": np.array(["01_01"]),
        "subjects": np.array(["S01"]),
        "actions": np.array(["walk"]),
        "sources": np.array(["amc"]),
        "skeletons": np.array(["one"]),
        "split": np.array(["train"]),
        "fps": np.array(50, np.float32),
        "joint_names": np.array(FILE_JOINTS),
        "parents": np.array(H36M_17.parents, np.int16),
        "skeleton_names": np.array(["one"]),
        "bone_lengths_mm": lengths[None].astype(np.float32),
    }
    write_npz_atomically(folder / FILE_NAME, **{**content, **changes})
    return str(folder)


def check_named(name, root=None):
    return check(load_data(name, root)[0])


def verdicts(root):
    return {row.what: row for row in check_named("cmu", root)}


def test_good_file_of_ones_own_only_warns_of_being_another(tmp_path):
    rows = verdicts(write(tmp_path, walker()))
    assert not [row for row in rows.values() if row.verdict == "fail"]
    warned = {what for what, row in rows.items() if row.verdict == "warn"}
    assert warned == {"content", "part train", "part val", "part test"}
    assert "empty" in rows["part val"].advice
    assert rows["unit 3D"].found.startswith("mm (people 1.5")
    assert all(row.advice for row in rows.values() if row.verdict != "ok")


@pytest.mark.parametrize(("factor", "unit"), [(0.001, "m"), (0.1, "cm")])
def test_other_units_are_told_by_the_size_of_people(tmp_path, factor, unit):
    row = verdicts(write(tmp_path, walker() * factor, np.float32))["unit 3D"]
    assert row.verdict == "fail"
    assert row.found.startswith(f"{unit} (people 1.5")
    assert f"multiply the positions by {1 / factor:g}" in row.advice


def test_y_up_is_told_by_the_body(tmp_path):
    x, y, z = np.moveaxis(walker(), -1, 0)
    row = verdicts(write(tmp_path, np.stack((x, z, -y), axis=-1)))["vertical axis 3D"]
    assert (row.verdict, row.found[:2]) == ("fail", "+y")


def test_exchanged_sides_are_told_by_the_walk(tmp_path):
    pose = walker()
    pose[:, LEFT + RIGHT] = pose[:, RIGHT + LEFT]
    rows = verdicts(write(tmp_path, pose))
    assert rows["left and right 3D"].verdict == "fail"
    assert "agree by -1.00" in rows["left and right 3D"].found
    assert rows["arms 3D"].verdict == "ok"


def test_exchanged_arms_alone_are_told_by_the_hips(tmp_path):
    pose = walker()
    arms_left, arms_right = [11, 12, 13], [14, 15, 16]
    pose[:, arms_left + arms_right] = pose[:, arms_right + arms_left]
    rows = verdicts(write(tmp_path, pose))
    assert rows["arms 3D"].verdict == "fail"
    assert "left and right 3D" not in rows  # it cannot be told by such a body


def test_nobody_walks(tmp_path):
    row = verdicts(write(tmp_path, np.repeat(walker(1), 50, axis=0)))["left and right 3D"]
    assert (row.verdict, row.found) == ("warn", "no knee is bent, nobody walks")


def test_stretching_bones(tmp_path):
    pose = walker()
    pose[20, 10, 2] += 60
    rows = verdicts(write(tmp_path, pose))
    assert rows["bone lengths 3D"].verdict == "fail"
    assert "S01 (one)/01_01, frame 20, bone to head" in rows["bone lengths 3D"].found
    assert "sequence 01_01, frame 20, joint Head" in rows["motion"].advice


def test_floating_sequence(tmp_path):
    row = verdicts(write(tmp_path, walker() + np.array([0, 0, 200])))["floor"]
    assert (row.verdict, row.found) == ("warn", "280 to 280 mm")


@pytest.mark.parametrize(
    ("wrong", "what"), [(np.nan, "values 3D"), (np.inf, "values 3D"), (1e30, "bone lengths 3D")]
)
def test_values_that_are_no_positions(tmp_path, wrong, what):
    pose = walker()
    pose[7, 3, 1] = wrong
    rows = verdicts(write(tmp_path, pose, np.float32))
    assert rows[what].verdict == rows["motion"].verdict == "fail"
    assert "01_01, frame 7" in rows[what].found
    assert "sequence 01_01, frame 7" in rows["motion"].advice


def test_file_of_another_form(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"nothing of the kind")
    rows = check_named("cmu", str(tmp_path))
    assert [row.verdict for row in rows] == ["ok", "warn", "fail"]
    assert "zip" in rows[-1].advice


def test_absent_file(tmp_path):
    (row,) = check_named("cmu", str(tmp_path))
    assert row.verdict == "fail"
    assert "lifting data prepare cmu" in row.advice


def test_list_says_what_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("LIFTING_DATA", str(tmp_path))
    states = {row.name: row.state for row in list_datasets()}
    assert states["synthetic"] == "ready"
    assert states["cmu"].startswith("not found: set LIFTING_DATA")
    write(tmp_path, walker())
    assert {row.name: row.state for row in list_datasets()}["cmu"] == "ready"


def test_describe_gives_terms_credit_and_place():
    facts = dict(describe("cmu"))
    assert "mocap.cs.cmu.edu" in facts["terms"]
    assert "NSF EIA-0196217" in facts["credit"]
    assert "LIFTING_DATA/cmu" in facts["looked for in"]
    assert "needs nothing" in dict(describe("synthetic"))["files"]


def test_synthetic_needs_nothing(tmp_path):
    assert {row.verdict for row in check_named("synthetic")} == {"ok"}
    with pytest.raises(ConfigError, match="there is nothing to prepare"):
        prepare("synthetic", tmp_path)


@pytest.mark.parametrize("ask", [describe, check_named, lambda name: prepare(name, Path())])
def test_unknown_name_gets_a_suggestion(ask):
    with pytest.raises(ConfigError, match=r"unknown data set 'cmuu'; did you mean 'cmu'\?"):
        ask("cmuu")


def test_many_notes_are_cut():
    assert _some("warning", ["a"]) == [("warning", "a")]
    assert _some("warning", ["a"] * 23)[19:] == [
        ("warning", "a"), ("warning", "and 3 more recordings"),
    ]  # fmt: skip


def test_prepare_never_replaces(tmp_path):
    write(tmp_path, walker())
    with pytest.raises(OutputError, match="which exists"):
        prepare("cmu", tmp_path, tmp_path)


def test_prepare_from_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match=r"expected \.amc or \.bvh files"):
        prepare("cmu", tmp_path, tmp_path / "out")


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    parser = argparse.ArgumentParser()
    cli.register(parser.add_subparsers())

    def call(*words):
        args = parser.parse_args(["data", *map(str, words)])
        return args.handler(args), capsys.readouterr().out

    return call


def test_command_lists_and_describes(run):
    status, text = run("list")
    assert status == 0
    assert "cmu" in text
    assert "synthetic" in text
    status, text = run("describe", "cmu")
    assert status == 0
    assert "NSF EIA-0196217" in text


def test_prepare_command_takes_a_map(run, tmp_path):
    with pytest.raises(MissingDataError, match=r"expected a map at .*none\.json, found no file"):
        run("prepare", "cmu", "--source", tmp_path, "--output", tmp_path, "--map",
            tmp_path / "none.json")  # fmt: skip


def test_check_command_fails_with_the_file(run, tmp_path):
    assert run("check", "cmu", "--root", write(tmp_path, walker()))[0] == 0
    status, text = run("check", "cmu", "--root", write(tmp_path, walker() / 1000, np.float32))
    assert status == 1
    assert "multiply the positions by 1000" in text


def test_names_from_files_are_not_markup(run, tmp_path):
    folder = tmp_path / "[red]x[/nothing]"
    status, text = run("check", "cmu", "--root", write(folder, walker()))
    assert status == 0
    assert "[red]x[/nothing]" in text


def test_answers_come_without_torch():
    program = (
        "import argparse, sys; from lifting.cli import data;"
        "assert not {'torch', 'numpy', 'rich'} & set(sys.modules);"
        "parser = argparse.ArgumentParser(); data.register(parser.add_subparsers());"
        "args = parser.parse_args(['data', 'list']); assert args.handler(args) == 0;"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder():
    place = os.environ.get("LIFTING_DATA")
    if not place or not (Path(place) / "cmu" / FILE_NAME).is_file():
        pytest.skip(f"set LIFTING_DATA to the folder that holds cmu/{FILE_NAME}")
    return Path(place)


def test_distributed_file_passes_every_check(folder):
    rows = check_named("cmu", str(folder))
    assert {row.verdict for row in rows} == {"ok"}, [r for r in rows if r.verdict != "ok"]
    assert len(rows) == 17


def test_raw_files_are_prepared_and_checked(folder, run, tmp_path):
    if not (folder / "cmu" / "raw").is_dir():
        pytest.skip("set LIFTING_DATA to the folder that holds cmu/raw and its source files")
    status, text = run("prepare", "cmu", "--source", folder / "cmu" / "raw", "--output", tmp_path)
    assert status == 0
    assert "same recording as 02_03.amc" in text
    assert read_cmu_file(tmp_path / FILE_NAME).names == ("02_01", "02_03", "06_09")
    assert run("check", "cmu", "--root", tmp_path)[0] == 0
