"""Sections of data sets that a run does not use: dropped, but checked; and what is kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from lifting.cli.main import main
from lifting.data.sets import data_sets
from lifting.experiment.load import load_experiment, to_plain, to_yaml
from lifting.methods.lifter import CHECKPOINT_KEY
from lifting.skeleton import H36M_17, Skeleton

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
SECTIONS = {one.section for one in data_sets().values()}
NO_TORCH = """
import sys
from lifting.cli.main import main
status = main(sys.argv[1:])
print("torch" if "torch" in sys.modules else "no torch", file=sys.stderr)
sys.exit(status)
"""
# As files of older versions have it: every section, whether it is used or not.
OLD_DATA = {
    "name": "synthetic",
    "batch_size": 32,
    "synthetic": {"train_sequences": 2, "seed": 3},
    "humaneva": {"two_d": "gt", "every": 4, "skeleton": "h36m17"},
    "mpi_inf_3dhp": {"test_sequences": ["TS1"], "skeleton": "mpi17"},
    "pw3d": {"every": 2},
}


@pytest.fixture(autouse=True)
def _places(monkeypatch, tmp_path):
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(EXPERIMENTS))
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("lifting.experiment.panels.PanelsCallback.on_test_end", lambda *_: None)


def facts_of(folder, method, *words):
    """What a checkpoint of two steps on procedural people says."""
    quiet = ["extends=overlay/smoke", "wandb.mode=disabled", "panels.worst=0", "pss=[]",
             "method.channels=8", f"output={folder}"]  # fmt: skip
    assert main(["train", method, *quiet, *words]) == 0
    (best,) = folder.rglob("best.ckpt")
    return torch.load(best, weights_only=True)[CHECKPOINT_KEY]


@pytest.mark.parametrize(
    ("method", "words", "frames", "fps"),
    [
        ("simple_baseline", [], 1, None),
        ("videopose3d", ["method.filter_widths=[3,3]", "data.frames=9"], 9, 50.0),
    ],
)
def test_a_checkpoint_says_all_that_it_depends_on(tmp_path, method, words, frames, fps):
    facts = facts_of(tmp_path, method, "data.humaneva.every=4", *words)
    assert isinstance(facts["skeleton"], dict)
    assert Skeleton.of(facts["skeleton"]) == H36M_17
    assert (facts["frames"], facts["fps"]) == (frames, fps)
    assert (facts["dataset"], facts["protocol"]) == ("synthetic", "default")
    assert facts["normalisation"]
    experiment = json.loads(json.dumps(facts["experiment"]))  # lists for tuples, as YAML has them
    assert set(experiment["data"]) & SECTIONS == {"synthetic"}
    config = next(tmp_path.rglob("config.yaml"))
    assert experiment == yaml.safe_load(config.read_text())
    again = yaml.safe_load(to_yaml(load_experiment(str(config))))
    del again["output"]  # where the run lies
    assert again == experiment


def test_pictures_keep_the_section_of_their_labels():
    kept = to_plain(load_experiment("epipolarpose_image", ["extends=data/h36m_images"]))
    assert set(kept["data"]) & SECTIONS == {"image_folder", "h36m"}


def write(folder, **changes):
    values = {
        "extends": ["base"], "method": {"name": "simple_baseline"},
        "data": {**OLD_DATA, **changes},
    }  # fmt: skip
    path = folder / "old.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_unused_sections_of_older_files_are_dropped(tmp_path):
    path = write(tmp_path)
    code = (
        "import sys; from lifting.experiment.load import load_experiment, to_yaml;"
        "print(to_yaml(load_experiment(sys.argv[1]))); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    data = yaml.safe_load(done.stdout)["data"]
    assert set(data) & SECTIONS == {"synthetic"}
    assert (data["batch_size"], data["synthetic"]["seed"]) == (32, 3)
    # What is dropped has no say any more, and is at its defaults.
    assert load_experiment(str(path)).data.humaneva.every == 1


@pytest.mark.parametrize(
    ("section", "values", "key"),
    [
        ("humaneva", {"every": "often"}, "data.humaneva.every"),
        ("humaneva", {"skeleton": "h36m18"}, "data.humaneva.skeleton"),
        ("pw3d", {"evry": 2}, "data.pw3d.evry"),
        ("amass", {"train": 3}, "data.amass.train"),
        ("cmu_mocap", {"every": 2}, "data.cmu_mocap"),
    ],
)
def test_wrong_values_of_unused_sections_are_refused_at_once(tmp_path, section, values, key):
    path = write(tmp_path, **{section: values})
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH, "train", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"'{key}'" in done.stderr
    assert "no torch" in done.stderr
    assert "Traceback" not in done.stderr
