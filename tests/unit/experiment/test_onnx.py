"""ONNX files answer like the models they were made of, at any batch, and say what they are."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lifting import __version__
from lifting.cli.main import main
from lifting.errors import ConfigError, OutputError
from lifting.experiment import onnx as export
from lifting.experiment.build import build_module, make_module
from lifting.experiment.claims import Claims
from lifting.experiment.load import load_experiment, to_run
from lifting.experiment.prediction import Model
from lifting.experiment.trained import write_weights
from lifting.methods.discovery import load_config_class, method_names
from lifting.methods.settings import ModuleSettings
from lifting.skeleton import H36M_17

for package in export.PACKAGES:
    pytest.importorskip(package, reason="needs `pip install 'lifting[onnx]'`")
if torch.__version__ < "2.9":
    pytest.skip("the exporter of torch before 2.9 was never tried", allow_module_level=True)

DIFFPOSE = {
    "hidden": 8, "layers": 1, "heads": 2, "hypotheses": 3, "sampling_steps": 1, "start_level": 4,
    "diffusion_steps": 4,
}  # fmt: skip
LIFTED = {"name": "simple_baseline", "channels": 8, "blocks": 1}
# Method, its switches, and of the settings what is no default.
CASES = {
    "simple_baseline": ("simple_baseline", {"channels": 8, "blocks": 1}, {"flip_test": True}),
    "videopose3d": (
        "videopose3d", {"channels": 8, "filter_widths": (3, 3)}, {"frames": 9, "flip_test": True},
    ),
    "videopose3d, all frames": (
        "videopose3d", {"channels": 8, "filter_widths": (3, 3)},
        {"frames": 9, "target": "all", "flip_test": True},
    ),
    "uao": ("uao", {"hidden": 16, "blocks": 1, "channel_hidden": 8}, {"flip_test": True}),
    "diffpose": (
        "diffpose", {**DIFFPOSE, "eta": 1.0, "aggregation": "median"},
        {},  # flip averaging, which doubles a graph, is the same for all methods
    ),
    "diffpose, mixture": (
        "diffpose",
        {**DIFFPOSE, "block": "paper", "conditioning": "add", "conditioning_on": "feature",
         "forward_noise": "gmm", "mixture": "synthetic", "init": "mixture",
         "aggregation": "posterior"},
        {},
    ),
    "diffpose, video": (
        "diffpose",
        {**DIFFPOSE, "context": "mixste", "context_width": 8, "context_layers": 1,
         "context_heads": 2},
        {"frames": 3, "target": "all"},
    ),
    "fmpose3d": (
        "fmpose3d",
        {"width": 8, "layers": 1, "heads": 2, "perceptron": 8, "steps": 1, "hypotheses": 2,
         "kept": 3, "temperature": 1.0},  # of random poses a smaller one tells roundings apart
        {},
    ),
    "mixste": (
        "mixste", {"width": 8, "layers": 1, "heads": 2}, {"frames": 3, "target": "all"},
    ),
    "d3dp": (
        "d3dp",
        {"width": 8, "layers": 1, "heads": 2, "hypotheses": 2, "sampling_steps": 2,
         "flip": "none", "aggregation": "mean"},  # the others' parts are tried there
        {"frames": 3, "target": "all"},
    ),
    "motionbert, image answers, any frames": (
        "motionbert",
        {"width": 8, "depth": 1, "heads": 2, "representation": 8, "answer": "image",
         "max_frames": 40},
        {"frames": 25, "target": "all"},
    ),
    "motionagformer": (
        "motionagformer", {"width": 8, "layers": 1, "heads": 2, "representation": 8},
        {"frames": 5, "target": "all"},
    ),
    "epipolar_student": ("epipolar_student", {"base": LIFTED}, {}),
    "refinement": ("refinement", {"base": LIFTED, "width": 8}, {}),
}  # fmt: skip
PICTURES = {
    "epipolarpose": {"depth": 18, "width": 4, "head_width": 8, "depth_cells": 4, "patch": 32},
    "nbf": {"body": "light", "features": 8, "clutter": 16},
}
READ = {"keypoints_2d", "image_size"}


def made(folder, name, switches, settings):
    """A model with weights that answer something."""
    torch.manual_seed(0)
    method = load_config_class(name)(**switches)
    module = make_module(method, ModuleSettings(name, **settings)).eval()
    for parameter in module.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    config = load_experiment("simple_baseline", [f"data.frames={module.settings.frames}"])
    config.method = {"name": name, **switches}
    weights = folder / "best.ckpt"
    weights.write_bytes(b"weights")
    return Model(config, weights, module, Claims(H36M_17, 50.0, 1, None, "cmu"))


@pytest.fixture(autouse=True, scope="module")
def _untraced():
    """Torch traces a graph into the log, which pytest keeps; that takes as long as the graph."""
    trace = logging.getLogger("torch.__trace")
    trace.disabled = True
    yield
    trace.disabled = False


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Every case, converted once: the model, what was said of its file, and the file."""
    from onnxruntime import InferenceSession

    done = {}

    def convert(case):
        if case not in done:
            folder = tmp_path_factory.mktemp("onnx")
            model, path = made(folder, *CASES[case]), folder / "model.onnx"
            said = export.write_onnx(model, path)
            session = InferenceSession(path, providers=["CPUExecutionProvider"])
            done[case] = SimpleNamespace(model=model, path=path, said=said, session=session)
        return done[case]

    return convert


