"""Error and residual against the number of steps: does the optimisation overfit the 2D input.

One optimisation gives the answer at every step, without being run again for each length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from lifting.batch import PoseBatch
from lifting.experiment.callbacks import seed_everywhere
from lifting.methods.base import LiftingModule
from lifting.studies.frames import Shown
from lifting.studies.measure import Scene, answered_frames, position_errors, scenes
from lifting.studies.optimisation import heading, optimised_runs
from lifting.studies.page import (
    draw,
    facts,
    head,
    markdown,
    optimisation_of,
    write_csv,
    write_page,
)
from lifting.studies.plan import ROOTS, UNCERTAINTY, VARIANTS, Plan, Run, variant_of
from lifting.tto.config import RootRule, TtoConfig
from lifting.tto.contract import Decoded, Finalising, Latents, Refinable, Status, TtoResult
from lifting.tto.refine import CHUNK, refinable, refine
from lifting.visualization.tto_plots import StepCurve, step_chart

MARKS = (0, 4, 10, 20)


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
    for scene in scenes([replace(run, views=run.views[:1]) for run in runs], plan):
        for root in ROOTS:
            without_sigma = False
            for variant in VARIANTS:
                if without_sigma and variant == UNCERTAINTY:
                    continue
                config = course_config(scene.run.config.tto, variant, root, steps)
                sums, has_sigma = _trace(scene, config)
                without_sigma = not has_sigma
                errors, joints, pixels, poses = sums.unbind(-1)
                mpjpe, residual = (errors / joints).tolist(), (pixels / poses).tolist()
                yield Course(scene.run.label, root, variant, tuple(mpjpe), tuple(residual))


def course_config(config: TtoConfig, variant: str, root: RootRule, steps: int) -> TtoConfig:
    """A variant that takes every step and returns the last iterate."""
    return variant_of(
        config, variant, root,
        optimizer="adam", iterations=steps, accept=False, tolerance=0.0, history=False,
    )  # fmt: skip


def iterates(module: LiftingModule, batch: PoseBatch, config: TtoConfig) -> Iterator[TtoResult]:
    """Optimise a batch once, and give what it would have left after 0, 1, 2, ... steps.

    Args:
        module: The method, in evaluation mode.
        batch: Windows.
        config: How to optimise: by Adam, with every step taken (no acceptance, no early stop).

    Yields:
        For each number of steps a result whose ``pose`` and ``residual_after`` are those of that
        iterate.
    """
    if batch.keypoints_2d.device.type == "cpu" and len(batch) > CHUNK:
        # What is optimised at a time answers step by step.
        starts = range(0, len(batch), CHUNK)
        courses = [iterates(module, batch.rows(slice(i, i + CHUNK)), config) for i in starts]
        yield from map(TtoResult.joined, zip(*courses, strict=True))
        return
    targets, flip = answered_frames(module), module.settings.flip_test
    recorder = _Recorder(module, config)
    refine(recorder, batch, replace(config, latent="own"), targets=targets, flip=flip)
    assert len(recorder.answers) == config.iterations + 1
    still = replace(config, latent="own", optimise="latent", iterations=0)
    first = recorder.answers[0]
    for answer in recorder.answers:
        known = first if config.sigma == "initial" else answer
        shown = answer._replace(log_sigma=known.log_sigma)
        yield refine(_Replay(recorder, shown), batch, still, targets=targets, flip=flip)


def write_courses(
    courses: Sequence[Course], runs: Sequence[Run], shown: Shown, plan: Plan
) -> tuple[Path, ...]:
    """Write ``curves.md``, ``.json``, ``.csv`` and a chart of each run.

    Raises:
        OutputError: They cannot be written.
    """
    exact = runs[0].views[0].exact
    last = len(courses[0].mpjpe_mm) - 1
    marks = [*(mark for mark in MARKS if mark < last), last]
    titles = (
        "method", "optimisation", *(f"MPJPE at {k}" for k in marks), "least", "2D residual at 0",
        f"at {last}",
    )  # fmt: skip
    lines = [*head(plan, shown), "", "Every step is taken; errors in mm, residuals in px.", ""]
    lines += optimised_runs(runs, steps=last)
    for root in ROOTS:
        chosen = [course for course in courses if course.root == root]
        lines += ["", f"**{heading(exact, root)}**", ""]
        lines += markdown(titles, [_cells(course, marks) for course in chosen])
    values = facts(runs, shown, plan, optimisation_of)
    values["courses"] = [asdict(course) for course in courses]
    table = [
        (course.run, course.root, course.variant, step, f"{error:.4f}", f"{residual:.4f}")
        for course in courses
        for step, (error, residual) in enumerate(
            zip(course.mpjpe_mm, course.residual_px, strict=True)
        )
    ]
    columns = ("run", "root", "variant", "step", "mpjpe_mm", "residual_px")
    return (
        *write_page(plan.output, "curves", lines, values),
        write_csv(plan.output / "curves.csv", columns, table),
        *(
            draw(_chart(run, courses, exact=exact), plan.output, f"curves-{run.label}")
            for run in runs
        ),
    )


def _cells(course: Course, marks: Iterable[int]) -> tuple[str, ...]:
    best = int(np.nanargmin(course.mpjpe_mm))
    return (
        course.run,
        course.variant,
        *(f"{course.mpjpe_mm[k]:.1f}" for k in marks),
        f"{course.mpjpe_mm[best]:.1f} at {best}",
        f"{course.residual_px[0]:.2f}",
        f"{course.residual_px[-1]:.2f}",
    )


def _chart(run: Run, courses: Iterable[Course], *, exact: bool) -> Figure:
    panels: dict[str, dict[str, StepCurve]] = {heading(exact, root): {} for root in ROOTS}
    for course in courses:
        if course.run == run.label:
            curve = StepCurve(np.array(course.mpjpe_mm), np.array(course.residual_px))
            panels[heading(exact, course.root)][course.variant] = curve
    return step_chart(panels, title=f"{run.label}: test-time optimisation, step by step")


def _trace(scene: Scene, config: TtoConfig) -> tuple[Tensor, bool]:
    """Sums over poses by step, ``(steps + 1, 4)``, and whether the method has a sigma.

    They are joint errors, joints, residuals, and poses with any.
    """
    module = scene.module
    seed_everywhere(module.settings.seed, "test")
    total = torch.zeros(config.iterations + 1, 4, dtype=torch.float64)
    has_sigma = False
    for batch in scene.batches():
        for step, result in enumerate(iterates(module, batch, config)):
            observed = result.status < Status.UNOBSERVED
            residual = torch.where(observed, result.residual_after.double(), 0.0)
            errors = position_errors(module, result.pose, batch)
            sums = (errors.error.sum(-1), errors.valid.sum(-1), residual, observed)
            total[step] += torch.stack([value.double() for value in sums], dim=-1).sum(0).cpu()
            has_sigma = result.log_sigma is not None
    return total, has_sigma


class _Recorder(nn.Module):
    """A method that keeps its answers, call after call."""

    def __init__(self, module: LiftingModule, config: TtoConfig) -> None:
        super().__init__()
        self.module = module
        self.skeleton = module.skeleton
        self.method: Refinable = refinable(module, config)
        self.lr_scale: Mapping[str, float] = self.method.lr_scale
        self.answers: list[Decoded] = []
        _pass_on(self.method, self)

    def encode(self, batch: PoseBatch) -> Latents:
        return self.method.encode(batch)

    def decode(self, latents: Latents, batch: PoseBatch) -> Decoded:
        answer = self.method.decode(latents, batch)
        rest = (None if value is None else value.detach() for value in answer[1:])
        self.answers.append(Decoded(answer.pose.detach(), *rest))
        return answer


class _Replay(nn.Module):
    """A method that answers what another one did, whatever it is asked."""

    lr_scale: Mapping[str, float] = {}

    def __init__(self, original: _Recorder, answer: Decoded) -> None:
        super().__init__()
        self.skeleton = original.skeleton
        self.answer = answer
        _pass_on(original, self)

    def encode(self, batch: PoseBatch) -> Latents:
        return {"none": batch.keypoints_2d.new_zeros(len(batch), 1)}

    def decode(self, latents: Latents, batch: PoseBatch) -> Decoded:
        return self.answer


def _pass_on(method: object, wrapper: nn.Module) -> None:
    """Give a wrapper the optional part of a method's contract, where the method has it."""
    if isinstance(method, Finalising):
        wrapper.finalise = method.finalise  # type: ignore[assignment]
