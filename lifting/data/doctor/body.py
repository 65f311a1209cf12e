"""3D alone: finite values, the unit, the order of joints, which way is up, left and right."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from lifting.data.doctor.takes import Bodies, CheckRow, Take, Verdict, judged, spread
from lifting.errors import DataError
from lifting.files.npz import Array
from lifting.skeleton import Skeleton, sets_of

EXTENT_MM = (700.0, 2600.0)  # the two joints farthest apart, of people who sit or reach up
FACTORS = ((1.0, ""), (1e3, "1000"), (1e-3, "0.001"), (10.0, "10"), (0.1, "0.1"), (100.0, "100"),
           (0.01, "0.01"))  # fmt: skip
_UNITS = {"mm": {1.0: "mm", 1e3: "m", 10.0: "cm"}, "m": {1.0: "m", 1e-3: "mm", 0.01: "cm"}}
# Bones that every skeleton has, by their two ends, and what people's measure, mm.
LIMBS = {
    "thigh": ("hip", "knee", 230.0, 620.0),
    "shank": ("knee", "ankle", 220.0, 600.0),
    "upper arm": ("shoulder", "elbow", 130.0, 420.0),
    "forearm": ("elbow", "wrist", 120.0, 400.0),
}
LIMB_JOINTS = {
    f"{side}_{end}" for limb in LIMBS.values() for end in limb[:2] for side in ("left", "right")
}
_ASYMMETRY = 1.3
_MOST = 4000
_A_TAKE = 60
UPRIGHT = 0.6
KNEES_OK, KNEES_DOUBTFUL = 0.85, 0.5
BENT_MM = 25.0
_LEAST_BENT, _LEAST_STEPS = 10, 30
WALKING_MM_S = 800.0  # faster than hips move back when somebody sits down
FACING_OK = 0.5


@dataclass
class BodyReport:
    """What 3D alone tells.

    Attributes:
        rows: The rows.
        factor: What lengths have to be multiplied by; None when the unit cannot be told.
        order: Permutation that puts left and right in their places; None when they are.
        ordered: Whether the joints are in the order that the files should have.
        comparable: Whether a comparison with 2D still means something.
    """

    rows: list[CheckRow] = field(default_factory=list)
    factor: float = 1.0
    order: tuple[int, ...] | None = None
    ordered: bool = True
    comparable: bool = True


def check_bodies(bodies: Bodies) -> BodyReport:
    """Judge poses by what is true of all people.

    Args:
        bodies: The takes.
    """
    report = BodyReport([check_values(bodies)])
    poses = _sample(bodies)
    if len(poses) == 0:
        report.comparable = False
        return report
    factor, row = _check_unit(bodies, poses)
    report.rows.append(row)
    if factor is None:
        report.comparable = False
        return report
    report.factor, poses = factor, poses * factor
    order = _check_order(bodies, poses)
    report.rows.append(order)
    if order.verdict == "fail":
        report.ordered = report.comparable = False
        return report
    directions = [_check_arms(bodies, poses)]
    if bodies.up is not None:
        directions.append(_check_up(bodies, poses))
    report.rows += directions
    if any(row.verdict == "fail" for row in directions):
        report.comparable = False
        return report
    sides = _check_sides(bodies, poses, factor)
    report.rows.append(sides)
    if sides.verdict == "fail":
        report.order = bodies.skeleton.flip_index
    return report


def check_values(bodies: Bodies) -> CheckRow:
    """Count numbers that are not finite, in frames that count."""
    bad, total, first = 0, 0, ""
    for take in bodies.takes:
        joints = take.joints if take.valid is None else take.joints[take.valid]
        wrong = ~np.isfinite(joints)
        count = int(wrong.sum())
        total, bad = total + joints.size, bad + count
        if count and not first:
            frame, joint, _ = np.argwhere(wrong)[0].tolist()
            frame = frame if take.valid is None else int(np.flatnonzero(take.valid)[frame])
            first = f", first {take.label}, frame {frame}, {bodies.skeleton.joints[joint]}"
    return judged(
        f"values {bodies.label}",
        "finite numbers",
        f"{bad} of {total} are not{first}" if bad else f"{total} numbers",
        "fail" if bad else "ok",
        "get the file again from its source, or leave the recording out",
    )


def _sample(bodies: Bodies) -> Array:
    """Poses spread over all takes, ``(n, joints, 3)`` float64."""
    most = max(4, min(_A_TAKE, _MOST // max(len(bodies.takes), 1)))
    pieces = [take.joints[spread(take.rows, most)] for take in bodies.takes]
    joints = len(bodies.skeleton)
    return np.concatenate([np.empty((0, joints, 3)), *pieces]).astype(np.float64)


def _check_unit(bodies: Bodies, poses: Array) -> tuple[float | None, CheckRow]:
    """The unit, told by the two joints farthest apart, which needs no order of joints."""
    apart = np.linalg.norm(poses[:, :, None] - poses[:, None], axis=-1).max(axis=(1, 2))
    extent = float(np.median(apart))
    names = _UNITS[bodies.unit]
    for factor, words in FACTORS:
        if EXTENT_MM[0] <= extent * factor <= EXTENT_MM[1]:
            found = names.get(factor, f"{words} times too {'small' if factor > 1 else 'large'}")
            return factor, judged(
                f"unit {bodies.label}",
                names[1.0],
                f"{found} (people {extent * factor / 1000:.2f} m from end to end)",
                "ok" if factor == 1 else "fail",
                f"multiply the positions by {words}",
            )
    return None, CheckRow(
        f"unit {bodies.label}",
        names[1.0],
        f"people {extent / 1000:.4g} m from end to end",
        "fail",
        "the unit cannot be told: get the file again from its source",
    )


def limb_faults(poses: Array, skeleton: Skeleton) -> list[str]:
    """Limbs that people do not have if the joints are in the order of a skeleton.

    Args:
        poses: ``(n, joints, 3)``, mm.
        skeleton: The order.
    """
    faults = []
    for limb, (upper, lower, shortest, longest) in LIMBS.items():
        sides = []
        for side in ("left", "right"):
            ends = [poses[:, skeleton.index(f"{side}_{joint}")] for joint in (upper, lower)]
            sides.append(float(np.median(np.linalg.norm(ends[0] - ends[1], axis=-1))))
            if not shortest <= sides[-1] <= longest:
                faults.append(f"{side} {limb} {sides[-1]:.0f} mm")
        if max(sides) > _ASYMMETRY * max(min(sides), 1e-6):
            faults.append(f"{limb}s of {sides[0]:.0f} and {sides[1]:.0f} mm")
    return faults


def _check_order(bodies: Bodies, poses: Array) -> CheckRow:
    skeleton = bodies.skeleton
    faults = limb_faults(poses, skeleton)
    others = [
        s.name
        for s in sets_of(len(skeleton))
        if faults and s is not skeleton and not limb_faults(poses, s)
    ]
    advice = (
        f"the joints seem to be in the order of {others[0]}: put them in that of {skeleton.name}"
        if others
        else "the joints are in another order, or limbs are damaged: get the file again"
    )
    return judged(
        f"joint order {bodies.label}",
        f"{skeleton.name}: limbs as people have them",
        ", ".join(faults[:4]) or "as expected",
        "fail" if faults else "ok",
        advice,
    )


def _check_arms(bodies: Bodies, poses: Array) -> CheckRow:
    across = [_across(poses, bodies.skeleton, joint) for joint in ("shoulder", "hip")]
    same = float(((across[0] * across[1]).sum(-1) > 0).mean())
    return judged(
        f"arms {bodies.label}",
        "left shoulder on the side of the left hip (over 90 %)",
        f"{100 * same:.1f} %",
        "ok" if same > 0.9 else "warn" if same > 0.5 else "fail",
        "left and right arms, or legs, are exchanged: check the joint names",
    )


def _across(poses: Array, skeleton: Skeleton, joint: str) -> Array:
    """From the right joint to the left."""
    left: Array = poses[:, skeleton.index(f"left_{joint}")]
    return left - poses[:, skeleton.index(f"right_{joint}")]


def _middle(poses: Array, skeleton: Skeleton, joint: str) -> Array:
    ends = [skeleton.index(f"{side}_{joint}") for side in ("left", "right")]
    middle: Array = poses[:, ends].mean(axis=1)
    return middle


def _unit_vectors(vectors: Array) -> Array:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Array = vectors / np.maximum(lengths, 1e-9)
    return scaled


def _trunk(poses: Array, skeleton: Skeleton) -> Array:
    return _unit_vectors(_middle(poses, skeleton, "shoulder") - _middle(poses, skeleton, "hip"))


def _check_up(bodies: Bodies, poses: Array) -> CheckRow:
    """Trunks point up on the whole, whatever people do."""
    mean = _trunk(poses, bodies.skeleton).mean(axis=0)
    axis = int(np.abs(mean).argmax())
    found = f"{'-' if mean[axis] < 0 else '+'}{'xyz'[axis]}"
    sign = -1.0 if bodies.up == "-y" else 1.0
    share = sign * float(mean["xyz".index((bodies.up or "+z")[1])])
    verdict: Verdict = "ok" if share >= UPRIGHT else "warn" if found == bodies.up else "fail"
    frame = "world" if bodies.up == "+z" else "camera"
    return judged(
        f"vertical axis {bodies.label}",
        f"{bodies.up} is up in the {frame} frame",
        f"{found} (share {share:.2f})",
        verdict,
        f"turn the positions so that {bodies.up} points up"
        + ("; (x, y, z) -> (x, -z, y) from y up" if bodies.up == "+z" else ""),
    )


def _check_sides(bodies: Bodies, poses: Array, factor: float) -> CheckRow:
    """Knees bend forwards and people walk forwards; with sides exchanged, neither."""
    knees = _knees_forward(poses, bodies.skeleton)
    walk = _walk_forward(bodies, factor)
    found = ["no knee is bent" if knees is None else f"{100 * knees:.0f} % of bent knees in front"]
    found.append("nobody walks" if walk is None else f"facing and walking agree by {walk:.2f}")
    verdict: Verdict = "warn"
    if knees is not None:
        verdict = "ok" if knees > KNEES_OK else "warn" if knees > KNEES_DOUBTFUL else "fail"
        if verdict == "ok" and walk is not None and walk < 0:
            verdict = "warn"
    elif walk is not None:
        verdict = "ok" if walk > FACING_OK else "warn" if walk > 0 else "fail"
    return judged(
        f"left and right {bodies.label}",
        "knees bend and people walk forwards",
        ", ".join(found),
        verdict,
        "left and right are exchanged, or an axis is mirrored: check the joint names"
        if verdict == "fail"
        else "look at a recording: left and right cannot be told for sure",
    )


def _knees_forward(poses: Array, skeleton: Skeleton) -> float | None:
    """Share of bent knees in front of the line from hip to ankle."""
    facing = _unit_vectors(np.cross(_across(poses, skeleton, "hip"), _trunk(poses, skeleton)))
    ahead = []
    for side in ("left", "right"):
        hip, knee, ankle = (
            poses[:, skeleton.index(f"{side}_{joint}")] for joint in ("hip", "knee", "ankle")
        )
        line = _unit_vectors(ankle - hip)
        away = (knee - hip) - ((knee - hip) * line).sum(-1, keepdims=True) * line
        bent = np.linalg.norm(away, axis=-1) > BENT_MM
        ahead.append((away * facing).sum(-1)[bent])
    forward = np.concatenate(ahead)
    return float((forward > 0).mean()) if len(forward) >= _LEAST_BENT else None


def _walk_forward(bodies: Bodies, factor: float) -> float | None:
    """Median cosine between facing and walking, of those who walk."""
    walks = [take for take in bodies.takes if take.action.lower().startswith("walk")]
    cosines = np.concatenate([np.empty(0), *_cosines(bodies, walks, factor)])
    if len(cosines) < _LEAST_STEPS:
        cosines = np.concatenate([np.empty(0), *_cosines(bodies, bodies.takes, factor)])
    return float(np.median(cosines)) if len(cosines) >= _LEAST_STEPS else None


def _cosines(bodies: Bodies, takes: Sequence[Take], factor: float) -> Iterator[Array]:
    skeleton = bodies.skeleton
    for take in takes:
        rows = take.rows[:-1][np.diff(take.rows) == 1]
        rows = spread(rows, _A_TAKE)
        now, then = (take.joints[r].astype(np.float64) * factor for r in (rows, rows + 1))
        step = (_middle(then, skeleton, "hip") - _middle(now, skeleton, "hip")) * bodies.fps
        trunk = _trunk(now, skeleton)
        step = step - (step * trunk).sum(-1, keepdims=True) * trunk
        fast = np.linalg.norm(step, axis=-1) > WALKING_MM_S
        facing = _unit_vectors(np.cross(_across(now, skeleton, "hip"), trunk))
        yield (facing * _unit_vectors(step)).sum(-1)[fast]


log = logging.getLogger(__name__)
_THIGH_METRES = (0.2, 0.8)
_IN_METRES = {"m": 1.0, "mm": 0.001}
_JUDGED_FRAMES = 50


class UnitError(DataError):
    """Poses are not in the unit, or their joints not in the order, that a file should have."""


def check_unit(
    poses: Iterable[Array], skeleton: Skeleton, unit: Literal["m", "mm"], where: str
) -> None:
    """Check that people have the limbs and the size of people, in the unit of a file.

    Limbs that nobody has, in the order that the file should have, are refused where another known
    order makes them sound, and else said.

    Args:
        poses: Recordings, ``(frames, joints, 3)`` each; the median of their medians counts.
        skeleton: Their joints.
        unit: Unit that the file should have.
        where: Names the file in the message.

    Raises:
        UnitError: The joints are in another order, or the right thigh is not 0.2 to
            0.8 m long.
    """
    poses = [pose for pose in poses if len(pose)]
    faults = _refuse_order(poses, skeleton, unit, where)
    hip, knee = skeleton.index("right_hip"), skeleton.index("right_knee")
    thighs = (p[:, hip].astype(np.float64) - p[:, knee] for p in poses)
    lengths = [np.median(np.linalg.norm(thigh, axis=-1)) for thigh in thighs]
    thigh = float(np.median(lengths)) * _IN_METRES[unit] if lengths else _THIGH_METRES[0]
    if not _THIGH_METRES[0] <= thigh <= _THIGH_METRES[1]:
        raise UnitError(
            f"expected poses in {unit} in {where}, got a thigh of {thigh:.4g} m if they are; the "
            "unit or the joint order is another: use the published form"
        )
    if faults:
        log.warning("%s has limbs that nobody has: %s", where, ", ".join(faults[:3]))


def _refuse_order(
    poses: Sequence[Array], skeleton: Skeleton, unit: Literal["m", "mm"], where: str
) -> list[str]:
    """Limbs that nobody has; refused where another order of as many joints has sound ones."""
    rows = [pose[spread(np.arange(len(pose)), _JUDGED_FRAMES)] for pose in poses]
    judged = np.concatenate([np.empty((0, len(skeleton), 3)), *rows]) * (1000 * _IN_METRES[unit])
    faults = limb_faults(judged, skeleton) if len(judged) else []
    for other in sets_of(len(skeleton)) if faults else ():
        if set(other.joints) >= LIMB_JOINTS and not limb_faults(judged, other):
            raise UnitError(
                f"expected joints in the order of {skeleton.name} in {where}, got limbs that "
                f"nobody has ({', '.join(faults[:3])}), and sound ones in the order of "
                f"{other.name}; use the published form, or put the joints in its order"
            )
    return faults
