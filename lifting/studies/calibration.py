"""A method's expected error against its true error, and how to make it right.

The log of the expected error, ``s``, is changed to ``scale * s + shift``, fitted by the likelihood
that such methods are trained with: ``|error| exp(-s) + s``, in mm and natural log of mm. The fit
sees the validation split only. The root has no error by definition and is left out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from lifting.batch import root_relative
from lifting.errors import ConfigError, DataError
from lifting.methods.base import LiftingModule
from lifting.metrics.functional.position import joint_errors
from lifting.metrics.functional.ranking import spearman
from lifting.studies.frames import Frames
from lifting.studies.measure import answered_frames, choose_device, load_trained, middle
from lifting.studies.page import caption, draw, machine, markdown, write_page
from lifting.studies.plan import WEIGHTS, Plan, Run
from lifting.tto.config import TtoConfig
from lifting.tto.refine import refine
from lifting.visualization.style import FloatArray
from lifting.visualization.tto_plots import Reliability, reliability_chart

TITLES = (
    "expected error", "scale", "shift", "likelihood", "Pearson", "Spearman", "gap mm",
)  # fmt: skip
BINS = 10
LEAST_SPREAD = 1e-6
AS_PREDICTED, TEMPERATURE, AFFINE = "as predicted", "temperature", "scale and shift"


class Calibration(NamedTuple):
    """Change of the log of the expected error, ``scale * s + shift``, natural log of mm.

    Attributes:
        scale: 1 where only a temperature was fitted.
        shift: Natural log of a factor on every expected error where the scale is 1.
    """

    scale: float
    shift: float


class Doubt(NamedTuple):
    """What a method expected of its joints, and what came.

    Attributes:
        log_sigma: ``(joints,)``, log of the expected error, natural log of mm.
        error: ``(joints,)``, distance from the truth, mm.
    """

    log_sigma: FloatArray
    error: FloatArray


@dataclass(frozen=True)
class Quality:
    """How good an expected error is.

    Attributes:
        calibration: What was done to it.
        likelihood: Mean of the training likelihood, nats a joint; lower is better.
        pearson: Correlation of expected and true error.
        spearman: The same of their ranks.
        gap_mm: Mean distance of expected and observed error over tenths of the joints.
        reliability: Those tenths, ordered by expected error.
    """

    calibration: Calibration
    likelihood: float
    pearson: float
    spearman: float
    gap_mm: float
    reliability: Reliability


@dataclass(frozen=True)
class Calibrated:
    """A calibration study of one run.

    Attributes:
        poses: Validation and test poses that were looked at.
        recordings: Recordings that they come from.
        qualities: On the test split, by what was fitted on the validation split.
    """

    poses: tuple[int, int]
    recordings: tuple[int, int]
    qualities: dict[str, Quality]


def calibrate(run: Run, plan: Plan) -> Calibrated:
    """Fit a run's expected error on its validation split, and judge it on its test split.

    Args:
        run: Of a method that predicts its expected error.
        plan: How many poses of each split are looked at.

    Raises:
        ConfigError: The method predicts no error.
    """
    module = load_trained(run, choose_device(plan.device))
    config = run.config
    val, test = (
        Frames(
            config,
            split,
            every=config.data.eval_every,
            poses=plan.poses,
            seed=plan.seed,
            weights=run.folder / WEIGHTS,
        )
        for split in ("val", "test")
    )
    seen = doubt_of(module, val, config.tto, plan.batch)
    held_out = doubt_of(module, test, config.tto, plan.batch)
    fits = {
        AS_PREDICTED: Calibration(1.0, 0.0),
        TEMPERATURE: fit_temperature(seen),
        AFFINE: fit_affine(seen),
    }
    return Calibrated(
        poses=(len(val.rows), len(test.rows)),
        recordings=(len(np.unique(val.recordings())), len(np.unique(test.recordings()))),
        qualities={name: quality(held_out, fit) for name, fit in fits.items()},
    )


def doubt_of(module: LiftingModule, frames: Frames, config: TtoConfig, size: int) -> Doubt:
    """Expected and true errors of all joints but the root, where labels are valid.

    Both are those of the plain input, which each of the two copies of an optimisation resembles.

    Args:
        module: The method, in evaluation mode.
        frames: Labelled frames.
        config: Says which latents the method is asked through.
        size: Poses a batch.

    Raises:
        ConfigError: The method predicts no error.
    """
    still = replace(
        config, iterations=0, root="solve", flip=False, sigma_scale=1.0, sigma_shift=0.0
    )
    root = module.skeleton.root
    parts = []
    for batch in frames.batches(size, torch.device(module.device)):
        answer = refine(module, batch, still, targets=answered_frames(module))
        if answer.log_sigma is None:
            raise ConfigError(
                f"expected a method that predicts its expected error, such as uao, got "
                f"'{module.settings.method}', which does not; there is nothing to calibrate"
            )
        assert batch.joints_3d is not None
        errors = joint_errors(answer.start, root_relative(batch.joints_3d, root), batch.visible)
        both = middle(torch.stack((answer.log_sigma.double(), errors.error), dim=-1))
        counted = middle(errors.valid).clone()
        counted[..., root] = False
        parts.append(both[counted].cpu())
    log_sigma, error = torch.cat(parts).numpy().T
    return Doubt(log_sigma, error)


def fit_temperature(seen: Doubt) -> Calibration:
    """The best factor on all expected errors."""
    return Calibration(1.0, _best_shift(_checked(seen), 1.0))


def fit_affine(seen: Doubt) -> Calibration:
    """The best scale and shift of the log error; the scale is 1 where all are expected alike."""
    _checked(seen)
    if seen.log_sigma.std() < LEAST_SPREAD:
        return fit_temperature(seen)

    def likelihood(scale: float) -> float:
        # With the best shift for the scale; convex, so the one minimum is found.
        return float(scale * seen.log_sigma.mean() + _best_shift(seen, scale))

    scale = float(minimize_scalar(likelihood, bracket=(0.5, 1.0)).x)
    return Calibration(scale, _best_shift(seen, scale))


def quality(doubt: Doubt, calibration: Calibration) -> Quality:
    """Judge an expected error after a calibration.

    Args:
        doubt: Joints that the calibration was not fitted on.
        calibration: What is done to it first.
    """
    log_sigma = calibration.scale * doubt.log_sigma + calibration.shift
    expected = np.exp(log_sigma)
    tenths = np.array_split(np.argsort(log_sigma, kind="stable"), BINS)
    reliability = Reliability(
        expected=np.array([expected[part].mean() for part in tenths]),
        observed=np.array([doubt.error[part].mean() for part in tenths]),
    )
    ranks = spearman(torch.from_numpy(expected), torch.from_numpy(doubt.error))
    return Quality(
        calibration=calibration,
        likelihood=float((doubt.error / expected + log_sigma).mean()),
        pearson=float(np.corrcoef(expected, doubt.error)[0, 1]),
        spearman=float(ranks),
        gap_mm=float(np.abs(reliability.expected - reliability.observed).mean()),
        reliability=reliability,
    )


def overrides_of(study: Calibrated, name: str) -> str:
    """The overrides that apply one of the calibrations to an optimisation."""
    scale, shift = study.qualities[name].calibration
    return f"tto.sigma_scale={scale:.6g} tto.sigma_shift={shift:.6g}"


def write_calibration(study: Calibrated, run: Run, plan: Plan) -> tuple[Path, ...]:
    """Write ``calibration.md``, ``.json`` and the reliability chart.

    Raises:
        OutputError: They cannot be written.
    """
    note = (
        f"{run.label}, run {run.name}, data {run.config.data.name}: fitted on "
        f"{study.poses[0]:,} validation poses of {study.recordings[0]:,} recordings, judged on "
        f"{study.poses[1]:,} test poses of {study.recordings[1]:,}, seed {plan.seed}; "
        f"{caption(machine())}."
    )
    meaning = (
        "Likelihood is that of the training, nats a joint, lower is better; gap is the mean "
        "distance of expected and observed error over tenths of the joints; the root is left out."
    )
    table = markdown(TITLES, [_cells(*item) for item in study.qualities.items()], left=1)
    lines = [f"`{plan.command}`", "", note, "", meaning, "", *table, ""]
    lines += [f"- {name}: `{overrides_of(study, name)}`" for name in (TEMPERATURE, AFFINE)]
    values = {
        "command": plan.command,
        "run": run.name,
        "data": run.config.data.name,
        "machine": machine(),
        "seed": plan.seed,
        "poses": study.poses,
        "recordings": study.recordings,
        "qualities": {name: _plain(q) for name, q in study.qualities.items()},
    }
    chart = reliability_chart(
        {name: q.reliability for name, q in study.qualities.items()},
        title=f"{run.label}: expected and observed error, test split",
    )
    files = write_page(plan.output, "calibration", lines, values)
    return (*files, draw(chart, plan.output, "calibration"))


def _cells(name: str, quality: Quality) -> tuple[str, ...]:
    scale, shift = quality.calibration
    return (
        name,
        f"{scale:.4f}",
        f"{shift:+.4f}",
        f"{quality.likelihood:.4f}",
        f"{quality.pearson:.3f}",
        f"{quality.spearman:.3f}",
        f"{quality.gap_mm:.1f}",
    )


def _plain(quality: Quality) -> dict[str, Any]:
    """A quality as plain values."""
    tenths = {name: values.tolist() for name, values in quality.reliability._asdict().items()}
    return {
        **asdict(quality),
        "calibration": quality.calibration._asdict(),
        "reliability": tenths,
    }


def _best_shift(seen: Doubt, scale: float) -> float:
    """Log of the mean error over its scaled expectation: where the likelihood is best."""
    mean = seen.error / len(seen.error)
    return float(logsumexp(-scale * seen.log_sigma, b=mean))


def _checked(seen: Doubt) -> Doubt:
    finite = np.isfinite(seen.log_sigma).all() and np.isfinite(seen.error).all()
    if not finite or not seen.error.any():
        raise DataError(
            f"expected finite errors of {len(seen.error)} joints to fit a calibration, got some "
            "that are not, or none above zero; check the run's predictions"
        )
    return seen
