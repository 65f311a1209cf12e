"""Exported files as programs of others read them: `make readers` and `make blender`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from walkers import walkers

from lifting.export.motion import export_poses, motion_of, y_up

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "tests" / "readers"
WITHIN = 0.01  # mm
JOINTS = 17


def environment(variable, folder, target):
    python = Path(os.environ.get(variable, ROOT / folder)) / "bin" / "python"
    if not python.is_file():
        pytest.skip(f"{python} is not there: make {target}")
    return python


def run(python, script, jobs):
    ended = subprocess.run(
        [python, SCRIPTS / script], input=json.dumps(jobs), capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": ""}, cwd=Path(jobs[0]["out"]).parent,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = []
    for job in jobs:
        with np.load(job["out"]) as file:
            found.append({name: file[name] for name in file.files})
    return found


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Two people 20 m from the origin with gaps and a lost joint; one frame; many frames."""
    folder = tmp_path_factory.mktemp("scenes")
    poses = walkers(2, frames=40)
    world = poses.world.astype(np.float64) + np.array((14_000, -14_000, 0))
    world[5, 13] = np.nan
    kept = np.r_[0:20, 23:40, 40:52, 70:80]
    rows = {n: getattr(poses, n)[kept] for n in ("joints_3d", "frame", "track")}
    long = walkers(1, frames=50)
    frames = 10_001
    many = {
        "joints_3d": np.resize(long.joints_3d, (frames, 17, 3)),
        "world": np.resize(long.world, (frames, 17, 3)),
        "frame": np.arange(frames),
        "track": np.zeros(frames, int),
        "fps": 29.97,
    }
    made = {
        "pair": walkers(2, frames=40, world=world[kept], **rows),
        "one": walkers(1, frames=1),
        "many": walkers(1, frames=50, **many),
    }
    formats = {"many": "bvh,trc,c3d,csv-wide,glb", "one": "bvh,trc,c3d,csv,csv-wide,glb"}
    for name, scene in made.items():
        export_poses(scene, formats.get(name, formats["one"]), folder, stem=name)
    return folder, made


@pytest.fixture(scope="module")
def read(scenes):
    """What every reader of Python says, by scene and reader."""
    python = environment("LIFTING_READERS", ".venv-readers", "readers")
    folder, _ = scenes
    files = {
        "pybvh": ("pair_person_0.bvh", "one.bvh", "many.bvh"),
        "ezc3d": ("pair.c3d", "one.c3d", "many.c3d"),
        "c3d": ("pair.c3d", "one.c3d", "many.c3d"),
        "table": ("pair_person_0.trc", "one.trc"),
        "markers": ("pair_person_0.trc", "one.trc"),
        "trc_times": ("many.trc",),
        "long_table": ("pair.csv", "one.csv"),
        "wide_table": ("pair_wide.csv", "one_wide.csv", "many_wide.csv"),
    }
    jobs = [
        {"reader": reader, "file": str(folder / name), "out": str(folder / f"{reader}-{i}.npz")}
        for reader, names in files.items()
        for i, name in enumerate(names)
    ]
    scene = {"pair": "pair", "one": "one", "many": "many"}
    keys = [(scene[Path(job["file"]).name[:4].rstrip("._")], job["reader"]) for job in jobs]
    return dict(zip(keys, run(python, "python_readers.py", jobs), strict=True))


def expected(scene):
    """Every frame of the first person as it was seen, mm, z up."""
    return motion_of(scene).people[0].joints


def animated(scene, person=0):
    """Places of the nodes of the fitted animation, mm, y up, and their names."""
    fitted = motion_of(scene).people[person].fitted
    chain = fitted.chain
    places, turns = [fitted.root], [fitted.rotations[:, 0]]
    for node, parent in list(enumerate(chain.parents))[1:]:
        places.append(places[parent] + turns[parent] @ fitted.offsets[node])
        turns.append(turns[parent] @ fitted.rotations[:, node])
    return np.stack(places, 1), chain


def check_animation(found, scene, person=0):
    places, chain = animated(scene, person)
    names = found["names"].tolist()
    points = found["points"][:, [names.index(name) for name in chain.names]]
    assert points.shape == places.shape
    assert np.linalg.norm(points - places, axis=-1).max() < WITHIN
    for node, parent in enumerate(chain.parents):
        if parent >= 0:
            length = np.linalg.norm(points[:, node] - points[:, parent], axis=-1)
            assert np.ptp(length) < WITHIN, chain.names[node]


@pytest.mark.parametrize("scene", ["pair", "one"])
def test_bvh_by_pybvh(read, scenes, scene):
    check_animation(read[scene, "pybvh"], scenes[1][scene])


