"""FMPose3D: sizes, chunks, draws, aggregation, training, import of weights, switches."""

import logging
import math
import time
from dataclasses import replace

import pytest
import torch

from lifting.batch import PoseBatch, flip_batch, flip_pose
from lifting.errors import CheckpointError, ConfigError, MissingDataError, ShapeError
from lifting.methods.fmpose3d import flow
from lifting.methods.fmpose3d.aggregate import FARTHEST, expectation
from lifting.methods.fmpose3d.checkpoint import LICENCE, convert, export_state, import_state
from lifting.methods.fmpose3d.config import Config
from lifting.methods.fmpose3d.flow import drawn_path, flow_loss, path_at, sample, unit_noise
from lifting.methods.fmpose3d.module import Module
from lifting.methods.fmpose3d.network import VelocityNetwork
from lifting.methods.settings import ModuleSettings
from lifting.nn.expected_error import LENGTH_PER_AXIS
from lifting.nn.graph import partitioned_adjacency
from lifting.skeleton import H36M_17
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Refinable, Status
from lifting.tto.refine import refine

SMALL = {"width": 16, "layers": 2, "heads": 4, "perceptron": 24}
STILL = {"dropout": 0.0, "attention_dropout": 0.0, "projection_dropout": 0.0, "drop_path": 0.0}
SETTINGS = ModuleSettings("fmpose3d")


def make_module(options=None, **settings):
    torch.manual_seed(0)
    return Module(Config(**{**SMALL, **(options or {})}), ModuleSettings("fmpose3d", **settings))


def official(config):
    """Weights as the authors save them, random."""
    torch.manual_seed(1)
    weights = export_state(VelocityNetwork(H36M_17, config).state_dict(), config)
    graph = partitioned_adjacency(H36M_17).float()
    blocks = {f"FMPose3D.blocks.{i}.gcn1.adj": graph for i in range(config.layers)}
    return {**weights, "A": graph, **blocks}


@pytest.mark.parametrize(
    ("layers", "numbers", "tensors"), [(5, 16_045_837, 101), (3, 9_738_953, 67)]
)
def test_sizes_are_the_released_ones(layers, numbers, tensors):
    network = VelocityNetwork(H36M_17, Config(layers=layers))
    assert sum(p.numel() for p in network.parameters()) == numbers
    official = export_state(network.state_dict(), Config(layers=layers))
    assert len(official) + 1 + layers == tensors  # theirs holds the graph once more a layer


@pytest.mark.parametrize("rows", [1, 7, 8, 16, 24, 1000])
@torch.no_grad()
def test_chunks_give_equal_hypotheses(rows):
    network = make_module().network.eval()
    keypoints, noise = torch.randn(5, 8, 17, 2), torch.randn(5, 8, 17, 3)
    alone = torch.stack(
        [flow.integrate(network, *pair, 3) for pair in zip(keypoints, noise, strict=True)]
    )
    found = sample(network, keypoints, noise, 3, rows)
    torch.testing.assert_close(found, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("batch", "calls"), [(1, [6]), (20, [60, 60]), (300, [300] * 6)])
@torch.no_grad()
def test_a_call_holds_what_a_processor_takes_best(batch, calls, monkeypatch):
    seen = []
    monkeypatch.setattr(
        flow, "integrate", lambda network, uv, noise, steps: seen.append(len(noise)) or noise
    )
    noise = torch.randn(6, batch, 17, 3)
    assert torch.equal(sample(None, noise[..., :2], noise, 3), noise)
    assert seen == calls


@torch.no_grad()
def test_a_single_frame_is_at_least_twice_as_fast_as_one_by_one():
    network = make_module({"width": 64, "layers": 3, "perceptron": 128}).network.eval()
    keypoints, noise = torch.randn(10, 1, 17, 2), torch.randn(10, 1, 17, 3)

    def seconds(rows):
        start = time.process_time()
        sample(network, keypoints, noise, 3, rows)
        return time.process_time() - start

    seconds(1), seconds(None)
    together, alone = (min(seconds(rows) for _ in range(7)) for rows in (None, 1))
    assert together < alone / 2


def test_noise_is_a_unit_gaussian_that_sums_to_zero():
    several = unit_noise(2000, 17, 3, torch.device("cpu"))
    assert several.shape == (2000, 1, 17, 3)
    assert several.std().item() == pytest.approx(1, abs=0.01)
    assert several.mean(dim=0).abs().max().item() < 1e-5
    one = unit_noise(1, 17, 3, torch.device("cpu"))
    assert one.std().item() == pytest.approx(1, abs=0.3)
    assert not torch.equal(one, unit_noise(1, 17, 4, torch.device("cpu")))


