"""Motion made whole: glitches, cuts, filter, frame rate, bone lengths, and bones that a file lost.

The order matters: glitches are found before the filter spreads them, and cuts come before it
because a filter must not run over a jump.

A lost bone is an offset of zero where the body has a length. The common conversions of the CMU
database to BVH dropped two bones that the text of the ASF file splits off, and what lies beyond
them is that much too near. Their lengths can be had from the file itself. In other files a
length can only be guessed from the other bones, and the joints it moves are approximate.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import label, median_filter
from scipy.signal import butter, sosfiltfilt

from lifting.data.mocap.captured import BoolArray, CapturedMotion, FloatArray
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

CMU_NAMES = frozenset(
    {"LowerBack", "Spine", "Spine1", "Neck"}
    | {f"{s}{part}" for s in ("Left", "Right") for part in ("ForeArm", "Hand", "FingerBase")}
)
FOREARM_OF_NEAR_PART = 1.5  # the ASF forearm is split 2:1
SHORT = 0.75  # of the length its neighbours imply
SHORT_BESIDE_A_ZERO = 0.9  # the same, where the file has an offset of zero there
SAME_PLACE_MM = 1.0
FOREARM_OF_UPPER_ARM = 0.9
TRUNK_OF_LEG = 0.525  # hip to thorax, over thigh and shank; 0.50 to 0.54 in three CMU skeletons
HEAD_OF_LEG = 0.14
_ARMS = tuple(f"{s}_{j}" for s in ("left", "right") for j in ("shoulder", "elbow", "wrist"))
# Joints at the far end of a bone that can be missing: where it starts, and what moves with it.
_BONES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "thorax": ("spine", ("neck", "head", *_ARMS)),
    "left_wrist": ("left_elbow", ()),
    "right_wrist": ("right_elbow", ()),
    "head": ("neck", ()),
}


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


def restore_cmu(motion: CapturedMotion, unit_mm: float) -> tuple[CapturedMotion, tuple[str, ...]]:
    """Give a BVH conversion of the CMU database back what it lost.

    Args:
        motion: Any recording; others are returned as they are.
        unit_mm: Millimetres in one file unit.

    Returns:
        The recording, and what was done to it, in words.

    Source: CMU 01_01 as BVH against its AMC: forearms of 197 and 194 mm become 295 and 292, spine
    to thorax becomes 232 from 116.
    """
    if motion.form != "bvh" or not set(motion.names) >= CMU_NAMES:
        return motion, ()
    positions, notes = motion.positions.copy(), []
    index = {name: i for i, name in enumerate(motion.names)}
    if _has_no_length(motion, index["Neck"], unit_mm):
        shift = continued(motion, index["Spine1"], unit_mm)
        positions[:, _below(motion, index["Spine1"])] += shift[:, None]
        notes.append(
            f"thorax: the offset of Neck is zero, {_median(shift) * unit_mm:.0f} mm restored from "
            "Spine1; neck, head and arms moved with it"
        )
    for side in ("Left", "Right"):
        elbow, hand = index[f"{side}ForeArm"], index[f"{side}Hand"]
        if _has_no_length(motion, index[f"{side}FingerBase"], unit_mm):
            shift = (FOREARM_OF_NEAR_PART - 1) * (positions[:, hand] - positions[:, elbow])
            positions[:, [hand, *_below(motion, hand)]] += shift[:, None]
            notes.append(
                f"{side.lower()}_wrist: the offset of {side}FingerBase is zero, "
                f"{_median(shift) * unit_mm:.0f} mm restored from {side}Hand"
            )
    return replace(motion, positions=positions), tuple(notes)


def estimate_lost(
    motion: CapturedMotion,
    located: MutableMapping[str, FloatArray],
    sources: Mapping[str, Sequence[str]],
    unit_mm: float,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Lengthen bones that are shorter than the others allow, along their own direction.

    Args:
        motion: The recording.
        located: ``(T, 3)`` mm of each joint of ``h36m17``, in the file's axes; changed in place.
        sources: The file's names of each joint.
        unit_mm: Millimetres in one file unit.

    Returns:
        The joints whose place is a guess, and what was done, in words.
    """
    approximate: list[str] = []
    notes: list[str] = []
    for joint, (start, moved) in _BONES.items():
        vector = located[joint] - located[start]
        base, expected = _expected(located, joint)
        share = (base + _median(vector)) / max(base + expected, 1e-6)
        # Bones of a face commonly sit on the head's own place: nothing is lost there.
        zero = joint != "head" and _beside_a_zero(motion, sources[joint], unit_mm)
        if share >= (SHORT_BESIDE_A_ZERO if zero else SHORT):
            continue
        length = _median(vector)
        if length < SAME_PLACE_MM:
            vector = continued(motion, motion.names.index(sources[start][-1]), unit_mm)
        size = np.linalg.norm(vector, axis=-1, keepdims=True)
        shift = located[start] + vector * (expected / np.maximum(size, 1e-9)) - located[joint]
        for one in (joint, *moved):
            located[one] = located[one] + shift
        approximate += [joint, *moved]
        notes.append(
            f"{joint}: {length:.0f} mm from {start} in the file, too short beside the other "
            f"bones; placed at {expected:.0f} mm, approximate"
            + (f", with it {', '.join(moved)}" if moved else "")
        )
    return tuple(dict.fromkeys(approximate)), tuple(notes)


