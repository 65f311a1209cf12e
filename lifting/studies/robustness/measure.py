"""Errors of every scored joint of the chosen frames, plain and after test-time optimisation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.experiment.callbacks import seed_everywhere
from lifting.geometry.camera import project
from lifting.methods.base import LiftingModule
from lifting.metrics.functional.errors import JointErrors, per_pose
from lifting.metrics.functional.position import joint_errors
from lifting.metrics.functional.threshold import pckh
from lifting.metrics.protocol import get_protocol
from lifting.studies.measure import answered_frames, middle
from lifting.tto.config import TtoConfig
from lifting.tto.refine import refine
from lifting.typing import PerJoint, PerSample

PLAIN, OPTIMISED = "plain", "optimised"
HEAD = ("thorax", "head")

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


def plain_answer(module: LiftingModule) -> Answer:
    """The method as it is tested without optimisation."""

    def answer(batch: PoseBatch) -> Prediction:
        with torch.no_grad():
            return module.infer(batch)

    return answer


def optimised_answer(module: LiftingModule, config: TtoConfig) -> Answer:
    """The method after test-time optimisation, which drops the hypotheses.

    Args:
        module: The method, in evaluation mode.
        config: How to optimise; a method that fits by itself has settings of its own.
    """
    settings = module.settings

    def answer(batch: PoseBatch) -> Prediction:
        targets = answered_frames(module)
        found = refine(module, batch, config, targets=targets, flip=settings.flip_test)
        return Prediction(skeleton=batch.skeleton, joints_3d=found.pose)

    return answer


def scored_joints(module: LiftingModule) -> tuple[int, ...]:
    """Joints that the run's protocol scores by position."""
    skeleton = module.skeleton
    protocol = get_protocol(module.settings.protocol).on(skeleton)
    return protocol.joint_indices("position", skeleton)


def moving_joints(module: LiftingModule) -> Tensor:
    """Which of the scored joints are not the root, whose error is zero, ``(scored,)`` bool."""
    protocol = get_protocol(module.settings.protocol).on(module.skeleton)
    root = module.skeleton.index(protocol.root)
    return torch.tensor([joint != root for joint in scored_joints(module)])


def measure(module: LiftingModule, batches: Iterable[PoseBatch], answer: Answer) -> Errors:
    """Score the answers to some batches, with the random numbers of the run's test.

    Args:
        module: Gives skeleton, protocol and seed.
        batches: Labelled windows, whose middle frames count.
        answer: What is scored.
    """
    seed_everywhere(module.settings.seed, "test")
    parts = [_score(module, answer(batch), batch) for batch in batches]
    best = [part.best for part in parts if part.best is not None]
    return Errors(
        position=torch.cat([part.position for part in parts]),
        valid=torch.cat([part.valid for part in parts]),
        aligned=torch.cat([part.aligned for part in parts]),
        alignable=torch.cat([part.alignable for part in parts]),
        best=torch.cat(best) if best else None,
        hypotheses=parts[0].hypotheses,
    )


def pair_errors(
    module: LiftingModule, prediction: Prediction, batch: PoseBatch, mask: PerJoint | None = None
) -> tuple[JointErrors, JointErrors]:
    """Errors of the scored joints of middle frames, as predicted and after a similarity.

    Args:
        module: Gives skeleton and protocol.
        prediction: Of the batch.
        batch: With labels.
        mask: Joints of the skeleton that count, ``(batch, joints)`` bool; None for all.

    Returns:
        ``(batch, scored)`` each.
    """
    chosen = list(scored_joints(module))
    predicted = middle(prediction.joints_3d)[:, 0, chosen]
    target, valid = _labels(module, batch)
    if mask is not None:
        valid = valid & mask[:, chosen]
    as_predicted = joint_errors(predicted, target, valid)
    return as_predicted, joint_errors(predicted, target, valid, align="similarity")


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
    if prediction.trajectory is None or not set(HEAD) <= set(skeleton.joints):
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
    ends = (skeleton.index(HEAD[0]), skeleton.index(HEAD[1]))
    return pckh(predicted, target, ends, mask & scored)


def _score(module: LiftingModule, prediction: Prediction, batch: PoseBatch) -> Errors:
    position, aligned = pair_errors(module, prediction, batch)
    best, number = None, 0
    if prediction.hypotheses is not None:
        several = prediction.hypotheses
        number = several.shape[1]
        chosen = list(scored_joints(module))
        half = several.shape[2] // 2
        found = several[:, :, half, chosen]  # batch hypotheses scored 3
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
    skeleton = module.skeleton
    protocol = get_protocol(module.settings.protocol).on(skeleton)
    chosen = list(scored_joints(module))
    joints = middle(batch.joints_3d)[:, 0]
    target = root_relative(joints, skeleton.index(protocol.root))[:, chosen]
    if batch.visible is None:
        return target, torch.ones_like(target[..., 0], dtype=torch.bool)
    return target, middle(batch.visible)[:, 0, chosen].bool()
