"""Several processes train what one trains: the same batches, the same steps, the same weights."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lifting.errors import ConfigError, DataError
from lifting.experiment.checkpoint_io import AtomicCheckpointIO
from lifting.experiment.load import load_experiment
from lifting.experiment.loggers import METRICS_FILE, CsvLog
from lifting.experiment.run import train

FIXTURES = Path(__file__).parents[1] / "fixtures"
TOLERANCE = 1e-9  # relative to the size of the weights
# 192 samples in seven batches of 28 and 27, of which a step takes four or what is left: slices
# and batches differ in size, and the second step of an epoch has fewer of them.
OPTIONS = (
    "trainer.precision=64-true", "trainer.accumulate=4", "trainer.ema.decay=0.9",
    "data.batch_size=30", "trainer.limit_train_batches=7", "method.head.dropout=0",
    "method.noise=0", "optimizer.schedule=exponential", "optimizer.gamma=0.99",
)  # fmt: skip


@pytest.fixture(autouse=True)
def handed_back(monkeypatch):
    """Forked processes hand their weights back in a file that is no checkpoint of ours."""
    own = AtomicCheckpointIO.load_checkpoint

    def load(self, path, *args, **options):
        if Path(path).name == ".temp.ckpt":
            return torch.load(path, weights_only=True)
        return own(self, path, *args, **options)

    monkeypatch.setattr(AtomicCheckpointIO, "load_checkpoint", load)


def trained(fitted, folder, count: int, epochs: int, *options: str):
    """Weights, averages and counters of processes that were stopped half-way and resumed."""
    for length, resume in ((epochs // 2, None), (epochs, str(folder / "last.ckpt"))):
        fitted(
            folder, *OPTIONS, *options, f"trainer.max_epochs={length}",
            processes=count, resume=resume, loggers=[CsvLog(folder)],
        )  # fmt: skip
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    counters = saved["epoch"], saved["global_step"], saved["lr_schedulers"][0]["_last_lr"]
    weights = {**saved["state_dict"]}
    for i, state in saved["optimizer_states"][0]["state"].items():
        weights |= {f"moment {i} {name}": state[name] for name in ("exp_avg", "exp_avg_sq")}
    for name, value in saved["current_model_state"].items():
        weights[f"current {name}"] = value
    return weights, counters


def farthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference, relative to the largest number of its tensor."""
    assert one.keys() == other.keys()
    return max(
        float((one[k] - other[k]).abs().max() / one[k].abs().max().clamp(min=1e-300)) for k in one
    )


def rows(folder):
    with (folder / METRICS_FILE).open(newline="", encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def compare(fitted, folder, count: int, epochs: int, *options: str) -> float:
    """The farthest weight; epochs, steps, rates and the log must agree."""
    one, several_of_it = folder / "one", folder / f"{count}"
    weights, counters = trained(fitted, one, 1, epochs, *options)
    others, counted = trained(fitted, several_of_it, count, epochs, *options)
    assert counted == counters == (epochs - 1, 2 * epochs, counters[2])
    assert any("train/loss" in row for row in rows(one)) == (2 * epochs >= 7)
    for a, b in zip(rows(one), rows(several_of_it), strict=True):
        assert b == pytest.approx(a, rel=1e-6)
    found = farthest(weights, others)
    print(f"{count} processes, {2 * epochs} steps {' '.join(options)}: {found:.1e}")
    return found


@pytest.mark.filterwarnings("ignore")
def test_two_processes_train_what_one_trains(fitted, tmp_path):
    assert compare(fitted, tmp_path, 2, 2) < TOLERANCE


def test_what_several_processes_cannot_do_is_refused_before_there_is_a_folder(
    tiny_experiment, tmp_path
):
    # 192 samples in 39 batches of 5 and 4.
    config = load_experiment(tiny_experiment, ["trainer.devices=5", "data.batch_size=5"])
    with pytest.raises(DataError, match=r"each of 5 processes, got some of 4; raise data\.batch"):
        train(config)
    assert not list((tmp_path / "outputs").glob("*/*"))
    with pytest.raises(ConfigError, match=r"starts a command for each device.*got 'ddp_spawn'"):
        load_experiment(tiny_experiment, ["trainer.strategy=ddp_spawn"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("options", ["", "data.bone_jitter=0.1 data.workers=1 data.frames=3"])
def test_fifty_steps_of_several_processes(fitted, tmp_path, count, options):
    assert compare(fitted, tmp_path, count, 25, *options.split()) < TOLERANCE


@pytest.mark.slow
def test_a_run_of_two_processes_is_that_of_one(tiny_experiment, tmp_path):
    """Commands, with the launcher that people use; the whole run but for its time."""
    records, saved = [], []
    for count in (1, 2):
        output = tmp_path / str(count)
        options = [
            *OPTIONS, f"output={output}", f"trainer.devices={count}", "trainer.max_epochs=4",
            f"trainer.strategy={'ddp' if count > 1 else 'auto'}",
        ]  # fmt: skip
        command = [sys.executable, str(FIXTURES / "train_tiny.py"), "tiny", *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        subprocess.run(command, env=environment, check=True)
        (folder,) = (output / "tiny").iterdir()
        records.append(json.loads((folder / "result.json").read_text()))
        last = folder / "checkpoints" / "last.ckpt"
        saved.append(torch.load(last, weights_only=True)["state_dict"])
    assert farthest(*saved) < TOLERANCE
    one, two = records
    assert two["metrics"] == pytest.approx(one["metrics"], rel=1e-6)
    for name in ("epochs", "steps"):
        assert two["budget"][name] == one["budget"][name]
    assert [r["budget"]["devices"] for r in records] == [1, 2]
    assert not any("batch_statistics" in r["extras"] for r in records)
