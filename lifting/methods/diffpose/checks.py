"""What the switches of DiffPose must satisfy. Imports no torch."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from lifting.errors import ConfigError

if TYPE_CHECKING:
    from lifting.methods.diffpose.config import Config, GuidanceConfig


def check_config(config: Config) -> None:
    """Check the values of a configuration.

    Raises:
        ConfigError: One is out of its range, or two contradict one another.
    """
    for name in (
        "hidden", "layers", "heads", "diffusion_steps", "sampling_steps", "start_level",
        "hypotheses", "context_width", "context_layers", "context_heads", "depth_components",
        "student_epochs", "student_stride",
    ):  # fmt: skip
        _require(config, name, getattr(config, name) >= 1, "at least 1")
    for name in ("dropout", "inner_dropout", "context_drop_path"):
        _require(config, name, 0 <= getattr(config, name) < 1, "between 0 and below 1")
    for name in (
        "uv_scale", "eta", "context_epochs", "posterior_sharpness", "posterior_kept",
        "student_steps",
    ):  # fmt: skip
        _require(config, name, getattr(config, name) >= 0, "not negative")
    depth = config.denoiser_layers
    _require(config, "denoiser_layers", depth is None or depth >= 1, "at least 1, or null")
    _require(config, "xyz_scale", config.xyz_scale > 0, "above 0")
    _require_multiple(config, "hidden", "heads")
    _require(config, "hidden", config.hidden >= 4, "at least 4, as the step embedding needs")
    _require_multiple(config, "context_width", "context_heads")
    _require(config, "beta_start", 0 < config.beta_start < 1, "between 0 and 1")
    holds = config.beta_start <= config.beta_end < 1
    _require(config, "beta_end", holds, "beta_start to below 1")
    _require_at_most(config, "start_level", "diffusion_steps")
    _require_at_most(config, "sampling_steps", "start_level")
    _require(
        config,
        "loss",
        config.loss == "squared" or config.representation == "xyz",
        "'squared' with representation 'uvxyz', whose channels have no common unit",
    )
    _check_pairs(config)
    if config.student != "none":
        _check_student(config)
    if config.guidance.is_on:
        calls = config.student_steps if config.asks_student else config.sampling_steps
        _require(
            config,
            "guidance.first_step",
            config.guidance.first_step < calls,
            f"below the number of sampled steps, {calls}, as it counts from 0",
        )


def check_guidance(guidance: GuidanceConfig) -> None:
    """Check the values of the guidance alone.

    Raises:
        ConfigError: One is out of its range.
    """
    for name in ("weight_projection", "weight_bone", "weight_symmetry", "first_step"):
        _require(guidance, name, getattr(guidance, name) >= 0, "not negative", "guidance.")
    _require(guidance, "step_mm", guidance.step_mm > 0, "above 0", "guidance.")
    _require(guidance, "moves", guidance.moves >= 1, "at least 1", "guidance.")
    first, last = guidance.first_step, guidance.last_step
    holds = last is None or last >= first
    _require(guidance, "last_step", holds, f"at least first_step={first}, or null", "guidance.")


def _check_pairs(config: Config) -> None:
    """Refuse settings that contradict one another."""
    diffuses = config.process == "diffusion"
    _require(
        config,
        "prediction",
        diffuses or config.prediction == "x0",
        f"'x0' with process '{config.process}', which has no noise to answer",
    )
    _require(
        config,
        "tto_latent",
        diffuses or config.tto_latent == "conditioning",
        f"'conditioning' with process '{config.process}', which starts from no noise",
    )
    _require(
        config,
        "student",
        diffuses or config.student == "none",
        f"'none' with process '{config.process}', which has no path to distil",
    )
    _require(
        config,
        "guidance",
        diffuses or not config.guidance.is_on,
        f"without weights with process '{config.process}', which samples nothing",
    )
    _require(
        config,
        "oracle_root",
        not config.oracle_root or config.aggregation not in ("mean", "median"),
        f"false with aggregation '{config.aggregation}', which projects nothing",
    )


def _check_student(config: Config) -> None:
    """Refuse settings that a student contradicts."""
    _require_at_most(config, "student_steps", "start_level")
    _require_at_most(config, "student_stride", "diffusion_steps")
    _require(
        config,
        "eta",
        config.eta == 0 or config.student_steps == 0,
        "0 where a student answers, whose path is deterministic, or student_steps 0",
    )


def _require_at_most(config: Config, name: str, limit: str) -> None:
    most = getattr(config, limit)
    _require(config, name, getattr(config, name) <= most, f"at most {limit}={most}")


def _require_multiple(config: Config, name: str, of: str) -> None:
    factor = getattr(config, of)
    _require(config, name, getattr(config, name) % factor == 0, f"a multiple of {of}={factor}")


def _require(
    config: Config | GuidanceConfig, name: str, holds: bool, expected: str, section: str = ""
) -> None:
    if not holds:
        raise ConfigError(
            f"expected method.{section}{name} to be {expected}, got {attrgetter(name)(config)!r}; "
            "change it in the method section"
        )
