"""MixSTE: its released size, its loss, the authors' files, and that it can learn a batch."""

import functools

import numpy as np
import pytest
import torch

from lifting.cli.main import main
from lifting.errors import ConfigError, ShapeError
from lifting.experiment.build import build_module
from lifting.experiment.checkpoint import read_checkpoint
from lifting.experiment.load import load_experiment
from lifting.methods.mixste.config import Config
from lifting.methods.mixste.module import Module, velocity_loss
from lifting.methods.settings import ModuleSettings
from lifting.nn.mixste import export_mixste_state
from lifting.skeleton import H36M_17, Skeleton

SMALL = Config(width=16, layers=2, heads=4)
SIZES = ["method.width=16", "method.layers=2", "method.heads=4", "data.frames=5"]


def make_module(config=SMALL, frames=5, target="all", **settings):
    torch.manual_seed(0)
    return Module(config, ModuleSettings("mixste", frames=frames, target=target, **settings))


def test_released_size_is_the_published_one():
    with torch.device("meta"):
        network = build_module(load_experiment("mixste_released")).network
    official = export_mixste_state(network.state_dict(), 8)
    assert sum(p.numel() for p in network.parameters()) == 33_783_811
    assert len(official) == len(network.state_dict()) == 204
    assert official["Temporal_pos_embed"].shape == (1, 243, 512)
    assert official["STEblocks.7.attn.qkv.weight"].shape == (1536, 512)
    assert official["TTEblocks.0.mlp.fc1.weight"].shape == (1024, 512)
    assert {block.heads for block in network.over_frames} == {8}


@pytest.mark.parametrize(("target", "targets"), [("middle", 1), ("all", 5)])
def test_prediction_is_root_relative_millimetres(target, targets, make_batch):
    module = make_module(target=target).eval()
    answer = module.predict(make_batch(frames=5)).joints_3d
    assert answer.shape == (8, targets, 17, 3)
    assert (answer[..., H36M_17.root, :] == 0).all()
    assert 1 < answer.abs().max() < 100_000


def test_the_middle_is_that_of_all_frames(make_batch):
    batch = make_batch(frames=5)
    middle, whole = (make_module(target=t).eval().predict(batch) for t in ("middle", "all"))
    assert torch.equal(whole.joints_3d[:, 2:3], middle.joints_3d)


def test_every_frame_sees_every_other(make_batch):
    batch = make_batch(frames=5)
    module = make_module().eval()
    with torch.no_grad():
        before = module.predict(batch).joints_3d
        batch.keypoints_2d[:, 0] += 50
        moved = (module.predict(batch).joints_3d - before).abs().amax(dim=(0, 2, 3))
    assert (moved > 1e-3).all()


def test_one_batch_can_be_learnt(make_batch, learn):
    batch = make_batch(frames=5, targets=5).rows(slice(0, 2))
    module = make_module(Config(width=64, layers=1, heads=4))
    first, last = learn(module, batch, lr=3e-3, decay=0.99)
    assert last < 0.2 * first


def test_a_velocity_is_from_a_frame_to_the_next():
    generator = torch.Generator().manual_seed(0)
    predicted, target = (torch.randn(2, 4, 3, 3, generator=generator) for _ in range(2))
    errors = [
        (
            (predicted[b, t + 1, j] - predicted[b, t, j]) - (target[b, t + 1, j] - target[b, t, j])
        ).norm()
        for b in range(2)
        for t in range(3)
        for j in range(3)
    ]
    torch.testing.assert_close(velocity_loss(predicted, target), torch.stack(errors).mean())
    shifted = predicted + torch.randn(2, 1, 3, 3, generator=generator)
    torch.testing.assert_close(velocity_loss(shifted, target), velocity_loss(predicted, target))
    assert velocity_loss(predicted[:, :1], target[:, :1]).item() == 0


