"""DiffPose: sampling, stages, learning, imported weights, hand-written gradients."""

import functools
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from lifting.batch import PoseBatch
from lifting.errors import CheckpointError, ConfigError, MissingDataError, ShapeError
from lifting.geometry.camera import Camera, denormalize_screen, project
from lifting.methods.diffpose import kernels
from lifting.methods.diffpose.checkpoint import (
    DEAD_IN_CONTEXT,
    export_state,
    import_state,
    read_context,
    read_denoiser,
)
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.diffusion import antithetic_steps, beta_schedule, ddim, step_list
from lifting.methods.diffpose.layers import (
    GraphNet,
    adjacency,
    chebyshev_basis,
    fused_basis,
    laplacian,
)
from lifting.methods.diffpose.mixture import draw_components
from lifting.methods.diffpose.module import Module
from lifting.methods.diffpose.network import ContextEncoder, Denoiser, NetworkSize
from lifting.methods.diffpose.refiner import Refiner
from lifting.methods.settings import ModuleSettings, OptimizerConfig, Stage
from lifting.nn.units import from_network_units, to_network_units
from lifting.skeleton import H36M_17, HUMANEVA_15

SMALL = Config(hidden=16, layers=2, hypotheses=3)
RELEASED = replace(
    SMALL, representation="uvxyz", conditioning="none", centre="origin", uv_scale=0.5,
    xyz_scale=1.0, beta_end=1e-3, prediction="eps", init="context_point", sampling_steps=2,
    start_level=24,
)  # fmt: skip
SIZE = NetworkSize(hidden=16, layers=2)


def make_batch(size=6, frames=1, targets=1):
    generator = torch.Generator().manual_seed(0)
    joints = torch.randn(size, frames, 17, 3, generator=generator) * 250
    joints[..., 2] += 4500
    intrinsics = torch.tensor([1145.0, 1143, 512, 515, 0, 0, 0, 0, 0]).repeat(size, 1)
    half = frames // 2
    return PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=project(joints, intrinsics[:, None]),
        joints_3d=joints if targets == frames else joints[:, half : half + 1],
        camera=Camera(intrinsics=intrinsics, size=torch.tensor([1000.0, 1002.0]).repeat(size, 1)),
    )


