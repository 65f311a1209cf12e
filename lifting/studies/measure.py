"""What one variant of test-time optimisation makes of the chosen frames, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.errors import ConfigError
from lifting.experiment.build import prepare_process
from lifting.experiment.callbacks import seed_everywhere
from lifting.experiment.trained import trained_module
from lifting.methods.base import LiftingModule
from lifting.metrics.collection import PoseMetrics
from lifting.metrics.functional.errors import select_joints
from lifting.metrics.functional.position import joint_errors
from lifting.metrics.protocol import Protocol, get_protocol
from lifting.studies.plan import WEIGHTS, Run
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Status, TtoResult
from lifting.tto.refine import refine
from lifting.typing import Pose3D

SCORES = ("mpjpe_mm", "pa_mpjpe_mm", "pck_150mm")
MS_PER_SECOND = 1000.0


@dataclass(frozen=True)
class Change:
    """What an optimisation did beside the scores.

    Attributes:
        residual_before: Mean distance from the keypoints at the start, pixels.
        residual_after: The same afterwards.
        statuses: Poses by how their optimisation ended.
        has_sigma: The method predicts its expected error.
    """

    residual_before: float
    residual_after: float
    statuses: dict[str, int]
    has_sigma: bool


@dataclass(frozen=True)
class Outcome:
    """Scores and cost of one variant.

    Attributes:
        scores: By key.
        errors: ``(poses,)``, summed joint error of each pose, mm.
        joints: ``(poses,)``, joints that were scored.
        pose_ms: Milliseconds a pose: of the processor, or of the wall where a GPU works.
        change: None without an optimisation.
    """

    scores: dict[str, float]
    errors: npt.NDArray[np.float64]
    joints: npt.NDArray[np.float64]
    pose_ms: float
    change: Change | None


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


def load_trained(run: Run, device: torch.device) -> LiftingModule:
    """The method of a run with its best weights, in evaluation mode.

    Raises:
        CheckpointError: The weights do not fit the run's configuration.
    """
    prepare_process(run.config)
    module, _ = trained_module(run.config, run.folder / WEIGHTS)
    return module.to(device).eval()


def lift(module: LiftingModule, batches: Iterable[PoseBatch], actions: tuple[str, ...]) -> Outcome:
    """Score a method as it is tested without optimisation.

    Args:
        module: The method, in evaluation mode.
        batches: The chosen frames.
        actions: Names by ``PoseBatch.action``.
    """

    def answer(batch: PoseBatch) -> Prediction:
        with torch.no_grad():
            return module.infer(batch)

    return _measure(module, batches, actions, answer)


def optimise(
    module: LiftingModule,
    batches: Iterable[PoseBatch],
    actions: tuple[str, ...],
    config: TtoConfig,
) -> Outcome:
    """Score a method after test-time optimisation.

    Args:
        module: The method, in evaluation mode.
        batches: The chosen frames.
        actions: Names by ``PoseBatch.action``.
        config: One variant.
    """
    settings = module.settings

    def answer(batch: PoseBatch) -> TtoResult:
        return refine(
            module, batch, config, targets=answered_frames(module), flip=settings.flip_test
        )

    return _measure(module, batches, actions, answer)


def answered_frames(module: LiftingModule) -> int:
    """Frames of a window that a method answers."""
    return module.settings.frames if module.settings.target == "all" else 1


def pose_errors(module: LiftingModule, pose: Pose3D, batch: PoseBatch) -> Tensor:
    """Summed joint error of each pose's middle frame, mm, and the number of joints.

    Args:
        module: Gives skeleton and protocol.
        pose: ``(samples, targets, joints, 3)``, root-relative, mm.
        batch: With labels.

    Returns:
        ``(samples, 2)``, float64.
    """
    skeleton, protocol = module.skeleton, _protocol(module)
    labels = _middle_labels(batch)
    assert labels.joints_3d is not None
    target = root_relative(labels.joints_3d, skeleton.index(protocol.root))
    chosen = torch.tensor(protocol.joint_indices("position", skeleton), device=pose.device)
    errors = select_joints(joint_errors(middle(pose), target, labels.visible), chosen)
    sums = (errors.error.flatten(1).sum(-1), errors.valid.flatten(1).sum(-1))
    return torch.stack([value.double() for value in sums], dim=-1)


def middle(values: Tensor) -> Tensor:
    """The middle frame of windows, ``(samples, 1, ...)``."""
    half = values.shape[1] // 2
    return values[:, half : half + 1]


def _middle_labels(batch: PoseBatch) -> PoseBatch:
    """A batch whose labels are those of the chosen frames only."""
    assert batch.joints_3d is not None
    visible = None if batch.visible is None else middle(batch.visible)
    return replace(batch, joints_3d=middle(batch.joints_3d), visible=visible)


def _protocol(module: LiftingModule) -> Protocol:
    return get_protocol(module.settings.protocol).on(module.skeleton)


def _measure(
    module: LiftingModule,
    batches: Iterable[PoseBatch],
    actions: tuple[str, ...],
    answer: Callable[[PoseBatch], Prediction | TtoResult],
) -> Outcome:
    """Time and score the answers to some batches."""
    metrics = PoseMetrics(_protocol(module), module.skeleton, actions).to(module.device)
    clock = _clock(module.device)
    seed_everywhere(module.settings.seed, "test")
    sums: list[Tensor] = []
    results: list[TtoResult] = []
    seconds = 0.0
    for batch in batches:
        start = clock()
        answered = answer(batch)
        seconds += clock() - start
        if isinstance(answered, Prediction):
            pose = answered.joints_3d
        else:
            pose = answered.pose
            results.append(answered)
        sums.append(pose_errors(module, pose, batch).cpu())
        found = Prediction(skeleton=batch.skeleton, joints_3d=middle(pose))
        metrics.update(found, _middle_labels(batch))
    values = metrics.compute()
    errors, joints = torch.cat(sums).numpy().T
    return Outcome(
        scores={key: float(values[key]) for key in SCORES},
        errors=errors,
        joints=joints,
        pose_ms=MS_PER_SECOND * seconds / len(errors),
        change=_change(results) if results else None,
    )


def _change(results: list[TtoResult]) -> Change:
    status = torch.cat([result.status for result in results])
    observed = status < Status.UNOBSERVED
    before = torch.cat([result.residual_before for result in results])[observed]
    after = torch.cat([result.residual_after for result in results])[observed]
    counts = status.bincount(minlength=len(Status)).tolist()
    return Change(
        residual_before=float(before.double().mean()),
        residual_after=float(after.double().mean()),
        statuses={state.name.lower(): counts[state] for state in Status},
        has_sigma=results[0].log_sigma is not None,
    )


def _clock(device: torch.device) -> Callable[[], float]:
    """Processor seconds; where a GPU works, wall seconds with its work done."""
    if device.type == "cpu":
        return time.process_time

    def wall() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return wall
