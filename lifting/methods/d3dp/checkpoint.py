"""The authors' weights of D3DP, a mapping with the model under ``model_pos``, renamed.

The tables of their noise schedule lie among the weights; they are compared with ours and not used.
Nothing but tensors and plain values is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lifting.errors import CheckpointError
from lifting.files.tensors import State, check_names, load_tensors
from lifting.methods.conversion import Converted
from lifting.methods.d3dp.config import Config
from lifting.methods.d3dp.diffusion import cosine_betas
from lifting.methods.settings import ModuleSettings
from lifting.nn.mixste import model_part, official_names

FILES = ("weights",)
OWN_PREFIX = "network."
OFFICIAL_PREFIX = "pose_estimator."
BETAS = "betas"
TABLES = frozenset((
    BETAS, "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped",
    "posterior_mean_coef1", "posterior_mean_coef2",
))  # fmt: skip
TOLERANCE = 1e-6


def convert(files: Sequence[Path], config: Config, settings: ModuleSettings) -> Converted:
    """Weights of a module from the authors' file.

    Args:
        files: The one file.
        config: Configuration of the network they are for.
        settings: Of the module.

    Raises:
        MissingDataError: No such file.
        CheckpointError: The file is unsafe, damaged, or of a network of other depth or another
            noise schedule.
    """
    (path,) = files
    converted = import_state(model_part(load_tensors(path), path), config)
    state = {f"{OWN_PREFIX}{name}": value for name, value in converted.state.items()}
    return Converted(state, converted.unused)


def import_state(official: Mapping[str, Tensor], config: Config) -> Converted:
    """Rename the authors' weights; shapes are the same.

    Args:
        official: Weights by official name, the tables of the schedule among them or not.
        config: Configuration of the network they are for.

    Returns:
        Weights of :class:`lifting.methods.d3dp.network.Denoiser` by our names, and the names of
        the tables.

    Raises:
        CheckpointError: A weight is missing or unknown, or the noise schedule is another.
    """
    tables = {name for name in official if name in TABLES}
    names = dict(_names(config.layers))
    expected = {*names.values(), *(TABLES if tables else ())}
    check_names(set(official), expected, "D3DP's denoiser")
    if tables:
        _check_schedule(official[BETAS], config.diffusion_steps)
    state: State = {ours: official[theirs] for ours, theirs in names.items()}
    return Converted(state, tuple(sorted(tables)))


def export_state(state: Mapping[str, Tensor], layers: int) -> State:
    """Official names of our weights (or of anything of their shape), without the tables."""
    return {theirs: state[ours] for ours, theirs in _names(layers)}


def _names(layers: int) -> Iterator[tuple[str, str]]:
    """Pairs of our name and the official one."""
    for ours, theirs in official_names(layers):
        yield f"trunk.{ours}", f"{OFFICIAL_PREFIX}{theirs}"
    for kind in ("weight", "bias"):
        yield f"first.{kind}", f"{OFFICIAL_PREFIX}time_mlp.1.{kind}"
        yield f"second.{kind}", f"{OFFICIAL_PREFIX}time_mlp.3.{kind}"


def _check_schedule(betas: Tensor, levels: int) -> None:
    """Refuse weights that were trained with another noise schedule."""
    ours = cosine_betas(levels)
    if betas.shape != ours.shape or not torch.allclose(betas.double(), ours, atol=TOLERANCE):
        raise CheckpointError(
            f"expected {BETAS} of the cosine schedule of {levels} levels, got another of shape "
            f"{tuple(betas.shape)}; set method.diffusion_steps to the number of levels of the file"
        )
