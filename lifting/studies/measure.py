"""Trained runs before chosen frames: their answers, the errors of these, and what they cost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median
from timeit import repeat
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.errors import ConfigError
from lifting.experiment.build import prepare_process
from lifting.experiment.callbacks import seed_everywhere
from lifting.experiment.checkpoint import read_checkpoint
from lifting.experiment.config import AUTO, ExperimentConfig
from lifting.experiment.folder import (
    BEST,
    CHECKPOINTS,
    LAST,
    SUFFIX,
    finished_run,
    mark_finished,
)
from lifting.experiment.resume import unfinished_run
from lifting.experiment.run import train
from lifting.experiment.trained import trained_model, trained_module
from lifting.geometry.camera import project
from lifting.methods.base import LiftingModule
from lifting.metrics.collection import PoseMetrics
from lifting.metrics.functional.errors import JointErrors, per_pose
from lifting.metrics.functional.position import joint_errors
from lifting.metrics.functional.threshold import pckh
from lifting.metrics.protocol import Protocol, get_protocol
from lifting.studies.frames import Frames, common_period, test_frames
from lifting.studies.plan import WEIGHTS, Plan, Run, View
from lifting.tto.config import TtoConfig
from lifting.tto.contract import TtoResult
from lifting.tto.refine import refine
from lifting.typing import PerJoint, PerSample

log = logging.getLogger(__name__)

PLAIN, OPTIMISED = "plain", "optimised"
RESAMPLES = 2000
_VALIDATION = "val/mpjpe_mm"
_SCORES = ("mpjpe_mm", "pa_mpjpe_mm", "pck_150mm")
_MS = 1000.0
_TIMED_BATCHES, _TIMED_REPEATS = 2, 3
_LONG_S = 2.0  # in which what is done once counts little
_HEAD = ("thorax", "head")

Answer = Callable[[PoseBatch], Prediction]


class Errors(NamedTuple):
    """Errors of the middle frames, of the joints that the protocol scores. On the CPU.

    Attributes:
        position: ``(poses, scored)``, mm, zero where not valid.
        valid: ``(poses, scored)`` bool.
        aligned: The error after a similarity, ``(poses, scored)``, mm.
        alignable: ``(poses, scored)`` bool.
        best: MPJPE of each pose's best hypothesis, ``(poses,)``, mm; None without hypotheses.
        hypotheses: Their number, 0 without.
    """

    position: Tensor
    valid: Tensor
    aligned: Tensor
    alignable: Tensor
    best: Tensor | None
    hypotheses: int

    @property
    def sums(self) -> npt.NDArray[np.float64]:
        """Summed error of each pose, ``(poses,)``, mm."""
        return np.asarray(self.position.sum(1).double().numpy())

    @property
    def joints(self) -> npt.NDArray[np.float64]:
        """Joints that were scored, ``(poses,)``."""
        return np.asarray(self.valid.sum(1).double().numpy())


@dataclass(frozen=True)
class Measured:
    """The answers to some frames.

    Attributes:
        scores: By key; empty where they were not asked for.
        errors: Of all joints.
        pose_ms: Milliseconds a pose: of the processor, or of the wall where a GPU works.
    """

    scores: dict[str, float]
    errors: Errors
    pose_ms: float


@dataclass(frozen=True)
class Scene:
    """A run's method, in evaluation mode, before the chosen frames of one of its views."""

    run: Run
    view: View
    module: LiftingModule
    frames: Frames
    batch: int

    def batches(self, size: int | None = None) -> Iterator[PoseBatch]:
        """The frames in order, as many at a time as the plan says."""
        return self.frames.batches(size or self.batch, torch.device(self.module.device))

    def measure(
        self, answer: Answer, batches: Iterable[PoseBatch] | None = None, *, scores: bool = False
    ) -> Measured:
        """Measure answers to the frames, or to changed batches of them."""
        actions = self.frames.tracks.action_names if scores else None
        return measure(
            self.module, self.batches() if batches is None else batches, answer, actions
        )


def scenes(runs: Sequence[Run], plan: Plan) -> Iterator[Scene]:
    """Load all runs, one after the other, with the frames of each of their views.

    Args:
        runs: Runs that see the same frames.
        plan: How they are looked at.

    Raises:
        CheckpointError: Weights do not fit their run's configuration.
    """
    device, every = choose_device(plan.device), common_period(runs)
    for run in runs:
        module = load_trained(run, device)
        for view in run.views:
            frames = test_frames(replace(run, views=(view,)), plan, every)
            yield Scene(run, view, module, frames, plan.batch)


