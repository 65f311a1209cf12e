"""DiffPose against reference numbers, in our form and in the benchmark's reference form."""

import copy
import functools
import itertools
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lifting.batch import root_relative
from lifting.geometry.camera import normalize_screen
from lifting.methods.diffpose import refiner as refiner_module
from lifting.methods.diffpose.checkpoint import (
    export_state,
    import_state,
)
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.context import VideoContextEncoder, VideoSize, encode_poses
from lifting.methods.diffpose.diffusion import (
    add_noise,
    beta_schedule,
    cumulative_signal,
    ddim,
    mirror_steps,
    signal_at,
)
from lifting.methods.diffpose.forward import NoiseEnd
from lifting.methods.diffpose.kernels import Spectrum
from lifting.methods.diffpose.layers import (
    adjacency,
    chebyshev_basis,
    fused_basis,
    laplacian,
    step_embedding,
)
from lifting.methods.diffpose.mixture import pick_components
from lifting.methods.diffpose.network import ContextEncoder, Denoiser, NetworkSize
from lifting.methods.diffpose.refiner import Refiner
from lifting.metrics.functional.position import mpjpe, pa_mpjpe
from lifting.nn.mixste import export_mixste_state, import_mixste_state
from lifting.skeleton import H36M_17
from reference.diffpose import ReferenceNetwork, reference_sampling
from reference.mixste import ReferenceMixste

FROZEN = Path(__file__).parent / "data" / "diffpose.npz"
FROZEN_VIDEO = Path(__file__).parent / "data" / "diffpose_video.npz"
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
FORMS = ("ours", "reference")
SLOPE = "grad_after_clip/"


def read(name):
    folder = os.environ.get("LIFTING_GOLDEN")
    if folder is None:
        pytest.skip("set LIFTING_GOLDEN to the folder that holds diffpose/")
    with np.load(Path(folder) / "diffpose" / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}


def official_state(arrays):
    return {k.removeprefix("sd/"): v for k, v in arrays.items() if k.startswith("sd/")}


def depth(arrays):
    return sum(k.startswith("sd/atten_layers.") and k.endswith("A_hat") for k in arrays)


def build(form, arrays, *, timed):
    """Network of one form in evaluation mode, with the weights of a file."""
    weight = arrays["sd/gconv_input.weight"]
    inputs, outputs = weight.shape[2], arrays["sd/gconv_output.weight"].shape[3]
    config = Config(layers=depth(arrays), hidden=weight.shape[3])
    size = NetworkSize.of(config)
    if form == "reference":
        network = ReferenceNetwork(inputs, outputs, H36M_17, config, timed=timed)
    elif timed:
        network = Denoiser(inputs, outputs, H36M_17, size)
    else:
        network = ContextEncoder(H36M_17, size)
    imported = import_state(official_state(arrays), config.layers, timed=timed)
    network.load_state_dict(imported.state)
    return network.eval()


def capture(network, call):
    """Outputs of the first and last layers and of parts of the first, by the file's names."""
    found = {}

    def keep(name, module):
        module.register_forward_hook(lambda _, inputs, out: found.__setitem__(name, out.detach()))

    first, last = network.layers[0], network.layers[-1]
    keep("h_in", network.input)
    keep("norm0", first.attention_norm)
    keep("mhsa0", first.attention)
    keep("graphnet0", first.graph)
    keep("h_gcn0", first)
    keep(f"h_gcn{len(network.layers) - 1}", last)
    first.first.register_forward_hook(
        lambda _, inputs, out: found.__setitem__("h_att0", inputs[0].detach())
    )
    if getattr(network, "embed", None) is not None:
        keep("temb", network.embed)
    with torch.no_grad():
        result = call(network)
    return result, found


def check_activations(arrays, found):
    names = [k for k in arrays if k.startswith("act/")]
    assert names
    for name in names:
        torch.testing.assert_close(found[name.removeprefix("act/")], arrays[name], **TOLERANCE)


@pytest.mark.golden
@pytest.mark.parametrize("shape", ["linear", "quad", "const", "sigmoid", "jsd"])
def test_betas(shape):
    g = read("schedule")
    start, end = g["beta_start"].item(), g["beta_end"].item()
    betas = beta_schedule(shape, start, end, int(g["num_timesteps"])).float()
    torch.testing.assert_close(betas, g[f"betas_{shape}"], rtol=1e-5, atol=1e-9)