@pytest.mark.parametrize(
    ("frames", "target", "targets"), [(1, "middle", 1), (5, "middle", 1), (5, "all", 5)]
)
def test_prediction_in_shared_units(frames, target, targets, make_batch):
    module = make_module({"hypotheses": 3}, frames=frames, target=target).eval()
    answer = module.predict(make_batch(frames=frames))
    assert answer.joints_3d.shape == (8, targets, 17, 3)
    assert answer.hypotheses.shape == (8, 6, targets, 17, 3)
    assert answer.sigma.shape == (8, targets, 17)
    assert (answer.hypotheses[..., H36M_17.root, :] == 0).all()
    assert (answer.joints_3d[..., H36M_17.root, :] == 0).all()
    assert (answer.sigma[..., 1:] > 0).all()
    expected = answer.hypotheses.var(dim=1).mean(dim=-1).sqrt()
    torch.testing.assert_close(answer.sigma, expected)


def test_mirrored_draws_lift_the_mirrored_input(make_batch):
    """Of a batch and its mirror image, with noise exchanged, the hypotheses are exchanged."""
    module, batch = make_module({"hypotheses": 2}).eval(), make_batch()
    noise = torch.randn(4, 1, 17, 3)
    plain, turned = (
        module.predict(replace(one, extras={"noise": drawn})).hypotheses
        for one, drawn in ((batch, noise), (flip_batch(batch, H36M_17), noise.roll(2, dims=0)))
    )
    torch.testing.assert_close(
        flip_pose(turned, H36M_17).roll(2, dims=1), plain, rtol=1e-4, atol=1e-2
    )


def test_answers_repeat_and_samples_do_not_see_one_another(make_batch):
    module, batch = make_module({"hypotheses": 3}).eval(), make_batch()
    together = module.predict(batch).joints_3d
    assert torch.equal(module.predict(batch).joints_3d, together)
    alone = PoseBatch(
        skeleton=H36M_17, keypoints_2d=batch.keypoints_2d[2:3], camera=batch.camera[2:3]
    )
    torch.testing.assert_close(
        module.predict(alone).joints_3d, together[2:3], rtol=1e-4, atol=1e-2
    )
    module.train()
    assert not torch.equal(module.predict(batch).joints_3d, module.predict(batch).joints_3d)


def test_labels_are_read_by_the_oracle_only(make_batch):
    batch = make_batch()
    blind = PoseBatch(skeleton=H36M_17, keypoints_2d=batch.keypoints_2d, camera=batch.camera)
    plain, told = make_module().eval(), make_module({"root": "truth"}).eval()
    answer = told.predict(batch)
    assert torch.equal(answer.joints_3d, plain.predict(blind).joints_3d)
    assert set(answer.extras) == {"oracle_root"}
    assert not torch.allclose(answer.extras["oracle_root"], answer.joints_3d)
    assert told.predict(blind).extras == plain.predict(batch).extras == {}


def test_expectation_against_loops():
    generator = torch.Generator().manual_seed(0)
    hypotheses = torch.randn(5, 3, 17, 3, generator=generator, dtype=torch.float64)
    errors = torch.rand(5, 3, 17, generator=generator, dtype=torch.float64)
    for kept, temperature in ((1, 0.1), (3, 0.01), (5, 0.5), (9, 0.02)):
        found = expectation(hypotheses, errors, kept, temperature)
        for b in range(3):
            for j in range(17):
                order = sorted(range(5), key=lambda h: errors[h, b, j].item())[:kept]
                limit = FARTHEST * temperature
                shares = [
                    math.exp(-min(errors[h, b, j].item(), limit) / temperature) for h in order
                ]
                mean = sum(w * hypotheses[h, b, j] for w, h in zip(shares, order, strict=True))
                torch.testing.assert_close(found[b, j], mean / sum(shares))


@torch.no_grad()
def test_the_joint_that_projects_best_is_taken(make_batch):
    module, batch = (
        make_module({"hypotheses": 3, "aggregation": "best_joint"}).eval(),
        make_batch(),
    )
    answer = module.predict(batch)
    hypotheses = answer.hypotheses.transpose(0, 1)
    errors = module.screen_errors(hypotheses, batch)
    best, clear = errors.argmin(dim=0), errors.sort(dim=0).values.diff(dim=0)[0] > 0
    for b, j in ((0, 3), (5, 16)):
        torch.testing.assert_close(answer.joints_3d[b, 0, j], hypotheses[best[b, 0, j], b, 0, j])
    nearest = make_module({"hypotheses": 3, "kept": 1}).eval().predict(batch)
    assert clear.float().mean() > 0.9  # far outside an image, hypotheses project to one place
    torch.testing.assert_close(nearest.joints_3d[clear], answer.joints_3d[clear])
    mean = make_module({"hypotheses": 3, "aggregation": "mean"}).eval().predict(batch)
    torch.testing.assert_close(mean.joints_3d, hypotheses.mean(dim=0))


