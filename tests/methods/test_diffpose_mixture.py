"""DiffPose's forward process: where noise leads, where sampling starts, which mixture it is."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from lifting.batch import MIRRORED, collate, flip_batch
from lifting.errors import DataError
from lifting.geometry.camera import normalize_screen
from lifting.methods.diffpose import refiner as refiner_module
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.diffusion import beta_schedule, cumulative_signal
from lifting.methods.diffpose.forward import DepthStatistics, NoiseEnd, PoseMixture
from lifting.methods.diffpose.mixture import Component, batch_mixtures, draw_index, mirror_mixtures
from lifting.methods.diffpose.module import Module
from lifting.methods.diffpose.refiner import Refiner
from lifting.methods.diffpose.sampler import choices, unit_noise
from lifting.methods.settings import ModuleSettings
from lifting.skeleton import H36M_17

SMALL = Config(hidden=8, layers=1, hypotheses=3)
GMM = replace(SMALL, forward_noise="gmm", init="mixture", mixture="given")


def make_refiner(config):
    torch.manual_seed(0)
    refiner = Refiner(config, H36M_17).eval()
    with torch.no_grad():
        for parameter in refiner.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return refiner


@pytest.fixture
def poses():
    generator = torch.Generator().manual_seed(0)
    xyz = 0.3 * torch.randn(6, 17, 3, generator=generator)
    uv = xyz[..., :2] / 3 + torch.tensor([0.2, -0.1])
    mixture = torch.rand(6, 17, 4, 5, generator=generator)
    mixture[..., 1:3] = uv[:, :, None] + 0.1 * (mixture[..., 1:3] - 0.5)
    mixture[..., 3:] *= 0.05
    return uv, xyz - xyz[:, :1], mixture


def seen_in_training(refiner, monkeypatch, uv, xyz, mixture):
    """State, unit noise and steps of one loss, and the uniform numbers that drew components."""
    record = {}

    def spy(name, function):
        def call(*args, **kwargs):
            record[name] = function(*args, **kwargs)
            return record[name]

        return call

    monkeypatch.setattr(torch, "randn_like", spy("unit", torch.randn_like))
    monkeypatch.setattr(torch, "rand", spy("uniform", torch.rand))
    steps = spy("steps", refiner_module.antithetic_steps)
    monkeypatch.setattr(refiner_module, "antithetic_steps", steps)
    refiner.denoiser.register_forward_pre_hook(
        lambda _, inputs, named: record.__setitem__("input", (inputs[0], named["context"])),
        with_kwargs=True,
    )
    refiner.loss(uv, xyz, mixture=mixture)
    return record


def size_of(points):
    """Root mean square distance of 17 points from their mean, ``(batch, 1, 1)``."""
    total = 0
    for j in range(17):
        total = total + ((points[:, j] - points.mean(1)) ** 2).sum(-1)
    return (total / 17).sqrt()[:, None, None]


# --- presets ---------------------------------------------------------------------------------


def test_signal_of_the_released_and_of_the_published_schedule():
    released = cumulative_signal(beta_schedule("linear", 1e-4, 1e-3, 51))
    known = {0: 0.9999, 6: 0.9989, 12: 0.9973, 23: 0.9927, 24: 0.9921, 50: 0.9723}
    for step, share in known.items():
        assert released[step + 1].item() == pytest.approx(share, abs=6e-5)
    paper = cumulative_signal(beta_schedule("linear", 1e-4, 0.2, 50))
    assert paper[-1] < 0.006


# --- the three kinds of noise ----------------------------------------------------------------


@pytest.mark.parametrize("representation", ["xyz", "uvxyz"])
@pytest.mark.parametrize("centre", ["origin", "context"])
@pytest.mark.parametrize("kind", ["gaussian", "gaussian_scaled"])
def test_gaussian_forward_process(kind, centre, representation, poses, monkeypatch):
    uv, xyz, mixture = poses
    config = replace(
        GMM, forward_noise=kind, centre=centre, representation=representation, init="unit"
    )
    refiner = make_refiner(config)
    with torch.no_grad():
        context = refiner.lift(uv)
        seen = seen_in_training(refiner, monkeypatch, uv, xyz, mixture)
    index = draw_index(mixture[..., 0], seen["uniform"][0])
    chosen = mixture[torch.arange(6)[:, None], torch.arange(17), index]
    scale = torch.full((6, 17, 3), config.xyz_scale)
    clean, middle = xyz, context if centre == "context" else torch.zeros_like(xyz)
    if representation == "uvxyz":
        clean = torch.cat((chosen[..., 1:3], xyz), -1)
        middle = torch.cat((torch.zeros(6, 17, 2), middle), -1)
        scale = torch.cat((chosen[..., 3:], scale), -1)
    if kind == "gaussian":
        scale = torch.ones_like(scale)
    share = refiner.signal[seen["steps"] + 1][:, None, None]
    wanted = middle + share.sqrt() * (clean - middle) + (1 - share).sqrt() * scale * seen["unit"]
    beside = [] if representation == "uvxyz" else [uv]
    state, told = seen["input"]
    torch.testing.assert_close(state, torch.cat((*beside, wanted), -1))
    torch.testing.assert_close(told, context)


@pytest.mark.parametrize("representation", ["xyz", "uvxyz"])
@pytest.mark.parametrize("depth", ["context", "statistics"])
def test_published_forward_process(depth, representation, poses, monkeypatch):
    uv, xyz, mixture = poses
    refiner = make_refiner(replace(GMM, depth=depth, representation=representation))
    generator = torch.Generator().manual_seed(5)
    if depth == "statistics":
        refiner.process.endpoint.statistics.fit(0.4 * torch.randn(500, 17, 3, generator=generator))
    with torch.no_grad():
        context = refiner.lift(uv)
        seen = seen_in_training(refiner, monkeypatch, uv, xyz, mixture)
    first, second = seen["uniform"]
    rows, joints = torch.arange(6)[:, None], torch.arange(17)
    chosen = mixture[rows, joints, draw_index(mixture[..., 0], first)]
    mean, spread = chosen[..., 1:3], chosen[..., 3:]
    if depth == "context":
        metres = size_of(context[..., :2]) / size_of(uv)
        across = context[..., :2] + metres * (mean - uv)
        z, deviation = context[..., 2], torch.zeros(6, 17)
    else:
        known = refiner.process.endpoint.statistics
        metres = known.size / size_of(uv)
        across = metres * (mean - uv[:, :1])
        index = draw_index(known.weight.expand(6, 17, -1), second)
        z, deviation = known.mean[joints, index], known.deviation[joints, index]
    mu = torch.cat((across, z[..., None]), -1)
    variance = torch.cat(((metres * spread) ** 2, deviation[..., None] ** 2), -1)
    sigma = (variance + 0.05**2).sqrt()
    clean, beside = xyz, [uv]
    if representation == "uvxyz":
        mu, sigma = torch.cat((mean, mu), -1), torch.cat((spread, sigma), -1)
        clean, beside = torch.cat((mean, xyz), -1), []
    share = refiner.signal[seen["steps"] + 1][:, None, None]
    wanted = mu + share.sqrt() * (clean - mu) + (1 - share).sqrt() * sigma * seen["unit"]
    state, told = seen["input"]
    torch.testing.assert_close(state, torch.cat((*beside, wanted), -1))
    torch.testing.assert_close(told, context)


def test_end_of_the_published_process_has_the_moments_of_the_mixture(poses):
    """Mean and variance over many draws are those of pi, mu and Sigma."""
    uv, _, mixture = (v[:1] for v in poses)
    context = 0.3 * torch.randn(1, 17, 3, generator=torch.Generator().manual_seed(3))
    draws, endpoint = 20_000, PoseMixture(replace(GMM, xyz_scale=0.02), H36M_17)
    uniform = torch.rand(draws, 17, generator=torch.Generator().manual_seed(4))
    index = draw_index(mixture[..., 0], uniform)
    chosen = mixture[0][torch.arange(17), index]
    place = endpoint(uv, context, Component(chosen[..., 1:3], chosen[..., 3:]), None)
    unit = torch.randn(draws, 17, 3, generator=torch.Generator().manual_seed(5))
    state = place.noisy(torch.zeros(draws, 17, 3), unit * place.scale, torch.zeros(()))
    metres = (size_of(context[..., :2]) / size_of(uv))[0, 0, 0]
    share = mixture[0, ..., 0] / mixture[0, ..., 0].sum(-1, keepdim=True)
    mu = (share[..., None] * mixture[0, ..., 1:3]).sum(1)
    second = (share[..., None] * (mixture[0, ..., 3:] ** 2 + mixture[0, ..., 1:3] ** 2)).sum(1)
    mean = context[0, :, :2] + metres * (mu - uv[0])
    deviation = (metres**2 * (second - mu**2) + 0.02**2).sqrt()
    torch.testing.assert_close(state[..., :2].mean(0), mean, rtol=0, atol=3e-3)
    torch.testing.assert_close(state[..., :2].std(0), deviation, rtol=0.03, atol=0)
    torch.testing.assert_close(state[..., 2].mean(0), context[0, :, 2], rtol=0, atol=1e-3)


def test_without_signal_noise_ends_in_the_component():
    place = NoiseEnd(torch.randn(2, 17, 3), torch.rand(2, 17, 3))
    unit = torch.randn(2, 17, 3)
    got = place.noisy(torch.randn(2, 17, 3), unit * place.scale, torch.zeros(2, 1, 1))
    torch.testing.assert_close(got, place.centre + place.scale * unit)


# --- depths of the training set --------------------------------------------------------------


def test_statistics_find_the_depths_and_the_size_of_a_training_set():
    generator = torch.Generator().manual_seed(0)
    front = (torch.rand(4000, 17, generator=generator) < 0.3).float()
    poses = 0.1 * torch.randn(4000, 17, 3, generator=generator)
    poses[..., 2] = 0.4 - 0.8 * front + 0.05 * torch.randn(4000, 17, generator=generator)
    visible = torch.ones(4000, 17, dtype=torch.bool)
    poses[:100], visible[:100, 3] = 50.0, False
    statistics = DepthStatistics(H36M_17, 2)
    statistics.fit(poses, visible)
    order = statistics.mean.argsort(dim=-1)
    weight, mean, deviation = (
        v.gather(1, order) for v in (statistics.weight, statistics.mean, statistics.deviation)
    )
    torch.testing.assert_close(weight, torch.tensor([[0.3, 0.7]]).expand(17, 2), rtol=0, atol=0.03)
    torch.testing.assert_close(mean, torch.tensor([[-0.4, 0.4]]).expand(17, 2), rtol=0, atol=0.01)
    torch.testing.assert_close(deviation, torch.full((17, 2), 0.05), rtol=0, atol=5e-3)
    wanted = size_of(poses[100:, :, :2]).mean()
    torch.testing.assert_close(statistics.size, wanted, rtol=1e-4, atol=0)
    # mirror images count too, so both sides of the body have the same depths
    left, right = H36M_17.left, H36M_17.right
    torch.testing.assert_close(mean[list(left)], mean[list(right)], rtol=0, atol=1e-3)


def test_training_fits_the_statistics_and_the_weights_keep_them(tiny_tracks):
    module = Module(replace(GMM, depth="statistics"), ModuleSettings("diffpose"))
    untouched = module.network.process.endpoint.statistics.mean.clone()

    data = SimpleNamespace(tracks={"train": tiny_tracks}.get)
    module._trainer = SimpleNamespace(datamodule=data)
    module.on_fit_start()
    fitted = module.network.process.endpoint.statistics
    assert not torch.equal(fitted.mean, untouched)
    other = Module(replace(GMM, depth="statistics"), ModuleSettings("diffpose"))
    other.load_state_dict(module.state_dict())
    assert torch.equal(other.network.process.endpoint.statistics.mean, fitted.mean)
    assert Module(GMM, ModuleSettings("diffpose")).network.process.endpoint.statistics is None


# --- starts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["gmm", "gaussian_scaled"])
@pytest.mark.parametrize("init", ["context_point", "context_noise", "mixture", "unit"])
def test_start_of_the_reverse_process(init, noise, poses):
    uv, _, mixture = poses
    config = replace(GMM, init=init, forward_noise=noise, sampling_steps=2)
    refiner, states = make_refiner(config), []
    refiner.denoiser.register_forward_pre_hook(lambda _, inputs: states.append(inputs[0]))
    with torch.no_grad():
        samples = refiner.sample(uv, seed=5, mixture=mixture)
    drawn = 1 if init == "context_point" and noise != "gmm" else 3
    first = states[0][..., 2:5].view(drawn, 6, 17, 3)
    context = samples.context.expand(drawn, 6, 17, 3)
    device = torch.device("cpu")
    unit = unit_noise((1, drawn, 1, 17, 3), 5, device, starts=init != "context_point")[0]
    uniform = choices((2, drawn, 1, 17), 5, device)[0].expand(drawn, 6, 17)
    index = draw_index(mixture[..., 0].expand(drawn, 6, 17, 4), uniform)
    rows, joints = torch.arange(6)[:, None], torch.arange(17)
    chosen = torch.stack([mixture[rows, joints, i] for i in index])
    metres = size_of(samples.context[..., :2]) / size_of(uv)
    mu = context.clone()
    mu[..., :2] += metres * (chosen[..., 1:3] - uv)
    sigma = torch.full((drawn, 6, 17, 3), 0.05)
    sigma[..., :2] = ((metres * chosen[..., 3:]) ** 2 + 0.05**2).sqrt()
    middle, scale = (mu, sigma) if noise == "gmm" else (context, torch.full_like(mu, 0.05))
    share = refiner.signal[refiner.steps[-1] + 1]
    wanted = {
        "context_point": context,
        "context_noise": middle
        + share.sqrt() * (context - middle)
        + (1 - share).sqrt() * scale * unit,
        "mixture": mu + sigma * unit,
        "unit": unit.expand(3, 6, 17, 3) if drawn == 3 else None,
    }[init]
    torch.testing.assert_close(first, wanted, rtol=1e-4, atol=1e-5)
    differ = (samples.hypotheses[0] - samples.hypotheses[1])[:, 1:].abs().mean() > 1e-5
    assert differ == (drawn == 3)


def test_components_are_drawn_evenly_over_the_hypotheses():
    table = choices((2, 20, 1, 17), 3, torch.device("cpu"))
    assert ((table >= 0) & (table < 1)).all()
    part = (table * 20).long().sort(dim=1).values
    assert (part == torch.arange(20)[None, :, None, None]).all()
    assert not torch.equal(table[0], table[1])
    assert not torch.equal(table, choices((2, 20, 1, 17), 4, torch.device("cpu")))


# --- mixtures of a batch ---------------------------------------------------------------------


def of_batch(batch, source):
    uv = normalize_screen(batch.keypoints_2d, batch.camera.size[:, None])
    return batch_mixtures(batch, uv, source, "middle", H36M_17)


def test_a_single_kernel_is_as_wide_as_the_confidence_says(make_batch):
    batch = make_batch()
    batch.confidence = torch.rand(8, 1, 17, generator=torch.Generator().manual_seed(2))
    assert of_batch(batch, "degenerate") is None
    mixtures = of_batch(batch, "confidence")
    assert mixtures.shape == (8, 17, 1, 5)
    pixels, width = batch.keypoints_2d[:, 0], 1000
    box = (pixels.amax(1) - pixels.amin(1)).amax(-1)
    for i, j in ((0, 0), (3, 5), (7, 16)):
        doubt = -math.log(max(0.02, batch.confidence[i, 0, j].item()))
        spread = 0.008 * box[i].item() * math.sqrt(1 + 9 * doubt) / (width / 2)
        u = pixels[i, j, 0].item() * 2 / width - 1
        v = pixels[i, j, 1].item() * 2 / width - 1002 / width
        wanted = torch.tensor([1, u, v, spread, spread])
        torch.testing.assert_close(mixtures[i, j, 0], wanted, rtol=1e-4, atol=1e-5)
    sure = replace(batch, confidence=None)
    assert (of_batch(sure, "confidence")[..., 3] <= mixtures[..., 0, 3:4]).all()


def test_error_model_has_the_other_side(make_batch):
    batch = make_batch()
    mixtures = of_batch(batch, "synthetic")
    assert mixtures.shape == (8, 17, 5, 5)
    torch.testing.assert_close(mixtures[..., 0].sum(-1), torch.ones(8, 17))
    uv = normalize_screen(batch.keypoints_2d, batch.camera.size[:, None])[:, 0]
    torch.testing.assert_close(mixtures[:, :, 0, 1:3], uv)
    torch.testing.assert_close(mixtures[:, :, 4, 1:3], uv[:, list(H36M_17.flip_index)])


def given_batch(make_batch, frames=1):
    batch = make_batch(frames=frames)
    generator = torch.Generator().manual_seed(0)
    mixtures = torch.rand(8, frames, 17, 3, 5, generator=generator)
    mixtures[..., 1:3] = batch.keypoints_2d[..., None, :] + 20 * (mixtures[..., 1:3] - 0.5)
    batch.extras = {"mixtures": mixtures, MIRRORED: torch.zeros(8, dtype=torch.bool)}
    return batch


def test_given_mixtures_are_those_of_the_target_frame(make_batch):
    batch = given_batch(make_batch, frames=3)
    uv = normalize_screen(batch.keypoints_2d[:, 1:2], batch.camera.size[:, None])
    got = batch_mixtures(batch, uv, "given", "middle", H36M_17)
    one = batch.extras["mixtures"][:, 1]
    torch.testing.assert_close(got[..., 1], one[..., 1] / 500 - 1)
    torch.testing.assert_close(got[..., 2], one[..., 2] / 500 - 1.002)
    assert torch.equal(got[..., 3:], one[..., 3:])
    assert torch.equal(got[..., 0], one[..., 0])


def test_mirrored_samples_have_mirrored_mixtures(make_batch):
    batch = given_batch(make_batch)
    turned = flip_batch(batch, H36M_17)
    assert turned.extras[MIRRORED].all()
    got, plain = of_batch(turned, "given"), of_batch(batch, "given")
    wanted = plain[:, list(H36M_17.flip_index)] * torch.tensor([1.0, -1, 1, 1, 1])
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(of_batch(flip_batch(turned, H36M_17), "given"), plain)
    both = collate([batch, turned])
    torch.testing.assert_close(of_batch(both, "given"), torch.cat((plain, wanted)))
    pixels, size = batch.extras["mixtures"], batch.camera.size
    again = mirror_mixtures(mirror_mixtures(pixels, size, H36M_17), size, H36M_17)
    torch.testing.assert_close(again, pixels, rtol=1e-4, atol=1e-4)


def test_extras_without_the_mark_are_marked_when_mirrored(make_batch):
    batch = given_batch(make_batch)
    del batch.extras[MIRRORED]
    assert flip_batch(batch, H36M_17).extras[MIRRORED].all()
    assert flip_batch(make_batch(), H36M_17).extras == {}


def test_missing_mixtures_are_asked_for(make_batch):
    with pytest.raises(DataError, match="lifting data mixtures"):
        of_batch(make_batch(), "given")


@pytest.mark.parametrize("source", ["confidence", "synthetic", "given"])
def test_module_trains_and_answers_with_its_mixture(source, make_batch, without_trainer):
    torch.manual_seed(0)
    config = replace(GMM, mixture=source, context_epochs=0)
    module = without_trainer(Module(config, ModuleSettings("diffpose")))
    batch, heard = given_batch(make_batch), []
    draw = module.network.process.draw

    def listen(uv, mixture, uniform):
        heard.append(mixture)
        return draw(uv, mixture, uniform)

    module.network.process.draw = listen
    module.begin_stage(module.stages()[-1])
    module.train()
    assert module.training_step(batch, 0).isfinite()
    with torch.no_grad():
        answer = module.eval().predict(batch)
    for mixture in heard:
        torch.testing.assert_close(mixture, of_batch(batch, source))
    assert len(heard) == 2
    assert answer.joints_3d.isfinite().all()
    alone = batch.rows(slice(2, 3))
    with torch.no_grad():
        single = module.predict(alone).joints_3d
    torch.testing.assert_close(single, answer.joints_3d[2:3], rtol=1e-4, atol=0.01)