def choose_device(name: str) -> torch.device:
    """The device of a study.

    Args:
        name: ``auto`` is the GPU when there is one.

    Raises:
        ConfigError: There is no GPU.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ConfigError("expected a GPU for --device cuda, got none; say --device cpu")
    return torch.device("cuda" if there and name != "cpu" else "cpu")


def trained_run(config: ExperimentConfig) -> Path:
    """Folder of a finished run of an experiment, trained now unless it is there already.

    One that was stopped goes on. Where the number of threads is left open, it is one: processor
    seconds are compared, and the numbers are the same on every machine.

    Args:
        config: The experiment.

    Raises:
        LiftingError: The training failed.
    """
    config = _in_one_thread(config)
    finished = finished_run(config)
    if finished is not None:
        return finished
    stopped = unfinished_run(config)
    if stopped is not None:
        log.info("continuing %s", stopped)
    return mark_finished(train(config, resume=stopped).run_dir, config)


def _in_one_thread(config: ExperimentConfig) -> ExperimentConfig:
    """An experiment that computes in one thread, unless it names a number."""
    if config.trainer.threads != AUTO:
        return config
    return replace(config, trainer=replace(config.trainer, threads=1))


def scored_checkpoint(folder: Path) -> Path:
    """The weights that a training's score belongs to: the best, else the last ones.

    Args:
        folder: Folder of the run.
    """
    best = folder / CHECKPOINTS / f"{BEST}{SUFFIX}"
    return best if best.is_file() else folder / CHECKPOINTS / f"{LAST}{SUFFIX}"


def validation_mpjpe(checkpoint: Path) -> float | None:
    """MPJPE on the validation split by which weights were chosen, mm; None if by another score.

    Args:
        checkpoint: The weights.

    Raises:
        CheckpointError: They cannot be read.
    """
    for state in read_checkpoint(checkpoint).get("callbacks", {}).values():
        if state.get("monitor") == _VALIDATION and state["best_model_score"] is not None:
            return float(state["best_model_score"])
    return None


def load_trained(run: Run, device: torch.device) -> LiftingModule:
    """The method of a run with its best weights, in evaluation mode.

    Raises:
        CheckpointError: The weights do not fit the run's configuration.
    """
    prepare_process(run.config)
    module, _ = trained_module(run.config, run.folder / WEIGHTS)
    return module.to(device).eval()


def pose_cpu_ms(config: ExperimentConfig, checkpoint: Path) -> float:
    """Processor milliseconds to lift a pose, as the method is evaluated.

    Args:
        config: The experiment.
        checkpoint: Its weights.

    Raises:
        CheckpointError: The weights do not fit.
    """
    prepare_process(_in_one_thread(config))
    module, data = trained_model(config, checkpoint)
    module.eval()
    data.setup("test")
    batches = list(islice(data.test_dataloader(), _TIMED_BATCHES))

    def lift() -> None:
        with torch.no_grad():
            for batch in batches:
                module.infer(batch)

    def timed(times: int) -> list[float]:
        return repeat(lift, timer=time.process_time, repeat=times, number=1)

    (first,) = timed(1)
    seconds = first if first > _LONG_S else median(timed(_TIMED_REPEATS))
    return _MS * seconds / (answered_frames(module) * sum(len(batch) for batch in batches))


def plain_answer(module: LiftingModule) -> Answer:
    """The method as it is tested without optimisation."""

    def answer(batch: PoseBatch) -> Prediction:
        with torch.no_grad():
            return module.infer(batch)

    return answer


def optimised_answer(
    module: LiftingModule, config: TtoConfig, results: list[TtoResult] | None = None
) -> Answer:
    """The method after test-time optimisation, which drops the hypotheses.

    Args:
        module: The method, in evaluation mode.
        config: How to optimise; a method that fits by itself has settings of its own.
        results: Where the result of every batch is added.
    """
    targets, flip = answered_frames(module), module.settings.flip_test

    def answer(batch: PoseBatch) -> Prediction:
        found = refine(module, batch, config, targets=targets, flip=flip)
        if results is not None:
            results.append(found)
        return Prediction(skeleton=batch.skeleton, joints_3d=found.pose)

    return answer


def answered_frames(module: LiftingModule) -> int:
    """Frames of a window that a method answers."""
    return module.settings.frames if module.settings.target == "all" else 1


def scored_joints(module: LiftingModule) -> tuple[int, ...]:
    """Joints that the run's protocol scores by position."""
    return _protocol(module).joint_indices("position", module.skeleton)


