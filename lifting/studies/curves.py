"""Error and residual against the number of steps: does the optimisation overfit the 2D input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.errors import ConfigError
from lifting.experiment.callbacks import seed_everywhere
from lifting.methods.base import LiftingModule
from lifting.studies.frames import Frames, common_period, test_frames
from lifting.studies.iterates import iterates
from lifting.studies.measure import choose_device, load_trained, pose_errors
from lifting.studies.plan import ROOTS, UNCERTAINTY, VARIANTS, Plan, Run, variant_of
from lifting.tto.config import RootRule, TtoConfig
from lifting.tto.contract import Status


@dataclass(frozen=True)
class Course:
    """How one variant goes, entry k after k steps.

    Attributes:
        run: Label of the run.
        root: Where poses were placed.
        variant: What was optimised.
        mpjpe_mm: Mean joint error.
        residual_px: Mean distance from the keypoints, over the poses that have any.
    """

    run: str
    root: RootRule
    variant: str
    mpjpe_mm: tuple[float, ...]
    residual_px: tuple[float, ...]


class _Traced(NamedTuple):
    """Sums over poses by step, ``(steps + 1,)`` each."""

    sums: Tensor
    has_sigma: bool


def courses(runs: Sequence[Run], plan: Plan, steps: int) -> Iterator[Course]:
    """Follow all variants of all runs on the data's own keypoints, every step taken.

    The uncertainty anchor of a method without an expected error of its own is left out, because it
    is the uniform one.

    Args:
        runs: Runs that see the same frames.
        plan: How they are looked at.
        steps: How far.

    Raises:
        ConfigError: The settings have no course that can be followed.
    """
    device = choose_device(plan.device)
    every = common_period(runs)
    for run in runs:
        module = load_trained(run, device)
        frames = test_frames(run, plan, every)
        for root in ROOTS:
            yield from _courses(run, module, frames, root, steps, plan.batch)


def course_config(config: TtoConfig, variant: str, root: RootRule, steps: int) -> TtoConfig:
    """A variant that takes every step and returns the last iterate.

    Raises:
        ConfigError: The camera would change on the way, so that residuals could not be compared.
    """
    if config.focal == "latent":
        raise ConfigError(
            "expected a camera that stays for the curves, got tto.focal=latent; set "
            "tto.focal=given or tto.focal=guess"
        )
    return variant_of(
        config, variant, root,
        optimizer="adam", iterations=steps, accept=False, tolerance=0.0, trust_radius=0.0,
        history=False,
    )  # fmt: skip


def _courses(
    run: Run, module: LiftingModule, frames: Frames, root: RootRule, steps: int, size: int
) -> Iterator[Course]:
    """Courses of all variants with one rule for the root."""
    without_sigma = False
    for variant in VARIANTS:
        if without_sigma and variant == UNCERTAINTY:
            continue
        config = course_config(run.config.tto, variant, root, steps)
        traced = _trace(module, frames, config, size)
        without_sigma = not traced.has_sigma
        errors, joints, pixels, poses = traced.sums.unbind(-1)
        mpjpe, residual = (errors / joints).tolist(), (pixels / poses).tolist()
        yield Course(run.label, root, variant, tuple(mpjpe), tuple(residual))


def _trace(module: LiftingModule, frames: Frames, config: TtoConfig, size: int) -> _Traced:
    """Joint errors, joints, residuals and poses with any, summed over the frames by step."""
    device = torch.device(module.device)
    seed_everywhere(module.settings.seed, "test")
    total = torch.zeros(config.iterations + 1, 4, dtype=torch.float64)
    has_sigma = False
    for batch in frames.batches(size, device):
        for step, result in enumerate(iterates(module, batch, config)):
            observed = result.status < Status.UNOBSERVED
            residual = torch.where(observed, result.residual_after.double(), 0.0)
            measured = torch.stack((residual, observed.double()), dim=-1)
            errors = pose_errors(module, result.pose, batch)
            total[step] += torch.cat((errors, measured), dim=-1).sum(0).cpu()
            has_sigma = result.log_sigma is not None
    return _Traced(total, has_sigma)
