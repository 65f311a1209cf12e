"""Where people stand in front of the camera, frame by frame and as a path over time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from lifting.files.npz import Array
from lifting.geometry.camera import pixels_to_rays, undistort_rays
from lifting.geometry.root import NEAREST_MM, solve_root
from lifting.motion.smooth import Window, smooth

PLACE_S, DEPTH_S = 0.2, 1.0
"""Half a width of the smoother across the line of sight, and along it, seconds."""
_FAR = 0.05  # of the distance, by which a frame's depth is commonly off


class Placed(NamedTuple):
    """Roots, frame by frame.

    Attributes:
        trajectory: ``(N, 3)``, camera frame, mm; NaN where too little was seen.
        weight: ``(N,)``, how well the depth is told; 0 where it is not.
    """

    trajectory: Array
    weight: Array


def place_root(
    joints_3d: Array, keypoints_2d: Array, confidence: Array, intrinsics: Array
) -> Placed:
    """Place of the root at which each pose fits its keypoints best; every frame by itself.

    Args:
        joints_3d: ``(N, joints, 3)``, relative to the root, axes of the camera, mm.
        keypoints_2d: ``(N, joints, 2)``, pixels.
        confidence: ``(N, joints)``.
        intrinsics: ``(N, 9)``.
    """
    seen = (confidence > 0) & np.isfinite(keypoints_2d).all(-1) & np.isfinite(joints_3d).all(-1)
    pixels = np.where(seen[..., None], keypoints_2d, 0.0)
    lens = torch.from_numpy(np.array(intrinsics, dtype=np.float64))
    rays = pixels_to_rays(torch.from_numpy(pixels.astype(np.float64)), lens)
    rays = undistort_rays(rays, lens)
    weights = np.where(seen, confidence, 0.0).astype(np.float64)
    pose = np.where(seen[..., None], joints_3d, 0.0).astype(np.float64)
    found = solve_root(torch.from_numpy(pose), rays, torch.from_numpy(weights)).numpy()
    square = weights**2
    total = square.sum(1)
    share = (square / np.maximum(total, 1e-12)[:, None])[..., None]
    spread = (share * rays.numpy() ** 2).sum(1) - (share * rays.numpy()).sum(1) ** 2
    told = spread.sum(1) * total
    good = (seen.sum(1) >= 3) & np.isfinite(found).all(1) & (found[:, 2] > NEAREST_MM)
    return Placed(
        np.where(good[:, None], found, np.nan), np.where(good, np.sqrt(np.maximum(told, 0)), 0.0)
    )


def smooth_root(
    placed: Placed, track: Array, fps: float, lookahead: int | None, eye: Array | float = 0.0
) -> Array:
    """A path that trusts what is seen across the line of sight more than the depth.

    Args:
        placed: Of every frame, in a frame that does not move.
        track: ``(N,)`` int64, rising.
        fps: Frames a second.
        lookahead: Frames that are known ahead of an answer; None for all.
        eye: Centre of the camera, ``(N, 3)``; 0 where it stands still.

    Returns:
        ``(N, 3)``, mm; NaN where nothing around is known.
    """
    given = np.nan_to_num(placed.trajectory)[:, None]
    weights = placed.weight[:, None]
    distance = np.linalg.norm(given[:, 0] - eye, axis=-1)[:, None]
    tolerance = np.maximum(_FAR * distance, 1.0)
    near, far = (
        smooth(given, weights, track, Window.of(s, fps, lookahead), tolerance=tolerance)
        for s in (PLACE_S, DEPTH_S)
    )
    place, along = near.values[:, 0], far.values[:, 0]
    sight = place - eye
    length = np.maximum(np.linalg.norm(sight, axis=-1, keepdims=True), 1.0)
    sight = sight / length
    path: Array = place + sight * (sight * (along - place)).sum(-1, keepdims=True)
    return path
