"""GUMLP: units, independence of samples, dropped paths, loss, import of weights, switches."""

import math

import pytest
import torch
from torch.nn import functional

from lifting.batch import PoseBatch, flip_batch
from lifting.errors import CheckpointError, ConfigError, MissingDataError, ShapeError
from lifting.methods.settings import ModuleSettings
from lifting.methods.uao.checkpoint import convert, export_state, import_state
from lifting.methods.uao.config import Config
from lifting.methods.uao.lifter import log_error_in_mm
from lifting.methods.uao.module import Module, joint_losses, uncertainty_loss
from lifting.methods.uao.network import Gumlp, LinearPair
from lifting.nn.expected_error import axis_deviation, bounded
from lifting.nn.graph import PartitionedConv, partitioned_adjacency
from lifting.skeleton import H36M_17, MPI_INF_3DHP_17
from lifting.tto.contract import Refinable

SMALL = {"hidden": 32, "blocks": 2, "encoder_hidden": 8, "channel_hidden": 16, "head_hidden": 16}
STILL = {"channel_dropout": 0.0, "spatial_dropout": 0.0, "drop_path": 0.0}
SETTINGS = ModuleSettings("uao")


def make_module(options=None, **settings):
    torch.manual_seed(0)
    return Module(Config(**{**SMALL, **(options or {})}), ModuleSettings("uao", **settings))


def official(config, **extra):
    """Weights as the authors save them, random."""
    torch.manual_seed(1)
    return {**export_state(Gumlp(H36M_17, config).state_dict(), config), **extra}


def test_size_is_the_released_one():
    assert sum(p.numel() for p in Gumlp(H36M_17, Config()).parameters()) == 4_509_059


def test_graph_receives_one_and_knows_its_edges():
    parts = partitioned_adjacency(H36M_17)
    torch.testing.assert_close(parts.sum(dim=(0, 1)), torch.ones(17, dtype=torch.float64))
    assert [int((part != 0).sum()) for part in parts] == [17, 16, 16, 12]
    thorax, neck, head = (H36M_17.index(name) for name in ("thorax", "neck", "head"))
    assert parts[1, neck, thorax] == pytest.approx(1 / 5)
    assert parts[2, neck, head] == pytest.approx(1 / 2)
    assert parts[3, 1, 4] == pytest.approx(1 / 4)
    assert partitioned_adjacency(MPI_INF_3DHP_17).sum().item() == pytest.approx(17)
    with pytest.raises(ConfigError, match="no joint 'navel'"):
        partitioned_adjacency(H36M_17, "navel")


def test_graph_convolution_equals_its_definition():
    torch.manual_seed(0)
    layer, x = PartitionedConv(6, H36M_17).double(), torch.randn(3, 17, 6, dtype=torch.float64)
    parts = partitioned_adjacency(H36M_17).float().double()
    kinds = layer.weight.view(6, 4, 6)  # (out, kind, in)
    wide = torch.einsum("bvi,oki->bkvo", x, kinds) + layer.bias[:, None]
    expected = torch.einsum("bkvo,kvw->bwo", wide, parts)
    torch.testing.assert_close(layer(x), expected)
    assert len(layer.gather) == 4 * 12  # of four times 17 rows


def test_linear_pair_equals_its_two_layers():
    torch.manual_seed(0)
    pair, x = LinearPair(5, 7, 3).double(), torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(pair(x), pair.second(pair.first(x)))


@pytest.mark.parametrize(
    ("frames", "target", "targets"), [(1, "middle", 1), (5, "middle", 1), (5, "all", 5)]
)
def test_prediction_in_shared_units(frames, target, targets, make_batch):
    module = make_module(frames=frames, target=target).eval()
    answer = module.predict(make_batch(frames=frames))
    assert answer.joints_3d.shape == (8, targets, 17, 3)
    assert answer.sigma.shape == (8, targets, 17)
    assert (answer.joints_3d[..., H36M_17.root, :] == 0).all()
    assert (answer.sigma > 0).all()


def test_adapter_keeps_the_networks_own_root(make_batch):
    module, batch = make_module().eval(), make_batch()
    assert isinstance(module, Refinable)
    latents = module.encode(batch)
    assert {k: v.shape for k, v in latents.items()} == {"keypoints": (8, 1, 17, 2)}
    assert module.lr_scale == {"keypoints": 1.0}
    latents["keypoints"].requires_grad_()
    decoded = module.decode(latents, batch)
    assert decoded.root is None
    assert decoded.prior is None
    assert decoded.pose[..., 0, :].abs().min() > 0
    answer = module.predict(batch)
    torch.testing.assert_close(decoded.pose[..., 1:, :], answer.joints_3d[..., 1:, :])
    torch.testing.assert_close(decoded.log_sigma.exp() / math.sqrt(8 / math.pi), answer.sigma)
    (gradient,) = torch.autograd.grad(decoded.pose[3].sum(), latents["keypoints"])
    assert gradient[3].abs().min() > 0
    assert (gradient[torch.arange(8) != 3] == 0).all()


