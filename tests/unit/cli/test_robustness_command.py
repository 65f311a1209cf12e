from __future__ import annotations

import pytest

from lifting.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--help"], 0, "--rates"),
        (["nowhere"], 2, "expected the folder of a trained run"),
        (["run", "--kinds", "drop", "swop"], 2, "unknown corruption 'swop'"),
        (["run", "--data", "cmuu"], 2, "unknown file 'data/cmuu'"),
        ([], 2, "the following arguments are required: RUN"),
    ],
)
def test_help_and_mistakes_need_no_torch(make_runs, check_answer, arguments, status, said):
    make_runs(run="simple_baseline")
    check_answer(status, said, "robustness", *arguments)


@pytest.mark.parametrize("option", ["--poses", "--batch", "--searched", "--stride"])
def test_sizes_are_at_least_one(option, capsys):
    assert main(["robustness", "run", option, "0"]) == 2
    assert f"expected {option} from 1, got 0" in capsys.readouterr().err


def test_shares_are_no_percentages(capsys):
    assert main(["robustness", "run", "--rates", "30"]) == 2
    assert "0.3 is 30 %" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_known_first(tmp_path, capsys):
    (tmp_path / "file").touch()
    place = str(tmp_path / "file" / "deep")
    assert main(["robustness", "run", "--output", place]) == 2
    assert f"expected to write to {tmp_path / 'file'}" in capsys.readouterr().err
