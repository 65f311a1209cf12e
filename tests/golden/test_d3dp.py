"""D3DP against reference numbers, in our form and in the benchmark's reference form."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from lifting.batch import PoseBatch
from lifting.data.window import chunk_windows, track_of_rows, window_rows
from lifting.geometry.camera import Camera, normalize_screen, project
from lifting.methods.d3dp.checkpoint import TABLES, export_state, import_state
from lifting.methods.d3dp.config import Config
from lifting.methods.d3dp.diffusion import (
    Bounds,
    cosine_betas,
    ends_of,
    noisy,
    signal_shares,
    visited_levels,
)
from lifting.methods.d3dp.module import Module
from lifting.methods.d3dp.network import Denoiser, level_waves
from lifting.methods.settings import ModuleSettings
from lifting.metrics.functional.hypotheses import hypothesis_errors, j_best, p_agg, p_best
from lifting.nn.hypotheses import Posterior, WeightedKeypoints, by_projection, projection_errors
from lifting.nn.mixste import MixsteSize
from lifting.nn.units import flip_screen
from lifting.skeleton import H36M_17, get_skeleton
from reference.d3dp import ReferenceDenoiser, reference_sampling

FROZEN = Path(__file__).parent / "data" / "d3dp.npz"
TOLERANCE = {"rtol": 1e-9, "atol": 1e-11}
HEADS = 8  # of the released configuration
LR, DECAY = 6e-5, 0.1  # released
SD = "sd/"
PREFIX = "pose_estimator."
FORMS = ("ours", "reference")


def read(name):
    folder = os.environ.get("LIFTING_GOLDEN")
    if folder is None:
        pytest.skip("set LIFTING_GOLDEN to the folder that holds d3dp/")
    with np.load(Path(folder) / "d3dp" / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}


def official_state(arrays):
    """Weights by official name, in double precision."""
    return {k.removeprefix(SD): v.double() for k, v in arrays.items() if k.startswith(SD)}


def sampler_config(g, **switches):
    """The configuration of ``sampling.npz``."""
    return Config(
        width=int(g["cfg/cs"]), layers=int(g["cfg/dep"]), heads=HEADS, drop_path=0.0,
        diffusion_steps=int(g["cfg/timestep"]), signal_scale=g["cfg/scale"].item(),
        hypotheses=int(g["cfg/H"]), sampling_steps=int(g["cfg/K"]), **switches,
    )  # fmt: skip


def build_module(g, skeleton="h36m17", **switches):
    """The method in double precision, with the weights of ``sampling.npz``."""
    config, frames = sampler_config(g, **switches), int(g["cfg/frames"])
    settings = ModuleSettings("d3dp", frames=frames, target="all", skeleton=skeleton)
    module = Module(config, settings).double().eval()
    imported = import_state(official_state(g), config)
    assert set(imported.unused) == TABLES
    module.network.load_state_dict(imported.state)
    return module


def all_noise(g):
    """``(steps, hypotheses, batch, frames, joints, 3)``."""
    return torch.cat((g["noise_init"][None], g["noise_steps"])).transpose(1, 2)


def pixel_batch(screen, labels=None):
    """A batch in images of 2 by 2 pixels, in which a pixel is one screen unit."""
    size = torch.full((len(screen), 2), 2.0, dtype=screen.dtype)
    lens = torch.tensor([2.0, 2, 1, 1, 0, 0, 0, 0, 0], dtype=screen.dtype)
    return PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=screen + 1,
        joints_3d=labels,
        camera=Camera(intrinsics=lens.repeat(len(screen), 1), size=size),
    )


# --- schedule --------------------------------------------------------------------------------


@pytest.mark.golden
def test_schedule():
    g = read("schedule")
    kinds = {k.split("/")[0] for k in g if k.endswith("/betas")}
    assert len(kinds) > 1
    for kind in kinds:
        levels = int(g[f"{kind}/num_timesteps"])
        torch.testing.assert_close(cosine_betas(levels), g[f"{kind}/betas"], **TOLERANCE)
        shares = signal_shares(levels)
        torch.testing.assert_close(shares, g[f"{kind}/alphas_cumprod"], rtol=1e-9, atol=1e-15)
        for key in (k for k in g if k.startswith(f"{kind}/times_K")):
            steps = int(key.split("_K")[1])
            assert visited_levels(levels, steps) == tuple(g[key].tolist())
    levels = int(g["main/num_timesteps"])
    for key in (k for k in g if k.startswith("times_K") and k.endswith("_float32")):
        steps = int(key.removeprefix("times_K").removesuffix("_float32"))
        assert visited_levels(levels, steps) == tuple(g[key].tolist())


@pytest.mark.golden
def test_level_waves():
    g = read("schedule")
    names = [k for k in g if k.startswith("time_embedding_")]
    assert names
    for name in names:
        size = int(name.rsplit("_", 1)[1])
        found = level_waves(g["t"].double(), size)
        torch.testing.assert_close(found, g[name], **TOLERANCE)


# --- denoiser --------------------------------------------------------------------------------


def build_denoiser(form, g):
    size = MixsteSize(
        int(g["cfg/num_frame"]), int(g["cfg/embed_dim_ratio"]), int(g["cfg/depth"]),
        int(g["cfg/num_heads"]),
    )  # fmt: skip
    official, joints = official_state(g), int(g["cfg/num_joints"])
    if form == "reference":
        network = ReferenceDenoiser(joints, size).double()
        network.load_state_dict(official)
        return network.eval()
    config = Config(width=size.width, layers=size.layers, heads=size.heads)
    network = Denoiser(joints, size).double()
    named = {f"{PREFIX}{name}": value for name, value in official.items()}
    network.load_state_dict(import_state(named, config).state)
    exported = export_state(network.state_dict(), size.layers)
    assert {k: v.shape for k, v in exported.items()} == {k: v.shape for k, v in named.items()}
    return network.eval()


@pytest.mark.golden
@torch.no_grad()
@pytest.mark.parametrize("form", FORMS)
def test_denoiser(form):
    g = read("denoiser")
    network = build_denoiser(form, g)
    found = network(g["x2d"], g["x3d"], g["t"])
    torch.testing.assert_close(found, g["y"], **TOLERANCE)
    for hypothesis in range(g["x3d_multi"].shape[1]):
        found = network(g["x2d"], g["x3d_multi"][:, hypothesis], g["t"])
        torch.testing.assert_close(found, g["y_multi"][:, hypothesis], **TOLERANCE)


@pytest.mark.golden
@torch.no_grad()
def test_parts_of_the_denoiser():
    g = read("denoiser")
    network, found = build_denoiser("ours", g), {}
    trunk = network.trunk

    def keep(name, module):
        hook = lambda _, inputs, out: found.setdefault(name, out)  # noqa: E731
        module.register_forward_hook(hook)

    keep("act/time_mlp", network.second)
    keep("act/ste0", trunk.over_joints[0])
    keep("act/tte0", trunk.over_frames[0])
    keep("act/temporal_norm0", trunk.frames_norm)
    network(g["x2d"], g["x3d"], g["t"])
    assert set(found) == {k for k in g if k.startswith("act/")}
    for name, value in found.items():
        torch.testing.assert_close(value[: len(g[name])], g[name], **TOLERANCE)


# --- sampling --------------------------------------------------------------------------------


CASES = {
    "flip": ("h36m17", "inside", 1.0),
    "flip_3dhp_mm": ("mpi17", "inside", 1000.0),
    "noflip": ("h36m17", "none", 1.0),
    "flip_K1": ("h36m17", "inside", 1.0),
}


@pytest.mark.golden
@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
def test_sampling(case):
    g = read("sampling")
    skeleton, flip, unit = CASES[case]
    module = build_module(g, skeleton, flip=flip)
    wanted = g[f"{case}/pred"]
    noise = all_noise(g)[: wanted.shape[1]]
    levels = visited_levels(module.config.diffusion_steps, len(noise))
    assert levels[:-1] == tuple(g[f"{case}/times"].tolist())
    mirrored = flip_screen(g["x2d"], get_skeleton(skeleton))
    given = g.get(f"{case}/x2d_flip", g["x2d_flip"] if skeleton == "h36m17" else None)
    torch.testing.assert_close(mirrored, given, rtol=0, atol=0)
    found = torch.stack(module.sample(g["x2d"], noise))  # steps hypotheses batch ...
    torch.testing.assert_close(unit * found.permute(2, 0, 1, 3, 4, 5), wanted, **TOLERANCE)


@pytest.mark.golden
@torch.no_grad()
def test_what_the_denoiser_sees(monkeypatch):
    g = read("sampling")
    module, seen = build_module(g), []
    given = module.denoised
    monkeypatch.setattr(
        module, "denoised", lambda uv, x, level: seen.append(x) or given(uv, x, level)
    )
    module.sample(g["x2d"], all_noise(g))
    found = torch.stack(seen).transpose(1, 2)
    torch.testing.assert_close(found, g["flip/denoiser_input"], **TOLERANCE)


@pytest.mark.golden
@torch.no_grad()
def test_reference_form_samples_the_same():
    g = read("sampling")
    module, noise = build_module(g), all_noise(g)
    size = module.network.trunk.size
    network = ReferenceDenoiser(len(H36M_17), size).double().eval()
    official = export_state(module.network.state_dict(), size.layers)
    network.load_state_dict({k.removeprefix(PREFIX): v for k, v in official.items()})
    levels = visited_levels(module.config.diffusion_steps, len(noise))
    reach = module.config.clamp
    found = reference_sampling(network, g["x2d"], noise, levels, module.shares, H36M_17, reach)
    torch.testing.assert_close(found.permute(2, 0, 1, 3, 4, 5), g["flip/pred"], **TOLERANCE)


@pytest.mark.golden
@torch.no_grad()
@pytest.mark.parametrize(("flip", "ending"), [("inside", ""), ("none", "_noflip")])
def test_one_step(flip, ending):
    g = read("sampling")
    module = build_module(g, flip=flip)
    state, (level,) = g["onestep/x"].transpose(0, 1), set(g["onestep/t"].tolist())
    bounds = module.bounds
    answer = module.denoised(g["x2d"], bounds.limited(state) / bounds.scale, level)
    clean, noise = ends_of(state, answer, module.shares[level].item(), bounds)
    for found, name in ((clean, "x_start"), (noise, "noise")):
        torch.testing.assert_close(
            found.transpose(0, 1), g[f"onestep/{name}{ending}"], **TOLERANCE
        )


@pytest.mark.golden
def test_forward_noising():
    g = read("sampling")
    bounds = Bounds(g["cfg/scale"].item())
    shares = signal_shares(int(g["cfg/timestep"]))[g["onestep/t"]].view(-1, 1, 1, 1)
    clean = g["onestep/q_x_start"]
    found = noisy(clean / bounds.scale, torch.full_like(clean, 0.5), shares, bounds)
    wanted = bounds.limited(g["onestep/q_sample"]) / bounds.scale
    torch.testing.assert_close(found, wanted, **TOLERANCE)


# --- training --------------------------------------------------------------------------------


@pytest.mark.golden
@pytest.mark.parametrize("gradient", ["plain", "released"])
def test_training_step(gradient, monkeypatch):
    g, weights = read("train_step"), read("sampling")
    module, kept = build_module(weights, gradient=gradient), {}
    level, noise = g["h36m/t"], g["h36m/noise"]
    monkeypatch.setattr(torch, "randint", lambda *_, **__: level)
    monkeypatch.setattr(torch, "randn_like", lambda _: noise)
    monkeypatch.setattr(module, "log", lambda name, value, **_: kept.update({name: value}))
    module.network.register_forward_hook(lambda _, given, out: kept.update(x=given[1], y=out))
    batch = pixel_batch(g["x2d"], 1000 * g["h36m/target"])
    optimizer = torch.optim.AdamW(module.network.parameters(), lr=LR, weight_decay=DECAY)
    module.training_step(batch, 0).backward()
    torch.testing.assert_close(kept["x"], g["h36m/x_t"], **TOLERANCE)
    torch.testing.assert_close(kept["y"], g["h36m/pred"], **TOLERANCE)
    torch.testing.assert_close(kept["train/loss"], g["h36m/loss"], **TOLERANCE)
    kind = "official" if gradient == "released" else gradient
    slopes = {name: p.grad for name, p in module.network.named_parameters()}
    found = export_state(slopes, module.config.layers)
    assert_named(g, f"h36m/grad_{kind}/", found, rtol=1e-8, atol=1e-11)
    if gradient == "released":
        optimizer.step()
        after = export_state(dict(module.network.named_parameters()), module.config.layers)
        assert_named(g, "h36m/after/", after, rtol=1e-7, atol=1e-9)


def assert_named(arrays, prefix, found, **tolerance):
    names = [k for k in arrays if k.startswith(prefix)]
    assert len(names) > 1
    for name in names:
        ours = found[f"{PREFIX}{name.removeprefix(prefix).removeprefix(PREFIX)}"].detach()
        torch.testing.assert_close(ours, arrays[name].to(ours), **tolerance)


@pytest.mark.golden
def test_loss_in_millimetres():
    """Its target is divided by 1000 and its answer multiplied, as in our batches."""
    g, weights = read("train_step"), read("sampling")
    module = build_module(weights, "mpi17", gradient="plain")
    case = {k.removeprefix("3dhp_mm/"): v for k, v in g.items() if k.startswith("3dhp_mm/")}
    target = case["target"] / 1000
    share = module.shares[case["t"]].view(-1, 1, 1, 1)
    state = noisy(target, case["noise"], share, module.bounds)
    found = 1000 * module.denoised_once(g["x2d"], target, case["t"], case["noise"])
    torch.testing.assert_close(state, case["x_t"] / unit_of(case, state), **TOLERANCE)
    torch.testing.assert_close(found, case["pred"], rtol=1e-9, atol=1e-8)
    loss = (found - case["target"]).norm(dim=-1).mean()
    torch.testing.assert_close(loss, case["loss"], **TOLERANCE)
    loss.backward()
    norm = torch.stack([p.grad.norm() for p in module.network.parameters()]).norm()
    torch.testing.assert_close(norm, case["grad_norm_plain"], rtol=1e-7, atol=0)
    released = norm * loss.detach()
    torch.testing.assert_close(released, case["grad_norm_official"], rtol=1e-7, atol=0)


def unit_of(case, state):
    """Whether the file has the noisy poses in metres or in millimetres."""
    return 1000.0 if case["x_t"].abs().max() > 10 * state.abs().max() else 1.0


# --- aggregation -----------------------------------------------------------------------------


@pytest.mark.golden
def test_projection_of_the_release():
    g = read("aggregation")
    placed = g["hyp"] + g["root"][:, None, None]
    lens = g["cam"][:, None, None, None].expand(*placed.shape[:-2], -1)
    torch.testing.assert_close(project(placed, lens), g["reproj"], **TOLERANCE)
    linear = project(placed, lens, distort=False)[:, : g["reproj_linear"].shape[1]]
    torch.testing.assert_close(linear, g["reproj_linear"], **TOLERANCE)
    for name, distort in (("clamp_uv", True), ("clamp_uv_linear", False)):
        found = project(g["clamp_X"], g["clamp_cam"], distort=distort)
        torch.testing.assert_close(found, g[name], **TOLERANCE)
    found = normalize_screen(g["px"], torch.tensor([1000.0, 1002.0]).double())
    torch.testing.assert_close(found, g["px_norm_1000x1002"], **TOLERANCE)


@pytest.mark.golden
def test_aggregation():
    g = read("aggregation")
    target, mm = 1000 * g["target"], 1000 * g["hyp"]
    for step in range(mm.shape[1]):
        hypotheses = mm[:, step].transpose(0, 1)
        seen = WeightedKeypoints(g["x2d"], torch.ones_like(g["x2d"][..., 0]), g["cam"][:, None])
        errors = projection_errors(hypotheses, seen, 1000 * g["root"][:, :, 0])
        pose = by_projection(hypotheses, "best_joint", errors, seen.weights, Posterior(0.0, 0))
        torch.testing.assert_close(pose, 1000 * g["j_agg_pose"][:, step], **TOLERANCE)
        others = [joint for joint in range(len(H36M_17)) if joint != H36M_17.root]
        index = errors.argmin(dim=0)[..., others]
        torch.testing.assert_close(index, g["j_agg_index"][:, step][..., others], rtol=0, atol=0)
        for align, prefix in (("none", ""), ("similarity", "p2_")):
            found = hypothesis_errors(mm[:, step], target, align=align)
            chosen = errors.transpose(0, 1).argmin(dim=1, keepdim=True)
            scores = {
                "j_best": j_best(found),
                "p_best_official_batch": p_best(found, "batch"),
                "p_agg": p_agg(mm[:, step], target, align=align),
                "j_agg": found.error.gather(1, chosen).mean(),
            }
            for name, value in scores.items():
                wanted = 1000 * g[f"{prefix}{name}"][step]
                torch.testing.assert_close(value, wanted, rtol=1e-8, atol=1e-9)
        windows = p_best(hypothesis_errors(mm[:, step], target), "sequence")
        wanted = 1000 * g["p_best_official_b1"][step]
        torch.testing.assert_close(windows, wanted, **TOLERANCE)
        valid = g["valid"].expand(target.shape[:-1])
        masked = hypothesis_errors(mm[:, step], target, valid)
        wanted = 1000 * g["p_best_3dhp_valid"][step]
        torch.testing.assert_close(p_best(masked, "batch"), wanted, **TOLERANCE)
        wanted = 1000 * g["p_agg_3dhp_valid"][step]
        torch.testing.assert_close(p_agg(mm[:, step], target, valid), wanted, **TOLERANCE)


@pytest.mark.golden
def test_chunks_of_the_release():
    g = read("chunks")
    frames, cases = int(g["receptive_field"]), {k.split("/")[0] for k in g if "/chunks_2d" in k}
    assert len(cases) > 2
    for case in cases:
        length = g[f"{case}/x2d"].shape[1]
        offsets = torch.tensor([0, length])
        middle = chunk_windows(offsets, frames).middle
        assert track_of_rows(offsets).tolist() == [0] * length
        ends = torch.zeros_like(middle), torch.full_like(middle, length - 1)
        rows = window_rows(middle, *ends, frames, 1)
        for name in ("2d", "3d"):
            found = g[f"{case}/x{name}"][0][rows]
            torch.testing.assert_close(found, g[f"{case}/chunks_{name}"], rtol=0, atol=0)


# --- own -------------------------------------------------------------------------------------


FROZEN_CONFIG = Config(
    width=16, layers=2, heads=4, diffusion_steps=50, hypotheses=3, sampling_steps=2, root="truth"
)


def frozen_module():
    """Weights come from a generator alone, whatever the initialisation is."""
    settings = ModuleSettings("d3dp", frames=5, target="all", seed=3)
    module = Module(FROZEN_CONFIG, settings).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters()):
            fan = parameter.shape[-1] if parameter.ndim > 1 else 4
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / fan**0.5)
            if name.endswith("norm.weight"):
                parameter.abs_().add_(0.5)
    return module


def frozen_batch():
    generator = torch.Generator().manual_seed(5)
    labels = 300 * torch.randn(2, 5, 17, 3, generator=generator)
    labels[..., 2] += 4500
    lens = torch.tensor([1145.0, 1143, 512, 515, -0.2, 0.24, 0, 0.001, 0]).repeat(2, 1)
    camera = Camera(intrinsics=lens, size=torch.tensor([1000.0, 1002]).repeat(2, 1))
    pixels = project(labels, lens[:, None])
    return PoseBatch(skeleton=H36M_17, keypoints_2d=pixels, joints_3d=labels, camera=camera)


@pytest.mark.golden
@torch.no_grad()
def test_own_frozen_output():
    """Made by this project's code; guards every later change of it."""
    answer = frozen_module().infer(frozen_batch())
    found = {
        "hypotheses": answer.hypotheses,
        "joints_3d": answer.joints_3d,
        "sigma": answer.sigma,
        "oracle_root": answer.extras["oracle_root"],
    }
    with np.load(FROZEN, allow_pickle=False) as arrays:
        assert set(arrays.files) == set(found)
        for name, value in found.items():
            wanted = torch.from_numpy(arrays[name])
            torch.testing.assert_close(value, wanted, rtol=1e-4, atol=1e-2)
