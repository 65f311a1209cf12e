"""Commands in a process of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT_TORCH = """
import sys
from lifting.cli.main import main
try:
    status = main(sys.argv[1:])
except SystemExit as end:
    status = end.code
assert not {"torch", "pytorch_lightning", "matplotlib"} & set(sys.modules)
sys.exit(status)
"""


@pytest.fixture
def run_without_torch(tmp_path):
    """Runs a command in an empty folder; fails if it imports what is slow to import."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH, *arguments],
            capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip

    return run


@pytest.fixture
def make_runs(tmp_path):
    """Makes folders that look like trained runs of methods, by name of the folder."""

    def make(**methods):
        for folder, method in methods.items():
            (tmp_path / folder / "checkpoints").mkdir(parents=True)
            (tmp_path / folder / "config.yaml").write_text(f"method: {{name: {method}}}\n")
            (tmp_path / folder / "checkpoints" / "best.ckpt").touch()

    return make


@pytest.fixture
def check_answer(run_without_torch):
    """Runs a command without torch and looks at its status and at what it says."""

    def check(status, said, *arguments):
        answer = run_without_torch(*arguments)
        assert answer.returncode == status, answer.stderr
        assert said in answer.stdout + answer.stderr
        assert "Traceback" not in answer.stderr

    return check
