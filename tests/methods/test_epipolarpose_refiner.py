"""EpipolarPose's refinement unit, its stages, and the weights that are read from files."""

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lifting.cli.main import main
from lifting.errors import CheckpointError, ConfigError, DataError, MissingDataError
from lifting.experiment.checkpoint import read_checkpoint
from lifting.methods.discovery import load_config_class, load_module_class
from lifting.methods.epipolarpose.checkpoint import (
    convert,
    import_network,
    start_network,
    start_unit,
)
from lifting.methods.epipolarpose.config import Config
from lifting.methods.epipolarpose.module import Module
from lifting.methods.epipolarpose.network import PoseNetwork
from lifting.methods.epipolarpose.refiner import (
    RefinementUnit,
    Refiner,
    refined_joints,
    refiner_rate,
)
from lifting.methods.settings import ModuleSettings, Stage
from lifting.skeleton import H36M_17, HUMANEVA_15, MPII_16

TINY = Config(depth=18, width=4, head_width=8, depth_cells=4, patch=32, refiner_width=16)
SETTINGS = ModuleSettings("epipolarpose")
EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def poses(count=64, seed=0):
    """Root-relative poses, mm."""
    pose = 300 * torch.randn(count, 1, 17, 3, generator=torch.Generator().manual_seed(seed))
    return pose - pose[..., :1, :]


def make_refiner(**switches):
    torch.manual_seed(0)
    return Refiner(H36M_17, replace(TINY, form="refined", **switches))


def test_size_is_the_published_one():
    assert sum(p.numel() for p in RefinementUnit(45).parameters()) == 8_603_738


def test_published_joints_are_those_of_mpii_without_the_hip():
    rows = refined_joints(H36M_17, "published")
    assert rows == (3, 2, 1, 4, 5, 6, 8, 9, 10, 16, 15, 14, 11, 12, 13)
    assert len(refined_joints(H36M_17, "all")) == 16
    assert refined_joints(MPII_16, "published") == tuple(j for j in range(16) if j != 6)
    with pytest.raises(ConfigError, match=r"humaneva15 without .*neck.* to all"):
        refined_joints(HUMANEVA_15, "published")


def test_rate_falls_at_every_hundred_thousandth_step():
    rates = [refiner_rate(step) for step in (0, 99_998, 99_999, 199_998, 199_999)]
    assert rates == pytest.approx([1, 1, 0.96, 0.96, 0.96**2])


