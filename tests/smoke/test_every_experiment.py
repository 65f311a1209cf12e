"""Every experiment trains, tests and predicts for two steps, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lifting.cli.main import main
from lifting.experiment.load import load_experiment

FOLDER = Path(__file__).parents[2] / "experiments"
NAMES = sorted(p.stem for p in FOLDER.glob("*.yaml") if p.stem != "base")


@pytest.fixture(autouse=True)
def _temporary_places(tmp_path, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(FOLDER))
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("WANDB_MODE", "offline")


@pytest.mark.parametrize("name", NAMES)
def test_trains_tests_and_predicts(name, tmp_path, monkeypatch):
    shared = ["extends=overlay/smoke", f"output={tmp_path / 'outputs'}"]
    assert main(["train", name, *shared]) == 0
    run = next((tmp_path / "outputs" / name).iterdir())
    record = json.loads((run / "result.json").read_text())
    assert np.isfinite(record["metrics"]["mpjpe_mm"])
    assert record["experiment"] == name
    used = load_experiment(str(run / "config.yaml")).data
    assert used.name == used.stand_in
    assert list(run.rglob("run-*.wandb")), "no offline W&B run was written"

    # The training has drawn its panels; the repeated test gives the same ones.
    monkeypatch.setattr("lifting.experiment.panels.PanelsCallback.on_test_end", lambda *_: None)
    checkpoint = ["--checkpoint", str(run / "checkpoints" / "best.ckpt")]
    assert main(["test", name, *checkpoint, *shared]) == 0
    again = next(p for p in run.parent.iterdir() if p.name.endswith("-evaluate"))
    repeated = json.loads((again / "result.json").read_text())
    assert repeated["metrics"] == record["metrics"]

    output = tmp_path / "poses.npz"
    assert main(["predict", name, *checkpoint, "--output", str(output), *shared]) == 0
    with np.load(output, allow_pickle=False) as file:
        assert file["joints_3d"].shape[-2:] == (17, 3)
        assert np.isfinite(file["joints_3d"]).all()