def moving_joints(module: LiftingModule) -> Tensor:
    """Which of the scored joints are not the root, whose error is zero, ``(scored,)`` bool."""
    root = module.skeleton.index(_protocol(module).root)
    return torch.tensor([joint != root for joint in scored_joints(module)])


def measure(
    module: LiftingModule,
    batches: Iterable[PoseBatch],
    answer: Answer,
    actions: tuple[str, ...] | None = None,
) -> Measured:
    """Time and score the answers to some batches, with the random numbers of the run's test.

    Args:
        module: Gives skeleton, protocol and seed.
        batches: Labelled windows, whose middle frames count.
        answer: What is scored.
        actions: Names by ``PoseBatch.action``, for the protocol's scores; None leaves them out.
    """
    metrics = None
    if actions is not None:
        metrics = PoseMetrics(_protocol(module), module.skeleton, actions).to(module.device)
    clock, seconds = _clock(module.device), 0.0
    seed_everywhere(module.settings.seed, "test")
    parts: list[Errors] = []
    for batch in batches:
        start = clock()
        prediction = answer(batch)
        seconds += clock() - start
        parts.append(_errors(module, prediction, batch))
        if metrics is not None:
            pose = Prediction(skeleton=batch.skeleton, joints_3d=middle(prediction.joints_3d))
            metrics.update(pose, _middle_labels(batch))
    values = {} if metrics is None else metrics.compute()
    best = [part.best for part in parts if part.best is not None]
    errors = Errors(
        position=torch.cat([part.position for part in parts]),
        valid=torch.cat([part.valid for part in parts]),
        aligned=torch.cat([part.aligned for part in parts]),
        alignable=torch.cat([part.alignable for part in parts]),
        best=torch.cat(best) if best else None,
        hypotheses=parts[0].hypotheses,
    )
    return Measured(
        scores={key: float(values[key]) for key in _SCORES if key in values},
        errors=errors,
        pose_ms=_MS * seconds / len(errors.position),
    )


def position_errors(
    module: LiftingModule, pose: Tensor, batch: PoseBatch, mask: PerJoint | None = None
) -> JointErrors:
    """Errors of the scored joints of middle frames.

    Args:
        module: Gives skeleton and protocol.
        pose: ``(batch, targets, joints, 3)``, root-relative, mm.
        batch: With labels.
        mask: Joints of the skeleton that count, ``(batch, joints)`` bool; None for all.

    Returns:
        ``(batch, scored)``.
    """
    return joint_errors(*_pairs(module, pose, batch, mask))


def pair_errors(
    module: LiftingModule, prediction: Prediction, batch: PoseBatch, mask: PerJoint | None = None
) -> tuple[JointErrors, JointErrors]:
    """The same of a prediction, as predicted and after a similarity.

    Args:
        module: Gives skeleton and protocol.
        prediction: Of the batch.
        batch: With labels.
        mask: Joints of the skeleton that count, ``(batch, joints)`` bool; None for all.

    Returns:
        ``(batch, scored)`` each.
    """
    pairs = _pairs(module, prediction.joints_3d, batch, mask)
    return joint_errors(*pairs), joint_errors(*pairs, align="similarity")


def picture_pckh(
    module: LiftingModule, prediction: Prediction, batch: PoseBatch, mask: PerJoint
) -> PerSample | None:
    """PCKh of the scored joints of middle frames, projected into the picture.

    Args:
        module: Gives skeleton and protocol.
        prediction: Of the batch.
        batch: With labels.
        mask: Joints of the skeleton that count, ``(batch, joints)`` bool.

    Returns:
        ``(batch,)`` percent; None where the method does not say where people stand, or the
        skeleton has no head of that name.
    """
    skeleton = module.skeleton
    if prediction.trajectory is None or not set(_HEAD) <= set(skeleton.joints):
        return None
    assert batch.joints_3d is not None
    lens = batch.camera.intrinsics
    place = middle(prediction.trajectory)
    predicted = project(middle(prediction.joints_3d)[:, 0] + place, lens)
    target = project(middle(batch.joints_3d)[:, 0], lens)
    scored = torch.zeros_like(mask)
    scored[:, list(scored_joints(module))] = True
    if batch.visible is not None:
        scored &= middle(batch.visible)[:, 0].bool()
    ends = (skeleton.index(_HEAD[0]), skeleton.index(_HEAD[1]))
    return pckh(predicted, target, ends, mask & scored)


