"""Files of weights, and what is lifted with them without an experiment."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from lifting import Poses, lift, load_model, read_keypoints
from lifting.cli.main import main
from lifting.data.film import film
from lifting.data.keypoints.usual import fit_usual
from lifting.data.procedural.generator import generate_motion
from lifting.experiment.build import build_data
from lifting.experiment.load import load_experiment
from lifting.experiment.weights_file import command_of, films, write_weights_file
from lifting.weights import registry

HEAVY = {"pytorch_lightning", "torchmetrics", "wandb", "matplotlib"}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Runs of a single-frame and of a temporal method, trained for two steps."""
    folder = tmp_path_factory.mktemp("ready")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIFTING_CACHE", str(folder / "cache"))
        words = ["extends=overlay/smoke", f"output={folder / 'outputs'}", "wandb.mode=disabled"]
        words += ["panels.worst=0", "data.synthetic.train_sequences=4"]
        for name in ("simple_baseline", "videopose3d"):
            assert main(["train", name, *words]) == 0
        yield folder / "outputs"


@pytest.fixture(scope="module")
def files(outputs, tmp_path_factory):
    """Their files of weights."""
    folder = tmp_path_factory.mktemp("weights")
    made = {}
    for name in ("simple_baseline", "videopose3d"):
        made[name] = folder / f"{name}.pt"
        assert main(["convert", "weights", str(outputs / name), "--output", str(made[name])]) == 0
    return made


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """A user's own folder of weights, and a package without any."""
    monkeypatch.setenv("LIFTING_WEIGHTS", str(tmp_path / "own"))
    monkeypatch.setattr(registry, "PACKAGED", tmp_path / "packaged")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def keypoints(tmp_path_factory):
    """A file of somebody who was filmed as the training's people were."""
    tracks = film(generate_motion(1, 40, seed=8), rig="h36m", noise="cpn", seed=8)
    path = tmp_path_factory.mktemp("keypoints") / "walk.npz"
    np.savez(
        path, keypoints_2d=tracks.keypoints_2d[:40], confidence=tracks.confidence[:40],
        image_size=tracks.cameras[0].size, skeleton="h36m17", fps=50.0,
    )  # fmt: skip
    return path


def texts(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from (key, *texts(inner))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("name", ["simple_baseline", "videopose3d"])
def test_a_file_holds_weights_and_facts_and_answers_as_the_run(name, outputs, files, keypoints):
    content = torch.load(files[name], weights_only=True)
    assert set(content) == {"state_dict", "lifting"}
    facts = content["lifting"]
    assert not {"settings", "optimizer_states", "callbacks"} & set(facts)
    assert {"training", "usual", "skeleton", "normalisation", "frames"} <= set(facts)
    assert not [text for text in texts(facts) if "/" in text and str(outputs.parent) in text]
    numbers = sum(v.numel() * v.element_size() for v in content["state_dict"].values())
    assert files[name].stat().st_size < numbers + 60_000
    tracks = read_keypoints(keypoints)
    run, file = lift(tracks, model=outputs / name), lift(tracks, model=files[name])
    np.testing.assert_array_equal(run.joints_3d, file.joints_3d)
    unusual = file.meta["unusual"]
    assert 0 <= unusual["share_of_frames"] <= 1
    assert "unusual" not in run.meta


def test_a_file_of_a_file_is_the_same(files, tmp_path):
    model = load_model(files["simple_baseline"])
    facts = write_weights_file(model, tmp_path / "again.pt")
    one, two = (torch.load(f, weights_only=True) for f in (files["simple_baseline"], "again.pt"))
    assert facts == two["lifting"] == one["lifting"]


def test_input_is_learnt_from_the_films_that_a_training_sees(tmp_path, monkeypatch):
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path / "cache"))
    words = ["extends=overlay/smoke", "data.synthetic.train_sequences=6"]
    words += ["data.synthetic.sequence_frames=60", "data.refilm.seconds=1.0"]
    once = load_experiment("simple_baseline", words)
    data = build_data(once)
    assert films(once, data) == [data.tracks("train")]
    anew = load_experiment("simple_baseline", [*words, "data.refilm.every=1"])
    first, *others = films(anew, build_data(anew))
    assert others
    assert not any(torch.equal(first.keypoints_2d, other.keypoints_2d) for other in others)
    assert fit_usual([first, *others], data.tracks("val")).judge(first).flagged.mean() < 0.2


def test_the_command_says_what_differs_from_the_experiment(outputs):
    words = command_of(load_model(outputs / "simple_baseline").config).split()
    assert words[:3] == ["lifting", "train", "simple_baseline"]
    assert {"data.synthetic.train_sequences=4", "trainer.max_steps=2"} <= set(words)
    assert not [word for word in words if word.startswith(("output", "wandb", "panels", "pss"))]


