"""DiffPose's latents for test-time optimisation: 2D input and starting noise."""

import math
from dataclasses import replace

import pytest
import torch

from lifting.batch import PoseBatch
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.module import Module
from lifting.methods.settings import ModuleSettings
from lifting.skeleton import H36M_17
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Refinable
from lifting.tto.refine import refine

SMALL = Config(hidden=16, layers=2, hypotheses=3)
RELEASED = replace(
    SMALL, representation="uvxyz", conditioning="none", centre="origin", uv_scale=0.5,
    xyz_scale=1.0, beta_end=1e-3, prediction="eps", init="context_point", sampling_steps=2,
    start_level=24, hypotheses=1,
)  # fmt: skip
FORMS = {
    "default": SMALL,
    "single": replace(SMALL, hypotheses=1),
    "fresh": replace(SMALL, eta=0.5, aggregation="median"),
    "released": RELEASED,
    "released-fresh": replace(RELEASED, eta=1.0, hypotheses=3),
}
LATENTS = ("conditioning", "noise")
forms = pytest.mark.parametrize("form", FORMS)
both = pytest.mark.parametrize("latent", LATENTS)


def make_module(form="default", latent="conditioning", **settings):
    """A module whose denoiser does something, and whose poses are of human size."""
    torch.manual_seed(0)
    config = replace(FORMS[form], tto_latent=latent)
    module = Module(config, ModuleSettings("diffpose", **settings)).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module


def moved(latents, by=0.05):
    generator = torch.Generator().manual_seed(1)
    return {
        name: (value + by * torch.randn(value.shape, generator=generator)).requires_grad_()
        for name, value in latents.items()
    }


@forms
@both
def test_unmoved_latents_decode_to_the_prediction(form, latent, make_batch):
    module, batch = make_module(form, latent), make_batch()
    assert isinstance(module, Refinable)
    with torch.no_grad():
        latents = module.encode(batch)
        decoded, answer = module.decode(latents, batch), module.predict(batch)
    channels = {"conditioning": 2, "noise": 5 if form.startswith("released") else 3}
    assert {k: v.shape for k, v in latents.items()} == {latent: (8, 1, 17, channels[latent])}
    assert set(module.lr_scale) >= set(latents)
    torch.testing.assert_close(decoded.pose, answer.joints_3d, rtol=0, atol=1e-3)
    assert decoded.root is None
    assert (decoded.prior is None) == (latent == "conditioning")


@forms
@both
def test_gradients_reach_each_sample_and_no_other(form, latent, make_batch):
    module, batch = make_module(form, latent), make_batch()
    latents = moved(module.encode(batch))
    decoded = module.decode(latents, batch)
    (gradient,) = torch.autograd.grad(decoded.pose[2].square().sum(), list(latents.values()))
    assert gradient.isfinite().all()
    assert gradient[2].norm(dim=-1).min() > 0
    assert (gradient[torch.arange(8) != 2] == 0).all()


@forms
@both
def test_a_sample_alone_is_decoded_as_in_a_batch(form, latent, make_batch):
    module, batch = make_module(form, latent), make_batch()
    alone = PoseBatch(
        skeleton=H36M_17, keypoints_2d=batch.keypoints_2d[2:3], camera=batch.camera[2:3]
    )
    with torch.no_grad():
        latents = moved(module.encode(batch))
        together = module.decode(latents, batch)
        single = module.decode({k: v[2:3] for k, v in latents.items()}, alone)
    torch.testing.assert_close(single.pose, together.pose[2:3], rtol=1e-5, atol=1e-2)
    if latent == "noise":
        torch.testing.assert_close(single.prior, together.prior[2:3])


@both
def test_every_frame_of_a_window_has_its_latent(latent, make_batch):
    batch = make_batch(frames=3, targets=3)
    with torch.no_grad():
        every = make_module(latent=latent, frames=3, target="all")
        latents = moved(every.encode(batch))
        together = every.decode(latents, batch)
        middle = make_module(latent=latent, frames=3)
        one = middle.decode({k: v[:, 1:2] for k, v in latents.items()}, batch)
    assert latents[latent].shape[:2] == (8, 3)
    torch.testing.assert_close(together.pose[:, 1:2], one.pose, rtol=1e-5, atol=1e-2)


def test_only_the_latent_moves_the_pose(make_batch):
    """The keypoints of the batch count where the noise is the latent, and only there."""
    batch = make_batch()
    other = replace(batch, keypoints_2d=batch.keypoints_2d + 20)
    for latent in LATENTS:
        module = make_module(latent=latent)
        with torch.no_grad():
            latents = module.encode(batch)
            poses = [module.decode(latents, b).pose for b in (batch, other)]
        assert torch.equal(*poses) == (latent == "conditioning")


