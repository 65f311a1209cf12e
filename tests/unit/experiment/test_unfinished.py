"""A run whose training has not ended is of use already, and says what its answers are."""

from __future__ import annotations

from lifting import Poses, load_model
from lifting.cli.main import main
from lifting.experiment.record import read_record


def test_weights_of_any_stage_answer_while_the_training_goes_on(cut_run, capsys):
    _, run = cut_run("train", 3)  # within the first epoch of the second stage
    assert main(["predict", "tiny"]) == 0
    out, err = capsys.readouterr()
    warm = run / "checkpoints/warm/best.ckpt"
    assert f"taking the newest run, {warm}" in " ".join(out.split())
    assert "weights of stage 'warm' (1 of 2), after epoch " in err
    assert "the answers are those of this stage; the training has not ended\n" in err
    poses = Poses.load(run / "predictions.npz")
    assert poses.meta["stage"] == "warm"
    assert poses.meta["answers"]["hypotheses"] == 1
    model = load_model(run.parent)
    assert (model.checkpoint, model.module.stage.name) == (warm, "warm")
    assert main(["test", "tiny"]) == 0
    (tested,) = run.parent.glob("*-evaluate")
    record = read_record(tested / "result.json")
    assert record.extras["stage"] == "warm"
    assert record.metrics["mpjpe_mm"] > 0
    assert "mpjpe_mm" in capsys.readouterr().out


def test_a_finished_training_is_not_called_unfinished(tiny_experiment, undrawn, capsys, tmp_path):
    assert main(["train", "tiny", "trainer.max_epochs=1", "method.warm_epochs=1"]) == 0
    assert main(["predict", "tiny", "--output", str(tmp_path / "p.npz")]) == 0
    assert "weights of stage" not in capsys.readouterr().err
    (run,) = (tmp_path / "outputs" / "tiny").iterdir()
    chosen = run / "checkpoints/warm/last.ckpt"
    assert main(["test", "tiny", "--checkpoint", str(chosen)]) == 0
    told = capsys.readouterr().err
    assert "stage 'warm' (1 of 2), after epoch 1: the answers are those of this stage\n" in told