def test_a_velocity_counts_where_both_of_its_ends_do():
    predicted, target = torch.zeros(1, 3, 1, 3), torch.zeros(1, 3, 1, 3)
    predicted[0, 0, 0, 0], predicted[0, 2, 0, 1] = 5.0, 2.0
    seen = torch.ones(1, 3, 1, dtype=torch.bool)
    assert velocity_loss(predicted, target, seen).item() == pytest.approx(3.5)
    seen[0, 0] = False
    assert velocity_loss(predicted, target, seen).item() == pytest.approx(2.0)


def test_velocity_is_a_term_of_its_own(make_batch, monkeypatch):
    batch, logged = make_batch(frames=5, targets=5), {}
    for velocity in (0.0, 2.0):
        module = make_module(Config(width=16, layers=2, heads=4, velocity=velocity))
        monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: value}))
        module.training_step(batch, 0)
        assert ("train/velocity" in logged) == (velocity > 0)
    predicted, target = module.lift(batch), module.target(batch) / 1000
    wanted = 2 * velocity_loss(predicted, target)
    torch.testing.assert_close(logged["train/velocity"], wanted.detach())
    total = logged["train/pose"] + logged["train/velocity"]
    torch.testing.assert_close(logged["train/loss"], total)


def test_windows_of_another_length_are_refused(make_batch):
    with pytest.raises(ShapeError, match=r"frames=5, joints=17, got \(8, 7, 17, 2\)"):
        make_module().predict(make_batch(frames=7))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"layers": 0}, "layers"),
        ({"heads": 0}, "heads"),
        ({"width": 30}, "width"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"velocity": -1.0}, "velocity"),
        ({"position_std": -1.0}, "position_std"),
        ({"stills": 1.0}, "stills"),
    ],
)
def test_switches_out_of_range_are_refused(options, name):
    with pytest.raises(ConfigError, match=rf"expected method\.{name} to be .*, got"):
        Config(**options)


# --- the authors' files ----------------------------------------------------------------------


def official_file(path, **extra):
    """A file of the authors' form, and the network it holds."""
    network = make_module().network
    official = export_mixste_state(network.state_dict(), SMALL.layers)
    weights = {f"module.{name}": value for name, value in official.items()}
    torch.save({"epoch": 3, "lr": 4e-5, "model_pos": weights, **extra}, path)
    return network


def converted(path, output, *more):
    sizes = [word for size in (*SIZES, *more) for word in ("--set", size)]
    return main(["convert", "mixste_released", str(path), "--output", str(output), *sizes])


def test_the_authors_file_becomes_a_checkpoint(tmp_path):
    path, output = tmp_path / "mixste.bin", tmp_path / "mixste.ckpt"
    network = official_file(path, random_state=np.random.RandomState(3), optimizer={"state": {}})
    assert converted(path, output) == 0
    checkpoint = read_checkpoint(output, "mixste")
    state = checkpoint["state_dict"]
    assert set(state) == {f"network.{name}" for name in network.state_dict()}
    assert all(torch.equal(state[f"network.{k}"], v) for k, v in network.state_dict().items())
    facts = checkpoint["lifting"]
    assert Skeleton.of(facts["skeleton"]) == H36M_17
    assert facts["fps"] == 50


def test_other_files_are_refused(tmp_path, capsys):
    path, output = tmp_path / "mixste.bin", tmp_path / "mixste.ckpt"
    official_file(path)
    for more, said in (
        (["method.layers=3"], "24 missing ['STEblocks.2"),
        (["data.frames=7"], "frame_position is (1, 5, 16) instead of (1, 7, 16)"),
    ):
        assert converted(path, output, *more) == 2
        assert said in capsys.readouterr().err
    official_file(path, random_state=functools.partial(print))
    assert converted(path, output) == 2
    assert "could run code when loaded and are refused" in capsys.readouterr().err
    torch.save([{}], path)
    assert converted(path, output) == 2
    assert "expected a mapping with weights under 'model_pos'" in capsys.readouterr().err
    path.write_bytes(path.read_bytes()[:100])
    assert converted(path, output) == 2
    assert "damaged or cut short" in capsys.readouterr().err
    assert not output.exists()
