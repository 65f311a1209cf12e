"""Reprojection-based posterior expectation aggregation: a mean weighted by how joints project."""

from __future__ import annotations

from torch import Tensor

from lifting.typing import Pose3D

FARTHEST = 20.0
"""Temperatures beyond which all errors count alike (released)."""


def expectation(hypotheses: Tensor, errors: Tensor, kept: int, temperature: float) -> Pose3D:
    """Mean of each joint over the hypotheses that project it best, ``(*batch, joints, 3)``.

    A hypothesis weighs ``exp(-min(error, 20 temperature) / temperature)``. The root, whose
    error means nothing, is at zero in every hypothesis.

    Args:
        hypotheses: ``(hypotheses, *batch, joints, 3)``, root-relative.
        errors: Distance of the projected joints from their keypoints,
            ``(hypotheses, *batch, joints)``, in the temperature's unit.
        kept: Hypotheses of a joint that count, those of least error.
        temperature: Of the weights.

    Source: released code of FMPose3D. The paper's expectation is over all hypotheses.
    """
    ordered, order = errors.sort(dim=0)  # topk orders equal errors otherwise than ONNX does
    nearest, index = ordered[:kept], order[:kept]
    shares = (-nearest.clamp(max=FARTHEST * temperature) / temperature).softmax(dim=0)
    chosen = hypotheses.gather(0, index[..., None].expand(*index.shape, 3))
    return (shares[..., None] * chosen).sum(dim=0)
