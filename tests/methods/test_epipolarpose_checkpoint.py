"""The authors' files of EpipolarPose's network, and weights that a training starts from."""

import logging
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lifting.cli.main import main
from lifting.errors import CheckpointError, MissingDataError
from lifting.experiment.checkpoint import read_checkpoint
from lifting.methods.epipolarpose.checkpoint import convert, import_network, start_network
from lifting.methods.epipolarpose.config import Config
from lifting.methods.epipolarpose.module import Module
from lifting.methods.epipolarpose.network import PoseNetwork
from lifting.methods.refinement.network import RefinementUnit
from lifting.methods.settings import ModuleSettings, Stage

TINY = Config(depth=18, width=4, head_width=8, depth_cells=4, patch=32)
SETTINGS = ModuleSettings("epipolarpose")
EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def official(joints=17, config=TINY):
    torch.manual_seed(5)
    return PoseNetwork(joints, config).state_dict()


WRAPPERS = {
    "bare": lambda state: state,
    "parallel": lambda state: {f"module.{k}": v for k, v in state.items()},
    "wrapped": lambda state: {
        "epoch": 3, "model": "resnet", "perf": np.float64(51.8), "optimizer": {"state": {}},
        "state_dict": {f"module.{k}": v for k, v in state.items()},
    },
    "without counters": lambda state: {
        k: v for k, v in state.items() if not k.endswith("num_batches_tracked")
    },
}  # fmt: skip


@pytest.mark.parametrize("form", WRAPPERS)
def test_the_authors_files_are_read(tmp_path, form):
    file, state = tmp_path / "model_best.pth.tar", official()
    torch.save(WRAPPERS[form](state), file)
    found = convert([file], TINY, SETTINGS).state
    module = Module(TINY, SETTINGS)
    module.load_state_dict(found)
    kept = module.student.network.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in state.items())


def test_the_prefix_goes_only_if_all_names_have_it(tmp_path):
    state = official()
    mixed = {f"module.{k}" if k == "conv1.weight" else k: v for k, v in state.items()}
    torch.save(mixed, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"1 missing \['conv1.weight'\] and 1 unknown"):
        convert([tmp_path / "a.pth"], TINY, SETTINGS)


def test_the_frozen_copy_gets_the_same_weights(tmp_path):
    torch.save(official(), tmp_path / "a.pth")
    config = replace(TINY, labels="online", start="a.pth")
    found = convert([tmp_path / "a.pth"], config, SETTINGS).state
    Module(config, SETTINGS).load_state_dict(found)
    assert torch.equal(found["student.frozen.conv1.weight"], found["student.network.conv1.weight"])


@pytest.mark.parametrize(
    ("state", "config", "message"),
    [
        (official(16), TINY, r"expected 17 joints of 4 cells .* got 64 channels \(16 joints\)"),
        (official(), replace(TINY, joints="mpii16"), r"got 68 channels \(17 joints\)"),
        (official(), replace(TINY, depth=34), r"34 layers, got one of 18; set method\.depth=18"),
        (official(), replace(TINY, head_width=9), "set the widths of the method section"),
        ({"fc.weight": torch.zeros(1)}, TINY, r"expected 140 weights, .* missing .* 1 unknown"),
        (
            RefinementUnit(45, 4).state_dict(),
            TINY,
            "unit; the method 'refinement' starts from them",
        ),
    ],
)
def test_files_of_other_networks_are_refused(state, config, message):
    with pytest.raises(CheckpointError, match=message):
        import_network(state, config, "h36m17")


def test_a_model_of_sixteen_joints_is_read_as_such(tmp_path):
    torch.save(official(16), tmp_path / "a.pth")
    config = replace(TINY, joints="mpii16")
    Module(config, SETTINGS).load_state_dict(convert([tmp_path / "a.pth"], config, SETTINGS).state)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "expected tensors by name in .*, got a list"),
        ({"epoch": 3}, r"something else under \['epoch'\]"),
        ({}, "got none"),
        ({"a": Stage("x")}, "tensors and plain values in"),
    ],
)
def test_files_that_hold_something_else_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message):
        convert([tmp_path / "a.pth"], TINY, SETTINGS)
    with pytest.raises(MissingDataError, match="found no file"):
        convert([tmp_path / "b.pth"], TINY, SETTINGS)