@pytest.mark.golden
def test_cumulative_signal():
    g = read("schedule")
    signal = cumulative_signal(g["betas_linear"])
    torch.testing.assert_close(signal[1:], g["alpha_bar"], rtol=1e-6, atol=0)
    torch.testing.assert_close(
        signal_at(signal, g["alpha_bar_query_t"])[:, 0, 0], g["alpha_bar_query"], rtol=1e-6, atol=0
    )
    torch.testing.assert_close(1 - g["betas_linear"], g["alphas"], rtol=1e-6, atol=0)


@pytest.mark.golden
def test_graph():
    g = read("graph")
    assert {frozenset(e) for e in g["edges"].tolist()} == {frozenset(b) for b in H36M_17.bones}
    matrix = adjacency(H36M_17)
    basis = chebyshev_basis(laplacian(matrix))
    torch.testing.assert_close(matrix.float(), g["adjacency"], rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(laplacian(matrix).float(), g["laplacian"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(basis.float(), g["cheb_basis"], rtol=1e-5, atol=1e-6)
    analysis, synthesis, responses = Spectrum.of(fused_basis(H36M_17))
    fused = synthesis * responses[:, None] @ analysis
    torch.testing.assert_close(fused, g["cheb_basis"], rtol=1e-5, atol=1e-6)


@pytest.mark.golden
def test_timestep_embedding():
    g = read("timestep_embedding")
    torch.testing.assert_close(step_embedding(g["t"], int(g["dim"])), g["emb"], **TOLERANCE)
    odd = step_embedding(g["t"], g["emb_odd_dim"].shape[1])
    torch.testing.assert_close(odd, g["emb_odd_dim"], **TOLERANCE)


@pytest.mark.golden
@pytest.mark.parametrize("form", FORMS)
def test_context_encoder(form):
    g = read("context_frame")
    network = build(form, g, timed=False)
    mask = g["mask"].bool()
    xyz, found = capture(network, lambda n: n(g["uv"], mask=mask))
    torch.testing.assert_close(xyz, g["xyz"], **TOLERANCE)
    check_activations(g, found)
    with torch.no_grad():
        torch.testing.assert_close(network(g["uv"]), g["xyz"], **TOLERANCE)


@pytest.mark.golden
def test_video_context_encoder():
    g = read("mixste_small")
    official, layers = official_state(g), int(g["cfg/depth"])
    size = VideoSize(
        frames=int(g["cfg/num_frame"]),
        width=int(g["cfg/embed_dim_ratio"]),
        layers=layers,
        heads=int(g["cfg/num_heads"]),
    )
    encoder = VideoContextEncoder(len(H36M_17), size)
    encoder.load_state_dict(import_mixste_state(official, layers))
    encoder.eval()
    exported = export_mixste_state(encoder.state_dict(), layers)
    assert {k: v.shape for k, v in exported.items()} == {k: v.shape for k, v in official.items()}
    with torch.no_grad():
        torch.testing.assert_close(encoder(g["uv_seq"]), g["xyz_seq"], **TOLERANCE)
    mirror = torch.arange(len(H36M_17))
    mirror[g["joints_left"]], mirror[g["joints_right"]] = g["joints_right"], g["joints_left"]
    assert mirror.tolist() == list(H36M_17.flip_index)
    with torch.no_grad():
        averaged = encode_poses(encoder, g["uv_seq"].flatten(0, 1), H36M_17, flip=True).pose
    wanted = root_relative(g["xyz_seq_flip_avg"], H36M_17.root)
    torch.testing.assert_close(averaged.view_as(wanted), wanted, **TOLERANCE)


@pytest.mark.golden
def test_video_context_encoder_in_reference_form():
    g = read("mixste_small")
    size = VideoSize(
        frames=int(g["cfg/num_frame"]),
        width=int(g["cfg/embed_dim_ratio"]),
        layers=int(g["cfg/depth"]),
        heads=int(g["cfg/num_heads"]),
    )
    encoder = ReferenceMixste(len(H36M_17), size).eval()
    encoder.load_state_dict(official_state(g))
    with torch.no_grad():
        torch.testing.assert_close(encoder(g["uv_seq"]), g["xyz_seq"], **TOLERANCE)


@pytest.mark.golden
@pytest.mark.parametrize("form", FORMS)
def test_denoiser(form):
    g = read("denoiser_frame")
    network = build(form, g, timed=True)
    noise, found = capture(network, lambda n: n(g["x_t"], g["t"], g["mask"].bool()))
    torch.testing.assert_close(noise, g["eps_pred"], **TOLERANCE)
    check_activations(g, found)
    with torch.no_grad():
        partial = network(g["x_t"], g["t"], g["mask_partial"].bool())
    torch.testing.assert_close(partial, g["eps_pred_partial_mask"], **TOLERANCE)


class Kinks(TorchDispatchMode):
    """Records the inputs of the ReLUs, and puts some of their outputs on a side of the kink.

    It sees both forms alike: a function, and a kernel with a hand-written gradient, both of which
    read the side from the output. The ReLU of a ReLU's output has no kink of its own.

    Args:
        sides: (ReLU in order of call, flat index) -> True where the slope shall be one.
    """

    def __init__(self, sides=None):
        super().__init__()
        self.sides = sides or {}
        self.inputs, self.outputs = [], []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        is_relu = function in (torch.ops.aten.relu.default, torch.ops.aten.relu_.default)
        if not is_relu or any(args[0].data_ptr() == out.data_ptr() for out in self.outputs):
            return function(*args, **(kwargs or {}))
        call = len(self.inputs)
        self.inputs.append(args[0].detach().clone())
        out = function(*args, **(kwargs or {}))
        flat = out.view(-1)
        for (where, unit), is_on in self.sides.items():
            if where == call:
                flat[unit] = flat[unit].clamp(min=torch.finfo(out.dtype).tiny) if is_on else 0
        self.outputs.append(out)  # kept, so that no later tensor lies at its address
        return out


def relu_inputs(network, dtype, state, t):
    """Inputs of the ReLUs, computed in one precision."""
    network = copy.deepcopy(network).to(dtype)
    network.embed.first.register_forward_pre_hook(lambda _, inputs: (inputs[0].to(dtype),))
    kinks = Kinks()
    with kinks, torch.no_grad():
        network(state.to(dtype), t)
    return kinks.inputs


def units_at_a_kink(network, state, t):
    """Activations on which two computations in single precision need not agree, as in `sides`.

    Those within 1e-6 of zero; and, as sums of large numbers are rounded by more, those that are
    nearer to zero than two errors of their ReLU's inputs: ours, and as much for the reference.
    """
    found = []
    exact = relu_inputs(network, torch.float64, state, t)
    for call, (x, rounded) in enumerate(
        zip(exact, relu_inputs(network, torch.float32, state, t), strict=True)
    ):
        window = max(1e-6, 2 * (rounded - x).abs().max().item())
        found += [(call, i) for i in (x.flatten().abs() <= window).nonzero()[:, 0].tolist()]
    return found


class Slopes(NamedTuple):
    loss: torch.Tensor
    norm: torch.Tensor
    gradients: dict[str, torch.Tensor]


def clipped_slopes(network, layers, state, t, noise, sides):
    """Loss and clipped gradients, which stay in the network, with units put on their sides."""
    network.zero_grad()
    with Kinks(sides):
        answer = network(state, t)
    loss = (noise - answer).square().sum(dim=(1, 2)).mean()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    gradients = by_official_name(network, layers, lambda p: p.grad.clone())
    return Slopes(loss.detach(), norm, gradients)


def nearest_sides(wanted, units, slopes):
    """Sides of units at a kink for which our gradients are nearest to the wanted ones.

    A gradient at a kink is either of two and nothing between. To first order each unit adds a
    term of its own, and the terms of different units are all but orthogonal among so many
    weights; so units are decided one by one, until no change of one brings it nearer. Whether
    the gradients are equal is for the caller to ask, at the tolerance of all gradients.

    Args:
        wanted: Gradients by official name.
        units: As in :class:`Kinks`; without any this decides nothing.
        slopes: Sides to :class:`Slopes`.
    """

    def distance(sides):
        found = slopes(sides).gradients
        return sum((found[name] - value).square().sum().item() for name, value in wanted.items())

    sides = dict.fromkeys(units, False)
    least, unchanged = distance(sides) if units else 0.0, 0
    while unchanged < len(units):
        for unit in units:
            other = {**sides, unit: not sides[unit]}
            off = distance(other)
            unchanged += 1
            if off < least:
                # Only the units decided before this one are open again.
                least, sides, unchanged = off, other, 1
            if unchanged == len(units):
                break
    return sides


@pytest.mark.golden
@pytest.mark.parametrize("form", FORMS)
def test_forward_noising_loss_step_and_average(form):
    weights, g = read("denoiser_frame"), read("forward_and_loss")
    network, layers = build(form, weights, timed=True), depth(weights)
    betas = read("schedule")["betas_linear"]
    t = mirror_steps(g["t_half"], len(g["t"]), len(betas))
    torch.testing.assert_close(t, g["t"], rtol=0, atol=0)
    share = signal_at(cumulative_signal(betas), t)
    torch.testing.assert_close(share.flatten(), g["alpha_bar_t"], rtol=1e-6, atol=0)
    noise = g["noise_unit"] * g["noise_scale"]
    torch.testing.assert_close(noise, g["noise_scaled"], **TOLERANCE)
    state = add_noise(g["x0_uvxyz"], noise, share)
    torch.testing.assert_close(state, g["x_t"], **TOLERANCE)
    with torch.no_grad():
        torch.testing.assert_close(network(state, t), g["eps_pred_eval"], **TOLERANCE)
    step = functools.partial(clipped_slopes, network, layers, state, t, noise)
    units = units_at_a_kink(network, state, t)
    found = step(nearest_sides(given_slopes(g), units, step))
    torch.testing.assert_close(found.loss, g["loss"], **TOLERANCE)
    torch.testing.assert_close(found.norm, g["grad_norm_before_clip"], **TOLERANCE)
    gradients = found.gradients
    checked = check_tensors(g, SLOPE, gradients, atol=1e-6)
    lr = g["lr"].item()
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    before = by_official_name(network, layers, lambda p: p.detach().clone())
    optimizer.step()
    after = by_official_name(network, layers, lambda p: p.detach())
    checked += check_tensors(g, "param_after_step/", after, atol=1e-5, firm=gradients, reach=lr)
    averaged = {k: 0.999 * v + 0.001 * after[k] for k, v in before.items()}
    checked += check_tensors(
        g, "ema_after_step/", averaged, atol=1e-6, firm=gradients, reach=0.001 * lr
    )
    assert checked == sum(k.startswith(("grad", "param_", "ema_")) for k in g) - 1


def given_slopes(arrays):
    return {k.removeprefix(SLOPE): v for k, v in arrays.items() if k.startswith(SLOPE)}


@pytest.mark.golden
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("shift", [5e-7, -5e-7])
def test_a_gradient_at_a_kink_is_on_either_side_of_it(form, count, shift):
    weights, g = read("denoiser_frame"), read("forward_and_loss")
    network, layers = build(form, weights, timed=True), depth(weights)
    state, t = g["x_t"], g["t"]
    forced = put_at_kinks(network, state, t, count, shift)
    units, names = units_at_a_kink(network, state, t), given_slopes(g)
    assert set(forced) <= set(units)

    @functools.cache
    def known(sides):
        return clipped_slopes(network, layers, state, t, g["noise_scaled"], dict(sides))

    def slopes(sides):
        return known(tuple(sorted(sides.items())))

    def reference(*sides):
        others = dict.fromkeys(units, False)
        found = slopes({**others, **dict(zip(forced, sides, strict=True))}).gradients
        return {f"{SLOPE}{name}": found[name] for name in names}

    def check(arrays):
        found = slopes(nearest_sides(given_slopes(arrays), units, slopes))
        return check_tensors(arrays, SLOPE, found.gradients, atol=1e-6)

    every = [reference(*sides) for sides in itertools.product((False, True), repeat=count)]
    for one in every:
        assert check(one) == len(names)
    off, on = every[0], every[-1]
    between = {k: (off[k] + on[k]) / 2 for k in off}
    with pytest.raises(AssertionError, match="not close"):
        check(between)
    for name in on:
        moved = {**on, name: on[name].clone()}
        moved[name].view(-1)[0] += 1e-5 + 1e-3 * moved[name].view(-1)[0].abs()
        with pytest.raises(AssertionError, match="not close"):
            check(moved)


def put_at_kinks(network, state, t, count, shift):
    """Biases of the first layer's feed-forward, so that a unit each lies beside zero.

    The units are those to which the answer is most sensitive, so that the sides are apart.
    """
    bias = network.layers[0].graph.expand.bias
    weight = network.layers[0].graph.contract.weight
    units = []
    for channel in weight.detach().norm(dim=0).argsort(descending=True)[:count].tolist():
        x = relu_inputs(network, torch.float64, state, t)[0][..., channel].flatten()
        sample = x.abs().argmin().item()  # the least shift, which changes no other unit's side
        with torch.no_grad():
            bias[channel] += shift - x[sample]
        units.append((0, sample * len(bias) + channel))
    return units


def by_official_name(network, layers, value):
    tensors = {name: value(p) for name, p in network.named_parameters()}
    return export_state(tensors, layers, timed=True)


def check_tensors(arrays, prefix, tensors, *, atol, firm=None, reach=0.0):
    """Compare the entries of one kind, after Adam's first step only where the gradient is firm.

    Elsewhere its sign is not determined, nor which of the two places at `reach` it leads to.
    """
    names = [k for k in arrays if k.startswith(prefix)]
    for name in names:
        official = name.removeprefix(prefix)
        got, wanted = tensors[official], arrays[name]
        if firm is not None:
            keep = firm[official].abs() > 1e-5
            assert keep.any()
            torch.testing.assert_close(got[~keep], wanted[~keep], rtol=1e-4, atol=atol + 2 * reach)
            got, wanted = got[keep], wanted[keep]
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=atol)
    return len(names)


@pytest.mark.golden
@pytest.mark.parametrize("form", FORMS)
def test_ddim(form):
    g = read("ddim")
    network = build(form, read("denoiser_frame"), timed=True)
    signal = cumulative_signal(g["betas"])
    cases = sorted({k.split("/")[0] for k in g if k.endswith("/seq")})
    assert cases
    for case in cases:
        with torch.no_grad():
            path = ddim(
                network,
                g["x_T"],
                g[f"{case}/seq"].tolist(),
                signal,
                eta=g[f"{case}/eta"].item(),
                noise=list(g[f"{case}/noise"]),
            )
        torch.testing.assert_close(torch.stack(path.states), g[f"{case}/xs"], **TOLERANCE)
        torch.testing.assert_close(torch.stack(path.clean), g[f"{case}/x0_preds"], **TOLERANCE)


@pytest.mark.golden
def test_pipeline():
    g, context, denoiser = read("pipeline_frame"), read("context_frame"), read("denoiser_frame")
    start, steps = read("schedule"), tuple(g["seq"].tolist())
    config = Config(
        layers=depth(context),
        representation="uvxyz",
        conditioning="none",
        centre="origin",
        prediction="eps",
        init="context_point",
        diffusion_steps=int(start["num_timesteps"]),
        beta_start=start["beta_start"].item(),
        beta_end=start["beta_end"].item(),
        hypotheses=int(g["hypotheses"]),
    )
    refiner = Refiner(config, H36M_17).eval()
    refiner.steps = steps
    for network, arrays, timed in (
        (refiner.context, context, False),
        (refiner.denoiser, denoiser, True),
    ):
        imported = import_state(official_state(arrays), config.layers, timed=timed)
        network.load_state_dict(imported.state)
    with torch.no_grad():
        samples = refiner.sample(g["uv"], seed=0)
    torch.testing.assert_close(samples.context, g["context_xyz_rootrel"], **TOLERANCE)
    answer = samples.hypotheses.mean(dim=0)
    torch.testing.assert_close(answer, g["xyz_rootrel"], **TOLERANCE)
    centred = root_relative(g["uvxyz_mean"][..., 2:], H36M_17.root)
    torch.testing.assert_close(answer, centred, **TOLERANCE)
    target = root_relative(g["gt_xyz"], H36M_17.root)
    for measure, name in ((mpjpe, "mpjpe_mm"), (pa_mpjpe, "p_mpjpe_mm")):
        value = measure(1000 * answer, 1000 * target)
        torch.testing.assert_close(value.float().mean(), g[name], rtol=1e-4, atol=1e-3)


@pytest.mark.golden
def test_pipeline_in_reference_form():
    g, betas = read("pipeline_frame"), read("schedule")["betas_linear"]
    networks = (
        build("reference", read(f"{name}_frame"), timed=name == "denoiser")
        for name in ("context", "denoiser")
    )
    with torch.no_grad():
        poses = reference_sampling(*networks, g["uv"], betas, g["seq"].tolist())
    torch.testing.assert_close(poses, g["xyz_rootrel"][None], **TOLERANCE)


@pytest.mark.golden
def test_mixture_selection():
    g = read("gmm_sampling")
    component = pick_components(g["gmm"], g["chosen_component"])
    torch.testing.assert_close(component.mean, g["uv"], rtol=0, atol=0)
    pose = root_relative(g["pose3d_camera"], H36M_17.root)
    torch.testing.assert_close(torch.cat((component.mean, pose), -1), g["uvxyz"], **TOLERANCE)
    scale = torch.cat((component.spread, torch.ones_like(pose)), dim=-1)
    torch.testing.assert_close(scale, g["noise_scale"], rtol=0, atol=0)


@pytest.mark.golden
def test_paper_mixture_forward():
    g = read("paper_gmm_forward")
    place = NoiseEnd(g["mu_selected"], g["sigma_selected"])
    share = g["alpha_bar_k"][:, None, None]
    got = place.noisy(g["h0"], g["eps_scaled"], share)
    torch.testing.assert_close(got, g["h_k"], rtol=1e-6, atol=1e-6)
    # The process of a configuration with that mean, deviation and unit noise is the same.
    unit = g["eps_scaled"] / g["sigma_selected"]
    refiner = Refiner(Config(layers=1, hidden=8, forward_noise="gmm", loss="distance"), H36M_17)
    steps = torch.arange(len(share))
    refiner.signal = torch.cat((torch.ones(1), g["alpha_bar_k"]))
    refiner.process.noise_end = lambda *_: place
    seen = []
    refiner.denoiser.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randn_like", lambda _: unit)
        patch.setattr(refiner_module, "antithetic_steps", lambda *_: steps)
        refiner.loss(torch.zeros(len(steps), 17, 2), g["h0"])
    torch.testing.assert_close(seen[0][..., 2:5], g["h_k"], **TOLERANCE)


@pytest.mark.golden
def test_screen_units():
    g = read("screen_norm")
    size = torch.tensor([g["w"].item(), g["h"].item()], dtype=torch.float32)
    size = size.expand(len(g["pixels"]), 2)
    torch.testing.assert_close(normalize_screen(g["pixels"], size), g["normalised"], **TOLERANCE)


def seeded_refiner(config, frames=1):
    """A network whose weights come from a generator alone, whatever the initialisation is."""
    refiner = Refiner(config, H36M_17, frames).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for _, parameter in sorted(refiner.named_parameters()):
            fan = parameter.shape[-2] if parameter.ndim > 1 else 1
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (0.5 / fan**0.5))
        for name, parameter in refiner.named_parameters():
            if name.endswith((".gain", ".adjacency", "norm.weight")):
                parameter.abs_().add_(0.5)
    return refiner


FROZEN_CASES = {
    "default": Config(layers=2, hidden=16),
    "released": Config(
        layers=2, hidden=16, representation="uvxyz", conditioning="none", centre="origin",
        uv_scale=0.5, xyz_scale=1.0, beta_end=1e-3, prediction="eps", init="context_point",
        sampling_steps=2, start_level=24, hypotheses=1,
    ),
    "noisy": Config(layers=2, hidden=16, eta=0.5, hypotheses=3, skip="quad", beta_shape="quad"),
    "paper": Config(
        layers=2, hidden=16, denoiser_layers=1, block="paper", conditioning="cross_attention",
        conditioning_on="feature", forward_noise="gmm", depth="statistics", init="mixture",
        diffusion_steps=50, start_level=50, sampling_steps=5, hypotheses=3,
        uv_scale=0.02,
    ),
}  # fmt: skip


@pytest.mark.golden
@pytest.mark.parametrize("case", FROZEN_CASES)
def test_own_frozen_output(case):
    """Made by this project's code; guards every later change of it."""
    with np.load(FROZEN, allow_pickle=False) as arrays:
        uv = torch.from_numpy(arrays["uv"])
        wanted = torch.from_numpy(arrays[f"{case}/hypotheses"])
        context = torch.from_numpy(arrays[f"{case}/context"])
    with torch.no_grad():
        samples = seeded_refiner(FROZEN_CASES[case]).sample(uv, seed=3)
    torch.testing.assert_close(samples.context, context, **TOLERANCE)
    torch.testing.assert_close(samples.hypotheses, wanted, **TOLERANCE)


@pytest.mark.golden
def test_own_frozen_video_output():
    """Made by this project's code in double precision; guards every later change of it."""
    with np.load(FROZEN_VIDEO, allow_pickle=False) as arrays:
        uv, context, wanted = (
            torch.from_numpy(arrays[name]) for name in ("uv", "context", "hypotheses")
        )
    config = Config(
        layers=2, hidden=16, hypotheses=3, context="mixste", context_width=16, context_layers=2,
        context_heads=4, context_flip=True,
    )  # fmt: skip
    with torch.no_grad():
        samples = seeded_refiner(config, frames=uv.shape[1]).sample(uv.flatten(0, 1), seed=3)
    torch.testing.assert_close(samples.context, context, **TOLERANCE)
    torch.testing.assert_close(samples.hypotheses, wanted, **TOLERANCE)
