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