@pytest.mark.parametrize("target", ["absolute", "zero"])
def test_where_paths_end(target, make_batch):
    module, batch = make_module({"root_target": target}), make_batch()
    end, place = module.path_end(batch), batch.joints_3d / 1000
    torch.testing.assert_close(end[..., 1:, :], (place - place[..., :1, :])[..., 1:, :])
    root = place[..., 0, :] if target == "absolute" else torch.zeros(8, 1, 3)
    torch.testing.assert_close(end[..., 0, :], root)


def test_a_path_is_straight_and_its_velocity_constant():
    noise, pose = torch.randn(4, 17, 3), torch.randn(4, 17, 3)
    start, end = (path_at(noise, pose, torch.full((4,), t)) for t in (0.0, 1.0))
    torch.testing.assert_close(start.state, noise)
    torch.testing.assert_close(end.state, pose)
    torch.testing.assert_close(start.state + start.velocity, pose)
    torch.manual_seed(0)
    drawn = drawn_path(pose)
    assert ((drawn.time >= 0) & (drawn.time < 1)).all()
    torch.testing.assert_close(
        drawn.state + (1 - drawn.time)[:, None, None] * drawn.velocity, pose
    )


def test_loss_is_of_joints_that_count():
    network = make_module().network.eval()
    uv, path = torch.randn(4, 17, 2), path_at(*torch.randn(2, 4, 17, 3), torch.rand(4))
    visible = torch.rand(4, 17) < 0.5
    error = network(uv, path.state, path.time) - path.velocity
    torch.testing.assert_close(flow_loss(network, uv, path, None), error.square().mean())
    torch.testing.assert_close(
        flow_loss(network, uv, path, visible), error[visible].square().mean()
    )
    assert flow_loss(network, uv, path, torch.zeros(4, 17, dtype=torch.bool)).item() == 0


def test_training_drops_and_evaluation_does_not(make_batch, without_trainer):
    batch = make_batch()

    def losses(options):
        module, found = without_trainer(make_module(options)), []
        for _ in range(2):
            torch.manual_seed(3)  # the same path twice
            path = drawn_path(module.path_end(batch).flatten(0, 1))
            torch.manual_seed(4 + len(found))
            keypoints = module._screen(batch).flatten(0, 1)
            found.append(flow_loss(module.network, keypoints, path, None).item())
        return found

    first, second = losses(STILL)
    assert first == second
    for name in STILL:
        first, second = losses({**STILL, name: 0.5})
        assert first != second, name


def test_paths_are_dropped_by_sample_at_the_stated_rate():
    torch.manual_seed(0)
    config = Config(**{**SMALL, **STILL, "layers": 3, "drop_path": 0.4})
    network = VelocityNetwork(H36M_17, config).train()
    assert [block.path_rate for block in network.blocks] == pytest.approx([0.0, 0.2, 0.4])
    x = torch.randn(1, 17, config.width).expand(3000, -1, -1)
    with torch.no_grad():
        changed = (network.blocks[2](x) - x).flatten(1).norm(dim=1)
    # Graph and attention go together: two branches, both left out with probability 0.4 * 0.4.
    assert (changed < 1e-6).float().mean().item() == pytest.approx(0.16, abs=0.03)
    assert len(changed.mul(1e3).round().unique()) == 4


def test_one_batch_can_be_learnt(make_batch, learn):
    module = make_module({**STILL, "width": 48, "root_target": "zero", "aggregation": "mean"})
    batch = make_batch()

    def error():
        answer = module.eval().predict(batch).joints_3d
        module.train()
        return (answer - module.target(batch)).norm(dim=-1).mean().item()

    nothing = module.target(batch).norm(dim=-1).mean().item()  # of an answer of zeros
    assert error() > nothing
    first, last = learn(module, batch, lr=5e-3, decay=0.99, amsgrad=True, steps=250)
    assert last < first / 2
    assert error() < 0.85 * nothing


def test_autocast_leaves_coordinates_in_float32(make_batch):
    module, batch = make_module().eval(), make_batch()
    plain = module.predict(batch).joints_3d
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = module.predict(batch).joints_3d
    assert mixed.dtype == torch.float32
    scale = plain.norm(dim=-1).mean().item()
    assert (mixed - plain).norm(dim=-1).mean().item() < 0.03 * scale
    assert not torch.equal(mixed, plain)


