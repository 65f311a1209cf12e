"""The script for a GPU: its stages on a processor, and what one leaves that fails."""

from __future__ import annotations

import json
import math

import pytest
import torch

import gpu
import gpu_cases
import gpu_measures
import gpu_stages
from lifting.methods.discovery import method_names

CPU = torch.device("cpu")
# A stage that crashes in its second method, one that hangs after a row, one that cannot begin.
CHILD = """\
import json, os, sys, time
stage, rows = sys.argv[1:3]
without = sys.argv[sys.argv.index("--without") + 1:] if "--without" in sys.argv else []
def write(**row):
    with open(rows, "a") as file:
        print(json.dumps(row), file=file)
if stage == "answer":
    sys.exit("no such | device")
if not without:
    write(facts={"gpu": "made up"})
for name in ("first", "second", "third"):
    if name in without:
        continue
    write(begun=name)
    if stage == "equality" and name == "second":
        os.abort()
    write(method=name, value=float("nan") if name == "third" else 1.25)
    if stage == "train":
        time.sleep(60)
    write(done=name)
write(method="fourth", what="odd", error="it broke")
"""


@pytest.fixture
def made_up(monkeypatch, tmp_path):
    """Stages that measure nothing, of which one works."""
    child = tmp_path / "child.py"
    child.write_text(CHILD)
    monkeypatch.setattr(gpu, "CHILD", child)
    monkeypatch.setattr(gpu, "LEAST_S", 0.1)


def test_a_stage_that_fails_leaves_the_others(made_up, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(gpu, "SHARES", dict.fromkeys(gpu.SHARES, 1.0) | {"train": 0.2})
    words = ["--smoke", "--limit", "12", "--write", str(tmp_path)]
    assert gpu.main([*words, "--stages", "optimise", "train", "answer", "equality"]) == 0
    values = json.loads((tmp_path / "gpu.json").read_text())
    assert values["machine"]["gpu"] == "made up"
    assert values["machine"]["form"] == "smoke"
    found = {stage["name"]: stage for stage in values["stages"]}
    assert list(found) == ["equality", "train", "answer", "optimise"]
    measured = {n: [row["method"] for row in s["rows"]] for n, s in found.items()}
    assert measured["equality"] == ["first", "third", "fourth"]
    assert found["equality"]["state"] == "whole, but second crashed"
    assert measured["train"] == ["first"]
    assert found["train"]["state"] == "stopped at its limit, in first"
    assert found["answer"]["state"] == "ended with status 1: no such | device"
    assert measured["optimise"] == ["first", "second", "third", "fourth"]
    assert found["optimise"]["rows"][2]["value"] is None  # what is not finite
    page = (tmp_path / "gpu.md").read_text()
    assert "| first | 1.25 |" in page
    assert "- fourth, odd: it broke" in page
    assert "missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--stages", "equalty"], "unknown stage 'equalty'; did you mean 'equality'"),
        (["--limit", "0"], "expected --limit above 0 seconds, got 0"),
    ],
)
def test_mistakes_are_named(words, said, capsys):
    assert gpu.main(words) == 2
    assert said in capsys.readouterr().err


def rows_of(stage, tmp_path, *methods):
    file = tmp_path / "rows.jsonl"
    gpu_stages.main([stage, str(file), "--smoke", "--methods", *methods])
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert "float32 TFLOP/s" in lines[0]["facts"]
    assert [line["begun"] for line in lines if "begun" in line] == sorted(methods)
    return [line for line in lines if "method" in line]


def test_the_processor_equals_itself(tmp_path):
    first, second, third = rows_of("equality", tmp_path, "diffpose", "uao")
    assert [row["training stage"] for row in (first, second, third)] == ["context"] + 2 * ["train"]
    for row in (first, second, third):
        assert row["largest mm"] == row["gradients, relative"] == row["loss, relative"] == 0


@pytest.mark.parametrize(
    ("stage", "rate"), [("train", "samples/s"), ("answer", "poses/s"), ("optimise", "poses/s")]
)
def test_every_precision_is_measured(stage, rate, tmp_path):
    rows = rows_of(stage, tmp_path, "uao")
    assert [row["precision"] for row in rows] == list(gpu_cases.PRECISIONS)
    assert all(row[rate] > 0 for row in rows)
    if stage == "train":
        assert all(row["finite"] and math.isfinite(row["loss"]) for row in rows)
    if stage == "answer":
        assert rows[0]["largest mm moved"] == 0 < rows[2]["largest mm moved"]


def test_weights_that_moved_are_cast_anew():
    case = gpu_measures.Case("uao", True, CPU)
    module, batch = case.ready((2, 2))
    step = gpu_measures.stepping(module.eval(), batch, gpu_cases.BF16)
    first, second = step(), step()
    assert first != second


def test_a_measure_that_fails_leaves_the_rest():
    def failing():
        raise ValueError("odd")

    def measures():
        yield {"precision": "a"}, failing
        yield {"precision": "b"}, dict
        raise KeyError("no more")

    found = list(gpu_stages.measured(measures(), CPU))
    assert found[:2] == [{"precision": "a", "error": "ValueError: odd"}, {"precision": "b"}]
    assert found[2]["error"] == "KeyError: 'no more'"

    def lost():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="CUDA error"):
        list(gpu_stages.measured(iter([({}, lost)]), CPU))


def test_draws_are_the_processors():
    """Also with a generator, and into a tensor that is there."""

    def draw():
        generator = torch.Generator().manual_seed(3)
        return [
            torch.randn(3),
            torch.rand(2, generator=generator),
            torch.zeros(3).uniform_(),
            torch.nn.functional.dropout(torch.ones(8)),
        ]

    torch.manual_seed(0)
    expected = draw()
    torch.manual_seed(0)
    with gpu_cases.SameDraws():
        found = draw()
    assert all(a.equal(b) for a, b in zip(expected, found, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["equality", "train", "answer", "optimise"])
def test_every_method_has_rows_and_none_fails(stage, tmp_path):
    rows = rows_of(stage, tmp_path, *method_names())
    assert {row["method"] for row in rows} == set(method_names())
    assert not [row for row in rows if "error" in row]