def test_training_starts_from_what_fits(tmp_path, caplog):
    file, network = tmp_path / "mpii.pth.tar", PoseNetwork(17, TINY)
    torch.save(WRAPPERS["parallel"](official(16)), file)
    before = network.final_layer.weight.clone()
    with caplog.at_level(logging.WARNING):
        found = start_network(network, file)
    assert found.left == found.fresh == ("final_layer.weight", "final_layer.bias")
    assert "2 of the file do not fit (final_layer.weight, final_layer.bias)" in caplog.text
    assert torch.equal(network.final_layer.weight, before)
    assert torch.equal(network.layer4[1].conv2.weight, official(16)["layer4.1.conv2.weight"])


def test_training_starts_from_a_classifier_or_a_checkpoint_of_its_own(tmp_path, caplog):
    state = {k: v for k, v in official().items() if not k.startswith(("deconv", "final"))}
    torch.save({**state, "fc.weight": torch.zeros(9, 32)}, tmp_path / "resnet18.pth")
    network = PoseNetwork(17, TINY)
    with caplog.at_level(logging.WARNING):
        found = start_network(network, tmp_path / "resnet18.pth")
    assert found.left == ()
    assert all(name.startswith(("deconv", "final")) for name in found.fresh)
    for prefix in ("", "base."):  # its own, and below a refinement unit
        module = Module(TINY, SETTINGS)
        weights = {f"{prefix}{name}": value for name, value in module.state_dict().items()}
        torch.save({"state_dict": weights, "lifting": {}}, tmp_path / "own.ckpt")
        assert start_network(network, tmp_path / "own.ckpt").fresh == ()
        assert torch.equal(network.conv1.weight, module.student.network.conv1.weight)
    with pytest.raises(CheckpointError, match=r"conv1\.weight of shape \(8, 3, 7, 7\)"):
        start_network(PoseNetwork(17, replace(TINY, width=8)), tmp_path / "resnet18.pth")


@pytest.fixture
def experiments(tmp_path, monkeypatch):
    """A folder with an experiment of this method and the baseline's."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    for name in ("base.yaml", "simple_baseline.yaml", "data", "overlay", "pss"):
        (folder / name).symlink_to(EXPERIMENTS / name)
    text = "extends: [base, data/synthetic]\nmethod: {name: epipolarpose}\n"
    (folder / "own.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(folder))
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path / "cache"))
    return folder


def sizes(config=TINY):
    plain = asdict(Config())
    return [f"method.{k}={v}" for k, v in asdict(config).items() if v != plain[k]]


def test_lifting_convert(experiments, tmp_path, capsys):
    file, output = tmp_path / "official.pth.tar", tmp_path / "own.ckpt"
    torch.save(WRAPPERS["wrapped"](official()), file)
    command = ["convert", "own", str(file), "--output", str(output)]
    assert main([*command, *(f"--set={s}" for s in sizes())]) == 0
    assert f"written: {output}" in capsys.readouterr().out
    weights = read_checkpoint(output, "epipolarpose")["state_dict"]
    assert torch.equal(weights["student.network.conv1.weight"], official()["conv1.weight"])
    assert main([*command, *(f"--set={s}" for s in sizes(replace(TINY, width=8)))]) == 2
    assert "set the widths of the method section" in capsys.readouterr().err


@pytest.mark.parametrize(
    "section",
    [{}, {"form": "image", "refiner_width": 8, "keypoint": {}, "over": None}],
)
def test_the_form_that_looks_at_pictures_is_the_method(section):
    found = Config.successor({"name": "epipolarpose", "depth": 18, **section})
    assert found == {"name": "epipolarpose", "depth": 18}


def test_other_forms_are_methods_of_their_own():
    old = {"name": "epipolarpose", "depth": 18, "student_epochs": 9, "refiner_lr": 0.1}
    keypoint = {"lifter": "uao", "options": {"hidden": 8}, "symmetry": 0.1}
    assert Config.successor({**old, "form": "keypoint", "keypoint": keypoint}) == {
        "name": "epipolar_student", "base": {"name": "uao", "hidden": 8}, "symmetry": 0.1,
    }  # fmt: skip
    unit = {"name": "refinement", "base_epochs": 9, "lr": 0.1}
    base = {"name": "epipolarpose", "depth": 18}
    assert Config.successor({**old, "form": "refined"}) == {**unit, "base": base}
    over = {**old, "form": "over", "over": "a.ckpt"}
    assert Config.successor(over) == {**unit, "over": "a.ckpt", "base": {}}
