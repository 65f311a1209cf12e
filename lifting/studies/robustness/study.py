"""All runs before all corruptions, each beside the same run before the clean input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lifting.batch import PoseBatch
from lifting.errors import ConfigError
from lifting.experiment.callbacks import seed_everywhere
from lifting.methods.base import LiftingModule
from lifting.studies.measure import (
    OPTIMISED,
    PLAIN,
    Answer,
    Errors,
    Scene,
    mean_interval,
    moving_joints,
    optimised_answer,
    plain_answer,
    scenes,
    scored_joints,
)
from lifting.studies.plan import Plan, Run
from lifting.studies.robustness.corruptions import (
    corrupt,
    hidden_joints,
    hide,
    picture_texture,
    picture_windows,
    seen_joints,
    true_places,
)
from lifting.studies.robustness.plan import ADVOCC, Trials, with_zero
from lifting.studies.robustness.search import Found, Group, group_of, mean_of, search
from lifting.tto.contract import Fitting


@dataclass(frozen=True)
class Row:
    """One run before one corruption.

    Attributes:
        run: Label of the run.
        answer: ``plain``, or ``optimised`` at test time.
        kind: Which corruption.
        rate: Share that was asked for, 0 for the clean input.
        share: Share of all joints that was hit.
        mpjpe_mm: Of all scored joints.
        pa_mpjpe_mm: The same after a similarity.
        change_mm: MPJPE less that with the clean input.
        interval_mm: 95 % interval of it over resampled recordings.
        hit: Joints that were hit: corrupted keypoints, or joints under the object or cut off.
        rest: The others; in pictures those that are seen.
        best_mm: MPJPE of the best hypotheses, which only an oracle knows; None without any.
        hypotheses: Their number.
    """

    run: str
    answer: str
    kind: str
    rate: float
    share: float
    mpjpe_mm: float
    pa_mpjpe_mm: float
    change_mm: float
    interval_mm: tuple[float, float]
    hit: Group
    rest: Group
    best_mm: float | None = None
    hypotheses: int = 0


@dataclass(frozen=True)
class Area:
    """Area under a curve of errors over rates, divided by the range of the rates.

    Attributes:
        run: Label of the run.
        answer: As in a row.
        kind: Which corruption.
        mm: Area of the MPJPE: its mean over the rates.
        ratio: The same over the error with the clean input; 1 is no degradation.
        pa_mm: Area of the PA-MPJPE.
        pa_ratio: The same over its error with the clean input.
    """

    run: str
    answer: str
    kind: str
    mm: float
    ratio: float
    pa_mm: float
    pa_ratio: float


@dataclass(frozen=True)
class Trial:
    """What was done to the input, on the scored poses.

    Attributes:
        kind: Which corruption.
        rate: Share that was asked for.
        hit: Scored joints that were hit, ``(poses, scored)`` bool.
        rest: Scored joints to compare them with, ``(poses, scored)`` bool.
    """

    kind: str
    rate: float
    hit: Tensor
    rest: Tensor


def rows(runs: Sequence[Run], plan: Plan, trials: Trials) -> Iterator[Row | Found]:
    """Measure all runs; methods of pictures before pictures, the others before keypoints.

    Args:
        runs: Runs that see the same frames.
        plan: How they are looked at; its seed also is that of the corruptions.
        trials: What is tried.

    Raises:
        ConfigError: A run takes none of the chosen corruptions.
    """
    for scene in scenes(runs, plan):
        pictures = reads_pictures(scene.module, next(scene.batches()))
        own = (*trials.picture_kinds, *({ADVOCC} & set(trials.kinds)))
        if not (own if pictures else trials.keypoint_kinds):
            reads = "pictures" if pictures else "keypoints"
            raise ConfigError(
                f"expected a corruption of {reads} for '{scene.run.label}', got "
                f"{', '.join(trials.kinds)}; choose others with --kinds"
            )
        yield from (_picture_rows if pictures else _keypoint_rows)(scene, plan, trials)


def reads_pictures(module: LiftingModule, batch: PoseBatch) -> bool:
    """Whether a method's answer hangs on the pictures of a batch.

    Args:
        module: The method, in evaluation mode.
        batch: Windows, with pictures or without.
    """
    if batch.image is None:
        return False
    found = []
    for image in (batch.image, torch.zeros_like(batch.image)):
        seed_everywhere(module.settings.seed, "test")
        found.append(plain_answer(module)(replace(batch, image=image)).joints_3d)
    return not torch.equal(*found)


def row_of(
    run: str,
    answer: str,
    trial: Trial,
    errors: Errors,
    clean: Errors,
    moving: Tensor,
    recordings: npt.NDArray[np.int64],
) -> Row:
    """Sum up the errors before one corruption.

    Args:
        run: Label of the run.
        answer: Which answer it is.
        trial: What was done.
        errors: Of the answers.
        clean: Of the answers to the clean input.
        moving: Joints that are not the root, ``(scored,)`` bool.
        recordings: Recording of each pose.
    """
    counts = errors.joints
    gained = (errors.position - clean.position).sum(1).numpy()
    return Row(
        run=run,
        answer=answer,
        kind=trial.kind,
        rate=trial.rate,
        share=float(trial.hit.double().mean()),
        mpjpe_mm=mean_of(errors.position, errors.valid),
        pa_mpjpe_mm=mean_of(errors.aligned, errors.alignable),
        change_mm=float(gained.sum() / counts.sum()),
        interval_mm=mean_interval(recordings, gained, counts),
        hit=group_of(errors, clean, trial.hit & moving),
        rest=group_of(errors, clean, trial.rest & moving),
        best_mm=None if errors.best is None else float(errors.best.nanmean()),
        hypotheses=errors.hypotheses,
    )


def areas_of(rows: Iterable[Row]) -> list[Area]:
    """Areas of all curves, in the order of their first rows."""
    curves: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        curves.setdefault((row.run, row.answer, row.kind), []).append(row)
    found = []
    for key, curve in curves.items():
        rates = [row.rate for row in curve]
        mm, ratio = area_under(rates, [row.mpjpe_mm for row in curve])
        pa_mm, pa_ratio = area_under(rates, [row.pa_mpjpe_mm for row in curve])
        found.append(Area(*key, mm=mm, ratio=ratio, pa_mm=pa_mm, pa_ratio=pa_ratio))
    return found


def area_under(rates: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    """Area of a curve by trapezia over the range of its rates, and the same over its first error.

    Args:
        rates: Rising, at least two.
        errors: At each rate.
    """
    curve, places = (torch.tensor(values, dtype=torch.float64) for values in (errors, rates))
    area = float(torch.trapezoid(curve, places)) / (rates[-1] - rates[0])
    return area, area / errors[0]


def _keypoint_rows(scene: Scene, plan: Plan, trials: Trials) -> Iterator[Row]:
    """Rows of corrupted keypoints."""
    frames, answers = scene.frames, _answers(scene, trials, pictures=False)
    clean = {name: scene.measure(answer).errors for name, answer in answers.items()}
    for kind in trials.keypoint_kinds:
        for rate in with_zero(trials.rates):
            made = corrupt(frames.tracks, frames.rows, kind, rate, trials, plan.seed)
            other = replace(scene, frames=frames.showing(made.tracks))
            hit = _scored(scene, made.affected[frames.rows])
            yield from _rows(scene, other.batches, answers, clean, Trial(kind, rate, hit, ~hit))


def _picture_rows(scene: Scene, plan: Plan, trials: Trials) -> Iterator[Row | Found]:
    """Rows of hidden pictures, then those of the worst places."""
    frames, answers = scene.frames, _answers(scene, trials, pictures=True)
    image = frames.tracks.image
    assert image is not None
    size = image.shape[-1]
    places = true_places(frames.tracks, frames.rows)
    seen = _scored(scene, seen_joints(frames.tracks, frames.rows, places))
    clean = {name: scene.measure(answer).errors for name, answer in answers.items()}
    for kind in trials.picture_kinds:
        for level in with_zero(trials.levels):
            windows = picture_windows(places, size, kind, level, plan.seed)
            texture = picture_texture(kind, size, plan.seed)
            hit = _scored(scene, hidden_joints(places, windows))
            hidden = partial(_hidden, scene, windows, texture)
            yield from _rows(scene, hidden, answers, clean, Trial(kind, level, hit, seen & ~hit))
    if ADVOCC in trials.kinds:
        yield from search(scene.run.label, scene.module, frames, answers, trials, plan)


def _rows(
    scene: Scene,
    batches: Callable[[], Iterator[PoseBatch]],
    answers: Mapping[str, Answer],
    clean: Mapping[str, Errors],
    trial: Trial,
) -> Iterator[Row]:
    """A row of each answer."""
    moving, recordings = moving_joints(scene.module), scene.frames.recordings()
    for name, answer in answers.items():
        errors = clean[name]
        if trial.rate > 0:
            errors = scene.measure(answer, batches()).errors
        yield row_of(scene.run.label, name, trial, errors, clean[name], moving, recordings)


def _answers(scene: Scene, trials: Trials, *, pictures: bool) -> dict[str, Answer]:
    """Plain, and optimised if asked for and possible without a look at clean keypoints."""
    answers = {PLAIN: plain_answer(scene.module)}
    if trials.tto and (not pictures or isinstance(scene.module, Fitting)):
        config = replace(scene.run.config.tto, enabled=True)
        answers[OPTIMISED] = optimised_answer(scene.module, config)
    return answers


def _scored(scene: Scene, cells: Tensor) -> Tensor:
    """Columns of the scored joints, of ``(poses, joints)``."""
    return cells[:, list(scored_joints(scene.module))]


def _hidden(scene: Scene, windows: Tensor, texture: Tensor) -> Iterator[PoseBatch]:
    return hide(scene.batches(), windows, texture)
