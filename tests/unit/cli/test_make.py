"""The Makefile's checks of names, which come before an environment is made."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
TARGETS = (
    "help", "setup", "train", "evaluate", "predict", "test", "slow", "coverage", "smoke", "bench",
    "docs", "readers", "blender", "lint", "format", "typecheck", "clean",
)  # fmt: skip
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments, f"BASE_PYTHON={sys.executable}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_names_every_target():
    out = make("help").stdout
    for target in TARGETS:
        assert f"make {target} " in out


@pytest.mark.parametrize("target", ["train", "evaluate", "predict"])
def test_a_missing_experiment_prints_the_names(target):
    answer = make(target, "VENV=/nonexistent/venv")
    assert answer.returncode == 2
    assert "expected EXP=NAME, got none" in answer.stderr
    assert "known:" in answer.stderr


def test_a_misspelt_experiment_prints_the_nearest():
    names = [p.stem for p in (REPOSITORY / "experiments").glob("*.yaml") if p.stem != "base"]
    wrong = names[0][:-1] + "_"
    answer = make("train", f"EXP={wrong}", "VENV=/nonexistent/venv")
    assert answer.returncode == 2
    assert f"unknown EXP={wrong}; did you mean EXP=" in answer.stderr
    assert all(name in answer.stderr for name in names)


def test_a_misspelt_data_set_prints_the_nearest():
    name = next(p.stem for p in (REPOSITORY / "experiments").glob("*.yaml") if p.stem != "base")
    answer = make("train", f"EXP={name}", "DATA=cmv", "VENV=/nonexistent/venv")
    assert answer.returncode == 2
    assert "unknown DATA=cmv; did you mean DATA=cmu?" in answer.stderr


def test_commands_that_make_would_run():
    name = next(p.stem for p in (REPOSITORY / "experiments").glob("*.yaml") if p.stem != "base")
    answer = make("-n", "evaluate", f"EXP={name}", "DATA=cmu", "CKPT=a.ckpt", "PYTHON=python",
                  "OVERRIDES=seed=1")  # fmt: skip
    wanted = f"python -m lifting.cli.main test {name} --checkpoint a.ckpt --data cmu seed=1"
    assert wanted in answer.stdout


def test_a_training_waits_for_no_tools_of_developers():
    name = next(p.stem for p in (REPOSITORY / "experiments").glob("*.yaml") if p.stem != "base")
    wanted = {"train": (), "lint": ("dev",), "docs": ("docs",)}
    for target, extras in wanted.items():
        steps = make("-n", target, f"EXP={name}", "VENV=/nonexistent/venv").stdout
        assert " -e . || exit" in steps
        found = [extra for extra in ("dev", "docs") if f' -e ".[{extra}]"' in steps]
        assert found == list(extras), target


def test_lowest_versions_are_the_lower_bounds():
    answer = subprocess.run(
        [sys.executable, ".ci/lowest_versions.py", "pyproject.toml"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    lines = answer.stdout.split()
    assert len(lines) == len(project["dependencies"]) + len(
        project["optional-dependencies"]["data"]
    )
    assert all("==" in line for line in lines)
