"""A data set of an installed package: found by its entry point, with options of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import lifting

CONFIG = """
from dataclasses import dataclass

from lifting.data.describe import About

SUMMARY = "a point that moves"
ABOUT = About(files=(), page="", facts=(("terms", "none"),))


@dataclass
class Config:
    frames: int = 5
"""
READER = """
import torch

from lifting.data.sequence import MotionClips
from lifting.skeleton import H36M_17


def motion(data, split):
    frames = data.tiny.frames
    heights = torch.linspace(80, 1700, 17)[:, None] * torch.tensor([0.0, 0.0, 1.0])
    return MotionClips(
        skeleton=H36M_17, joints_3d=heights.repeat(frames, 1, 1),
        offsets=torch.tensor([0, frames]), subject=torch.zeros(1, dtype=torch.int64),
        action=torch.zeros(1, dtype=torch.int64), names=("only",), subject_names=("s",),
        action_names=("a",), fps=50.0, source={"dataset": "tiny", "split": split},
    )


def cache_key(data, split):
    return {"frames": data.tiny.frames}
"""


@pytest.fixture
def run(tmp_path):
    """Runs a program where a package with the data set ``tiny`` is installed."""
    site = tmp_path / "site"
    package, installed = site / "tiny_motion", site / "tiny_motion-1.0.dist-info"
    package.mkdir(parents=True)
    installed.mkdir()
    for name, text in {"__init__": "", "config": CONFIG, "reader": READER}.items():
        (package / f"{name}.py").write_text(text)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-motion\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[lifting.data_sets]\ntiny = tiny_motion\n")
    (tmp_path / "mine.yaml").write_text(
        "extends: simple_baseline\ndata:\n  name: tiny\n  tiny:\n    frames: 7\n"
    )
    paths = os.pathsep.join([str(site), str(Path(lifting.__file__).parents[1])])

    def program(text):
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(text)], cwd=tmp_path, text=True,
            capture_output=True, check=False, timeout=300,
            env={**os.environ, "PYTHONPATH": paths, "COLUMNS": "200",
                 "LIFTING_CACHE": str(tmp_path / "cache")},
        )  # fmt: skip

    return program


def test_it_is_listed_described_and_read_through_an_experiment(run):
    done = run("""
        from lifting.cli.main import main

        assert main(["data", "list"]) == 0
        assert main(["data", "describe", "tiny"]) == 0
        from lifting.experiment.load import load_experiment

        data = load_experiment("mine.yaml").data
        assert (data.name, data.tiny.frames) == ("tiny", 7)
        from lifting.data.sources import load_tracks

        tracks = load_tracks(data, "train")
        print("tracks", set(tracks.offsets.diff().tolist()), tracks.track_names[0])
    """)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("a point that moves") == 2
    assert "ready" in done.stdout
    assert "tracks {7} only/view" in done.stdout


@pytest.mark.parametrize(("change", "message"), [
    ("data.tiny.farmes=3", "farmes"), ("data.tiny.frames=many", "many"),
    ("data.name=tinny", "did you mean 'tiny'"),
])  # fmt: skip
def test_a_typo_in_its_section_is_refused_before_torch(run, change, message):
    done = run(f"""
        import sys
        from lifting.experiment.load import load_experiment
        from lifting.errors import ConfigError

        try:
            load_experiment("mine.yaml", [{change!r}])
        except ConfigError as error:
            print(error)
        assert "torch" not in sys.modules
    """)
    assert done.returncode == 0, done.stderr
    assert message in done.stdout