def _expected(located: Mapping[str, FloatArray], joint: str) -> tuple[float, float]:
    """Length before a bone that counts with it, and the bone's own length, from others, mm."""

    def length(*chain: str) -> float:
        return sum(_median(located[b] - located[a]) for a, b in pairwise(chain))

    if joint.endswith("wrist"):
        side = joint.removesuffix("wrist")
        return 0.0, FOREARM_OF_UPPER_ARM * length(f"{side}shoulder", f"{side}elbow")
    leg = np.mean([length(f"{s}_hip", f"{s}_knee", f"{s}_ankle") for s in ("left", "right")])
    if joint == "head":
        return 0.0, HEAD_OF_LEG * float(leg)
    # Rigs differ in where the spine joint is, so the whole trunk is judged.
    base = length("hip", "spine")
    return base, max(TRUNK_OF_LEG * float(leg) - base, 0.0)


def continued(motion: CapturedMotion, point: int, unit_mm: float) -> FloatArray:
    """The bone that leads to a point, turned with the point, as if it went on beyond it.

    Args:
        motion: The recording.
        point: Index of the point.
        unit_mm: Millimetres in one file unit.

    Returns:
        ``(T, 3)`` file units and axes; of the next bone up where one has no length, else zeros.
    """
    end, turns = point, motion.rotations
    while turns is not None and motion.parents and motion.parents[end] >= 0:
        start = motion.parents[end]
        if not _has_no_length(motion, end, unit_mm):
            bone = motion.positions[:, end] - motion.positions[:, start]
            own = np.einsum("tji,tj->ti", turns[:, start], bone)
            return np.einsum("tij,tj->ti", turns[:, point], own)
        end = start
    return np.zeros((len(motion.positions), 3))


def _beside_a_zero(motion: CapturedMotion, names: Sequence[str], unit_mm: float) -> bool:
    """Whether a joint lies on its parent, or a joint below it (an end site says nothing) on it."""
    indices = [motion.names.index(name) for name in names]
    return any(
        _has_no_length(motion, i, unit_mm)
        for i, parent in enumerate(motion.parents)
        if (i in indices or parent in indices) and not motion.names[i].endswith("/end")
    )


def _has_no_length(motion: CapturedMotion, point: int, unit_mm: float) -> bool:
    parent = motion.parents[point] if motion.parents else -1
    if parent < 0:
        return False
    bone = motion.positions[:, point] - motion.positions[:, parent]
    return _median(bone) * unit_mm < SAME_PLACE_MM


def _below(motion: CapturedMotion, point: int) -> list[int]:
    """Points below a point of the tree."""
    found = {point}
    for i, parent in enumerate(motion.parents):
        if parent in found:
            found.add(i)
    return sorted(found - {point})


def _median(vectors: FloatArray) -> float:
    return float(np.median(np.linalg.norm(vectors, axis=-1)))
