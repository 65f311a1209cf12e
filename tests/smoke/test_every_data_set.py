"""Every data section trains, tests and predicts through the command line, on files as distributed.

The methods take turns: those of keypoints over the sections that have them, the image forms over
those with pictures. Everything is as in ``overlay/smoke``, but nothing stands in for the files.
"""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import yaml
from every_set import WRITERS

from lifting.cli.main import main
from lifting.skeleton import get_skeleton

FOLDER = Path(__file__).parents[2] / "experiments"
SECTIONS = sorted(path.stem for path in (FOLDER / "data").glob("*.yaml"))
PICTURES = [name for name in SECTIONS if name.endswith("images")]
KEYPOINTS = [name for name in SECTIONS if name not in PICTURES]
# Joints of what is trained, where they are not h36m17.
JOINTS = {"humaneva": "humaneva15", "mpi_inf_3dhp": "mpi17"}
# Joints of the test files that have no label, and hence no score, by section.
UNLABELLED = {
    "aistpp": {"spine", "thorax", "neck", "head"},
    "keypoint_rig": {"spine", "head"},
    "own": {"spine", "thorax", "neck"},
}
SIZES = {
    "simple_baseline": ["method.channels=32"],
    "uao": ["method.hidden=16", "method.blocks=1", "method.channel_hidden=8",
            "method.spatial_factor=1", "method.head_hidden=8"],
    "diffpose": ["method.hidden=16", "method.layers=1", "method.context_epochs=1"],
    "videopose3d": ["method.channels=16", "method.filter_widths=[3,3]", "data.frames=9"],
    "nbf": ["data.images.extras=[body,parts]", "data.images.test_images=8", "data.eval_every=2"],
    "epipolarpose_image": ["data.image_folder.size=48"],
}  # fmt: skip
CASES = {
    **dict(zip(KEYPOINTS, cycle(("simple_baseline", "uao", "diffpose", "videopose3d")))),
    **dict.fromkeys(PICTURES, "epipolarpose_image"),
    "images": "nbf",
}


@pytest.fixture(autouse=True)
def _temporary_places(tmp_path, monkeypatch):
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(FOLDER))
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setattr("lifting.experiment.panels.PanelsCallback.on_test_end", lambda *_: None)
    for variable in ("LIFTING_DATA", "LIFTING_SMPL"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def small(tmp_path):
    """The overlay ``smoke`` without its stand-in, and what makes the image forms small."""
    folder = tmp_path / "overlays"
    folder.mkdir()
    for source in sorted((FOLDER / "overlay").glob("smoke*.yaml")):
        values = yaml.safe_load(source.read_text())
        values.get("data", {}).pop("name", None)
        target = folder / source.name.replace("smoke", "small")
        target.write_text(yaml.safe_dump(values))
    return folder / "small"


def test_every_section_has_its_files_written():
    assert sorted(WRITERS) == SECTIONS


@pytest.mark.parametrize("section", SECTIONS)
def test_trains_tests_and_predicts(section, tmp_path, small):
    method, joints = CASES[section], get_skeleton(JOINTS.get(section, "h36m17"))
    root = tmp_path / "files"
    root.mkdir()
    words = [
        f"extends=[data/{section},{small}]", f"data.root={root}", "wandb.mode=disabled",
        "panels.worst=0", f"output={tmp_path / 'outputs'}", *SIZES[method],
        *WRITERS[section](root),
    ]  # fmt: skip
    assert main(["train", method, *words]) == 0
    run = next((tmp_path / "outputs" / method).iterdir())
    record = json.loads((run / "result.json").read_text())
    scores = record["metrics"]
    unscored = {key.removeprefix("mpjpe_mm/joint/") for key in scores if scores[key] is None}
    # After two steps DiffPose's poses hardly differ, and what is equal has no ranks.
    assert unscored - {"sigma_spearman"} == UNLABELLED.get(section, set())
    assert all(np.isfinite(value) for value in scores.values() if value is not None)
    assert record["joints"] == list(joints.joints)
    assert record["extras"]["joints_of"] == joints.name
    assert record["baselines"]
    assert record["budget"]["steps"] >= 2

    checkpoint = ["--checkpoint", str(run / "checkpoints" / "best.ckpt")]
    assert main(["test", method, *checkpoint, *words]) == 0
    again = next(p for p in run.parent.iterdir() if p.name.endswith("-evaluate"))
    assert json.loads((again / "result.json").read_text())["metrics"] == record["metrics"]

    output = tmp_path / "poses.npz"
    assert main(["predict", method, *checkpoint, "--output", str(output), *words]) == 0
    with np.load(output, allow_pickle=False) as file:
        assert file["joint_names"].tolist() == list(joints.joints)
        assert file["joints_3d"].shape[1:] == (len(joints), 3)
        assert np.isfinite(file["joints_3d"]).all()
