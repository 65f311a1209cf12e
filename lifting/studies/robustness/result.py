"""A row of a study of occlusion, and the area under a curve of rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lifting.studies.bootstrap import mean_interval
from lifting.studies.robustness.measure import Errors


@dataclass(frozen=True)
class Group:
    """Errors of some of the joints, the root left out.

    Attributes:
        joints: How many.
        mm: Their mean error; None where there are none.
        clean_mm: That of the same joints with the clean input.
    """

    joints: int
    mm: float | None
    clean_mm: float | None


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
    counts = errors.valid.sum(1).double().numpy()
    gained = (errors.position - clean.position).sum(1).numpy()
    return Row(
        run=run,
        answer=answer,
        kind=trial.kind,
        rate=trial.rate,
        share=float(trial.hit.double().mean()),
        mpjpe_mm=_mean(errors.position, errors.valid),
        pa_mpjpe_mm=_mean(errors.aligned, errors.alignable),
        change_mm=float(gained.sum() / counts.sum()),
        interval_mm=mean_interval(recordings, gained, counts),
        hit=group_of(errors, clean, trial.hit & moving),
        rest=group_of(errors, clean, trial.rest & moving),
        best_mm=None if errors.best is None else float(errors.best.nanmean()),
        hypotheses=errors.hypotheses,
    )


def group_of(errors: Errors, clean: Errors, chosen: Tensor) -> Group:
    """Errors of chosen joints, ``(poses, scored)`` bool, those without a label left out."""
    counted = chosen & errors.valid
    number = int(counted.sum())
    if number == 0:
        return Group(0, None, None)
    return Group(number, _mean(errors.position, counted), _mean(clean.position, counted))


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


def _mean(values: Tensor, counted: Tensor) -> float:
    return float((values * counted).sum() / counted.sum())
