"""Two real processes optimise what one does, also with a last batch that is smaller."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

SETTINGS = (
    "extends=overlay/smoke", "tto.enabled=true", "data.eval_batch_size=7", "data.eval_every=9",
    "trainer.limit_test_batches=100",
)  # fmt: skip


def lifting(folder, *arguments):
    """Run the command line and read the newest result."""
    environment = {
        **os.environ, "LIFTING_CACHE": str(folder / "cache"), "WANDB_MODE": "offline",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "lifting.cli.main", *arguments, f"output={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    newest = max(folder.glob("simple_baseline/*/result.json"), key=os.path.getmtime)
    return newest.parent, json.loads(newest.read_text())


def test_two_processes_give_what_one_gives(tmp_path):
    run, _ = lifting(tmp_path, "train", "simple_baseline", *SETTINGS)
    weights = ("--checkpoint", str(run / "checkpoints" / "best.ckpt"))
    found = []
    for devices in (1, 2):
        settings = (*SETTINGS, f"trainer.devices={devices}")
        found.append(lifting(tmp_path, "test", "simple_baseline", *weights, *settings)[1])
    one, two = (record["metrics"] for record in found)
    assert one["n_poses"] == two["n_poses"] > 0
    assert one["n_poses"] % 14 != 0
    assert one["mpjpe_mm"] != one["before_tto_mpjpe_mm"]
    for name in ("mpjpe_mm", "before_tto_mpjpe_mm", "pa_mpjpe_mm"):
        assert two[name] == pytest.approx(one[name], rel=1e-6)