def test_axis_deviation_of_a_gaussian_error():
    generator = torch.Generator().manual_seed(0)
    errors = 30 * torch.randn(200_000, 3, generator=generator)
    expected_error = errors.norm(dim=-1).mean()
    assert axis_deviation(expected_error.log()).item() == pytest.approx(30, rel=5e-3)
    assert log_error_in_mm(torch.tensor(0.05).log()).exp().item() == pytest.approx(50)


def test_samples_do_not_see_one_another(make_batch):
    module, batch = make_module().eval(), make_batch()
    together = module.predict(batch)
    alone = PoseBatch(
        skeleton=H36M_17, keypoints_2d=batch.keypoints_2d[2:3], camera=batch.camera[2:3]
    )
    torch.testing.assert_close(
        module.predict(alone).joints_3d, together.joints_3d[2:3], rtol=0, atol=1e-3
    )


def test_autocast_leaves_coordinates_in_float32(make_batch):
    module, batch = make_module().eval(), make_batch()
    plain = module.predict(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = module.predict(batch)
    assert mixed.joints_3d.dtype == mixed.sigma.dtype == torch.float32
    scale = plain.joints_3d.norm(dim=-1).mean().item()
    assert (mixed.joints_3d - plain.joints_3d).norm(dim=-1).mean().item() < 0.03 * scale
    assert not torch.equal(mixed.joints_3d, plain.joints_3d)


def test_evaluation_repeats_and_training_does_not(make_batch):
    module, batch = make_module(), make_batch()
    first = module.train().predict(batch).joints_3d
    assert not torch.equal(first, module.predict(batch).joints_3d)
    first = module.eval().predict(batch).joints_3d
    assert torch.equal(first, module.predict(batch).joints_3d)


def test_paths_are_dropped_by_sample_at_the_stated_rate():
    config = Config(**{**SMALL, **STILL, "blocks": 3, "drop_path": 0.4})
    torch.manual_seed(0)
    network = Gumlp(H36M_17, config).train()
    assert [block.rate for block in network.blocks] == pytest.approx([0.0, 0.2, 0.4])
    x = torch.randn(1, 17, config.hidden).expand(4000, -1, -1)
    block = network.blocks[2]
    with torch.no_grad():
        changed = (block(x) - x).flatten(1).norm(dim=1)
    # Both branches are left out together with probability 0.4 * 0.4.
    assert (changed < 1e-6).float().mean().item() == pytest.approx(0.16, abs=0.03)
    # What is left out or kept goes for a whole sample: four different outcomes.
    assert len(changed.mul(1e3).round().unique()) == 4


def test_loss_is_least_at_the_log_of_the_mean_error():
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(500, 17, 3, generator=generator)
    predicted = torch.zeros_like(target)
    best = target.norm(dim=-1).mean().log()
    log_sigma = best.expand(500, 17).clone().requires_grad_()
    loss = uncertainty_loss(predicted, log_sigma, target)
    loss.backward()
    assert log_sigma.grad.sum().abs().item() < 1e-5
    assert loss.item() == pytest.approx(1 + best.item(), rel=1e-5)


def test_loss_at_a_hit_and_without_labels():
    predicted = torch.zeros(2, 3, 3, requires_grad=True)
    log_sigma = torch.full((2, 3), -9.0, requires_grad=True)
    target = torch.zeros(2, 3, 3)
    loss = uncertainty_loss(predicted, log_sigma, target)
    loss.backward()
    assert loss.item() == -9
    assert (predicted.grad == 0).all()
    visible = torch.zeros(2, 3, dtype=torch.bool)
    assert uncertainty_loss(predicted, log_sigma, target, visible).item() == 0
    visible[1, 2] = True
    target = torch.ones(2, 3, 3)
    one = joint_losses(predicted, log_sigma, target)[1, 2]
    torch.testing.assert_close(uncertainty_loss(predicted, log_sigma, target, visible), one)


def test_limits_bound_the_log_error_and_let_it_return(make_batch):
    module = make_module({"sigma_limits": (-1.0, -0.5)}).eval()
    module.network.sigma_head.second.bias.data.fill_(9.0)
    top = axis_deviation(log_error_in_mm(torch.full((8, 1, 17), -0.5)))
    torch.testing.assert_close(module.predict(make_batch()).sigma, top)
    values = torch.tensor([-50.0, -6.0, -2.0, 0.0, 2.0], requires_grad=True)
    inside = bounded(values, -5.0, 1.0)
    inside[1:].sum().backward()
    assert (values.grad[1:] > 0.01).all()
    assert inside[2].item() == -2
    assert ((inside >= -5) & (inside <= 1)).all()


def test_training_counts_every_joint_in_metres(make_batch, without_trainer):
    module, batch = without_trainer(make_module(STILL)), make_batch()
    loss = module.training_step(batch, 0).item()
    decoded = module.decode(module.encode(batch), batch)
    error = (decoded.pose - module.target(batch)).norm(dim=-1) / 1000
    log_sigma = decoded.log_sigma - math.log(1000)
    assert loss == pytest.approx((error * (-log_sigma).exp() + log_sigma).mean().item(), rel=1e-4)


def test_one_batch_can_be_learnt(make_batch, learn):
    module = make_module({**STILL, "hidden": 48, "sigma_limits": (-5.0, 1.0)})
    batch = make_batch()

    def error():
        return (module.predict(batch).joints_3d - module.target(batch)).norm(dim=-1).mean().item()

    start = error()
    learn(module, batch, lr=3e-3, decay=0.98, amsgrad=True, steps=150)
    assert error() < 0.1 * start


def test_mirrored_average_is_symmetric(make_batch):
    module, batch = make_module(flip_test=True).eval(), make_batch()
    answer, mirrored = module.infer(batch), module.infer(flip_batch(batch, H36M_17))
    order, sign = list(H36M_17.flip_index), torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(
        mirrored.joints_3d[..., order, :] * sign, answer.joints_3d, rtol=0, atol=0.05
    )
    torch.testing.assert_close(mirrored.sigma[..., order], answer.sigma, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_go_out_and_come_back(prefix, tmp_path):
    config = Config(**SMALL)
    weights = official(config)
    assert weights["GCN_MLP.blocks.1.gcn1.conv1d.weight"].shape == (4 * 32, 32, 1)
    graph = partitioned_adjacency(H36M_17).float()
    file = tmp_path / "weights.pth"
    named = {f"{prefix}{k}": v for k, v in weights.items()}
    torch.save({**named, "A": graph, "GCN_MLP.blocks.0.gcn1.adj": graph}, file)
    converted = convert([file], config, SETTINGS)
    assert set(converted.unused) == {"A", "GCN_MLP.blocks.0.gcn1.adj"}
    module = Module(config, SETTINGS)
    module.load_state_dict(converted.state)
    again = export_state(module.network.state_dict(), config)
    assert again.keys() == weights.keys()
    assert all(torch.equal(again[k], weights[k]) for k in weights)


def test_imported_convolution_keeps_its_order():
    config = Config(**SMALL)
    weights = official(config)
    layer = PartitionedConv(32, H36M_17)
    state = import_state(weights, config, H36M_17).state
    layer.weight.data, layer.bias.data = (state[f"blocks.0.graph.{k}"] for k in ("weight", "bias"))
    name = "GCN_MLP.blocks.0.gcn1.conv1d"
    x = torch.randn(2, 17, 32, generator=torch.Generator().manual_seed(0))
    wide = functional.conv1d(
        x.transpose(1, 2), weights[f"{name}.weight"], weights[f"{name}.bias"]
    ).view(2, 4, 32, 17)
    expected = torch.einsum("bkcv,kvw->bcw", wide, partitioned_adjacency(H36M_17).float())
    torch.testing.assert_close(layer(x), expected.transpose(1, 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("pred_s.fc5.bias"), "1 missing .'pred_s.fc5.bias'. and 0 unknown"),
        (lambda w: w.update(extra=torch.zeros(1)), "0 missing .* and 1 unknown .'extra'."),
        (
            lambda w: w.update({"encoder.fc1.bias": torch.zeros(9)}),
            r"expected encoder.fc1.bias of shape \(8,\), got \(9,\)",
        ),
        (lambda w: w.update(A=torch.zeros(4, 17, 17)), "expected A to be the partitioned graph"),
        (lambda w: w.update(A=torch.zeros(17, 17)), r"got another of shape \(17, 17\)"),
    ],
)
def test_other_weights_are_refused(change, message):
    config = Config(**SMALL)
    weights = official(config)
    change(weights)
    with pytest.raises(CheckpointError, match=message):
        import_state(weights, config, H36M_17)


def test_unfit_files_are_refused(tmp_path):
    config, file = Config(**SMALL), tmp_path / "weights.pth"
    with pytest.raises(MissingDataError, match="found no file"):
        convert([file], config, SETTINGS)
    for content, message in (
        (Module, "tensors and plain values in"),
        ([torch.zeros(1)], "got a list"),
        ({"a": 1}, "something else under .'a'."),
    ):
        torch.save(content, file)
        with pytest.raises(CheckpointError, match=message):
            convert([file], config, SETTINGS)
    file.write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="tensors and plain values in"):
        convert([file], config, SETTINGS)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"hidden": 0}, "hidden"),
        ({"blocks": 0}, "blocks"),
        ({"encoder_hidden": 0}, "encoder_hidden"),
        ({"channel_hidden": 0}, "channel_hidden"),
        ({"spatial_factor": 0}, "spatial_factor"),
        ({"head_hidden": 0}, "head_hidden"),
        ({"channel_dropout": 1.0}, "channel_dropout"),
        ({"spatial_dropout": -0.1}, "spatial_dropout"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"sigma_limits": (1.0, -1.0)}, "sigma_limits"),
    ],
)
def test_switches_out_of_range_are_refused(options, name):
    with pytest.raises(ConfigError, match=rf"expected method\.{name} to be .*, got"):
        Config(**options)


def test_another_number_of_joints_is_refused():
    with pytest.raises(ShapeError, match="joints=17"):
        Gumlp(H36M_17, Config(**SMALL))(torch.zeros(2, 15, 2))
