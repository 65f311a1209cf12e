"""From raw joint positions to clean clips: glitches, cuts, filter, frame rate, bone lengths.

The order matters: glitches are found before the filter spreads them, and cuts come before it
because a filter must not run over a jump.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import label, median_filter
from scipy.signal import butter, sosfiltfilt

from lifting.data.mocap.captured import BoolArray, FloatArray
from lifting.skeleton import H36M_17

TARGET_FPS = 50.0
LOW_PASS_HZ = 15.0
LOW_PASS_ORDER = 4
FAST_FPS = 90.0  # above it the median spans five frames, below it three
GLITCH_MM = (60.0, 90.0)  # limits for fast and slow recordings
LONGEST_REPAIR_S = 0.1
SHORTEST_PIECE_S = 1.0
HIP_LIMIT_MM_S = 6000.0
JOINT_LIMIT_MM_S = 20000.0
ANKLE_FLOOR_MM = 80.0
ANKLE_PERCENTILE = 1.0


class Repaired(NamedTuple):
    """A recording without glitches.

    Attributes:
        pieces: ``(T_i, joints, 3)`` each, in order.
        repaired_frames: Frames that were interpolated.
        dropped_frames: Frames in runs too long to repair or pieces too short to keep.
    """

    pieces: list[FloatArray]
    repaired_frames: int
    dropped_frames: int


def repair(pose: FloatArray, fps: float) -> Repaired:
    """Interpolate short glitches, cut at long ones and at jumps, drop short pieces.

    Args:
        pose: ``(T, 17, 3)`` mm.
        fps: Frames a second.
    """
    bad = _glitches(pose, fps)
    short = _runs_at_most(bad, round(LONGEST_REPAIR_S * fps))
    mended = _interpolate(pose, bad, short)
    lost = bad & ~short
    cut = lost[1:] | lost[:-1] | _jumps(mended, fps)
    edges = np.concatenate(([0], np.flatnonzero(cut) + 1, [len(pose)]))
    shortest = round(SHORTEST_PIECE_S * fps)
    pieces = [mended[start:end] for start, end in pairwise(edges) if end - start >= shortest]
    kept = sum(len(piece) for piece in pieces)
    return Repaired(pieces, int(short.sum()), len(pose) - kept)


def _glitches(pose: FloatArray, fps: float) -> BoolArray:
    """Frames in which a joint is far from its median over neighbouring frames, ``(T,)``."""
    fast = fps >= FAST_FPS
    window = 5 if fast else 3
    median = median_filter(pose, size=(window, 1, 1), mode="nearest")
    away = np.linalg.norm(pose - median, axis=-1).max(axis=-1)
    return away > GLITCH_MM[0 if fast else 1]


def _runs_at_most(flags: BoolArray, longest: int) -> BoolArray:
    """Those flags that lie in a run of at most ``longest`` frames inside the recording."""
    runs, _ = label(flags)
    kept = np.bincount(runs) <= longest
    # A run at an end of the recording has nothing beyond it to interpolate to.
    kept[[0, runs[0], runs[-1]]] = False
    return kept[runs]


def _interpolate(pose: FloatArray, bad: BoolArray, repairable: BoolArray) -> FloatArray:
    """The recording with repairable frames replaced linearly from the good ones around them."""
    if not repairable.any():
        return pose
    frames = np.arange(len(pose))
    good = frames[~bad]
    flat = pose.reshape(len(pose), -1)
    mended = flat.copy()
    times = frames[repairable]
    right = np.searchsorted(good, times)
    before, after = good[right - 1], good[right]
    weight = ((times - before) / (after - before))[:, None]
    mended[repairable] = flat[before] * (1 - weight) + flat[after] * weight
    return mended.reshape(pose.shape)


def _jumps(pose: FloatArray, fps: float) -> BoolArray:
    """Whether the step from each frame to the next is faster than people move, ``(T - 1,)``."""
    speed = np.linalg.norm(np.diff(pose, axis=0), axis=-1) * fps
    return (speed[:, H36M_17.root] > HIP_LIMIT_MM_S) | (speed.max(axis=-1) > JOINT_LIMIT_MM_S)


def low_pass(pose: FloatArray, fps: float) -> FloatArray:
    """Butterworth low-pass, run forwards and backwards so that nothing is delayed.

    Args:
        pose: ``(T, joints, 3)``, at least a second long.
        fps: Frames a second; a rate that holds no frequency above the limit is left as it is.
    """
    if fps <= 2.2 * LOW_PASS_HZ:
        return pose
    sections = butter(LOW_PASS_ORDER, LOW_PASS_HZ, fs=fps, output="sos")
    return sosfiltfilt(sections, pose, axis=0)


def resample(pose: FloatArray, fps: float) -> FloatArray:
    """Cubic resampling to 50 frames a second, from the first frame on.

    Args:
        pose: ``(T, joints, 3)``.
        fps: Frames a second of the input.
    """
    if fps == TARGET_FPS:
        return pose
    count = int(np.floor((len(pose) - 1) / fps * TARGET_FPS + 1e-6)) + 1
    spline = CubicSpline(np.arange(len(pose)) / fps, pose, axis=0)
    return spline(np.arange(count) / TARGET_FPS)


def bone_lengths(pose: FloatArray) -> FloatArray:
    """Length of the bone from each joint's parent, ``(T, 17)`` mm; zero for the root."""
    parents = np.array(H36M_17.parents)
    lengths = np.linalg.norm(pose - pose[:, np.maximum(parents, 0)], axis=-1)
    lengths[:, parents < 0] = 0
    return lengths


def with_bone_lengths(pose: FloatArray, lengths: FloatArray) -> FloatArray:
    """The pose with every bone's direction kept and its length set.

    Args:
        pose: ``(T, 17, 3)`` mm.
        lengths: ``(17,)`` mm; the root's entry is ignored.
    """
    parents = np.array(H36M_17.parents)
    vectors = pose - pose[:, np.maximum(parents, 0)]
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    vectors = vectors * lengths[:, None] / np.maximum(norms, 1e-6)
    result = pose.copy()
    for joint in H36M_17.depth_order:
        if parents[joint] >= 0:
            result[:, joint] = result[:, parents[joint]] + vectors[:, joint]
    return result


def ground(pose: FloatArray) -> FloatArray:
    """Shift a clip so that its hip is over the origin on average and its feet on the floor.

    Args:
        pose: ``(T, 17, 3)`` mm, z up.

    Returns:
        The same shape; the first percentile of the lower ankle is 80 mm above z = 0.
    """
    ankles = [H36M_17.index("right_ankle"), H36M_17.index("left_ankle")]
    shift = pose[:, H36M_17.root].mean(axis=0)
    lowest = np.percentile(pose[:, ankles, 2].min(axis=1), ANKLE_PERCENTILE)
    shift[2] = lowest - ANKLE_FLOOR_MM
    return pose - shift