def disturbed(module):
    """A module in evaluation mode whose denoiser does something: it starts at zero or close."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


def make_module(config=SMALL, **settings):
    torch.manual_seed(0)
    return disturbed(Module(config, ModuleSettings("diffpose", **settings)))


def make_refiner(config=SMALL):
    torch.manual_seed(0)
    return disturbed(Refiner(config, H36M_17))


def sample(config, uv=None, seed=0):
    uv = torch.rand(5, 17, 2, generator=torch.Generator().manual_seed(1)) if uv is None else uv
    with torch.no_grad():
        return make_refiner(config).sample(uv, seed)


# --- configuration ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": 30}, "method.hidden to be a multiple of heads=4, got 30"),
        ({"hidden": 2, "heads": 1}, "method.hidden to be at least 4"),
        ({"layers": 0}, "method.layers to be at least 1, got 0"),
        ({"hypotheses": 0}, "method.hypotheses to be at least 1"),
        ({"dropout": 1.0}, "method.dropout to be between 0 and below 1"),
        ({"inner_dropout": -0.1}, "method.inner_dropout to be between 0 and below 1"),
        ({"eta": -1.0}, "method.eta to be not negative"),
        ({"xyz_scale": 0.0}, "method.xyz_scale to be above 0"),
        ({"beta_start": 0.0}, "method.beta_start to be between 0 and 1"),
        ({"beta_end": 1e-5}, "method.beta_end to be beta_start to below 1"),
        ({"start_level": 52}, "method.start_level to be at most diffusion_steps=51"),
        ({"sampling_steps": 60}, "method.sampling_steps to be at most start_level=51"),
        ({"representation": "uvxyz", "loss": "distance"}, "'squared' with representation"),
    ],
)
def test_config_refuses(change, message):
    with pytest.raises(ConfigError, match=message):
        Config(**change)


def test_stages():
    assert make_module(replace(SMALL, context_epochs=3)).stages() == (
        Stage("context", 3),
        Stage("train"),
    )
    assert make_module(replace(SMALL, context_epochs=0)).stages() == (Stage("train"),)
    assert make_module(replace(SMALL, context_checkpoint="a.ckpt")).stages() == (Stage("train"),)


# --- stages ----------------------------------------------------------------------------------


def test_each_stage_trains_its_own_network():
    module = make_module()
    context, denoiser = module.network.context, module.network.denoiser
    module.begin_stage(module.stages()[0])
    module.train()
    assert all(p.requires_grad for p in context.parameters())
    assert not any(p.requires_grad for p in denoiser.parameters())
    assert context.training
    module.begin_stage(module.stages()[1])
    module.train()
    assert not any(p.requires_grad for p in context.parameters())
    assert all(p.requires_grad for p in denoiser.parameters())
    assert denoiser.training
    assert not context.training


@pytest.mark.parametrize("stage", [0, 1])
def test_training_step_reaches_only_the_stage(stage, monkeypatch):
    module = make_module()
    monkeypatch.setattr(module, "log", lambda *args, **kwargs: None)
    module.begin_stage(module.stages()[stage])
    module.train()
    module.training_step(make_batch(), 0).backward()
    reached = {k.split(".")[1] for k, p in module.named_parameters() if p.grad is not None}
    assert reached == {("context", "denoiser")[stage]}


def test_context_stage_predicts_the_context_pose():
    module = make_module()
    batch = make_batch()
    with torch.no_grad():
        refined = module.predict(batch)
        module.begin_stage(module.stages()[0])
        plain = module.predict(batch)
    torch.testing.assert_close(plain.joints_3d, refined.extras["context"])
    assert plain.hypotheses is None
    assert plain.sigma is None


@pytest.mark.parametrize(("rate", "wanted"), [(None, 1e-3), (5e-4, 5e-4)])
def test_context_stage_has_its_own_learning_rate(rate, wanted):
    module = make_module(
        replace(SMALL, context_lr=rate), optimizer=OptimizerConfig(lr=1e-3, warmup_steps=2)
    )
    module._trainer = SimpleNamespace(
        estimated_stepping_batches=10,
        num_training_batches=5,
        accumulate_grad_batches=1,
        precision="32-true",
        fit_loop=SimpleNamespace(setup_data=lambda: None),
    )
    module.begin_stage(module.stages()[0])
    configured = module.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    assert optimizer.param_groups[0]["lr"] == pytest.approx(wanted / 2)
    optimizer.step()
    schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(wanted)
    module.begin_stage(module.stages()[1])
    optimizer = module.configure_optimizers()["optimizer"]
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 / 2)


# --- prediction ------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [SMALL, RELEASED], ids=["default", "released"])
@pytest.mark.parametrize(
    ("frames", "target", "targets"), [(1, "middle", 1), (5, "middle", 1), (5, "all", 5)]
)
def test_prediction_is_root_relative(config, frames, target, targets):
    module = make_module(config, frames=frames, target=target)
    with torch.no_grad():
        answer = module.predict(make_batch(frames=frames, targets=targets))
    assert answer.joints_3d.shape == (6, targets, 17, 3)
    assert answer.hypotheses.shape == (6, 3, targets, 17, 3)
    assert answer.sigma.shape == (6, targets, 17)
    assert answer.extras["context"].shape == (6, targets, 17, 3)
    assert (answer.hypotheses[..., 0, :] == 0).all()
    torch.testing.assert_close(answer.joints_3d, answer.hypotheses.mean(dim=1))
    axes = answer.hypotheses.double().var(dim=1).mean(dim=-1).sqrt().float()
    torch.testing.assert_close(answer.sigma, axes, rtol=1e-3, atol=1e-3)


def test_windows_are_answered_frame_by_frame():
    batch = make_batch(frames=5, targets=5)
    with torch.no_grad():
        together = make_module(frames=5, target="all").predict(batch)
        middle = make_module(frames=5).predict(batch)
    torch.testing.assert_close(together.joints_3d[:, 2:3], middle.joints_3d, rtol=1e-5, atol=0.02)


def test_median_aggregation():
    with torch.no_grad():
        answer = make_module(replace(SMALL, aggregation="median")).predict(make_batch())
    wanted = answer.hypotheses.sort(dim=1).values[:, 1]
    torch.testing.assert_close(answer.joints_3d, wanted)


def test_wrong_number_of_joints_is_refused():
    batch = make_batch()
    batch.keypoints_2d = batch.keypoints_2d[..., :16, :]
    with pytest.raises(ShapeError, match="keypoints_2d of shape"):
        make_module().predict(batch)


@pytest.mark.parametrize(
    ("change", "differ"),
    [
        ({}, True),
        ({"init": "context_point"}, False),
        ({"init": "context_point", "eta": 1.0}, True),
    ],
)
@pytest.mark.parametrize("config", [SMALL, RELEASED], ids=["default", "released"])
def test_hypotheses_differ_only_when_something_is_drawn(config, change, differ):
    change = {"init": "context_noise", **change}
    hypotheses = sample(replace(config, **change)).hypotheses
    spread = hypotheses.std(dim=0)[:, 1:].mean().item()
    assert (spread > 1e-4) if differ else (spread == 0)


def test_one_call_serves_all_hypotheses(monkeypatch):
    refiner = make_refiner(replace(SMALL, hypotheses=4))
    sizes = []
    refiner.denoiser.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    with torch.no_grad():
        refiner.sample(torch.rand(5, 17, 2), 0)
    assert sizes == [20] * len(refiner.steps)


def test_answers_repeat_and_do_not_depend_on_the_batch_or_the_global_generator():
    module, batch = make_module(replace(SMALL, eta=0.5)), make_batch()
    single = PoseBatch(
        skeleton=H36M_17, keypoints_2d=batch.keypoints_2d[3:4], camera=batch.camera[3:4]
    )
    with torch.no_grad():
        first = module.predict(batch).hypotheses
        state = torch.get_rng_state()
        second = module.predict(batch).hypotheses
        alone = module.predict(single).hypotheses
    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())
    torch.testing.assert_close(first[3:4], alone, rtol=1e-5, atol=0.01)
    other = make_module(replace(SMALL, eta=0.5), seed=1)
    with torch.no_grad():
        assert not torch.equal(other.predict(batch).hypotheses, first)


def test_start_noise_is_that_of_the_first_sampled_level():
    """A denoiser that answers zero leaves the start scaled by the sampler alone."""
    config = replace(SMALL, hypotheses=4000, sampling_steps=1, start_level=51, skip="quad")
    refiner = make_refiner(replace(config, sampling_steps=2))
    seen = []
    refiner.denoiser.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    with torch.no_grad():
        samples = refiner.sample(torch.rand(1, 17, 2), 0)
    state, step = seen[0][0][:, :, 2:5], seen[0][1]
    assert step.tolist() == [40.0]
    share = refiner.signal[41].item()
    deviation = (state - samples.context).std().item()
    assert deviation == pytest.approx(config.xyz_scale * (1 - share) ** 0.5, rel=0.01)


# --- learning --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config", [SMALL, replace(SMALL, loss="distance"), RELEASED], ids=["x0", "distance", "eps"]
)
def test_denoising_loss_falls_on_one_batch(config):
    torch.manual_seed(0)
    refiner = Refiner(replace(config, dropout=0.0, inner_dropout=0.0), H36M_17)
    uv = 0.5 * torch.randn(16, 17, 2)
    xyz = torch.cat((uv, 0.3 * torch.randn(16, 17, 1)), dim=-1)
    xyz = xyz - xyz[:, :1]
    optimizer = torch.optim.Adam(refiner.denoiser.parameters(), lr=3e-3)
    losses = []
    for _ in range(120):
        loss = refiner.loss(uv, xyz)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(refiner.denoiser.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])
    assert all(p.grad is None for p in refiner.context.parameters())


def test_refiner_overfits_one_batch():
    torch.manual_seed(0)
    config = replace(SMALL, dropout=0.0, inner_dropout=0.0, hidden=32)
    refiner = Refiner(config, H36M_17)
    uv = 0.5 * torch.randn(8, 17, 2)
    xyz = torch.cat((uv, 0.2 * torch.randn(8, 17, 1)), dim=-1)
    xyz = xyz - xyz[:, :1]
    optimizer = torch.optim.Adam(refiner.denoiser.parameters(), lr=3e-3)
    for _ in range(120):
        loss = refiner.loss(uv, xyz)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        samples = refiner.eval().sample(uv, 0)
    before = (samples.context - xyz).norm(dim=-1).mean()
    after = (samples.hypotheses.mean(dim=0) - xyz).norm(dim=-1).mean()
    assert after < 0.5 * before


def test_invalid_labels_do_not_count():
    refiner, uv = make_refiner(), torch.rand(4, 17, 2)
    xyz, visible = torch.randn(4, 17, 3), torch.ones(4, 17, dtype=torch.bool)
    visible[:, 5] = False
    spoiled = xyz.clone()
    spoiled[:, 5] += 1.0
    losses = []
    for label in (xyz, spoiled):
        torch.manual_seed(3)
        answer = refiner.loss(uv, label, torch.zeros_like(visible))
        assert answer.item() == 0
        torch.manual_seed(3)
        losses.append(refiner.loss(uv, label, visible))
    # The network still sees the noisy label of the joint, so only its own error is left out.
    torch.manual_seed(3)
    assert losses[1] < refiner.loss(uv, spoiled)


# --- initialisation --------------------------------------------------------------------------


def test_default_starts_as_the_context_encoder():
    torch.manual_seed(0)
    refiner, uv = Refiner(SMALL, H36M_17).eval(), torch.rand(4, 17, 2)
    with torch.no_grad():
        samples = refiner.sample(uv, 0)
    torch.testing.assert_close(samples.hypotheses[0], samples.context, rtol=1e-5, atol=1e-6)


def test_shared_initialisation():
    torch.manual_seed(0)
    for shared in (True, False):
        refiner = Refiner(replace(SMALL, shared_init=shared), H36M_17)
        for network in (refiner.context, refiner.denoiser):
            first, last = network.layers[0], network.layers[-1]
            query, key, value = first.attention.qkv.weight.chunk(3)
            assert torch.equal(query, key) == shared
            assert torch.equal(query, value) == shared
            assert torch.equal(query, first.attention.out.weight) == shared
            assert torch.equal(query, last.attention.out.weight) == shared
            assert torch.equal(first.graph.expand.weight, last.graph.expand.weight) == shared
            assert not torch.equal(first.first.weight, last.first.weight)
        assert not torch.equal(
            refiner.context.layers[0].attention.out.weight,
            refiner.denoiser.layers[0].attention.out.weight,
        )


def test_sizes_are_the_published_ones():
    size = NetworkSize()
    count = sum(p.numel() for p in Denoiser(5, 5, H36M_17, size).parameters())
    assert count == 1_025_674
    count = sum(p.numel() for p in ContextEncoder(H36M_17, size).parameters())
    assert count == 839_432 - 185_088
    deviation = Denoiser(5, 5, H36M_17, size).layers[0].first.weight.std().item()
    assert deviation == pytest.approx((2 / (4 * 96 * 96)) ** 0.5, rel=0.02)


# --- imported weights ------------------------------------------------------------------------


def official_denoiser():
    torch.manual_seed(2)
    network = Denoiser(5, 5, H36M_17, SIZE)
    return network, export_state(network.state_dict(), SIZE.layers, timed=True)


def official_context():
    torch.manual_seed(3)
    network = ContextEncoder(H36M_17, SIZE)
    state = export_state(network.state_dict(), SIZE.layers, timed=False)
    return network, {**state, **{name: torch.zeros(1) for name in DEAD_IN_CONTEXT}}


def prefixed(state):
    return {f"module.{k}": v for k, v in state.items()}


def same(a, b):
    return set(a) == set(b) and all(torch.equal(a[k], b[k]) for k in a)


def test_official_names_and_shapes():
    _, official = official_denoiser()
    assert official["gconv_input.weight"].shape == (3, 1, 5, 16)
    assert official["gconv_layers.1.gconv2.gconv.bias"].shape == (1, 1, 16)
    assert official["atten_layers.1.self_attn.linears.3.weight"].shape == (16, 16)
    assert len(official) == 123 - 3 * 23
    assert len(official_context()[1]) == 113 - 3 * 21


def test_denoiser_file_round_trip(tmp_path):
    network, official = official_denoiser()
    shadow = {k: v + 1 for k, v in official.items()}
    path = tmp_path / "denoiser.pth"
    torch.save([prefixed(official), {"state": {}}, 3, 100, shadow], path)
    imported = read_denoiser(path, SIZE.layers)
    assert same(imported.state, network.state_dict())
    assert imported.dead == ()


def test_context_file_reports_dead_weights(tmp_path):
    network, official = official_context()
    path = tmp_path / "context.pth"
    torch.save([prefixed(official)], path)
    imported = read_context(path, SIZE.layers)
    assert same(imported.state, network.state_dict())
    assert imported.dead == DEAD_IN_CONTEXT


def test_own_checkpoint_gives_the_context_encoder(tmp_path):
    trained = make_module()
    path = tmp_path / "own.ckpt"
    content = {"state_dict": trained.state_dict(), "lifting": {"method": "diffpose"}}
    torch.save(content, path)
    torch.manual_seed(9)
    config = replace(SMALL, context_checkpoint=str(path))
    module = Module(config, ModuleSettings("diffpose"))
    module.begin_stage(module.stages()[-1])
    assert same(module.network.context.state_dict(), trained.network.context.state_dict())
    assert same(read_denoiser(path, SIZE.layers).state, trained.network.denoiser.state_dict())


def test_checkpoint_of_another_method_is_refused(tmp_path):
    path = tmp_path / "other.ckpt"
    torch.save({"state_dict": {}, "lifting": {"method": "uao"}}, path)
    with pytest.raises(CheckpointError, match="expected a diffpose checkpoint"):
        read_context(path, SIZE.layers)


def test_refusals(tmp_path):
    path = tmp_path / "weights.pth"
    with pytest.raises(MissingDataError, match="found no file"):
        read_denoiser(path, SIZE.layers)
    torch.save({"model": {}}, path)
    with pytest.raises(CheckpointError, match=r"expected the list \[model, optimiser"):
        read_denoiser(path, SIZE.layers)
    torch.save([functools.partial(print)], path)
    with pytest.raises(CheckpointError, match="tensors and plain values in"):
        read_denoiser(path, SIZE.layers)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="tensors and plain values in"):
        read_denoiser(path, SIZE.layers)


def test_wrong_weights_are_named():
    _, official = official_denoiser()
    fewer = {k: v for k, v in official.items() if k != "gconv_output.bias"}
    with pytest.raises(CheckpointError, match=r"1 missing \['gconv_output.bias'\]"):
        import_state(fewer, SIZE.layers, timed=True)
    with pytest.raises(CheckpointError, match=r"1 unknown \['extra'\]"):
        import_state({**official, "extra": torch.zeros(1)}, SIZE.layers, timed=True)
    with pytest.raises(CheckpointError, match="unknown"):
        import_state(official, SIZE.layers, timed=False)
    with pytest.raises(CheckpointError, match="missing"):
        import_state(official, SIZE.layers + 1, timed=True)
    with pytest.raises(CheckpointError, match="expected a tensor under every name"):
        import_state({**official, "gconv_input.bias": 1}, SIZE.layers, timed=True)
    broken = {**official, "gconv_input.weight": torch.zeros(3, 2, 5, 16)}
    with pytest.raises(CheckpointError, match=r"expected gconv_input\.weight of shape"):
        import_state(broken, SIZE.layers, timed=True)


# --- diffusion and graph ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "count", "skip", "wanted"),
    [
        (24, 2, "uniform", (0, 12)),
        (12, 2, "uniform", (0, 6)),
        (6, 1, "uniform", (0,)),
        (25, 2, "uniform", (0, 12, 24)),
        (51, 3, "uniform", (0, 17, 34)),
        (50, 3, "quad", (0, 10, 40)),
    ],
)
def test_step_list(level, count, skip, wanted):
    assert step_list(level, count, skip) == wanted


def test_step_list_refuses_more_steps_than_levels():
    with pytest.raises(ConfigError, match="1 to start_level=3 sampling steps, got 4"):
        step_list(3, 4)


def test_antithetic_steps_are_mirrored_pairs():
    steps = antithetic_steps(7, 51, torch.Generator().manual_seed(0))
    assert steps.shape == (7,)
    assert (steps[4:] == 50 - steps[:3]).all()
    assert ((steps >= 0) & (steps < 51)).all()


def test_unknown_beta_shape_is_refused():
    with pytest.raises(ConfigError, match="got 'cosine'"):
        beta_schedule("cosine", 1e-4, 1e-3, 5)


def test_ddim_needs_noise_for_eta():
    with pytest.raises(ConfigError, match=r"one noise for each of 2 steps with eta=0\.5"):
        ddim(lambda x, t: x, torch.zeros(1, 17, 5), (0, 1), torch.ones(3) * 0.5, eta=0.5)


@pytest.mark.parametrize("prediction", ["eps", "x0"])
def test_ddim_recovers_the_clean_pose_from_a_perfect_network(prediction):
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 3, 17, 3, generator=generator)
    signal = torch.tensor([1.0, 0.9, 0.5, 0.2])
    start = 0.2**0.5 * clean + 0.8**0.5 * noise
    answer = {"eps": noise, "x0": clean}[prediction]
    path = ddim(lambda x, t: answer, start, (0, 1, 2), signal, prediction=prediction)
    torch.testing.assert_close(path.states[-1], clean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(path.states[1], 0.5**0.5 * (clean + noise), rtol=1e-5, atol=1e-5)


def test_components_are_drawn_by_their_weights():
    weights = torch.tensor([0.2, 0.0, 0.5, 0.3])
    mixture = torch.zeros(20_000, 3, 4, 5)
    mixture[..., 0] = 2 * weights
    uniform = torch.rand(20_000, 3, generator=torch.Generator().manual_seed(0))
    share = torch.bincount(draw_components(mixture, uniform).flatten(), minlength=4) / 60_000
    torch.testing.assert_close(share, weights, rtol=0, atol=0.01)
    assert share[1] == 0
    edges = torch.tensor([[0.0, 0.19, 0.21], [0.69, 0.71, 0.9999999]])
    assert draw_components(mixture[:2], edges).tolist() == [[0, 0, 2], [2, 3, 3]]


@pytest.mark.parametrize("skeleton", [H36M_17, HUMANEVA_15], ids=lambda s: s.name)
def test_fused_basis_is_the_sum_of_polynomials(skeleton):
    basis = chebyshev_basis(laplacian(adjacency(skeleton))).float()
    torch.testing.assert_close(adjacency(skeleton).sum(1), torch.ones(len(skeleton)).double())
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, len(skeleton), 3, generator=generator)
    weight = torch.randn(3, 3, 4, generator=generator)
    wanted = sum(basis[k] @ x @ weight[k] for k in range(3)) + 1
    got = kernels.convolve(x, fused_basis(skeleton), weight, torch.ones(4))
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_units_are_inverse():
    pixels = 1000 * torch.rand(2, 17, 2)
    pose, size = torch.randn(2, 17, 3) * 500, torch.tensor([[1000.0, 1002], [640, 480]])
    screen = to_network_units(pixels[:, None], size)[:, 0]
    torch.testing.assert_close(screen[1, :, 1], pixels[1, :, 1] / 320 - 0.75)
    back = denormalize_screen(screen, size)
    torch.testing.assert_close(back, pixels, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(from_network_units(pose / 1000), pose)


# --- hand-written gradients ------------------------------------------------------------------


def doubles(*shape):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)


def test_normalize():
    x, gain, offset = doubles(2, 3, 6), doubles(6), doubles(1, 6).flatten()
    plain = gain * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6) + offset
    torch.testing.assert_close(kernels.normalize(x, gain, offset), plain)
    assert torch.autograd.gradcheck(kernels.normalize, (x, gain, offset))
    small = (1e-6 * x).detach().requires_grad_()
    plain = gain * (small - small.mean(-1, keepdim=True)) / (small.std(-1, keepdim=True) + 1e-6)
    torch.testing.assert_close(kernels.normalize(small, gain, offset), plain + offset)
    (wanted,) = torch.autograd.grad(plain.square().sum(), small)
    answer = kernels.normalize(small, gain, offset) - offset
    (got,) = torch.autograd.grad(answer.square().sum(), small)
    torch.testing.assert_close(got, wanted, rtol=1e-6, atol=0)
    flat = kernels.normalize(torch.ones(2, 6), torch.ones(6), torch.zeros(6))
    assert (flat == 0).all()


@pytest.mark.parametrize("activate", [False, True])
def test_convolve_gradients(activate):
    basis = fused_basis(H36M_17).double()
    arguments = (doubles(2, 17, 3), basis, doubles(3, 3, 4), doubles(4))
    assert torch.autograd.gradcheck(lambda *a: kernels.convolve(*a, activate=activate), arguments)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_the_textbooks(masked):
    qkv = doubles(2, 5, 24)
    mask = torch.tensor([[[True, True, False, True, True]]]) if masked else None
    query, key, value = (p.unflatten(-1, (2, 4)).transpose(1, 2) for p in qkv.chunk(3, dim=-1))
    wanted = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, None if mask is None else mask[:, None]
    )
    got = kernels.attend(qkv, 2, mask, 0.0)
    torch.testing.assert_close(got, wanted.transpose(1, 2).flatten(2))
    assert torch.autograd.gradcheck(lambda x: kernels.attend(x, 2, mask, 0.0), (qkv,))


def test_gradients_with_dropout():
    """With the same draws, the function is smooth almost everywhere."""

    def seeded(call):
        def run(*arguments):
            torch.manual_seed(0)
            return call(*arguments)

        return run

    basis = fused_basis(H36M_17).double()
    convolve = seeded(functools.partial(kernels.convolve, activate=True, rate=0.5))
    assert torch.autograd.gradcheck(
        convolve, (doubles(2, 17, 3), basis, doubles(3, 3, 4), doubles(4))
    )
    attend = seeded(lambda x: kernels.attend(x, 2, None, 0.5))
    assert torch.autograd.gradcheck(attend, (doubles(2, 5, 24),))


def test_second_derivatives_are_refused():
    x = doubles(2, 6)
    answer = kernels.normalize(x, torch.ones(6).double(), torch.zeros(6).double())
    (gradient,) = torch.autograd.grad(answer.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_dropout_acts_in_training_only():
    network = Denoiser(5, 5, H36M_17, SIZE)
    x, t = torch.randn(3, 17, 5), torch.zeros(3)
    assert not torch.equal(network(x, t), network(x, t))
    network.eval()
    assert torch.equal(network(x, t), network(x, t))


def test_one_step_for_all_is_a_step_for_each():
    network = Denoiser(5, 5, H36M_17, SIZE).eval()
    x = torch.randn(3, 17, 5)
    torch.testing.assert_close(network(x, torch.full((3,), 7.0)), network(x, torch.tensor([7.0])))


def test_autocast_keeps_the_kernels_in_float32():
    refiner = make_refiner()
    uv, xyz = torch.rand(4, 17, 2), torch.randn(4, 17, 3)
    torch.manual_seed(0)
    plain = refiner.loss(uv, xyz)
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = refiner.loss(uv, xyz)
    mixed.backward()
    torch.testing.assert_close(mixed.float(), plain, rtol=0.05, atol=0)
    assert all(torch.isfinite(p.grad).all() for p in refiner.denoiser.parameters())


def test_negative_column_sums_stay_finite():
    layer = GraphNet(8, 17)
    with torch.no_grad():
        layer.adjacency[:, 3] = -1.0
    layer(torch.randn(2, 17, 8)).square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())
