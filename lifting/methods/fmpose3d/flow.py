"""The straight path from noise to a pose: its loss, its Euler steps, hypotheses in chunks.

Screen units for keypoints, metres for poses. Lipman et al. 2023, with independent ends.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.methods.fmpose3d.network import VelocityNetwork
from lifting.nn.pose_loss import pose_loss
from lifting.typing import PerJoint, Pose2D, Pose3D

ROWS = {"cpu": 64}
"""Poses in one call of the network where gradients are off; elsewhere all that there are.

Fixed, so that an answer is equal to the bit whenever it is computed again."""


class Path(NamedTuple):
    """Points of straight paths.

    Attributes:
        state: ``(batch, joints, 3)``, metres.
        time: ``(batch,)``, 0 at the noise, 1 at the pose.
        velocity: Constant along a path, ``(batch, joints, 3)``.
    """

    state: Pose3D
    time: Tensor
    velocity: Pose3D


def path_at(noise: Pose3D, pose: Pose3D, time: Tensor) -> Path:
    """The points of straight paths from noise to poses at given times.

    Args:
        noise: ``(batch, joints, 3)``.
        pose: ``(batch, joints, 3)``, metres.
        time: ``(batch,)``.
    """
    share = time[:, None, None]
    return Path((1 - share) * noise + share * pose, time, pose - noise)


def drawn_path(pose: Pose3D) -> Path:
    """Points at random times of paths from random noise, as :func:`path_at`."""
    noise = torch.randn_like(pose)
    return path_at(noise, pose, torch.rand(len(pose), dtype=pose.dtype, device=pose.device))


def flow_loss(
    network: VelocityNetwork, keypoints: Pose2D, path: Path, weights: PerJoint | None
) -> Tensor:
    """Mean squared error of the velocity over coordinates of joints that count, of shape ``()``.

    Args:
        network: Answers velocities.
        keypoints: ``(batch, joints, 2)``.
        path: Where it is asked.
        weights: ``(batch, joints)``, how much each joint counts; None for all alike.

    Source: released code; Lipman et al. 2023, equation 9, for straight paths.
    """
    velocity = network(keypoints, path.state, path.time)
    return pose_loss(velocity, path.velocity, weights, "squared")


def integrate(network: VelocityNetwork, keypoints: Pose2D, noise: Pose3D, steps: int) -> Pose3D:
    """Poses at the end of their ways by Euler's method, ``(batch, joints, 3)``, metres.

    Args:
        network: Answers velocities.
        keypoints: ``(batch, joints, 2)``.
        noise: Where they start, ``(batch, joints, 3)``.
        steps: Of equal length.
    """
    pose = noise
    for step in range(steps):
        time = torch.full((1,), step / steps, dtype=pose.dtype, device=pose.device)
        pose = pose + network(keypoints, pose, time) / steps
    return pose


def sample(
    network: VelocityNetwork, keypoints: Tensor, noise: Tensor, steps: int, rows: int | None = None
) -> Tensor:
    """Hypotheses of poses, ``(hypotheses, batch, joints, 3)``, metres.

    They go through the network in chunks, as many at a time as a call of about ``rows`` poses
    holds: a single pose's all at once, of large batches one after another.

    Args:
        network: Answers velocities.
        keypoints: ``(hypotheses, batch, joints, 2)``.
        noise: ``(hypotheses, batch, joints, 3)``.
        steps: Of Euler's method.
        rows: Poses in a call; None takes ``ROWS`` of the device, all at once under gradients.
    """
    drawn, batch = noise.shape[:2]
    if rows is None and not torch.is_grad_enabled():
        rows = ROWS.get(noise.device.type)
    chunk = drawn if rows is None or torch.compiler.is_compiling() else max(1, rows // batch)
    parts = [
        integrate(network, keypoints[i : i + chunk].flatten(0, 1), start.flatten(0, 1), steps)
        for i, start in ((i, noise[i : i + chunk]) for i in range(0, drawn, chunk))
    ]
    return torch.cat(parts).view(noise.shape)


@lru_cache(maxsize=4)
def unit_noise(drawn: int, joints: int, seed: int, device: torch.device) -> Tensor:
    """Table of noise that every pose starts from, ``(drawn, 1, joints, 3)``.

    Each entry is a unit Gaussian, but over several hypotheses they sum to zero, which takes most
    of the sampling error out of their mean.

    Args:
        drawn: Hypotheses.
        joints: Of a pose.
        seed: Seed of the table.
        device: Where it is needed.
    """
    # It outlives this call, so it must not be a tensor of inference mode, which has no gradient.
    with torch.inference_mode(False), torch.no_grad():
        generator = torch.Generator().manual_seed(seed)
        unit = torch.randn(drawn, 1, joints, 3, generator=generator)
        if drawn > 1:
            unit = (unit - unit.mean(dim=0)) * math.sqrt(drawn / (drawn - 1))
        return unit.to(device)