def test_weights_answer_a_machine(files, tmp_path, capsys):
    def ask(*words):
        assert main(["weights", *words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    file, shared = str(files["simple_baseline"]), str(tmp_path / "shared")
    made = ask("add", file, "--name", "mine", "--to", shared)
    assert (made["name"], made["place"]) == ("mine", shared)
    fetched = ask("fetch", "mine", "--registry", shared)
    assert fetched == {**made, "place": str(tmp_path / "own")}
    assert ask("list")["rows"] == [fetched]
    shown = ask("show", "mine")
    assert made["sha256"] in shown.pop("card")
    assert shown == fetched


def test_keypoints_are_lifted_without_an_experiment(files, keypoints, capsys, caplog):
    assert main(["weights", "list"]) == 0
    assert "there are no ready weights: train" in capsys.readouterr().out
    assert main(["predict", "--keypoints", str(keypoints)]) == 2
    assert "and there are no ready weights that fit; train" in capsys.readouterr().err
    for name, file in files.items():
        assert main(["weights", "add", str(file), "--name", name]) == 0
    assert main(["weights", "list"]) == 0
    assert "27 at 50 Hz" in capsys.readouterr().out
    assert main(["weights", "show", "simple_baseline"]) == 0
    card = capsys.readouterr().out
    for words in (registry.sha256_of(files["simple_baseline"]), "train_sequences=4", "seed: 0"):
        assert words in card
    caplog.clear()
    assert main(["predict", "--keypoints", str(keypoints)]) == 0
    assert "ready weights 'videopose3d'" in caplog.text
    assert re.search(
        r"unusual input: [0-9.]+% of the frames, [01] of 1 tracks", capsys.readouterr().out
    )
    chosen = Poses.load("poses.npz")
    assert chosen.meta["method"]["name"] == "videopose3d"
    named = ["--weights", "simple_baseline", "--output", "single.npz"]
    assert main(["predict", "--keypoints", str(keypoints), *named]) == 0
    tracks = read_keypoints(keypoints)
    for poses, model in ((chosen, None), (Poses.load("single.npz"), "simple_baseline")):
        np.testing.assert_array_equal(poses.joints_3d, lift(tracks, model=model).joints_3d)
    assert load_model("videopose3d").method == "videopose3d"
    points = np.load(keypoints)["keypoints_2d"]
    slow = lift(points, image_size=(1000, 1000), skeleton="h36m17", fps=10)
    assert slow.meta["method"]["name"] == "simple_baseline"


def test_ready_weights_take_no_trainer(files, keypoints):
    code = (
        "import sys; from lifting.cli.main import main; status = main(sys.argv[1:]); "
        f"print(sorted({HEAVY!r} & set(sys.modules))); sys.exit(status)"
    )
    words = ["predict", "--keypoints", str(keypoints), "--weights", str(files["videopose3d"])]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert len(Poses.load("poses.npz")) == 40


def test_wrong_joints_are_warned_of(files, keypoints, caplog):
    points = np.load(keypoints)["keypoints_2d"]
    given = {"image_size": (1000, 1000), "fps": 50, "model": files["simple_baseline"]}
    wrong = lift(points[:, ::-1], skeleton="h36m17", **given)
    assert wrong.meta["unusual"]["share_of_frames"] > 0.5
    assert "unlike what 'simple_baseline' was trained on" in caplog.text
    assert "check the size of the image, the order of the joints and of x and y" in caplog.text
    caplog.clear()
    right = lift(points, skeleton="h36m17", **given)
    assert right.meta["unusual"]["tracks"] == {}
    assert "unlike" not in caplog.text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict"], "an experiment, or keypoints for ready weights, got neither"),
        (["predict", "uao", "--weights", "x"], "an experiment or --weights, got 'uao' and 'x'"),
        (["predict", "--keypoints", "{keypoints}", "--checkpoint", "x"], "beside --checkpoint"),
        (["predict", "--keypoints", "{keypoints}", "--weights", "x"], "unknown weights 'x'"),
        (["predict", "--keypoints", "{keypoints}", "--weights", "x.pt"], "x.pt, which does not"),
        (["weights", "add", "{best}", "--name", "x"], "a file of `lifting convert weights`"),
        (["weights", "show", "x"], "unknown weights 'x'"),
        (["convert", "weights", "{file}", "--output", "x.ckpt"], "ending in .pt, got x.ckpt"),
        (["convert", "weights", "{file}", "{file}"], "one run or checkpoint for weights, and no"),
    ],
)
def test_what_cannot_be_done_is_said(words, message, files, outputs, keypoints, capsys):
    places = {
        "keypoints": keypoints,
        "file": files["simple_baseline"],
        "best": next(outputs.glob("simple_baseline/*/checkpoints/best.ckpt")),
    }
    assert main([word.format(**places) for word in words]) == 2
    assert message in capsys.readouterr().err


def test_damaged_facts_are_refused(files, tmp_path, capsys):
    content = torch.load(files["simple_baseline"], weights_only=True)
    content["lifting"]["usual"]["groups"]["shape"]["mean"] = [1.0]
    torch.save(content, tmp_path / "damaged.pt")
    words = ["convert", "weights", "damaged.pt", "--output", "x.pt"]
    assert main(words) == 2
    assert "to describe the method" in capsys.readouterr().err
