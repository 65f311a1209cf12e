"""Rates from fine to absurd, of several methods and one or two processes: no run lies."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import pytest
import torch

pytestmark = pytest.mark.slow

COMMON = (
    "extends=overlay/smoke", "trainer.max_steps=-1", "trainer.max_epochs=3",
    "trainer.limit_train_batches=12", "data.synthetic.train_sequences=4", "wandb.mode=disabled",
    "panels.worst=0",
)  # fmt: skip


def lifting(folder, *arguments):
    """Run the command line; its status and what it said on the standard error."""
    environment = {**os.environ, "LIFTING_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lifting.cli.main", *arguments, f"output={folder / 'out'}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("method", ["simple_baseline", "videopose3d", "uao", "diffpose"])
@pytest.mark.parametrize("rate", ["1e-3", "1e2", "1e4", "1e10", "1e30"])
def test_a_run_ends_with_a_result_or_with_its_own_status(tmp_path, method, rate):
    status, told = lifting(tmp_path, "train", method, *COMMON, f"optimizer.lr={rate}")
    (run,) = (tmp_path / "out").glob("*/*")
    records = list(run.glob("result.json"))
    last = told.strip().splitlines()[-1] if told.strip() else ""
    scores = json.loads(records[0].read_text())["metrics"] if records else {}
    print(f"{method}, rate {rate}: status {status}, {scores.get('mpjpe_mm')} mm: {last[:110]}")
    assert status in (0, 3), told
    assert len(records) == (status == 0)
    assert status == (0 if rate == "1e-3" else status)
    assert status == 3 or float(rate) < 1e10
    assert "Traceback" not in told
    assert status == 0 or "error: expected a training that converges, got " in told
    for path in run.rglob("*.ckpt"):
        if path.name == "on_exception.ckpt":
            continue
        saved = torch.load(path, weights_only=True)["state_dict"]
        assert all(bool(value.isfinite().all()) for value in saved.values())
    assert all(math.isfinite(scores.get(name, 0.0)) for name in ("mpjpe_mm", "pa_mpjpe_mm"))


def test_two_processes_end_together(tmp_path):
    settings = (*COMMON, "trainer.devices=2", "trainer.strategy=ddp", "optimizer.lr=1e10")
    status, told = lifting(tmp_path, "train", "simple_baseline", *settings)
    errors = [line for line in told.splitlines() if line.startswith("error:")]
    print(f"two processes: status {status}: {errors}")
    assert status == 3
    assert len(errors) == 1
    assert not list(tmp_path.rglob("result.json"))
