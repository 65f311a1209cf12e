"""3DNBF against reference numbers: renderer, features, likelihood, occlusion windows."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from lifting.data.images.advocc import occluder_windows
from lifting.methods.nbf.contrast import (
    ContrastOptions,
    Rows,
    info_nce,
    noise_regulariser,
    pairwise_background,
    pairwise_kernels,
    pairwise_orientations,
)
from lifting.methods.nbf.features import FeatureBank, Orientation, expected_features
from lifting.methods.nbf.kernels import kernel_hits, pack_symmetric
from lifting.methods.nbf.objective import (
    cosine_scores,
    negative_log_likelihood,
    released_loss,
    vmf_log_density,
    vmf_log_normaliser,
)
from lifting.methods.nbf.render import RenderOptions, render
from lifting.methods.nbf.selection import RayGrid

FROZEN = Path(__file__).parent / "data" / "nbf.npz"
EXACT = {"rtol": 1e-9, "atol": 1e-9}


def read(name):
    folder = os.environ.get("LIFTING_GOLDEN")
    if folder is None:
        pytest.skip("set LIFTING_GOLDEN to the folder that holds nbf/")
    with np.load(Path(folder) / "nbf" / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}


# Renderer


def scene(g, dtype=torch.float64):
    grid = RayGrid(
        int(g["height"]),
        int(g["width"]),
        g["focal"].expand(1, 2).to(dtype),
        torch.stack((g["cx"], g["cy"]))[None].to(dtype),
    )
    return g["means"][None].to(dtype), torch.linalg.inv(g["covs"])[None].to(dtype), grid


def rendered(g, count, dtype=torch.float64, **options):
    means, precisions, grid = scene(g, dtype)
    # The reference misses no kernel, however small its peak.
    return render(means, precisions, grid, RenderOptions(count=count, least_peak=0, **options))


def hits(g, dtype=torch.float64):
    """Depth, precision and peak of all rays and kernels."""
    means, precisions, grid = scene(g, dtype)
    directions = grid.directions()[0]
    reference = means[0].mean(0)
    depth = directions @ reference
    rays = torch.cat((directions, depth[:, None] * directions - reference), dim=1).T
    index = torch.arange(means.shape[1]).expand(len(directions), -1)
    packed = pack_symmetric(precisions[0])
    found = kernel_hits(means[0] - reference, packed, rays.contiguous(), index.contiguous())
    return depth[:, None] + found.offset, found.precision, torch.exp(-found.distance / 2)


@pytest.mark.golden
def test_rays_and_hits():
    g = read("render")
    torch.testing.assert_close(scene(g)[2].directions()[0], g["rays"], **EXACT)
    depth, precision, peak = hits(g)
    torch.testing.assert_close(depth, g["hit_depth"], **EXACT)
    torch.testing.assert_close(precision, g["ray_precision"], rtol=1e-9, atol=1e-6)
    torch.testing.assert_close(peak, g["peak"], **EXACT)
    single = hits(g, torch.float32)
    torch.testing.assert_close(single[0].double(), g["hit_depth"], rtol=0, atol=1e-4)
    torch.testing.assert_close(single[2].double(), g["peak"], rtol=0, atol=1e-4)


@pytest.mark.golden
def test_closed_form_is_the_integral():
    g = read("render")
    depth, precision, peak = (values[..., None] for values in hits(g))
    share = 0.5 * (1 + torch.erf((precision / 2).sqrt() * (g["t_query"] - depth)))
    integral = peak * (2 * math.pi / precision).sqrt() * share
    torch.testing.assert_close(integral, g["partial_integral_quad"], rtol=0, atol=1e-10)


@pytest.mark.golden
@pytest.mark.parametrize(("key", "factor"), [("weights_voge", 1), ("weights_voge_tau3", 3)])
def test_published_weights(key, factor):
    g = read("render")
    tau = float(g["tau"]) * factor
    found = rendered(g, len(g["means"]), mode="voge", absorptivity=tau)
    torch.testing.assert_close(found.dense()[0], g[key], **EXACT)


@pytest.mark.golden
def test_map_and_silhouette():
    g = read("render")
    size = int(g["height"]), int(g["width"])
    found = rendered(g, len(g["means"]), mode="voge", absorptivity=float(g["tau"]))
    mixed = found.composite(g["feats"][None]).view(*size, -1)
    torch.testing.assert_close(mixed, g["feature_map_voge"], **EXACT)
    torch.testing.assert_close(found.silhouette().view(size), g["silhouette_voge"], **EXACT)


@pytest.mark.golden
def test_few_kernels_a_ray():
    g = read("render")
    count = int(g["top_m"])
    found = rendered(g, count, mode="voge", select="top", absorptivity=float(g["tau"]))
    wanted = torch.zeros_like(g["weights_voge"])
    wanted.scatter_(1, g["top_index"], g["top_weights_voge"])
    torch.testing.assert_close(found.dense()[0], wanted, **EXACT)
    mixed = found.composite(g["feats"][None]).view_as(g["feature_map_voge_top"])
    torch.testing.assert_close(mixed, g["feature_map_voge_top"], **EXACT)


@pytest.mark.golden
def test_rescaled_weights_are_near_the_integral():
    g = read("render")
    tau = float(g["tau"])
    found = rendered(g, len(g["means"]), absorptivity=tau)
    error = (found.dense()[0] - g["weights_exact_line"]).abs()
    assert error.max() < 0.06
    assert error.mean() < 0.003
    opacity = 1 - torch.exp(-tau * g["peak"].sum(1))
    torch.testing.assert_close(found.opacity[0], opacity, **EXACT)
    torch.testing.assert_close(found.dense()[0].sum(1), opacity, rtol=0, atol=1e-6)
    plain = rendered(g, len(g["means"]), mode="voge", absorptivity=tau).dense()[0]
    assert (plain - g["weights_exact_line"]).abs().mean() > 3 * error.mean()


@pytest.mark.golden
def test_gradient_of_the_means():
    g = read("render")
    means, precisions, grid = scene(g)
    means.requires_grad_(True)
    options = RenderOptions(
        count=means.shape[1], mode="voge", least_peak=0, absorptivity=float(g["tau"])
    )
    mixed = render(means, precisions, grid, options).composite(g["feats"][None])
    (slope,) = torch.autograd.grad((mixed[0] * g["grad_cotangent"]).sum(), means)
    largest = float(g["grad_means_voge"].abs().max())
    torch.testing.assert_close(slope[0], g["grad_means_voge"], rtol=1e-5, atol=1e-7 * largest)


# Features


@pytest.mark.golden
def test_orientation_weights():
    g = read("features")
    bins = Orientation(
        "z_bins3", 3, sharpness=float(g["soft3_theta"]), threshold=float(g["soft3_threshold"])
    )
    torch.testing.assert_close(bins.weights(g["limb_dirs"]), g["soft3_weights"], **EXACT)
    assert torch.equal(bins.labels(g["limb_dirs"]), g["hard3_labels"])
    centres = g["vmf_centres_yz"]
    circle = Orientation(count=len(centres), kappa=float(g["vmf_kappa"]), project="normalised")
    torch.testing.assert_close(circle.centres(centres), centres, **EXACT)
    weights = circle.weights(g["limb_dirs"])
    torch.testing.assert_close(weights, g["vmf_posterior"], **EXACT)
    expected = expected_features(weights, g["kernel_limb"], g["bank"])
    torch.testing.assert_close(expected, g["expected_features"], **EXACT)


@pytest.mark.golden
def test_sphere_densities():
    g = read("features")
    kappas = g["vmf_kappas"].tolist()
    for key in [key for key in g if key.startswith("vmf_log_norm_d")]:
        channels = int(key.rpartition("d")[2])
        found = [vmf_log_normaliser(kappa, channels) for kappa in kappas]
        torch.testing.assert_close(torch.tensor(found, dtype=g[key].dtype), g[key], **EXACT)
    channels = g["vmf_x"].shape[1]
    found = torch.stack([vmf_log_density(g["vmf_x"], g["vmf_mu"], k) for k in kappas])
    torch.testing.assert_close(found, g[f"vmf_logpdf_d{channels}"], **EXACT)


@pytest.mark.golden
def test_likelihoods():
    g = read("features")
    mask = g["fg_mask"].flatten(1)
    body = g["rendered"].flatten(1, 2) * mask[..., None]
    scores = cosine_scores(g["obs"].flatten(1, 2), body, g["clutter"])
    torch.testing.assert_close(scores.body.view_as(g["score_obj"]), g["score_obj"], **EXACT)
    found = scores.clutter.view_as(g["score_clutter"])
    torch.testing.assert_close(found, g["score_clutter"], **EXACT)
    for key, robust in (("loss_plain", False), ("loss_softmax", True)):
        torch.testing.assert_close(released_loss(scores, mask, robust=robust), g[key], **EXACT)
    kappa, opacity = float(g["nll_kappa"]), mask.double()
    for key, model in (("nll_hardmax", "max"), ("nll_mixture", "mixture")):
        found = negative_log_likelihood(scores, opacity, model, kappa)
        torch.testing.assert_close(found, g[key], **EXACT)


@pytest.mark.golden
def test_contrast_and_bank():
    g = read("features")
    seen = g["kernel_features"], g["visible"], g["orientation"]
    options = ContrastOptions(float(g["temperature"]), float(g["clutter_weight"]))
    rows = Rows(g["bank"], g["clutter_bank"], g["adjacency"], options)
    mean, each = info_nce(*seen, rows)
    torch.testing.assert_close(mean, g["info_nce"], **EXACT)
    torch.testing.assert_close(each, g["info_nce_per_kernel"], **EXACT)
    noise = noise_regulariser(g["noise_features"], g["bank"])
    torch.testing.assert_close(noise, g["noise_reg"], **EXACT)
    bank = FeatureBank(*g["bank"].shape, momentum=float(g["momentum"])).double()
    bank.features.copy_(g["bank"])
    bank.update(*seen)
    torch.testing.assert_close(bank.features, g["bank_after"], **EXACT)


@pytest.mark.golden
def test_losses_of_the_paper():
    g = read("features")
    features, visible, labels = g["kernel_features"], g["visible"], g["orientation"]
    first = features[:1], visible[:1]
    found = pairwise_kernels(*first, hinge=False)
    torch.testing.assert_close(found, g["paper_fg"], **EXACT)
    found = pairwise_background(*first, g["noise_features"][:1], hinge=False)
    torch.testing.assert_close(found, g["paper_bg"], **EXACT)
    found = pairwise_orientations(features, visible, labels, hinge=False)
    torch.testing.assert_close(found, g["paper_3d"], **EXACT)


# Occlusion windows


@pytest.mark.golden
def test_windows():
    g = read("advocc")
    for key, wanted in g.items():
        size, occluder, stride = map(int, key.split("_")[1:])
        assert torch.equal(occluder_windows(size, occluder, stride), wanted), key


# Own frozen numbers


def frozen_case():
    """A small scene with a limb across the view, rendered and scored in single precision."""
    place = torch.linspace(-1, 1, 8)
    means = torch.stack((300 * place, 100 * place.square(), 4000 + 200 * place), dim=-1)[None]
    spread = torch.stack((60 + 9 * place, 40 - 5 * place, torch.full_like(place, 30)), dim=-1)
    precisions = torch.diag_embed(spread**-2)[None]
    grid = RayGrid(8, 8, torch.full((1, 2), 36.0), torch.full((1, 2), 4.0))
    found = render(means, precisions, grid, RenderOptions(count=4))
    angle = torch.arange(8) * 0.7
    features = torch.stack((angle.cos(), angle.sin(), 0.5 * place), dim=-1)
    body = functional.normalize(found.composite(features[None]), dim=-1, eps=1e-6)
    observed = functional.normalize(body + torch.tensor([0.2, 0.1, 0.3]), dim=-1)
    clutter = functional.normalize(torch.tensor([[0.1, -1.0, 0.4]]), dim=-1)
    scores = cosine_scores(observed, body, clutter)
    return {
        "weights": found.dense()[0],
        "opacity": found.opacity[0],
        "map": body[0],
        "nll": negative_log_likelihood(scores, found.opacity),
    }


def test_own_frozen_output():
    with np.load(FROZEN, allow_pickle=False) as arrays:
        wanted = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    found = frozen_case()
    assert wanted.keys() == found.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-5)
