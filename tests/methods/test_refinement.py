"""The refinement unit, on top of a trained model or of one that is trained first."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lifting.cli.main import main
from lifting.errors import CheckpointError, ConfigError, DataError
from lifting.experiment.build import make_module
from lifting.experiment.checkpoint import read_checkpoint
from lifting.experiment.load import load_experiment, method_config
from lifting.methods.discovery import load_config_class, load_module_class
from lifting.methods.refinement.config import Config
from lifting.methods.refinement.network import (
    RefinementUnit,
    Refiner,
    refined_joints,
    refiner_rate,
)
from lifting.methods.settings import ModuleSettings, Stage
from lifting.nn.start import start_from
from lifting.skeleton import H36M_17, HUMANEVA_15, MPII_16

NETWORK = {
    "name": "epipolarpose", "depth": 18, "width": 4, "head_width": 8, "depth_cells": 4,
    "patch": 32,
}  # fmt: skip
TINY = Config(base=NETWORK, width=16)
SETTINGS = ModuleSettings("refinement")
EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def poses(count=64, seed=0):
    """Root-relative poses, mm."""
    pose = 300 * torch.randn(count, 1, 17, 3, generator=torch.Generator().manual_seed(seed))
    return pose - pose[..., :1, :]


def make_refiner(**switches):
    torch.manual_seed(0)
    return Refiner(H36M_17, replace(TINY, **switches))


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
    refiner = make_refiner(joints="all")
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
    refiner = make_refiner(dropout=0.0)
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
    refiner = make_refiner(width=128, dropout=0.0, joints="all")
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
    module = make_module(replace(TINY, base_epochs=3), SETTINGS)
    first, second = module.stages()
    assert (first, second) == (Stage("student", 3), Stage("train"))
    module.begin_stage(first)
    assert module.key_prefix == "student/"
    assert all(p.requires_grad for p in module.base.student.network.parameters())
    assert not any(p.requires_grad for p in module.refiner.parameters())
    module.begin_stage(second)
    module.train()
    assert not any(p.requires_grad for p in module.base.student.parameters())
    assert all(p.requires_grad for p in module.refiner.parameters())
    assert not module.base.student.network.bn1.training
    assert module.refiner.unit.batch_norm1.training


@pytest.mark.filterwarnings("ignore")
def test_the_unit_trains_on_top_of_another_method(tmp_path, monkeypatch):
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(EXPERIMENTS))
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path / "cache"))
    lifter, output = tmp_path / "lifter.ckpt", tmp_path / "outputs"
    base = load_module_class("simple_baseline")(
        load_config_class("simple_baseline")(channels=16), ModuleSettings("simple_baseline")
    )
    checkpoint = {"state_dict": base.state_dict()}
    base.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, lifter)
    assert main([
        "train", "simple_baseline", "extends=overlay/smoke", f"output={output}",
        "wandb.mode=disabled",
        "pss=[]", "panels.worst=0", "method.name=refinement", f"method.over={lifter}",
    ]) == 0  # fmt: skip
    run = next((output / "simple_baseline").iterdir())
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    assert np.isfinite(metrics["mpjpe_mm"])
    assert metrics["unrefined_mpjpe_mm"] != metrics["mpjpe_mm"]
    state = read_checkpoint(run / "checkpoints" / "best.ckpt", "refinement")["state_dict"]
    assert state["refiner.fitted"]
    assert (state["refiner.target_spread"] > 10).any()
    kept = base.state_dict()
    assert all(torch.equal(state[f"base.{name}"], value) for name, value in kept.items())


def written(module, path):
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, path)
    return path


def test_a_model_of_other_windows_is_not_refined(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "a.ckpt")
    config = replace(TINY, over=str(tmp_path / "a.ckpt"))
    with pytest.raises(CheckpointError, match="expected a checkpoint written by `lifting train`"):
        make_module(config, SETTINGS)
    network = method_config(NETWORK)
    module = make_module(network, ModuleSettings("epipolarpose"))
    written(module, tmp_path / "a.ckpt")
    assert make_module(config, SETTINGS).base.config == network
    with pytest.raises(ConfigError, match=r"expected data\.frames 1, as the model in .*a\.ckpt"):
        make_module(config, ModuleSettings("refinement", frames=3))
    with pytest.raises(
        ConfigError, match=r"h36m17, which .*, got mpi17; set data.skeleton=h36m17"
    ):
        make_module(config, ModuleSettings("refinement", skeleton="mpi17"))


def test_what_is_trained_first_has_one_stage():
    with pytest.raises(ConfigError, match=r"one stage in .*, got diffpose, .*method\.over"):
        make_module(Config(base={"name": "diffpose"}), SETTINGS)


def test_a_unit_starts_from_a_checkpoint_of_its_own(tmp_path):
    module, unit = make_module(TINY, SETTINGS), RefinementUnit(45, 16)
    path = written(module, tmp_path / "own.ckpt")
    assert start_from(unit, path, ("refiner.unit.",), "w1.weight").fresh == ()
    assert torch.equal(unit.w1.weight, module.refiner.unit.w1.weight)
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"expected w1\.weight of shape .*, got none"):
        start_from(unit, tmp_path / "other.pth", ("refiner.unit.",), "w1.weight")


def test_checkpoints_of_the_time_when_it_was_a_form_are_read(tmp_path):
    """Weights of the network stood beside the unit's, and ``form`` in the method section."""
    module = make_module(TINY, SETTINGS)
    old = {k.removeprefix("base."): v for k, v in module.state_dict().items()}
    checkpoint = {"state_dict": old}
    module.on_save_checkpoint(checkpoint)
    network = {k: v for k, v in NETWORK.items() if k != "name"}
    checkpoint["lifting"] |= {
        "method": "epipolarpose",
        "config": {**network, "form": "refined", "over": None, "refiner_width": 16},
    }
    torch.save(checkpoint, tmp_path / "old.ckpt")
    read = read_checkpoint(tmp_path / "old.ckpt", "refinement")
    again = make_module(Config(**read["lifting"]["config"]), SETTINGS)
    again.on_load_checkpoint(read)
    again.load_state_dict(read["state_dict"])
    assert again.stages() == (Stage("student"), Stage("train"))
    found = again.state_dict()
    assert all(torch.equal(found[k], v) for k, v in module.state_dict().items())


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({}, r"expected a model .*, got none; .*method\.over=FILE, or in method\.base\.name"),
        ({"over": "a", "width": 0}, r"expected method\.width to be at least 1, got 0"),
        ({"over": "a", "dropout": 1.0}, r"method\.dropout to be between 0 and below 1, got 1\.0"),
        ({"over": "a", "lr": 0.0}, r"method\.lr to be above 0, got 0\.0"),
        ({"over": "a", "base_epochs": 0}, r"method\.base_epochs to be from 1, got 0"),
    ],
)
def test_switches_out_of_range_are_refused(switches, message):
    with pytest.raises(ConfigError, match=message):
        Config(**switches)


def test_a_method_section_of_another_method_replaces(monkeypatch):
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(EXPERIMENTS))
    given = ["method.name=refinement", "method.over=a.ckpt"]
    method = load_experiment("epipolarpose", given).method
    assert method == {"name": "refinement", **asdict(Config(over="a.ckpt"))}
    small = load_experiment("epipolarpose", [*given, "extends=overlay/smoke"]).method
    assert small["width"] == 16