def test_statistics_are_those_of_all_poses():
    pose, target = poses(), 2 * poses(seed=1) + 10
    refiner = make_refiner(refiner_joints="all")
    assert not refiner.fitted
    refiner.fit_statistics(zip(pose.split(20), target.split(20), strict=True))
    assert refiner.fitted
    flat = target[:, 0, 1:].reshape(64, -1)
    torch.testing.assert_close(refiner.target_mean, flat.mean(0), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(refiner.target_spread, flat.std(0, correction=0))
    torch.testing.assert_close(refiner.input_mean, pose[:, 0, 1:].reshape(64, -1).mean(0))
    with pytest.raises(DataError, match="expected labelled poses"):
        refiner.fit_statistics([])


def test_joints_that_are_not_refined_stay():
    refiner, pose = make_refiner().eval(), poses(4)
    refiner.fit_statistics([(poses(), poses(seed=1))])
    found = refiner.refine(pose)
    kept = [H36M_17.root, H36M_17.index("spine")]
    assert torch.equal(found[..., kept, :], pose[..., kept, :])
    others = [j for j in range(17) if j not in kept]
    assert (found[..., others, :] != pose[..., others, :]).all()


def test_labels_that_are_not_valid_do_not_matter():
    refiner = make_refiner(refiner_dropout=0.0)
    pose, target = poses(), poses(seed=1)
    refiner.fit_statistics([(pose, target)])
    refiner.eval()
    visible = torch.ones(64, 1, 17, dtype=torch.bool)
    whole = refiner.loss(pose, target, visible)
    torch.testing.assert_close(whole, refiner.loss(pose, target))
    visible[:32] = False
    target[:32] = torch.nan
    half = refiner.loss(pose, target, visible)
    torch.testing.assert_close(half, refiner.loss(pose[32:], target[32:]))
    half.backward()
    assert all(p.grad.isfinite().all() for p in refiner.parameters())


def test_it_learns_a_systematic_error():
    target = poses(128, seed=3)
    pose = 0.7 * target + torch.tensor([40.0, 0, -60])
    refiner = make_refiner(refiner_width=128, refiner_dropout=0.0, refiner_joints="all")
    refiner.fit_statistics([(pose, target)])
    optimizer = torch.optim.Adam(refiner.parameters(), 1e-2)
    for _ in range(120):
        optimizer.zero_grad()
        refiner.loss(pose, target).backward()
        optimizer.step()
    before, after = (
        (found - target)[..., 1:, :].norm(dim=-1).mean()
        for found in (pose, refiner.eval().refine(pose).detach())
    )
    assert after < 0.5 * before


def test_stages_train_one_part_each():
    module = Module(replace(TINY, form="refined", student_epochs=3), SETTINGS)
    first, second = module.stages()
    assert (first, second) == (Stage("student", 3), Stage("train"))
    module.begin_stage(first)
    assert module.key_prefix == "student/"
    assert all(p.requires_grad for p in module.student.network.parameters())
    assert not any(p.requires_grad for p in module.refiner.parameters())
    module.begin_stage(second)
    module.train()
    assert not any(p.requires_grad for p in module.student.parameters())
    assert all(p.requires_grad for p in module.refiner.parameters())
    assert not module.student.network.bn1.training
    assert module.refiner.unit.batch_norm1.training


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
        (RefinementUnit(45, 4).state_dict(), TINY, r"refinement unit; .*method\.refiner_start"),
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
    module = Module(replace(TINY, form="refined"), SETTINGS)
    torch.save({"state_dict": module.state_dict(), "lifting": {}}, tmp_path / "own.ckpt")
    assert start_network(network, tmp_path / "own.ckpt").fresh == ()
    assert torch.equal(network.conv1.weight, module.student.network.conv1.weight)
    unit = RefinementUnit(45, 16)
    assert start_unit(unit, tmp_path / "own.ckpt").fresh == ()
    assert torch.equal(unit.w1.weight, module.refiner.unit.w1.weight)
    with pytest.raises(CheckpointError, match=r"expected w1\.weight of shape .*, got none"):
        start_unit(unit, tmp_path / "resnet18.pth")
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


@pytest.mark.filterwarnings("ignore")
def test_the_unit_trains_on_top_of_another_method(experiments, tmp_path):
    lifter, output = tmp_path / "lifter.ckpt", tmp_path / "outputs"
    base = load_module_class("simple_baseline")(
        load_config_class("simple_baseline")(channels=16), ModuleSettings("simple_baseline")
    )
    checkpoint = {"state_dict": base.state_dict()}
    base.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, lifter)
    assert main([
        "train", "own", "extends=overlay/smoke", f"output={output}", "wandb.mode=disabled",
        "pss=[]", "panels.worst=0", "method.form=over", f"method.over={lifter}",
        "method.refiner_width=16",
    ]) == 0  # fmt: skip
    run = next((output / "own").iterdir())
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    assert np.isfinite(metrics["mpjpe_mm"])
    assert metrics["unrefined_mpjpe_mm"] != metrics["mpjpe_mm"]
    state = read_checkpoint(run / "checkpoints" / "best.ckpt", "epipolarpose")["state_dict"]
    assert state["refiner.fitted"]
    assert (state["refiner.target_spread"] > 10).any()
    kept = base.state_dict()
    assert all(torch.equal(state[f"base.{name}"], value) for name, value in kept.items())


def test_a_model_of_other_windows_is_not_refined(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "a.ckpt")
    config = replace(TINY, form="over", over=str(tmp_path / "a.ckpt"))
    with pytest.raises(CheckpointError, match="expected a checkpoint written by `lifting train`"):
        Module(config, SETTINGS)
    module = Module(TINY, SETTINGS)
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "a.ckpt")
    assert Module(config, SETTINGS).base.config == TINY
    with pytest.raises(ConfigError, match=r"expected data\.frames 1, as the model in .*a\.ckpt"):
        Module(config, ModuleSettings("epipolarpose", frames=3))
    with pytest.raises(
        ConfigError, match=r"h36m17, which .*, got mpi17; set data.skeleton=h36m17"
    ):
        Module(config, ModuleSettings("epipolarpose", skeleton="mpi17"))