def test_every_method_of_keypoints_is_tried():
    assert {name for name, *_ in CASES.values()} | set(PICTURES) == set(method_names())


@pytest.mark.parametrize("case", CASES)
def test_answers_are_those_of_the_model(written, case, caplog):
    file = written(case)
    assert not caplog.records  # what exporters say of themselves
    lifter, session = file.model.module, file.session
    shapes = {value.name: value.shape for value in session.get_inputs()}
    any_frames = shapes["keypoints_2d"][1] == "frames"
    assert any_frames == case.endswith(("all frames", "any frames"))
    assert file.said.difference < export.LARGEST_MM
    graph = export.Graph(lifter)
    for size, frames in ((1, 4), (2, 9), (5, 12)):
        inputs = export.example_inputs(lifter, size, frames if any_frames else None)
        with torch.no_grad():
            expected = graph(inputs)
        found = session.run(None, {name: inputs[name].numpy() for name in shapes})
        assert [value.name for value in session.get_outputs()] == list(expected)
        for values, wanted in zip(found, expected.values(), strict=True):
            assert values.dtype == np.float32
            torch.testing.assert_close(torch.from_numpy(values), wanted, rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ("case", "read", "tables", "answered"),
    [
        ("simple_baseline", READ, set(), ("joints_3d",)),
        ("uao", READ, set(), ("joints_3d", "sigma")),
        ("diffpose", READ, {"noise"}, ("joints_3d", "sigma", "hypotheses")),
        (
            "diffpose, mixture", {*READ, "intrinsics", "confidence"}, {"noise", "choices"},
            ("joints_3d", "sigma", "hypotheses"),
        ),
    ],
)  # fmt: skip
def test_a_file_reads_what_its_answers_depend_on(written, case, read, tables, answered):
    file = written(case)
    session = file.session
    assert {value.name for value in session.get_inputs()} == read
    assert {value.name for value in session.get_overridable_initializers()} == tables
    assert set(file.said.inputs) == read | tables
    assert file.said.outputs == answered


