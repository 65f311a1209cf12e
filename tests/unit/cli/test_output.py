"""What commands print: JSON for machines, 80 columns for people, colours on terminals only."""

from __future__ import annotations

import argparse
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from every_set import write_cmu
from walkers import walkers

from lifting.cli.main import build_parser, main
from lifting.experiment.console import Console, blocks, folded

ELSEWHERE = {  # beside the tests of what they do
    "leaderboard", "sweep", "robustness", "tto table", "tto curves", "tto calibrate",
    "data fetch", "rig report", "rig solve", "convert", "weights add", "weights show",
    "weights fetch",
}  # fmt: skip
TABLES = (
    "experiments",
    "data list",
    "data check",
    "data look",
    "results",
    "evaluate-file",
    "weights list",
)


def leaves(parser: argparse.ArgumentParser, words: str = "") -> set[str]:
    """All commands with what stands behind them."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return set().union(
                *(leaves(one, f"{words} {name}".strip()) for name, one in action.choices.items())
            )
    return {words}


@pytest.fixture
def ask(capsys, monkeypatch):
    """Runs a command for a machine, and for a person where that is a table; gives the values."""
    monkeypatch.setenv("COLUMNS", "80")
    seen = set()

    def call(*words, status=0):
        words = list(map(str, words))
        leaf = " ".join(words[:2])
        seen.add(leaf if leaf in commands else words[0])
        capsys.readouterr()
        assert main([*words, "--json"]) == status
        values = json.loads(capsys.readouterr().out)
        assert isinstance(values, dict)
        if " ".join(words).startswith(TABLES):
            assert main([*words, "--quiet"]) == status
            lines = capsys.readouterr().out.splitlines()
            assert lines
            assert max((len(line) for line in lines if ": " not in line), default=0) <= 80
            assert "\x1b" not in "".join(lines)
        return values

    commands = leaves(build_parser())
    call.seen, call.commands = seen, commands
    return call


def test_every_command_answers_a_machine(tiny_experiment, undrawn, ask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIFTING_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.delenv("LIFTING_DATA", raising=False)
    small = ["trainer.max_epochs=1", "method.warm_epochs=1", "trainer.progress=true"]
    trained = ask("train", "tiny", *small)
    assert trained["scores"]["test/mpjpe_mm"] > 0
    assert trained["baselines"]["mean_pose"]["mpjpe_mm"] > 0
    assert ask("test", "tiny")["checkpoint"] == trained["checkpoint"]
    assert ask("predict", "tiny")["poses"] == f"{trained['run']}/predictions.npz"
    assert ask("experiments")["tiny"] == "a test of the layers around a method"
    assert ask("experiments", "tiny", "seed=3")["seed"] == 3
    results = ask("results", tmp_path / "outputs")
    assert len(results["deployable"]) == 2
    walkers().save(tmp_path / "walk.npz")
    assert ask("view", "walk.npz")["written"] == ["viewer.html"]
    assert ask("plot", "above", "walk.npz")["written"] == ["above.png"]
    exported = ask("export", "walk.npz", "--to", "csv")
    assert exported["written"] == ["walk.csv", "walk.meta.json"]
    assert any("frame" in line for line in exported["remarks"])
    names = [row["name"] for row in ask("data", "list")["rows"]]
    assert {"synthetic", "cmu", "h36m"} <= set(names)
    assert ask("data", "describe", "cmu")["name"] == "cmu"
    write_cmu(tmp_path)
    checks = ask("data", "check", "cmu", "--root", tmp_path)["rows"]
    assert {"verdict", "what", "expected", "found", "what to do"} == set(checks[0])
    drawn = ["--root", tmp_path, "--output", "poses.png", "--poses", 2]
    assert ask("data", "picture", "cmu", *drawn)["written"] == ["poses.png"]
    fitted = ["--root", tmp_path, "--output", "pss.npz", "--clusters", 2, "--every", 4]
    assert ask("data", "fit-pss", "cmu", *fitted)["clusters"] == "2"
    mixed = ["--source", "synthetic", "--output", "mixtures.npz", "--splits", "test"]
    assert ask("data", "mixtures", "tiny", *mixed)["written"] == ["mixtures.npz"]
    monkeypatch.setattr(
        "lifting.data.describe.prepare", lambda *_: [("written", "new.npz"), ("takes", "3")]
    )
    prepared = ask("data", "prepare", "cmu", "--source", tmp_path)
    assert prepared == {"takes": "3", "written": ["new.npz"]}
    listed = ask("evaluate-file", "--list", "--data", "cmu", f"data.root={tmp_path}")
    assert listed["joints"][0] == "hip"
    assert len(listed["rows"]) > 0
    np.savez(tmp_path / "points.npz", keypoints_2d=np.zeros((3, 5, 2)))
    assert "5" in ask("data", "look", "points.npz", status=2)["problem"]
    assert ask("dashboard", "project", "--offline", "board.json")["written"] == ["board.json"]
    assert {"single", "temporal"} <= {row["name"] for row in ask("weights", "list")["rows"]}
    assert ask.commands - ask.seen - ELSEWHERE == set()


def test_what_failed_is_no_value(tiny_experiment, capsys):
    assert main(["train", "tny", "--json"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "unknown experiment 'tny'" in said.err


def test_quiet_leaves_the_result(tiny_experiment, undrawn, capsys):
    small = ["trainer.max_epochs=1", "method.warm_epochs=1", "trainer.progress=true"]
    assert main(["train", "tiny", *small, "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0].rstrip() == "tiny: synthetic, test split"
    assert "preparing tracks" not in said.err
    assert "expected an epoch of at least 20 steps" in said.err
    run = Path(next(line for line in said.out.splitlines() if line.startswith("run:")).split()[1])
    assert main(["results", str(run), "--quiet"]) == 0
    assert "tiny" in capsys.readouterr().out


ROWS = [(f"method {i}", str(i), *(f"{i}.{n} (1.0 to 2.0)" for n in range(7))) for i in range(3)]


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_a_wide_table_is_cut_and_keeps_its_numbers_whole(columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    Console().table("title", ["method", "budget", *(f"error {n}" for n in range(7))], ROWS)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= int(columns)
    for row in ROWS:
        assert all(cell in text for cell in row)
    assert text.count("method 2") == {"40": 7, "80": 3, "200": 1}[columns]


def test_columns_of_a_cut_table():
    assert list(blocks([10, 5, 5, 5], 1, 80)) == [[0, 1, 2, 3]]
    assert list(blocks([10, 5, 5, 5], 1, 20)) == [[0, 1], [0, 2], [0, 3]]
    assert list(blocks([200, 50], 1, 80)) == [[0, 1]]
    assert list(blocks([10, 500], 1, 80)) == [[0, 1]]


def test_lines_said_on_the_way_keep_to_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    path = "a-folder/" * 6
    Console().say(f"  simple_baseline | drop 20% | MPJPE 416.3 mm | {path}")
    first, *others = capsys.readouterr().out.splitlines()
    assert first == "  simple_baseline | drop 20% | MPJPE"
    assert others == ["    416.3 mm |", f"    {path}"]
    fenced = f"```bash\n{'word ' * 20}\n```"
    assert folded(fenced, 40) == fenced


def test_a_card_keeps_to_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["weights", "show", "single"]) == 0
    text = capsys.readouterr().out
    commands = text.split("```bash")
    prose = commands[0] + "".join(part.split("```")[1] for part in commands[1:])
    assert max(len(line) for line in prose.splitlines() if " " in line.strip()) <= 60


def in_terminal(code, **environment):
    """What a program writes to a terminal."""
    ours, theirs = pty.openpty()
    names = ("NO_COLOR", "FORCE_COLOR", "COLUMNS")
    kept = {k: v for k, v in os.environ.items() if k not in names}
    environment = {**kept, "TERM": "xterm-256color", **environment}
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 65536):
            said += part
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)
    assert child.wait() == 0
    return said.decode()


CHECKED = """
from lifting.experiment.console import console
console.table("t", ("verdict", "what"), [("fail", "all")], left=2, styles={"fail": "bold red"})
"""


def test_colours_only_on_a_terminal_that_wants_them():
    assert "\x1b[1;31mfail" in in_terminal(CHECKED)
    assert "\x1b" not in in_terminal(CHECKED, NO_COLOR="1")
    piped = subprocess.run([sys.executable, "-c", CHECKED], capture_output=True, check=True)
    assert b"\x1b" not in piped.stdout


SLOW = """
import sys, time
from lifting.experiment import console as module
module.SILENCE_SECONDS = 0.2
with module.console.opened(quiet=%s):
    print("begins")
    time.sleep(1.0)
    print("ends")
    module.console.hold(True)
    time.sleep(0.6)
"""


def test_a_terminal_is_told_that_the_work_goes_on():
    before, _, after = in_terminal(SLOW % False).partition("ends")
    assert "working, 0 s" in before
    assert before.endswith("\r\x1b[K")  # the line is free again
    assert "working" not in after
    assert "working" not in in_terminal(SLOW % True)
    piped = subprocess.run(
        [sys.executable, "-c", SLOW % False], capture_output=True, check=True, text=True
    )
    assert (piped.stdout, piped.stderr) == ("begins\nends\n", "")
