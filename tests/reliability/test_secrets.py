"""A whole run folder, offline W&B included, holds nothing of the environment's secrets."""

from __future__ import annotations

import sys
import zipfile

import pytest

from lifting.experiment.load import load_experiment
from lifting.experiment.prediction import predict
from lifting.experiment.run import evaluate, train

pytestmark = pytest.mark.slow

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "HF_TOKEN": "hf_abcdefghijklmnopqrstuvwxyz",
    "QUITE_PRIVATE": "correct-horse-battery",
}
ON_THE_LINE = "word-on-the-command-line"


def contents(file):
    """The bytes of a file, and those of its members where it is an archive."""
    yield file.read_bytes()
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            yield from (archive.read(name) for name in archive.namelist())


def test_training_test_and_prediction_keep_no_secret(tiny_experiment, tmp_path, monkeypatch):
    import wandb

    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["lifting", "train", tiny_experiment, ON_THE_LINE])
    short = [
        "trainer.max_epochs=1",
        "method.warm_epochs=1",
        "wandb.mode=offline",
        "panels.worst=2",
    ]
    config = load_experiment(tiny_experiment, [*short, "wandb.mode=offline", "panels.worst=2"])
    trained = train(config)
    tested = evaluate(config, trained.checkpoint)
    predict(config, trained.checkpoint, tested.run_dir / "poses.npz")
    wandb.teardown()  # the background service writes until it ends
    files = [file for file in (tmp_path / "outputs").rglob("*") if file.is_file()]
    kinds = sorted({file.suffix for file in files})
    print(f"{len(files)} files of the kinds {kinds}")
    assert {".wandb", ".ckpt", ".json", ".yaml", ".csv", ".npz", ".log"} <= set(kinds)
    for file in files:
        for content in contents(file):
            for secret in (*SECRETS.values(), ON_THE_LINE):
                assert secret.encode() not in content, (secret, file)
