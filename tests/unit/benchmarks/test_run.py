"""The command that runs benchmarks, on one of made-up costs."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
import torch

import run
from lifting.nn.threads import torch_threads
from timing import BenchRow

MEASURED = [
    BenchRow("slow", 8.0, 2.0, "CPU-s", "on one thread"),
    BenchRow("fast", None, 5.0, "poses/s", higher_is_better=True),
]


@pytest.fixture
def made_up(monkeypatch, capsys):
    """A benchmark ``uao`` that measures nothing, and what was printed before each of its rows."""
    printed = []

    def rows():
        for row in MEASURED:
            printed.append(capsys.readouterr().out)
            yield row

    monkeypatch.setitem(sys.modules, "uao", SimpleNamespace(rows=rows))
    return printed


def test_benchmarks_are_the_files_with_rows():
    names = run.benchmark_names()
    assert {"uao", "diffpose", "nbf", "metrics", "loader", "triangulation"} <= set(names)
    assert not {"run", "timing", "dialects", "two_view_scene"} & set(names)


def test_rows_are_printed_when_they_are_measured_and_written(made_up, tmp_path, capsys):
    assert run.main(["uao", "--write", str(tmp_path)]) == 0
    out = "".join(made_up) + capsys.readouterr().out
    assert "slow | 8 | 2 | 4.00x | CPU-s | on one thread\n" in out
    assert "fast | - | 5 | - | poses/s | \n" in out
    assert ["slow |" in text for text in made_up] == [False, True]
    values = json.loads((tmp_path / "uao.json").read_text())
    assert [row["ratio"] for row in values["rows"]] == [4.0, None]
    assert "torch" in values["machine"]
    assert "| slow | 8 | 2 | 4.00x | CPU-s | on one thread |" in (tmp_path / "uao.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["uoa"], "unknown benchmark 'uoa'; did you mean 'uao'"),
        (["--threads", "-1"], "expected --threads from 0, got -1"),
    ],
)
def test_mistakes_are_named(arguments, said, capsys):
    assert run.main(arguments) == 2
    assert said in capsys.readouterr().err


def test_threads_are_set_for_a_while():
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
