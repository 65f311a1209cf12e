"""``nbf_fits.py`` on a tiny run, and its mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import nbf_fits
from lifting.cli.main import main

EXPERIMENTS = Path(__file__).parents[3] / "experiments"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--help"], 0, "--occluder"),
        (["nowhere"], 2, "expected the folder of a trained run"),
        (["baseline"], 2, "expected a run of nbf, got"),
        (["run", "--set", "method.kapa=1"], 2, "unknown key 'method.kapa'"),
        (["run", "--pictures", "0"], 2, "expected --pictures from 1, got 0"),
        (["run", "--occluder", "300"], 2, "expected --occluder from 1 to 224, got 300"),
        (["run", "--output", "file/deep"], 2, "expected to write to"),
    ],
)
def test_help_and_mistakes_need_no_torch(
    make_runs, check_answer, tmp_path, arguments, status, said
):
    (tmp_path / "file").touch()
    make_runs(run="nbf", baseline="simple_baseline")
    check_answer(status, said, *arguments, module="nbf_fits")


def test_a_trained_run_is_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(EXPERIMENTS))
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path / "cache"))
    shared = ["extends=overlay/smoke", f"output={tmp_path}", "wandb.mode=disabled"]
    shared += ["panels.worst=0", "data.images.test_images=16", "method.guess_epochs=0",
               "method.feature_epochs=0"]  # fmt: skip
    assert main(["train", "nbf", *shared]) == 0
    (run,) = (tmp_path / "nbf").iterdir()
    assert not (run / "pictures" / "fits.png").exists()
    output = tmp_path / "drawn"
    capsys.readouterr()
    assert nbf_fits.main([str(run), "--pictures", "1", "--output", str(output)]) == 0
    assert f"written: {output / 'fits.gif'}" in capsys.readouterr().out
    with Image.open(output / "fits.png") as sheet, Image.open(output / "fits.gif") as film:
        assert sheet.width > 800
        assert film.format == "GIF"
        assert film.width > 400
