"""A run that was moved goes on, and nothing in it says where it was."""

from __future__ import annotations

import shutil
from argparse import Namespace

import pytest
import torch

from lifting.cli.options import load_for_checkpoint
from lifting.experiment.callbacks import BestCheckpoint
from lifting.experiment.load import load_experiment, save_resolved
from lifting.experiment.run import train


def best_of(run):
    """Epoch and score of the best checkpoint."""
    content = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    (state,) = (v for k, v in content["callbacks"].items() if k.startswith("ModelCheckpoint"))
    return content["epoch"], float(state["best_model_score"])


def test_a_moved_run_keeps_its_best_checkpoint(cut_run, tmp_path):
    config, run = cut_run("train", 14, "method.warm_epochs=1")
    before = best_of(run)
    moved = tmp_path / "elsewhere"
    shutil.move(run, moved)
    last = torch.load(moved / "checkpoints/last.ckpt", weights_only=True)
    for value in last["state_dict"].values():
        value *= 5  # so that the next epoch is worse
    torch.save(last, moved / "checkpoints/last.ckpt")
    result = train(config, resume=moved)
    assert best_of(moved) == before
    assert result.scores["test/mpjpe_mm"] < 1000


@pytest.mark.parametrize("place", ["/gone/tiny/run/", "C:\\gone\\run\\", ""])
def test_the_state_of_the_best_is_read_wherever_it_was_written(tmp_path, place):
    path, score = f"{place}best.ckpt", torch.tensor(2.0)
    callback = BestCheckpoint(tmp_path, "val/mpjpe_mm", "min")
    callback.load_state_dict(
        {
            "dirpath": place.rstrip("/\\"), "best_model_score": score, "best_model_path": path,
            "best_k_models": {path: score}, "kth_best_model_path": path, "kth_value": score,
            "last_model_path": "",
        }
    )  # fmt: skip
    here = str(tmp_path / "best.ckpt")
    assert callback.best_model_path == callback.kth_best_model_path == here
    assert callback.best_k_models == {here: score}
    assert callback.best_model_score == score
    assert callback.last_model_path == ""
    assert str(tmp_path) not in str(callback.state_dict())


def train_briefly(experiment, *overrides):
    short = ("trainer.max_epochs=1", "method.warm_epochs=1")
    return train(load_experiment(experiment, [*short, *overrides])).run_dir


def telling(run, place):
    """Files below a run, W&B's own left out, that hold a path."""
    files = [p for p in run.rglob("*") if p.is_file() and p.relative_to(run).parts[0] != "wandb"]
    assert len(files) > 10
    return [p.name for p in files if place in p.read_bytes()]


def test_nothing_in_a_run_says_where_it_lies(tiny_experiment, undrawn, tmp_path):
    run = train_briefly(tiny_experiment)
    assert telling(run, str(tmp_path / "outputs").encode()) == []


@pytest.mark.slow
def test_neither_do_pictures_nor_what_wandb_is_told(tiny_experiment, tmp_path):
    run = train_briefly(tiny_experiment, "wandb.mode=offline", "panels.worst=1")
    place = str(tmp_path / "outputs").encode()
    assert telling(run, place) == []
    # W&B notes whose files it shall send; the configuration it is given holds no place.
    (log,) = run.rglob("*.wandb")
    assert b'"' + place + b'"' not in log.read_bytes()


def test_the_configuration_of_a_run_means_its_weights(tiny_experiment, tmp_path, capsys):
    run = tmp_path / "elsewhere"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints/best.ckpt").touch()
    save_resolved(load_experiment(tiny_experiment), run / "config.yaml")
    arguments = Namespace(
        experiment=str(run / "config.yaml"), overrides=[], data=None, checkpoint=None
    )
    _, checkpoint = load_for_checkpoint(arguments)
    assert checkpoint == run / "checkpoints/best.ckpt"
    assert "taking the run's own" in capsys.readouterr().out
