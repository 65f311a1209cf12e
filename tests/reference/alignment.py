"""Procrustes alignment by batched singular value decompositions, as evaluation code has it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def aligned_by_decomposition(pose: Tensor, target: Tensor, *, scale: bool = True) -> Tensor:
    """Poses after the similarity onto their targets, by torch's decomposition.

    Args:
        pose: ``(poses, joints, 3)``.
        target: ``(poses, joints, 3)``.
        scale: False allows a rigid motion only.

    Returns:
        ``(poses, joints, 3)``.
    """
    x, middle = pose - pose.mean(1, keepdim=True), target.mean(1, keepdim=True)
    u, s, vt = torch.linalg.svd(x.mT @ (target - middle))
    sign = torch.ones_like(s)
    sign[:, 2] = torch.det(vt.mT @ u.mT).sign()
    rotation = (vt.mT * sign[:, None]) @ u.mT
    moved = x @ rotation.mT
    if scale:
        moved = ((s * sign).sum(1) / x.square().sum((1, 2)))[:, None, None] * moved
    return moved + middle


def aligned_error_by_decomposition(predicted: np.ndarray, target: np.ndarray) -> float:
    """PA-MPJPE by numpy's decomposition, mm.

    Args:
        predicted: ``(poses, joints, 3)``.
        target: ``(poses, joints, 3)``.
    """
    x = predicted - predicted.mean(1, keepdims=True)
    middle = target.mean(1, keepdims=True)
    y = target - middle
    u, s, vt = np.linalg.svd(np.einsum("nji,njk->nik", x, y))
    v = vt.transpose(0, 2, 1)
    sign = np.sign(np.linalg.det(v @ u.transpose(0, 2, 1)))
    v[:, :, 2] *= sign[:, None]
    s[:, 2] *= sign
    rotation = v @ u.transpose(0, 2, 1)
    scale = s.sum(1) / np.square(x).sum((1, 2))
    aligned = scale[:, None, None] * (x @ rotation.transpose(0, 2, 1)) + middle
    return float(np.linalg.norm(aligned - target, axis=-1).mean())