@pytest.mark.parametrize("scene", ["pair", "one"])
@pytest.mark.parametrize("reader", ["ezc3d", "c3d"])
def test_c3d_by_two_readers(read, scenes, scene, reader):
    found, truth = read[scene, reader], expected(scenes[1][scene])
    people = 2 if scene == "pair" else 1
    assert found["points"].shape == (len(truth), people * JOINTS, 3)
    assert found["names"][0] == ("person_0:hip" if people == 2 else "hip")
    points = found["points"][:, :JOINTS]
    assert (np.isnan(points) == np.isnan(truth)).all()
    assert np.nanmax(np.linalg.norm(points - truth, axis=-1)) < WITHIN


@pytest.mark.parametrize("scene", ["pair", "one"])
@pytest.mark.parametrize("reader", ["table", "markers"])
def test_trc_by_opensim(read, scenes, scene, reader):
    found, truth = read[scene, reader], expected(scenes[1][scene])[..., [1, 2, 0]]
    assert found["names"][:3].tolist() == ["Hip", "RHip", "RKnee"]
    assert (np.isnan(found["points"]) == np.isnan(truth)).all()
    assert np.nanmax(np.linalg.norm(found["points"] - truth, axis=-1)) < WITHIN
    np.testing.assert_allclose(found["times"], np.arange(len(truth)) / 25, atol=1e-6)


@pytest.mark.parametrize("scene", ["pair", "one"])
@pytest.mark.parametrize("reader", ["long_table", "wide_table"])
def test_tables_by_pandas(read, scenes, scene, reader):
    person = motion_of(scenes[1][scene]).people[0]
    found = read[scene, reader]
    assert found["points"].shape == person.original.shape
    assert (np.isnan(found["points"]) == np.isnan(person.original)).all()
    assert np.nanmax(np.abs(found["points"] - person.original)) < WITHIN
    np.testing.assert_allclose(found["times"], person.place / 25, atol=1e-6)


@pytest.mark.parametrize(
    ("reader", "within"),
    [("pybvh", 1e-6), ("trc_times", 1e-6), ("wide_table", 1e-6), ("ezc3d", 2e-5), ("c3d", 2e-5)],
)
def test_the_rate_over_ten_thousand_frames(read, reader, within):
    times = read["many", reader]["times"]
    assert len(times) == 10_001
    # C3D stores the rate in float32: over 334 s that alone is 1e-5 s.
    np.testing.assert_allclose(times, np.arange(10_001) / 29.97, atol=within)


def test_animations_by_blender(scenes):
    python = environment("LIFTING_BLENDER", ".venv-blender", "blender")
    folder, made = scenes
    files = [
        ("bvh", "pair_person_0.bvh", "pair", 0), ("bvh", "one.bvh", "one", 0),
        ("glb", "pair.glb", "pair", 0), ("glb", "pair.glb", "pair", 1),
        ("glb", "one.glb", "one", 0),
    ]  # fmt: skip
    jobs = [
        {"reader": reader, "file": str(folder / name), "fps": 25, "out": str(folder / f"b{i}.npz"),
         "person": person if reader == "glb" else 0}
        for i, (reader, name, _, person) in enumerate(files)
    ]  # fmt: skip
    for (reader, _, scene, person), found in zip(
        files, run(python, "blender_reader.py", jobs), strict=True
    ):
        check_animation(found, made[scene], person)
        if reader == "glb":
            assert found["people"] == found["skinned"] == len(motion_of(made[scene]).people)


def test_glb_by_three(scenes):
    node = shutil.which("node")
    place = Path(os.environ.get("LIFTING_READERS", ROOT / ".venv-readers")) / "node"
    if node is None or not (place / "node_modules" / "three").is_dir():
        pytest.skip("no node, or no three.js: make readers, with npm on the path")
    folder, made = scenes
    for scene in ("pair", "one", "many"):
        ended = subprocess.run(
            [node, SCRIPTS / "three_reader.mjs", place, folder / f"{scene}.glb"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr[-2000:]
        found = json.loads(ended.stdout)
        if scene == "many":
            np.testing.assert_allclose(found["times"], np.arange(10_001) / 29.97, atol=2e-5)
            continue
        for person, said in enumerate(found["people"]):
            names = [name.removesuffix(f"_{person}") for name in said["names"]]
            points = np.array(said["points"]) * 1000
            check_animation({"names": np.array(names), "points": points}, made[scene], person)


def test_y_up_is_what_blender_turns_back():
    np.testing.assert_array_equal(y_up(np.array([1.0, 2.0, 3.0])), [1.0, 3.0, -2.0])