def test_other_noise_gives_other_hypotheses_as_the_model_does(written):
    file = written("diffpose")
    inputs = export.example_inputs(file.model.module, 2)
    usual = {name: inputs[name].numpy() for name in READ}
    before = file.session.run(["hypotheses"], usual)[0]
    torch.manual_seed(1)
    inputs["noise"] = 100 * torch.randn_like(inputs["noise"])
    given = {**usual, "noise": inputs["noise"].numpy()}
    after = file.session.run(["hypotheses"], given)[0]
    assert np.abs(after - before).max() > 1
    with torch.no_grad():
        wanted = export.Graph(file.model.module)(inputs)["hypotheses"]
    torch.testing.assert_close(torch.from_numpy(after), wanted, rtol=0, atol=0.01)


def test_a_file_says_what_it_is(written):
    file = written("diffpose")
    told = file.session.get_modelmeta().custom_metadata_map
    assert told["method"] == "diffpose"
    assert told["lifting_version"] == __version__
    assert told["checkpoint_sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert told["skeleton"] == "h36m17"
    assert tuple(json.loads(told["joints"])) == H36M_17.joints
    assert tuple(json.loads(told["parents"])) == H36M_17.parents
    assert told["root"] == H36M_17.joints[0]
    assert (told["frames_per_second"], told["window"], told["flip_averaging"]) == (
        "50.0", "1", "false",
    )  # fmt: skip
    assert "half image widths" in told["normalisation"]
    assert "poses in mm" in told["units"]
    assert json.loads(told["answers"])["hypotheses"] == 3


@pytest.mark.parametrize("name", PICTURES)
def test_methods_of_pictures_are_refused(tmp_path, name):
    switches = PICTURES[name]
    model = made(tmp_path, name, switches, {})
    with pytest.raises(ConfigError, match=f"expected a method that lifts keypoints, got '{name}'"):
        export.write_onnx(model, tmp_path / "model.onnx")
    above = made(tmp_path, "refinement", {"base": {"name": name, **switches}, "joints": "all"}, {})
    with pytest.raises(ConfigError, match="which reads pictures; convert a model of another"):
        export.write_onnx(above, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_mistakes(tmp_path, monkeypatch):
    model = made(tmp_path, *CASES["simple_baseline"])
    with pytest.raises(OutputError, match=r"ending in \.onnx, got .*pt; change --output"):
        export.write_onnx(model, tmp_path / "model.pt")
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(ConfigError, match=r"got no onnxscript; .* 'lifting\[onnx\]'"):
        export.write_onnx(model, tmp_path / "model.onnx")


def test_the_command_converts_a_checkpoint(tmp_path, monkeypatch, capsys):
    settings = ["method.channels=8", "method.blocks=1", "wandb.mode=disabled"]
    config = load_experiment("simple_baseline", settings)
    module = build_module(config)
    module.claim = {"fps": 50.0, "frames": 1, "dataset": "cmu", "experiment": to_run(config)}
    weights = tmp_path / "weights.ckpt"
    write_weights(module, weights)
    monkeypatch.chdir(tmp_path)
    assert main(["convert", "onnx", str(weights)]) == 0
    out = capsys.readouterr().out
    assert "written: simple_baseline.onnx" in out
    assert "reads: keypoints_2d, image_size\nanswers: joints_3d\n" in out
    assert "largest difference from the model by onnxruntime: " in out
    assert main(["convert", "onnx", str(weights), "--set", "flip_test=true"]) == 2
    assert "expected one run or checkpoint for onnx, and no --set" in capsys.readouterr().err


def test_the_example_of_the_page_runs(written, tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[3] / "docs/guide/onnx.md").read_text(encoding="utf-8")
    program = page.split("```python\n")[1].split("```")[0]
    assert "import lifting" not in program
    file = written("videopose3d")
    shutil.copy(file.path, tmp_path / "lifter.onnx")
    pixels = export.example_inputs(file.model.module, 1)["keypoints_2d"][0]
    np.save(tmp_path / "keypoints.npy", pixels.numpy())
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(program, names)
    assert "'hip': [0.0, 0.0, 0.0]" in capsys.readouterr().out
