from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lifting.cli.main import COMMANDS, REMOVED, build_parser, main, parse
from lifting.cli.train import _take_resume
from lifting.errors import LiftingError
from lifting.experiment.interruption import interruption
from lifting.experiment.load import load_experiment

REPOSITORY = Path(__file__).parents[3]

WITHOUT_TORCH = """
import sys
from lifting.cli.main import main
try:
    status = main(sys.argv[1:])
except SystemExit as end:
    status = end.code
heavy = sorted({"torch", "pytorch_lightning", "wandb", "matplotlib"} & set(sys.modules))
print("heavy:", *heavy, file=sys.stderr)
sys.exit(status)
"""


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--help"], 0, "COMMAND"),
        (["train", "--help"], 0, "--resume"),
        (["results", "--help"], 0, "results"),
        (["experiments"], 0, "a test of the layers"),
        (["train", "tny"], 2, "error: unknown experiment 'tny'; did you mean 'tiny'?"),
        (["train", "tiny", "data.framse=3"], 2, "unknown key 'data.framse'"),
        (["test", "tiny", "data.frames=x"], 2, "expected 'data.frames' to be a whole number"),
        (["test", "tiny"], 2, "expected a run with weights in"),
        (["train", "tiny", "--resume", "last"], 2, "expected a run with config.yaml"),
        (["train", "tiny", "--resume", "nowhere"], 2, "which is not there; leave --resume out"),
        (["tran"], 2, "invalid choice: 'tran'"),
    ],
)
def test_help_and_mistakes_need_no_torch(tiny_experiment, arguments, status, said):
    config = load_experiment(tiny_experiment)
    folder = Path(config.output).parent / "experiments"
    text = (folder / "tiny.yaml").read_text().replace("tiny_method", "simple_baseline")
    (folder / "tiny.yaml").write_text(text)
    answer = run(*arguments)
    assert answer.returncode == status, answer.stderr
    assert said in answer.stdout + answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stderr.splitlines()[-1] == "heavy:"


def test_every_command_has_help_and_a_handler(capsys):
    parser = build_parser()
    for name in COMMANDS:
        with pytest.raises(SystemExit) as end:
            parser.parse_args([name, "--help"])
        assert end.value.code == 0
        assert name in capsys.readouterr().out


def test_debug_shows_the_error_itself(tiny_experiment):
    with pytest.raises(LiftingError, match="unknown experiment"):
        main(["--debug", "train", "tny"])


def test_listing_and_resolved_print(tiny_experiment, capsys):
    assert main(["experiments"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^tiny +a test of the layers around a method *$", out, re.MULTILINE)
    assert "\nsimple_baseline " in out
    assert main(["experiments", "tiny", "seed=3"]) == 0
    assert "seed: 3" in capsys.readouterr().out


def test_train_test_predict_and_resume(tiny_experiment, undrawn, capsys, tmp_path):
    assert main(["train", "tiny", "trainer.max_epochs=1", "method.warm_epochs=1"]) == 0
    run = next((tmp_path / "outputs" / "tiny").iterdir())
    assert main(["test", "tiny"]) == 0
    out, err = capsys.readouterr()
    assert "preparing tracks, once" in err
    best = run / "checkpoints/best.ckpt"
    assert f"taking the newest run, {best}" in " ".join(out.split())
    assert "as trained, not as in tiny: method.warm_epochs\n" in out
    assert main(["predict", "tiny"]) == 0
    assert (run / "predictions.npz").is_file()
    assert main(["train", "tiny", "resume=true", "panels.every=2"]) == 0
    assert f"continuing {run}" in capsys.readouterr().out


def test_a_checkpoint_outside_a_run_brings_its_method(tiny_experiment, undrawn, tmp_path):
    small = ["trainer.max_epochs=1", "method.warm_epochs=1", "method.head.width=5"]
    assert main(["train", "tiny", *small]) == 0
    run = next((tmp_path / "outputs" / "tiny").iterdir())
    alone = tmp_path / "alone.ckpt"
    alone.write_bytes((run / "checkpoints" / "best.ckpt").read_bytes())
    assert main(["test", "tiny", "--checkpoint", str(alone)]) == 0


def test_a_run_of_another_experiment_is_not_continued(tiny_experiment, undrawn, tmp_path, capsys):
    folder = tmp_path / "experiments"
    (folder / "other.yaml").write_text("extends: tiny\n")
    assert main(["train", "tiny", "trainer.max_epochs=1", "method.warm_epochs=1"]) == 0
    run = next((tmp_path / "outputs" / "tiny").iterdir())
    assert main(["train", "other", "--resume", str(run)]) == 2
    assert "expected a run of experiment 'other'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "kept", "wanted"),
    [
        (["a=1"], ["a=1"], None),
        (["resume=true", "a=1"], ["a=1"], "last"),
        (["resume=true", "resume=false"], [], None),
        (["resume=outputs/x"], [], "outputs/x"),
    ],
)
def test_resume_override(given, kept, wanted):
    assert _take_resume(given) == (kept, wanted)


def test_overrides_may_stand_anywhere():
    given = parse(["train", "tiny", "a=1", "--resume", "last", "b=2", "--data", "cmu", "c=3"])
    assert given.overrides == ["a=1", "b=2", "c=3"]
    assert (given.resume, given.data) == ("last", "cmu")
    with pytest.raises(SystemExit):
        parse(["train", "tiny", "--resum", "--b=2"])


@pytest.mark.parametrize("command", REMOVED)
@pytest.mark.parametrize("arguments", [[], ["RUN", "--poses", "3", "a=1"], ["--help"]])
def test_a_removed_command_names_its_successor(command, arguments, capsys):
    assert main([command, *arguments]) == 2
    assert main(["--debug", command, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count(f"error: `lifting {command}` is now") == 2
    for path in re.findall(r"python (\S+\.py)", err):
        assert (REPOSITORY / path).is_file()


def test_the_line_that_goes_on_names_an_experiment_of_another_name(tiny_experiment, monkeypatch):
    from lifting.experiment import run

    monkeypatch.setattr(run, "train", lambda *_, **__: None)
    assert main(["train", "tiny", "name=other", "seed=3"]) == 0
    interruption.run = Path("outputs/other/1")
    assert "with `lifting train tiny name=other --resume outputs/other/1`" in (
        interruption.how_to_go_on()
    )