def middle(values: Tensor) -> Tensor:
    """The middle frame of windows, ``(samples, 1, ...)``."""
    half = values.shape[1] // 2
    return values[:, half : half + 1]


def mean_interval(
    recordings: Sequence[int] | npt.NDArray[np.int64],
    totals: Sequence[float] | npt.NDArray[np.float64],
    weights: Sequence[float] | npt.NDArray[np.float64],
    *,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % interval of a weighted mean over resampled recordings.

    Frames and views of one recording are not independent.

    Args:
        recordings: Recording that each value belongs to; all values of one are drawn together.
        totals: Values times their weights, for example summed joint errors of a pose.
        weights: For example its number of joints.
        seed: Of the resampling.

    Returns:
        The 2.5th and 97.5th percentile, in the unit of the values.
    """
    names, place = np.unique(np.asarray(recordings), return_inverse=True)
    sums = np.bincount(place, np.asarray(totals))
    counts = np.bincount(place, np.asarray(weights))
    drawn = np.random.default_rng(seed).integers(len(names), size=(RESAMPLES, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def paired_change(
    after: Errors, before: Errors, recordings: npt.NDArray[np.int64]
) -> tuple[float, tuple[float, float]]:
    """How much higher MPJPE is than that of other answers to the same poses, mm.

    Args:
        after: Of the answers.
        before: Of the others.
        recordings: Recording of each pose.

    Returns:
        The difference, and its 95 % interval over resampled recordings.
    """
    gained, joints = after.sums - before.sums, before.joints
    return float(gained.sum() / joints.sum()), mean_interval(recordings, gained, joints)


def _protocol(module: LiftingModule) -> Protocol:
    return get_protocol(module.settings.protocol).on(module.skeleton)


def _middle_labels(batch: PoseBatch) -> PoseBatch:
    """A batch whose labels are those of the chosen frames only."""
    assert batch.joints_3d is not None
    visible = None if batch.visible is None else middle(batch.visible)
    return replace(batch, joints_3d=middle(batch.joints_3d), visible=visible)


def _pairs(
    module: LiftingModule, pose: Tensor, batch: PoseBatch, mask: PerJoint | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Scored joints of middle frames and their labels, ``(batch, scored, 3)``; which count."""
    chosen = list(scored_joints(module))
    target, valid = _labels(module, batch)
    return middle(pose)[:, 0, chosen], target, valid if mask is None else valid & mask[:, chosen]


def _errors(module: LiftingModule, prediction: Prediction, batch: PoseBatch) -> Errors:
    position, aligned = pair_errors(module, prediction, batch)
    best, number = None, 0
    if prediction.hypotheses is not None:
        several = prediction.hypotheses
        number, half = several.shape[1], several.shape[2] // 2
        found = several[:, :, half, list(scored_joints(module))]  # batch hypotheses scored 3
        target, valid = _labels(module, batch)
        shape = found.shape[:-1]
        each = joint_errors(found, target[:, None].expand_as(found), valid[:, None].expand(shape))
        best = per_pose(each).amin(1).cpu()
    return Errors(
        position=position.error.cpu(),
        valid=position.valid.cpu(),
        aligned=aligned.error.cpu(),
        alignable=aligned.valid.cpu(),
        best=best,
        hypotheses=number,
    )


def _labels(module: LiftingModule, batch: PoseBatch) -> tuple[Tensor, Tensor]:
    """Labels of middle frames ``(batch, scored, 3)``, and which count ``(batch, scored)``."""
    assert batch.joints_3d is not None
    root, chosen = module.skeleton.index(_protocol(module).root), list(scored_joints(module))
    target = root_relative(middle(batch.joints_3d)[:, 0], root)[:, chosen]
    if batch.visible is None:
        return target, torch.ones_like(target[..., 0], dtype=torch.bool)
    return target, middle(batch.visible)[:, 0, chosen].bool()


def _clock(device: torch.device) -> Callable[[], float]:
    """Processor seconds; where a GPU works, wall seconds with its work done."""
    if device.type == "cpu":
        return time.process_time

    def wall() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return wall