def test_latents_of_optimisation(make_batch):
    module, batch = make_module({"hypotheses": 3}).eval(), make_batch()
    assert isinstance(module, Refinable)
    latents = module.encode(batch)
    assert {k: v.shape for k, v in latents.items()} == {"keypoints": (8, 1, 17, 2)}
    assert module.lr_scale == {"keypoints": 1.0}
    latents["keypoints"].requires_grad_()
    decoded, answer = module.decode(latents, batch), module.predict(batch)
    torch.testing.assert_close(decoded.pose, answer.joints_3d)
    sigma = decoded.log_sigma.exp()[..., 1:] / LENGTH_PER_AXIS
    torch.testing.assert_close(sigma, answer.sigma[..., 1:])
    (gradient,) = torch.autograd.grad(decoded.pose[3].sum(), latents["keypoints"])
    assert gradient[3].abs().max() > 0
    assert (gradient[torch.arange(8) != 3] == 0).all()
    single = make_module({"flip": False}).eval()
    assert single.decode(single.encode(batch), batch).log_sigma is None


@pytest.mark.parametrize("aggregation", ["mean", "rpea"])
def test_is_optimised_at_test_time(aggregation, make_batch):
    module = make_module({"hypotheses": 2, "aggregation": aggregation}).eval()
    result = refine(module, make_batch(), TtoConfig(enabled=True, lr=1e-2), targets=1)
    assert (result.status < Status.UNOBSERVED).all()
    assert (result.after < result.before).any()


@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_go_out_and_come_back(prefix, tmp_path, caplog):
    config, file = Config(**SMALL), tmp_path / "weights.pth"
    weights = official(config)
    assert weights["FMPose3D.blocks.1.gcn1.conv1d.weight"].shape == (64, 16, 1)
    torch.save({f"{prefix}{k}": v for k, v in weights.items()}, file)
    with caplog.at_level(logging.WARNING, "lifting"):
        converted = convert([file], config, SETTINGS)
    assert LICENCE in caplog.text
    assert "CC BY-NC-ND" in LICENCE
    graphs = {"A", "FMPose3D.blocks.0.gcn1.adj", "FMPose3D.blocks.1.gcn1.adj"}
    assert set(converted.unused) == graphs
    module = Module(config, SETTINGS)
    module.load_state_dict(converted.state)
    again = export_state(module.network.state_dict(), config)
    assert again.keys() == weights.keys() - graphs
    assert all(torch.equal(again[k], weights[k]) for k in again)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("time_embed.B"), "1 missing .'time_embed.B'. and 0 unknown"),
        (lambda w: w.update(extra=torch.zeros(1)), "0 missing .* and 1 unknown .'extra'."),
        (
            lambda w: w.update({"encoder.fc1.bias": torch.zeros(9)}),
            r"expected encoder.fc1.bias of shape \(8,\), got \(9,\); set the widths",
        ),
        (
            lambda w: w.update({"FMPose3D.blocks.2.norm1.bias": torch.zeros(17)}),
            "expected weights of 2 layers, got 3; .* experiment fmpose3d_released",
        ),
        (lambda w: w.update(A=torch.zeros(4, 17, 17)), "expected A to be the partitioned graph"),
    ],
)
def test_other_weights_are_refused(change, message):
    config = Config(**SMALL)
    weights = official(config)
    change(weights)
    with pytest.raises(CheckpointError, match=message):
        import_state(weights, config, H36M_17)


def test_weights_of_another_end_of_the_root_are_refused():
    config = Config(**SMALL, root_target="zero")
    with pytest.raises(CheckpointError, match=r"method\.root_target absolute, .* got zero"):
        import_state(official(config), config, H36M_17)


def test_unfit_files_are_refused(tmp_path):
    config, file = Config(**SMALL), tmp_path / "weights.pth"
    with pytest.raises(MissingDataError, match="found no file"):
        convert([file], config, SETTINGS)
    for content, message in ((Module, "tensors and plain values in"), ({"a": 1}, "under .'a'.")):
        torch.save(content, file)
        with pytest.raises(CheckpointError, match=message):
            convert([file], config, SETTINGS)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"layers": 0}, "layers"),
        ({"heads": 0}, "heads"),
        ({"perceptron": 0}, "perceptron"),
        ({"steps": 0}, "steps"),
        ({"hypotheses": 0}, "hypotheses"),
        ({"kept": 0}, "kept"),
        ({"width": 12}, "width"),
        ({"time_width": 7}, "time_width"),
        ({"dropout": 1.0}, "dropout"),
        ({"attention_dropout": -0.1}, "attention_dropout"),
        ({"projection_dropout": 1.0}, "projection_dropout"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"temperature": 0.0}, "temperature"),
        ({"root": "truth", "flip": False}, "root"),
        ({"root": "truth", "aggregation": "mean"}, "root"),
    ],
)
def test_switches_out_of_range_are_refused(options, name):
    with pytest.raises(ConfigError, match=rf"expected method\.{name} to be .*, got"):
        Config(**options)


def test_another_number_of_joints_is_refused():
    network = VelocityNetwork(H36M_17, Config(**SMALL))
    with pytest.raises(ShapeError, match="joints=17"):
        network(torch.zeros(2, 15, 2), torch.zeros(2, 15, 3), torch.zeros(2))
