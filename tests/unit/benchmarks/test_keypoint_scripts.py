"""The scripts that measure how keypoint files are read run, on as little as they take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[3] / "benchmarks"
RUNS = {
    "damaged_keypoints.py": ("--rounds 3 --only npz", False),
    "joint_orders.py": ("--clips 1", True),
    "keypoint_people.py": ("--people 2 --seeds 1 --frames 120 --steps 1", True),
}


@pytest.mark.parametrize("script", RUNS)
def test_a_table_is_printed(script):
    words, needs_data = RUNS[script]
    if needs_data and not os.environ.get("LIFTING_DATA"):
        pytest.skip("set LIFTING_DATA to the folder that holds cmu/ and real/")
    ended = subprocess.run(
        [sys.executable, str(SCRIPTS / script), *words.split()],
        capture_output=True, text=True, check=False, cwd=SCRIPTS.parent,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "|--" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("|")
