"""The study of the chain: what it writes, of a run of two steps and a recording of its data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lifting.cli.main import main as lifting_main
from motion import Sums, main

SMALL = (
    "data.synthetic.train_sequences=1",
    "data.synthetic.val_sequences=1",
    "data.synthetic.test_sequences=2",
    "data.synthetic.sequence_frames=40",
)


def test_the_page_has_every_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path / "cache"))
    words = ["extends=overlay/smoke", f"output={tmp_path / 'outputs'}", "wandb.mode=disabled"]
    assert lifting_main(["train", "simple_baseline", *words, *SMALL, "panels.worst=0"]) == 0
    run = next((tmp_path / "outputs" / "simple_baseline").iterdir())
    out = tmp_path / "study"
    given = ["--data", "synthetic", "--long", "30", "--output", str(out)]
    small = [word for one in SMALL for word in ("--set", one)]
    assert main([str(run), *given, *small]) == 0
    page = (out / "motion.md").read_text()
    for title in (
        "Paths and feet",
        "Contacts and up",
        "Filters of keypoints",
        "Causal",
        "What it costs",
    ):
        assert f"## {title}" in page
    assert "nan" not in page
    found = json.loads((out / "motion.json").read_text())
    raw, chain = (found["chain"][f] for f in ("each frame by itself", "the chain, height given"))
    assert chain["acceleration"] < raw["acceleration"]
    assert found["filters"]["1, None"]["jitter"] < found["filters"]["1, 0"]["jitter"]
    assert set(found["lookahead"]) == {"0", "2", "5", "10", "20", "None"}
    assert main([str(run), "--tracks", "-1"]) == 2
    assert "expected --tracks from 0" in capsys.readouterr().err


def test_means_are_over_all_frames():
    sums = Sums()
    sums.add(error=np.array([1.0, 2.0]))
    sums.add(error=np.array([6.0]), other=np.float64(4))
    assert sums.mean("error") == pytest.approx(3)
    assert sums.mean("other") == 4
    assert np.isnan(sums.mean("none"))
