from __future__ import annotations

import pytest

import sampling
from sampling import main


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--help"], 0, "--student-steps"),
        (["nowhere"], 2, "expected the folder of a trained run"),
        (["baseline"], 2, "'simple_baseline', which samples nothing"),
        (["run", "--set", "method.etaa=1"], 2, "unknown key 'method.etaa'"),
        (["run", "--steps", "99"], 2, "expected method.sampling_steps to be at most"),
        (["run", "--student-steps", "1"], 2, "expected a run with a student"),
    ],
)
def test_help_and_mistakes_need_no_torch(make_runs, check_answer, arguments, status, said):
    make_runs(run="diffpose", baseline="simple_baseline")
    check_answer(status, said, *arguments, module="sampling")


@pytest.mark.parametrize(
    "option", ["--poses", "--batch", "--hypotheses", "--steps", "--student-steps"]
)
def test_sizes_are_at_least_one(option, capsys):
    assert main(["run", option, "0"]) == 2
    assert f"expected {option} from 1, got" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_known_first(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["run", "--output", str(tmp_path / "file" / "deep")]) == 2
    assert f"expected to write to {tmp_path / 'file'}" in capsys.readouterr().err


def test_steps_are_lists_after_the_runs(monkeypatch):
    seen = []
    monkeypatch.setattr(sampling, "handle", lambda arguments: seen.append(arguments) or 0)
    assert main(["a", "b", "--steps", "1", "2", "--set", "method.eta=0.5"]) == 0
    (arguments,) = seen
    assert [str(run) for run in arguments.runs] == ["a", "b"]
    assert arguments.steps == [1, 2]
    assert arguments.poses == 1000
    assert arguments.overrides == ["method.eta=0.5"]
    with pytest.raises(SystemExit):
        main(["a", "--full", "--poses", "3"])
