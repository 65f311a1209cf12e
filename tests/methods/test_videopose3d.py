"""VideoPose3D: size, receptive field, the two forms, and that it can learn a batch."""

import math
from types import SimpleNamespace

import pytest
import torch

from lifting.errors import ConfigError, ShapeError
from lifting.methods.settings import ModuleSettings
from lifting.methods.videopose3d.config import Config
from lifting.methods.videopose3d.module import Module, norm_momentum
from lifting.methods.videopose3d.network import TemporalNetwork, repeat_edges
from lifting.nn.inputs import Seen
from lifting.skeleton import H36M_17


def make_network(widths=(3, 3, 3), channels=16):
    torch.manual_seed(0)
    network = TemporalNetwork(17, Config(filter_widths=widths, channels=channels))
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            layer.running_mean.normal_(std=0.1)
            layer.running_var.uniform_(0.5, 2.0)
    return network.eval()


def make_module(widths=(3, 3), channels=32, dropout=0.25, **settings):
    torch.manual_seed(0)
    settings = {"frames": math.prod(widths), **settings}
    config = Config(filter_widths=widths, channels=channels, dropout=dropout)
    return Module(config, ModuleSettings("videopose3d", **settings))


@pytest.mark.parametrize(
    ("widths", "millions"), [((3, 3, 3), 8.56), ((3, 3, 3, 3), 12.75), ((3,) * 5, 16.95)]
)
def test_size_is_the_published_one(widths, millions):
    network = TemporalNetwork(17, Config(filter_widths=widths))
    count = sum(p.numel() for p in network.parameters())
    width, norm = 1024, 2 * 1024
    blocks = sum(w * width * width + width * width + 2 * norm for w in widths[1:])
    assert count == widths[0] * 34 * width + norm + blocks + width * 51 + 51
    assert round(count / 1e6, 2) == millions


@pytest.mark.parametrize("widths", [(1,), (3,), (3, 3, 3), (5, 3), (3, 5, 3)])
def test_strided_form_equals_dilated_form(widths):
    network = make_network(widths)
    x = torch.randn(4, math.prod(widths), 17, 2)
    torch.testing.assert_close(
        network.middle(Seen(x)).pose, network(Seen(x)).pose, rtol=0, atol=1e-5
    )


def test_strided_form_equals_each_step_of_a_sequence():
    network = make_network((3, 3))
    x = torch.randn(2, 14, 17, 2)
    whole = network(Seen(x)).pose
    assert whole.shape == (2, 6, 17, 3)
    steps = torch.cat([network.middle(Seen(x[:, i : i + 9])).pose for i in range(6)], dim=1)
    torch.testing.assert_close(steps, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("widths", [(3, 3), (5, 3), (3, 3, 3)])
def test_receptive_field_is_the_product_of_the_widths(widths):
    network = make_network(widths, channels=32).double()
    field = math.prod(widths)
    x = torch.randn(1, field + 4, 17, 2, dtype=torch.float64, requires_grad=True)
    network(Seen(x)).pose[0, 2].sum().backward()
    used = x.grad[0].abs().sum(dim=(1, 2)) > 0
    assert used.tolist() == [False] * 2 + [True] * field + [False] * 2


def test_both_forms_have_the_same_gradient_in_evaluation():
    network = make_network((3, 3)).double()
    x = torch.randn(3, 9, 17, 2, dtype=torch.float64)
    gradients = []
    for form in (network.middle, network.forward):
        network.zero_grad()
        form(Seen(x)).pose.square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("target", "targets"), [("middle", 1), ("all", 9)])
def test_prediction_is_root_relative_millimetres(target, targets, make_batch):
    module = make_module(target=target).eval()
    answer = module.predict(make_batch(frames=9)).joints_3d
    assert answer.shape == (8, targets, 17, 3)
    assert (answer[..., H36M_17.root, :] == 0).all()
    assert 1 < answer.abs().max() < 100_000


def test_all_frames_agree_with_the_middle_one(make_batch):
    batch = make_batch(frames=9)
    middle, whole = (make_module(target=t).eval().predict(batch) for t in ("middle", "all"))
    torch.testing.assert_close(whole.joints_3d[:, 4:5], middle.joints_3d, rtol=0, atol=1e-2)


def test_edges_are_repeated():
    x = torch.arange(3.0).view(1, 3, 1, 1).expand(1, 3, 17, 2)
    assert repeat_edges(x, 2)[0, :, 0, 0].tolist() == [0, 0, 0, 1, 2, 2, 2]
    assert repeat_edges(x, 0).shape == x.shape


def test_one_batch_can_be_learnt(make_batch, learn):
    module = make_module(channels=64, dropout=0.0)
    first, last = learn(module, make_batch(frames=9))
    assert last < 0.05 * first
    assert last < 0.02


def test_all_targets_train(make_batch, without_trainer):
    module = without_trainer(make_module(target="all", dropout=0.0))
    batch = make_batch(frames=9, targets=9)
    loss = module.training_step(batch, 0)
    error = (module.predict(batch).joints_3d - module.target(batch)).norm(dim=-1)
    assert loss.item() == pytest.approx(error.mean().item() / 1000, rel=1e-4)


def test_norm_momentum_falls_exponentially():
    config = Config()
    values = [norm_momentum(config, done) for done in (0.0, 0.5, 1.0)]
    assert values == pytest.approx([0.1, 0.01, 0.001])


def test_norm_momentum_follows_the_epoch():
    module = make_module()
    length = {"estimated_stepping_batches": 40, "num_training_batches": 10}
    state = {"accumulate_grad_batches": 1, "current_epoch": 2}
    loop = SimpleNamespace(setup_data=lambda: None)
    module._trainer = SimpleNamespace(**length, **state, fit_loop=loop)
    module.on_train_epoch_start()
    momenta = {
        la.momentum for la in module.network.modules() if isinstance(la, torch.nn.BatchNorm1d)
    }
    assert len(momenta) == 1
    assert momenta.pop() == pytest.approx(0.01)


def test_windows_of_another_length_are_refused():
    with pytest.raises(ConfigError, match=r"windows of 9 frames.*data.frames=27; set data.frames"):
        make_module(frames=27)
    with pytest.raises(ShapeError, match=r"windows of 9 frames.*\(2, 11, 17, 2\)"):
        make_network((3, 3)).middle(Seen(torch.zeros(2, 11, 17, 2)))
    with pytest.raises(ShapeError, match=r"at least 9 frames.*\(2, 8, 17, 2\)"):
        make_network((3, 3))(Seen(torch.zeros(2, 8, 17, 2)))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"filter_widths": ()}, "filter_widths"),
        ({"filter_widths": (3, 2)}, "filter_widths"),
        ({"channels": 0}, "channels"),
        ({"dropout": 1.5}, "dropout"),
        ({"norm_momentum": 0.0}, "norm_momentum"),
        ({"norm_momentum_final": 0.2}, "norm_momentum_final"),
    ],
)
def test_switches_out_of_range_are_refused(options, name):
    with pytest.raises(ConfigError, match=rf"expected method\.{name} to be .*, got"):
        Config(**options)
