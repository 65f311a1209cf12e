"""The wheel, built and installed into an empty environment, in an empty folder."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from lifting import Poses
from lifting.data.film import film
from lifting.data.procedural.generator import generate_motion

REPOSITORY = Path(__file__).parents[2]
SHIPPED = "lifting/_experiments/"
TRAIN_AND_PREDICT = """
import lifting
from lifting.cli.main import main
print("package:", lifting.__file__)
TRAIN = "train simple_baseline extends=overlay/smoke panels.worst=0"
for words in (TRAIN, "predict simple_baseline"):
    assert main(words.split()) == 0, words
"""


class Installed(NamedTuple):
    """The wheel, and the environment that it is installed in."""

    wheel: Path
    bin: Path
    site: Path


def call(*words: str | Path, cwd: Path) -> str:
    """The output of a program that knows nothing of this checkout."""
    names = ("PYTHONPATH", "LIFTING_EXPERIMENTS")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    clean |= {
        "WANDB_MODE": "disabled",
        "LIFTING_CACHE": str(cwd / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(words, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment borrows what the package depends on: no second torch is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    build = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d")
    call(*build, folder, cwd=REPOSITORY)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index")
    call(*pip, "--no-deps", wheel, cwd=folder)
    site = Path(call(python, "-c", "import lifting; print(lifting.__file__)", cwd=folder)).parents[
        1
    ]
    torch = importlib.util.find_spec("torch")
    places = {sysconfig.get_path("purelib"), str(Path(torch.origin).parents[1])}
    # Such a line adds a folder and reads no .pth files in it: no editable install stands before.
    (site / "borrowed.pth").write_text("\n".join(sorted(places)) + "\n", encoding="utf-8")
    return Installed(wheel, python.parent, site)


def test_the_wheel_ships_experiments_and_neither_studies_nor_pictures(installed):
    with zipfile.ZipFile(installed.wheel) as archive:
        names = set(archive.namelist())
    here = REPOSITORY / "experiments"
    files = {
        p.relative_to(here).as_posix()
        for p in here.rglob("*")
        if p.suffix in (".yaml", ".npz", ".json")
    }
    wanted = {SHIPPED + name for name in files if not name.startswith("studies/")}
    named = ("base.yaml", "overlay/smoke.yaml", "curves/synthetic.json")
    assert {SHIPPED + name for name in named} < wanted
    assert {n for n in names if n.startswith(SHIPPED)} == wanted
    weights = (f"lifting/weights/{name}" for name in ("registry.json", "single.pt", "temporal.pt"))
    assert {"lifting/py.typed", *weights} <= names
    assert "lifting/visualization/viewer/viewer.html" in names
    assert not [n for n in names if "/viewer/source/" in n]
    assert not [n for n in names if n.startswith(("tests/", "experiments/"))]
    assert not [n for n in names if n.endswith((".png", ".gif"))]


def test_an_own_experiment_extends_a_shipped_one(installed, tmp_path):
    own = tmp_path / "experiments"
    own.mkdir()
    text = "extends: simple_baseline\ndescription: of my own\nseed: 77\n"
    (own / "mine.yaml").write_text(text, encoding="utf-8")
    listed = call(installed.bin / "lifting", "experiments", cwd=tmp_path)
    assert "of my own" in listed
    assert "simple_baseline" in listed
    resolved = call(installed.bin / "lifting", "experiments", "mine", cwd=tmp_path)
    assert "seed: 77" in resolved
    assert "name: simple_baseline" in resolved


def test_train_and_predict_in_an_empty_folder(installed, tmp_path):
    said = call(installed.bin / "python", "-c", TRAIN_AND_PREDICT, cwd=tmp_path)
    assert f"package: {installed.site / 'lifting'}" in said
    assert list(tmp_path.glob("outputs/**/predictions.npz"))


def test_own_keypoints_are_lifted_without_training(installed, tmp_path):
    tracks = film(generate_motion(1, 60, seed=8), rig="h36m", noise="cpn", seed=8)
    np.savez(
        tmp_path / "walk.npz", keypoints_2d=tracks.keypoints_2d[:60], skeleton="h36m17",
        image_size=tracks.cameras[0].size, fps=50.0,
    )  # fmt: skip
    call(installed.bin / "lifting", "predict", "--keypoints", "walk.npz", cwd=tmp_path)
    poses = Poses.load(tmp_path / "poses.npz")
    assert len(poses) == 60
    assert Path(poses.meta["checkpoint"]["file"]).name == "temporal.pt"
