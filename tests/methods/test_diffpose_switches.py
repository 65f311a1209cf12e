"""DiffPose's other switches: what is predicted, what the denoiser hears, its form, ablations."""

import math
from dataclasses import replace

import pytest
import torch
from yaml import safe_load

from lifting.errors import ConfigError
from lifting.experiment.load import load_experiment, method_config
from lifting.methods.diffpose import refiner as refiner_module
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.denoiser import Given, denoise, told_of
from lifting.methods.diffpose.diffusion import add_noise, ddim
from lifting.methods.diffpose.layers import CrossAttention
from lifting.methods.diffpose.module import Module
from lifting.methods.diffpose.network import Conditioning, Denoiser, NetworkSize
from lifting.methods.diffpose.refiner import Refiner
from lifting.methods.settings import ModuleSettings
from lifting.skeleton import H36M_17

SMALL = Config(hidden=8, layers=2, hypotheses=3, dropout=0.0, inner_dropout=0.0)
KINDS = ("none", "add", "concat", "cross_attention")


def disturb(module, by=0.2):
    """The module in evaluation mode, with weights that do something."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return module.eval()


def make_refiner(config):
    torch.manual_seed(0)
    return disturb(Refiner(config, H36M_17))


@pytest.fixture
def poses():
    generator = torch.Generator().manual_seed(0)
    xyz = 0.3 * torch.randn(5, 17, 3, generator=generator)
    return xyz[..., :2] / 3, xyz - xyz[:, :1]


# --- configuration ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"denoiser_layers": 0}, "method.denoiser_layers to be at least 1, or null"),
        ({"depth_components": 0}, "method.depth_components to be at least 1"),
        ({"posterior_sharpness": -1.0}, "method.posterior_sharpness to be not negative"),
        ({"process": "once", "prediction": "eps"}, "'x0' with process 'once'"),
        ({"process": "stacked", "tto_latent": "noise"}, "'conditioning' with process 'stacked'"),
        ({"oracle_root": True}, "false with aggregation 'mean', which projects nothing"),
    ],
)
def test_config_refuses(change, message):
    with pytest.raises(ConfigError, match=message):
        Config(**change)


OVERRIDES = (
    "representation=uvxyz", "representation=xyz", "forward_noise=gmm", "forward_noise=gaussian",
    "forward_noise=gaussian_scaled", "diffusion_steps=60", "beta_shape=sigmoid", "beta_end=0.1",
    "prediction=eps", "prediction=x0", "prediction=next", "init=context_point",
    "init=context_noise", "init=mixture", "init=unit", "conditioning=none", "conditioning=add",
    "conditioning=concat", "conditioning=cross_attention", "conditioning_on=pose",
    "conditioning_on=feature", "context_frozen=false", "denoiser_layers=3", "block=paper",
    "block=released", "dropout=0.1", "hypotheses=2", "aggregation=median",
    "aggregation=best_joint", "aggregation=best_pose", "aggregation=posterior",
    "sampling_steps=7", "start_level=30", "eta=0.5", "skip=quad", "mixture=degenerate",
    "mixture=confidence", "mixture=synthetic", "depth=context", "depth=statistics",
    "process=once", "process=stacked", "student=consistency",
)  # fmt: skip


@pytest.fixture(scope="module", params=["diffpose", "diffpose_paper"])
def experiment(request):
    size = ["method.hidden=8", "method.layers=1", "method.context_epochs=0"]
    return load_experiment(request.param, size).method


@pytest.mark.parametrize("override", OVERRIDES)
def test_every_switch_is_an_override(experiment, override, make_batch, without_trainer):
    key, value = override.split("=")
    config = method_config({**experiment, key: safe_load(value)})
    assert str(getattr(config, key)).lower() == value
    module = without_trainer(Module(config, ModuleSettings("diffpose")))
    batch = make_batch()
    module.begin_stage(module.stages()[-1])
    module.train()
    module.training_step(batch, 0).backward()
    with torch.no_grad():
        answer = module.eval().predict(batch)
    assert answer.joints_3d.shape == (8, 1, 17, 3)
    assert answer.joints_3d.isfinite().all()
    assert answer.hypotheses.shape[1] == config.hypotheses


# --- what is predicted -----------------------------------------------------------------------


@pytest.mark.parametrize("centre", ["origin", "context"])
@pytest.mark.parametrize("prediction", ["eps", "x0", "next"])
def test_loss_of_each_prediction(prediction, centre, poses, monkeypatch):
    uv, xyz = poses
    refiner = make_refiner(replace(SMALL, prediction=prediction, centre=centre))
    steps = torch.tensor([0, 1, 20, 49, 50])
    unit = torch.randn(xyz.shape, generator=torch.Generator().manual_seed(2))
    monkeypatch.setattr(torch, "randn_like", lambda _: unit)
    monkeypatch.setattr(refiner_module, "antithetic_steps", lambda *_: steps)
    answers = []
    refiner.denoiser.register_forward_hook(lambda _, inputs, out: answers.append((inputs[0], out)))
    with torch.no_grad():
        loss = refiner.loss(uv, xyz)
        mu = refiner.lift(uv) if centre == "context" else torch.zeros_like(xyz)
    noise, wanted = 0.05 * unit, []
    for i, step in enumerate(steps.tolist()):
        before = refiner.signal[step]  # entry t + 1 is that of step t
        wanted.append(
            {
                "eps": noise[i],
                "x0": xyz[i] - mu[i],
                "next": before.sqrt() * (xyz[i] - mu[i]) + (1 - before).sqrt() * noise[i],
            }[prediction]
        )
    (given, out), wanted = answers[0], torch.stack(wanted)
    if prediction == "next":
        out = out + given[..., 2:5] - mu
        torch.testing.assert_close(wanted[0], (xyz - mu)[0])
    torch.testing.assert_close(loss, (out - wanted).square().sum((1, 2)).mean())


@pytest.mark.parametrize("steps", [(0, 1, 2, 3), (0, 2), (3,), (0, 1, 3)])
@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_next_state_is_as_good_as_the_noise(steps, eta):
    """Of a perfect network all three predictions give the same path, with and without skips."""
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 3, 17, 3, generator=generator, dtype=torch.float64)
    signal = torch.tensor([1.0, 0.9, 0.6, 0.3, 0.05], dtype=torch.float64)
    fresh = [torch.randn_like(clean) for _ in steps]
    start = add_noise(clean, noise, signal[steps[-1] + 1])

    def answer(kind):
        def network(x, t):
            step = int(t)
            share, before = signal[step + 1], signal[step]
            residual = (x - share.sqrt() * clean) / (1 - share).sqrt()
            following = before.sqrt() * clean + (1 - before).sqrt() * residual
            return {"eps": residual, "x0": clean, "next": following}[kind]

        return ddim(network, start, steps, signal, prediction=kind, eta=eta, noise=fresh).states

    wanted = answer("eps")
    torch.testing.assert_close(wanted[-1], clean)
    for kind in ("x0", "next"):
        for got, one in zip(answer(kind), wanted, strict=True):
            torch.testing.assert_close(got, one)


def test_without_skips_the_next_state_is_the_answer():
    signal = torch.tensor([1.0, 0.9, 0.6, 0.3])
    answers = [torch.randn(2, 17, 3) for _ in range(3)]
    path = ddim(
        lambda x, t: answers[int(t)], torch.randn(2, 17, 3), (0, 1, 2), signal, prediction="next"
    )
    for got, wanted in zip(path.states[1:], reversed(answers), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


# --- what the denoiser hears -----------------------------------------------------------------


@pytest.mark.parametrize("on", ["pose", "feature"])
@pytest.mark.parametrize("kind", KINDS)
def test_denoiser_hears_the_context_or_not(kind, on, poses):
    uv, _ = poses
    config = replace(SMALL, conditioning=kind, conditioning_on=on)
    refiner = make_refiner(config)
    inputs = {"none": 5, "concat": 5 + (3 if on == "pose" else 8)}.get(kind, 5)
    assert refiner.denoiser.input.weight.shape[1] == inputs
    context = refiner._encode(uv)
    state, t = torch.randn(5, 17, 3), torch.zeros(5)
    change = context._replace(**{on: getattr(context, on) + 0.1})
    other = context._replace(**{"feature" if on == "pose" else "pose": torch.zeros(5, 17, 3)})
    with torch.no_grad():
        plain, moved, deaf = (
            denoise(refiner.denoiser, state, t, Given(uv, told_of(c, config), state))
            for c in (context, change, other)
        )
    assert torch.equal(plain, deaf)
    assert torch.equal(plain, moved) == (kind == "none")


@pytest.mark.parametrize("kind", ["add", "cross_attention", "concat"])
def test_training_uses_the_context(kind, poses):
    """Where the answer is in the context alone, the denoiser learns to take it from there."""
    torch.manual_seed(0)
    config = replace(SMALL, conditioning=kind, centre="origin", xyz_scale=5.0, hidden=16, layers=1)
    refiner = Refiner(config, H36M_17)
    uv = 0.3 * torch.randn(32, 17, 2)
    with torch.no_grad():
        for parameter in refiner.context.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        xyz = refiner.lift(uv)
    optimizer = torch.optim.Adam(refiner.denoiser.parameters(), lr=5e-3)
    losses = []
    for _ in range(80):
        loss = refiner.loss(uv, xyz)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    reached = {
        "add": refiner.denoiser.project, "cross_attention": refiner.denoiser.layers[0].context,
    }.get(kind, refiner.denoiser.input)  # fmt: skip
    assert all(p.grad.abs().max() > 0 for p in reached.parameters())
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_added_context_enters_after_the_input_and_beside_the_step(poses):
    network = disturb(Denoiser(5, 3, H36M_17, NetworkSize(8, 2), Conditioning("add", 3)))
    x, t, context = torch.randn(4, 17, 5), torch.zeros(4), torch.randn(4, 17, 3)
    with torch.no_grad():
        told = context @ network.project.weight.t() + network.project.bias
        time = torch.nn.functional.silu(network.embed(t))
        state = network.input(x, network.basis) + told
        for layer in network.layers:
            state = state + layer.attention(layer.attention_norm(state))
            state = state + layer.graph(layer.graph_norm(state))
            inner = layer.first(state, network.basis, activate=True)
            inner = inner + layer.time(time)[:, None] + told
            state = state + layer.second(inner, network.basis, activate=True)
        wanted = network.output(state, network.basis)
        torch.testing.assert_close(network(x, t, context=context), wanted)


def test_cross_attention_is_that_of_the_textbook():
    layer = disturb(CrossAttention(8, 6, 2, 0.5))
    x, context = torch.randn(3, 17, 8), torch.randn(3, 17, 6)
    with torch.no_grad():
        got = layer(x, context)
        query = layer.query(x)
        key, value = layer.key_value(context).split(8, dim=-1)
        wanted = torch.zeros(3, 17, 8)
        for b in range(3):
            for head in range(2):
                part = slice(4 * head, 4 * head + 4)
                for j in range(17):
                    scores = (key[b, :, part] @ query[b, j, part]) / math.sqrt(4)
                    share = scores.exp() / scores.exp().sum()
                    wanted[b, j, part] = share @ value[b, :, part]
        wanted = layer.out(wanted)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    layer.train()
    assert not torch.equal(layer(x, context), layer(x, context))


def test_cross_attention_stands_after_the_self_attention():
    network = disturb(
        Denoiser(5, 3, H36M_17, NetworkSize(8, 1), Conditioning("cross_attention", 3))
    )
    x, context = torch.randn(4, 17, 8), torch.randn(4, 17, 3)
    (layer,) = network.layers
    with torch.no_grad():
        wanted = x + layer.attention(layer.attention_norm(x))
        wanted = wanted + layer.context(layer.context_norm(wanted), context)
        wanted = wanted + layer.graph(layer.graph_norm(wanted))
        torch.testing.assert_close(layer.attend(x, None, context), wanted)


@pytest.mark.parametrize("frozen", [True, False])
def test_the_context_encoder_can_be_trained_with_the_denoiser(frozen, make_batch, without_trainer):
    torch.manual_seed(0)
    config = replace(SMALL, context_frozen=frozen, context_epochs=0, inner_dropout=0.1)
    module = without_trainer(Module(config, ModuleSettings("diffpose")))
    module.begin_stage(module.stages()[-1])
    module.train()
    assert module.network.context.training == (not frozen)
    with torch.no_grad():
        module.network.denoiser.output.weight.add_(0.1)
    module.training_step(make_batch(), 0).backward()
    reached = [p.grad is not None for p in module.network.context.parameters()]
    assert not any(reached) if frozen else all(reached)
    assert all(p.grad is not None for p in module.network.denoiser.parameters())


# --- the denoiser's form ---------------------------------------------------------------------


def test_blocks_of_the_paper_have_one_attention_and_two_graph_convolutions():
    config = replace(SMALL, layers=5, denoiser_layers=3, block="paper")
    refiner = Refiner(config, H36M_17)
    assert len(refiner.denoiser.layers) == 3
    assert len(refiner.context.layers) == 5
    for layer in refiner.denoiser.layers:
        kinds = [type(m).__name__ for m in layer.children()]
        assert sorted(kinds) == ["Attention", "ChebConv", "ChebConv", "Linear", "Norm"]
    assert all(layer.graph is not None for layer in refiner.context.layers)
    shared = Refiner(replace(config, shared_init=True), H36M_17).denoiser.layers
    assert torch.equal(shared[0].attention.qkv.weight, shared[2].attention.qkv.weight)
    released = Refiner(replace(SMALL, layers=5), H36M_17).denoiser
    assert len(released.layers) == 5


# --- ablations -------------------------------------------------------------------------------


@pytest.mark.parametrize("representation", ["xyz", "uvxyz"])
@pytest.mark.parametrize(("process", "networks"), [("once", 1), ("stacked", 3)])
def test_ablations_without_diffusion(process, networks, representation, poses):
    uv, xyz = poses
    config = replace(SMALL, process=process, representation=representation)
    refiner = make_refiner(config)
    parts = (refiner.denoiser, *refiner.stack)
    assert len(parts) == networks
    assert len({id(p) for part in parts for p in part.parameters()}) == sum(
        len(list(part.parameters())) for part in parts
    )
    with torch.no_grad():
        samples = refiner.sample(uv, seed=0)
        context = refiner.lift(uv)
        centre, state, label = context, context, xyz
        if representation == "uvxyz":
            centre = torch.cat((torch.zeros_like(uv), context), -1)
            state, label = torch.cat((uv, context), -1), torch.cat((uv, xyz), -1)
        for part in parts:
            seen = (state,) if representation == "uvxyz" else (uv, state)
            state = centre + part(torch.cat((*seen, context), -1), torch.zeros(5))
        wanted = state[..., -3:] - state[:, :1, -3:]
        loss = (state - label).square().sum((1, 2)).mean()
        torch.testing.assert_close(refiner.loss(uv, xyz), loss, rtol=1e-5, atol=0)
    torch.testing.assert_close(samples.hypotheses, wanted.expand(3, -1, -1, -1))
    assert not refiner.config.is_random


def test_stacked_networks_are_trained_together(make_batch, without_trainer):
    config = replace(SMALL, process="stacked", context_epochs=2)
    module = without_trainer(Module(config, ModuleSettings("diffpose")))
    with torch.no_grad():
        for part in (module.network.denoiser, *module.network.stack):
            part.output.weight.add_(0.1)
    for stage, trained in zip(module.stages(), (False, True), strict=True):
        module.begin_stage(stage)
        assert {p.requires_grad for p in module.network.stack.parameters()} == {trained}
    module.train()
    module.training_step(make_batch(), 0).backward()
    for part in (module.network.denoiser, *module.network.stack):
        assert all(p.grad is not None and p.grad.isfinite().all() for p in part.parameters())


# --- test-time optimisation ------------------------------------------------------------------


@pytest.mark.parametrize("latent", ["conditioning", "noise"])
@pytest.mark.parametrize("depth", ["context", "statistics"])
@pytest.mark.parametrize("aggregation", ["best_joint", "posterior"])
def test_published_form_can_be_optimised(aggregation, depth, latent, make_batch):
    torch.manual_seed(0)
    config = replace(
        SMALL, forward_noise="gmm", mixture="synthetic", init="mixture", depth=depth,
        tto_latent=latent, aggregation=aggregation, conditioning="cross_attention",
        conditioning_on="feature",
    )  # fmt: skip
    module, batch = disturb(Module(config, ModuleSettings("diffpose")), 0.03), make_batch()
    latents = {k: (v + 0.01).requires_grad_() for k, v in module.encode(batch).items()}
    pose = module.decode(latents, batch).pose
    (gradient,) = torch.autograd.grad(pose[2].square().sum(), list(latents.values()))
    assert gradient.isfinite().all()
    assert gradient[2].abs().sum() > 0
    assert (gradient[torch.arange(8) != 2] == 0).all()
    with torch.no_grad():
        start = module.decode(module.encode(batch), batch).pose
        torch.testing.assert_close(start, module.predict(batch).joints_3d, rtol=0, atol=1e-2)
