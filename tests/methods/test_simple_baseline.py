"""The simple baseline: size, shapes, units, and that it can learn a batch."""

import pytest
import pytorch_lightning as pl
import torch

from lifting.batch import PoseBatch, flip_batch
from lifting.errors import ConfigError, ShapeError
from lifting.methods.settings import ModuleSettings
from lifting.methods.simple_baseline.config import Config
from lifting.methods.simple_baseline.module import Module
from lifting.methods.simple_baseline.network import SimpleBaseline
from lifting.nn.inputs import Seen
from lifting.nn.units import from_network_units, to_network_units
from lifting.skeleton import H36M_17


def make_module(config=None, **settings):
    torch.manual_seed(0)
    return Module(config or Config(channels=64), ModuleSettings("simple_baseline", **settings))


def test_size_is_the_published_one():
    network = SimpleBaseline(17, Config())
    count = sum(p.numel() for p in network.parameters())
    width, norm = 1024, 2 * 1024
    first = 34 * width + width + norm
    blocks = 4 * (width * width + width + norm)
    assert count == first + blocks + width * 51 + 51
    assert round(count / 1e6, 1) == 4.3


@pytest.mark.parametrize(
    ("frames", "target", "targets"), [(1, "middle", 1), (5, "middle", 1), (5, "all", 5)]
)
def test_prediction_is_root_relative_millimetres(frames, target, targets, make_batch):
    module = make_module(frames=frames, target=target).eval()
    answer = module.predict(make_batch(frames=frames)).joints_3d
    assert answer.shape == (8, targets, 17, 3)
    assert (answer[..., H36M_17.root, :] == 0).all()
    assert torch.isfinite(answer).all()
    assert 10 < answer.abs().max() < 100_000


def test_middle_frame_is_lifted_alone(make_batch):
    module = make_module(frames=5).eval()
    batch = make_batch(frames=5)
    middle = PoseBatch(
        skeleton=H36M_17, keypoints_2d=batch.keypoints_2d[:, 2:3], camera=batch.camera
    )
    torch.testing.assert_close(
        module.predict(batch).joints_3d, module.predict(middle).joints_3d, rtol=0, atol=1e-3
    )


def test_units_of_the_network():
    size = torch.tensor([[1000.0, 1002.0]])
    corner = torch.tensor([[[[0.0, 0.0], [1000.0, 1002.0], [500.0, 501.0]]]])
    expected = torch.tensor([[[[-1.0, -1.002], [1.0, 1.002], [0.0, 0.0]]]])
    torch.testing.assert_close(to_network_units(corner, size), expected)
    assert from_network_units(torch.tensor([1.5])).tolist() == [1500.0]


def test_loss_is_the_mean_distance_in_metres(make_batch, without_trainer):
    module = without_trainer(make_module(Config(channels=64, dropout=0.0)))
    batch = make_batch()
    loss = module.training_step(batch, 0)
    error = (module.predict(batch).joints_3d - module.target(batch)).norm(dim=-1)
    assert loss.item() == pytest.approx(error.mean().item() / 1000, rel=1e-4)


def test_squared_loss_and_invalid_joints(make_batch, without_trainer):
    config = Config(channels=64, dropout=0.0, loss="squared")
    module = without_trainer(make_module(config))
    batch = make_batch()
    batch.visible = torch.zeros(8, 1, 17, dtype=torch.bool)
    batch.visible[3, 0, 5] = True
    error = (module.predict(batch).joints_3d - module.target(batch))[3, 0, 5] / 1000
    assert module.training_step(batch, 0).item() == pytest.approx(
        error.square().mean().item(), rel=1e-4
    )


def test_one_batch_can_be_learnt(make_batch, learn):
    config = Config(channels=128, dropout=0.0)
    module = make_module(config)
    first, last = learn(module, make_batch())
    assert last < 0.05 * first
    assert last < 0.02


def test_norm_limit_is_enforced_after_each_step(make_batch):
    module = make_module(Config(channels=64, max_norm=0.5))
    module.on_train_batch_end(None, make_batch(), 0)
    norms = [layer.weight.norm(dim=1).max().item() for layer in module.network.linear_layers()]
    assert len(norms) == 6
    assert max(norms) <= 0.5 + 1e-5
    free = make_module(Config(channels=64))
    free.on_train_batch_end(None, make_batch(), 0)
    assert max(la.weight.norm(dim=1).max().item() for la in free.network.linear_layers()) > 0.5


def test_mirrored_average_is_symmetric(make_batch):
    module = make_module(flip_test=True).eval()
    batch = make_batch()
    answer = module.infer(batch).joints_3d
    mirrored = module.infer(flip_batch(batch, H36M_17)).joints_3d
    order = list(H36M_17.flip_index)
    sign = torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(mirrored[..., order, :] * sign, answer, rtol=0, atol=0.05)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"channels": 0}, "channels"),
        ({"blocks": -1}, "blocks"),
        ({"dropout": 1.0}, "dropout"),
        ({"max_norm": -1.0}, "max_norm"),
    ],
)
def test_switches_out_of_range_are_refused(options, name):
    with pytest.raises(ConfigError, match=rf"expected method\.{name} to be .*, got"):
        Config(**options)


def test_another_number_of_joints_is_refused():
    with pytest.raises(ShapeError, match="joints=17"):
        SimpleBaseline(17, Config(channels=8))(Seen(torch.zeros(2, 15, 2)))


@pytest.mark.filterwarnings("ignore")
def test_it_trains_under_lightning(tmp_path, make_batch):
    module = make_module(Config(channels=32, max_norm=1.0))
    trainer = pl.Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
        limit_val_batches=0,
    )
    module.setup = lambda stage: None
    loader = torch.utils.data.DataLoader(
        [make_batch(), make_batch()], batch_size=None, collate_fn=lambda batch: batch
    )
    trainer.fit(module, loader)
    assert trainer.global_step == 2
    assert isinstance(module.config, Config)
    assert trainer.logged_metrics.keys() >= {"train/loss", "train/pose"}
