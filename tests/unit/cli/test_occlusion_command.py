from __future__ import annotations

import pytest

from lifting.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--help"], 0, "--rates"),
        (["occlusion", "nowhere"], 2, "expected the folder of a trained run"),
        (["occlusion", "nowhere", "--kinds", "drop", "swop"], 2, "unknown corruption 'swop'"),
        (["occlusion", "run", "--data", "cmuu"], 2, "unknown file 'data/cmuu'"),
    ],
)
def test_help_and_mistakes_need_no_torch(make_runs, check_answer, arguments, status, said):
    make_runs(run="simple_baseline")
    check_answer(status, said, "bench", *arguments)


@pytest.mark.parametrize("option", ["--frames", "--batch", "--searched", "--stride"])
def test_sizes_are_at_least_one(option, capsys):
    assert main(["bench", "occlusion", "run", option, "0"]) == 2
    assert f"expected {option} from 1, got 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["occlusion"], "expected folders of trained runs"),
        (["occlusion", "run", "--rates", "30"], "0.3 is 30 %"),
        (["occlusion", "run", "--write", "there"], "expected --output with `lifting bench"),
        (["uao", "--rates", "0.3"], "expected --rates with `lifting bench occlusion RUN ...`"),
        (["--set", "tto.lr=1"], "expected --set with `lifting bench occlusion RUN ...`"),
    ],
)
def test_options_belong_to_one_of_the_two(arguments, said, capsys):
    assert main(["bench", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_known_first(tmp_path, capsys):
    (tmp_path / "file").touch()
    place = str(tmp_path / "file" / "deep")
    assert main(["bench", "occlusion", "run", "--output", place]) == 2
    assert f"expected to write to {tmp_path / 'file'}" in capsys.readouterr().err