@pytest.mark.parametrize("form", ["default", "released"])
def test_hypotheses_keep_their_distances_from_the_moved_noise(form, make_batch):
    module, batch = make_module(form, "noise"), make_batch()
    latents, states = module.encode(batch), []
    config, network = module.config, module.network
    network.denoiser.register_forward_pre_hook(lambda _, inputs: states.append(inputs[0]))
    with torch.no_grad():
        context = module.predict(batch).extras["context"][:, 0] / 1000
        change = moved(latents)["noise"]
        module.decode({"noise": change}, batch)
    shape = (config.hypotheses, len(batch))
    before, after = (states[i][..., 2:5].unflatten(0, shape) for i in (0, len(network.steps)))
    size = config.xyz_scale * (1 - network.signal[network.steps[-1] + 1]).sqrt()
    wanted = size * change[:, 0, :, -3:].expand(*shape, -1, -1)
    torch.testing.assert_close(after - before, wanted, rtol=1e-4, atol=1e-6)
    # The released start is the context pose itself, with its whole signal.
    assert torch.allclose(before[0], context, atol=1e-5) == (form == "released")


@pytest.mark.parametrize("form", ["default", "single", "fresh"])
def test_prior_is_the_mean_negative_log_density_of_the_noise(form, make_batch):
    module, batch = make_module(form, "noise"), make_batch()
    table = module.network.sampler.noise(0, 1, torch.device("cpu"))[0]
    start = module.encode(batch)["noise"]
    shifts = moved({"noise": start}, by=1.0)["noise"].detach()
    own = table - table.mean(dim=0, keepdim=True)

    def density(noise):
        full = own + noise[:, 0]
        return full.square().sum((-2, -1)).mean(0) / 2

    with torch.no_grad():
        prior = (
            module.decode({"noise": shifts}, batch).prior
            - module.decode({"noise": start}, batch).prior
        )
    torch.testing.assert_close(prior, density(shifts) - density(start))


def test_expected_error_is_the_spread_of_the_hypotheses(make_batch):
    module, batch = make_module(), make_batch()
    decoded = module.decode(moved(module.encode(batch), by=0), batch)
    with torch.no_grad():
        answer = module.predict(batch)
    error = (answer.sigma * math.sqrt(8 / math.pi)).clamp(min=10)
    assert (error > 10).any()
    torch.testing.assert_close(decoded.log_sigma.exp(), error, rtol=1e-4, atol=5e-3)
    assert decoded.log_sigma[..., 0].exp() == pytest.approx(10)
    assert not decoded.log_sigma.requires_grad


@pytest.mark.parametrize("config", [FORMS["single"], replace(RELEASED, hypotheses=3)])
def test_no_expected_error_where_hypotheses_cannot_differ(config, make_batch):
    module, batch = Module(config, ModuleSettings("diffpose")).eval(), make_batch()
    assert module.decode(module.encode(batch), batch).log_sigma is None


@both
def test_context_stage_moves_the_keypoints(latent, make_batch):
    module, batch = make_module(latent=latent), make_batch()
    module.begin_stage(module.stages()[0])
    latents = moved(module.encode(batch), by=0)
    decoded = module.decode(latents, batch)
    with torch.no_grad():
        torch.testing.assert_close(
            decoded.pose, module.predict(batch).joints_3d, rtol=1e-4, atol=5e-3
        )
    assert decoded.log_sigma is None
    (gradient,) = torch.autograd.grad(decoded.pose.square().sum(), latents["conditioning"])
    assert gradient.abs().min() > 0


def test_decoding_is_differentiable_after_a_prediction_in_inference_mode(make_batch):
    module, batch = make_module("released-fresh", seed=71), make_batch()
    with torch.inference_mode():
        module.predict(batch)
    latents = moved(module.encode(batch))
    module.decode(latents, batch).pose.square().sum().backward()
    assert latents["conditioning"].grad.abs().min() > 0


@pytest.mark.parametrize("root", ["solve", "gt"])
@pytest.mark.parametrize("form", ["default", "released", "released-fresh"])
@both
def test_refine_lowers_its_objective(form, latent, root, make_batch):
    module, batch = make_module(form, latent, flip_test=True), make_batch()
    with torch.no_grad():
        answer = module.infer(batch).joints_3d
    # An untrained network's first answer is nothing to be held to.
    config = TtoConfig(root=root, lr=1e-4, iterations=3, weight_anchor=5e-4)
    result = refine(module, batch, config, flip=True)
    torch.testing.assert_close(result.start, answer, rtol=1e-5, atol=1e-2)
    assert (result.after < result.before).all()
    assert (result.pose - result.start).norm(dim=-1).mean() > 0.01
    assert (result.iterations == 3).all()


def test_prior_holds_the_noise(make_batch):
    module, batch = make_module("single", "noise"), make_batch()
    options = {"weight_projection": 0.0, "weight_anchor": 0.0, "lr": 1e-3}
    result = refine(module, batch, TtoConfig(weight_prior=1.0, **options))
    assert (result.after < 0.95 * result.before).all()
