from __future__ import annotations

import pytest

from lifting.cli.main import main, parse


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["curves", "--help"], 0, "--steps"),
        (["table", "nowhere"], 2, "expected the folder of a trained run"),
        (["table", "run", "--set", "tto.itertions=3"], 2, "unknown key 'tto.itertions'"),
        (["table", "run", "--data", "cmuu"], 2, "unknown file 'data/cmuu'"),
    ],
)
def test_help_and_mistakes_need_no_torch(make_runs, check_answer, arguments, status, said):
    make_runs(run="simple_baseline")
    check_answer(status, said, "tto", *arguments)


@pytest.mark.parametrize("option", ["--poses", "--batch", "--steps"])
def test_sizes_are_at_least_one(option, capsys):
    assert main(["tto", "curves", "run", option, "0"]) == 2
    assert f"expected {option} from 1, got 0" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_known_first(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["tto", "table", "run", "--output", str(tmp_path / "file" / "deep")]) == 2
    assert f"expected to write to {tmp_path / 'file'}" in capsys.readouterr().err


def test_all_frames_or_some_but_not_both(capsys):
    assert parse(["tto", "curves", "a", "b"]).poses == 256
    assert parse(["tto", "table", "a", "--full"]).full
    with pytest.raises(SystemExit):
        parse(["tto", "table", "a", "--full", "--poses", "3"])
    with pytest.raises(SystemExit):
        parse(["tto", "calibrate"])
