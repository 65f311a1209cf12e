"""What tests of readers share: traps, damaged files, memory; and commands without torch."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import pytest

from lifting.errors import DataError

SCRIPTS = Path(__file__).parents[2] / "experiments" / "studies"
WITHOUT_TORCH = f"""
import importlib, sys
sys.path.append({str(SCRIPTS)!r})
main = importlib.import_module(sys.argv[1]).main
try:
    status = main(sys.argv[2:])
except SystemExit as end:
    status = end.code
assert not {{"torch", "pytorch_lightning", "matplotlib"}} & set(sys.modules)
sys.exit(status)
"""


class Trap:
    """Whoever runs what its pickle asks for makes the file ``mark``."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def trap(tmp_path):
    """An object for a pickle; ``trap.mark`` exists once its code was run."""
    return Trap(tmp_path / "ran")


@pytest.fixture(params=[100, pytest.param(10_000, marks=pytest.mark.slow)], ids=["quick", "long"])
def damage_count(request):
    """How many damaged versions of a file are read."""
    return request.param


@pytest.fixture
def count_refused():
    """Counts the versions of a file that a reader refuses; no other error may come."""

    def count(versions, read):
        refused = 0
        for _ in versions:
            try:
                read()
            except DataError:
                refused += 1
        return refused

    return count


@pytest.fixture
def memory_below():
    """A context in which Python may not take more than so many bytes at once."""

    @contextmanager
    def below(limit):
        tracemalloc.start()
        try:
            yield
            assert tracemalloc.get_traced_memory()[1] < limit
        finally:
            tracemalloc.stop()

    return below


@pytest.fixture
def run_without_torch(tmp_path):
    """Runs a command or a script in an empty folder; it may import nothing slow."""

    def run(*arguments, module="lifting.cli.main"):
        return subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH, module, *arguments],
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
    """Runs a command or a script without torch and looks at its status and at what it says."""

    def check(status, said, *arguments, module="lifting.cli.main"):
        answer = run_without_torch(*arguments, module=module)
        assert answer.returncode == status, answer.stderr
        assert said in answer.stdout + answer.stderr
        assert "Traceback" not in answer.stderr

    return check
