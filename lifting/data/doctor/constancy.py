"""3D over time: bones that keep their length, possible speeds, nothing that repeats."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from lifting.data.doctor.body import LIMBS
from lifting.data.doctor.takes import Bodies, CheckRow, Take, Verdict, judged
from lifting.files.npz import Array
from lifting.skeleton import Skeleton

TRUNK_SHARE = 0.35  # bones of the trunk join several of the body's own
_SPREADS = 4.0  # one normal number in 16,000 is farther away
_CHANCE = 0.004  # of the frames of sound bones one in a thousand is beyond four spreads
_WHOLE_TAKE = 1e3  # goes before any single frame
_MAD_OF_NORMAL = 0.6745
FEW = 0.005  # share of frames that is a glitch rather than the rule
FASTEST_M_S = 12.0
REPEATED = 0.2
_SHORTEST = 0.2  # of the median bone; joints that coincide have no direction to keep


def check_constancy(bodies: Bodies, factor: float, ordered: bool) -> list[CheckRow]:
    """Judge recordings by what does not change, or not so fast.

    Args:
        bodies: The takes.
        factor: What lengths have to be multiplied by to be mm.
        ordered: Whether the joints are in their order, so that bones are bones.
    """
    rows = [_check_speed(bodies, factor), _check_repeats(bodies)]
    return [_check_bones(bodies, factor), *rows] if ordered else rows


def _check_bones(bodies: Bodies, factor: float) -> CheckRow:
    """Each bone against its median in all takes of the subject, so that one odd take shows too.

    Where capture leaves bones of uneven length, a frame may be off by several times the spread
    that the bone has in this file, up to what the capture explains. A whole recording may not:
    its median would be that of somebody else.
    """
    skeleton = bodies.skeleton
    shares = _tolerances(skeleton, bodies.bone_share)
    bad = frames = 0
    highest, worst, where = 0.0, 0.0, ""
    for takes in _by_subject(bodies):
        lengths = [_lengths(take, skeleton) for take in takes]
        pooled = np.concatenate(lengths)
        if len(pooled) == 0:
            continue
        usual = np.median(pooled, axis=0)
        whole = np.maximum(usual, _SHORTEST * np.median(usual) + 1e-9)
        spread = np.median(np.abs(pooled - usual), axis=0) / _MAD_OF_NORMAL
        spread = np.minimum(spread, bodies.bone_mm / factor) / whole
        tolerance = np.maximum(shares, _SPREADS * spread)
        for take, own in zip(takes, lengths, strict=True):
            away = np.abs(own - usual) / whole
            middle = np.abs(np.median(own, axis=0) - usual) / whole if len(own) else shares
            odd = middle > shares + _SPREADS * spread / np.sqrt(max(len(own), 1))
            over = (away > tolerance) | odd
            bad, frames = bad + int(over.any(axis=1).sum()), frames + len(own)
            rank = np.where(over, away / tolerance + _WHOLE_TAKE * odd, 0)
            if over.any() and rank.max() > highest:
                frame, bone = np.unravel_index(int(rank.argmax()), rank.shape)
                highest, worst = float(rank.max()), float(away[frame, bone])
                joint = skeleton.joints[skeleton.bones[int(bone)][1]]
                where = f"{take.label}, frame {int(take.rows[int(frame)])}, bone to {joint}"
    share = bad / max(frames, 1)
    usual_share = _CHANCE if bodies.bone_mm else 0.0
    verdict: Verdict = "ok" if share <= usual_share else "warn" if share <= FEW else "fail"
    limit = f"within {100 * bodies.bone_share:.0f} % of the subject's (limbs)"
    if bodies.bone_mm:
        limit += f", frames within {_SPREADS:g} spreads of at most {bodies.bone_mm:g} mm"
    return judged(
        f"bone lengths {bodies.label}",
        limit + (f": {bodies.bone_reason}" if bodies.bone_reason else ""),
        f"{bad} of {frames} frames beyond, most {100 * worst:.0f} % in {where}"
        if bad
        else "constant",
        verdict,
        "bones stretch: frames are damaged or recordings mixed up; get the file again or leave "
        "the recording out",
    )


def _by_subject(bodies: Bodies) -> Iterator[list[Take]]:
    groups: dict[str, list[Take]] = {}
    for take in bodies.takes:
        groups.setdefault(take.subject, []).append(take)
    yield from groups.values()


def _tolerances(skeleton: Skeleton, share: float) -> Array:
    limbs = {
        (f"{side}_{upper}", f"{side}_{lower}")
        for upper, lower, *_ in LIMBS.values()
        for side in ("left", "right")
    }
    named = [(skeleton.joints[p], skeleton.joints[c]) for p, c in skeleton.bones]
    return np.array([share if bone in limbs else max(TRUNK_SHARE, share) for bone in named])


def _lengths(take: Take, skeleton: Skeleton) -> Array:
    parents, children = map(list, zip(*skeleton.bones, strict=True))
    joints = take.joints[take.rows]
    lengths: Array = np.linalg.norm(joints[:, parents] - joints[:, children], axis=-1)
    return lengths


def _check_speed(bodies: Bodies, factor: float) -> CheckRow:
    """Bodies as a whole move no faster than a sprinter."""
    skeleton = bodies.skeleton
    hips = [skeleton.index("left_hip"), skeleton.index("right_hip")]
    limit = FASTEST_M_S * 1000 / (bodies.fps * factor)
    bad = steps = 0
    worst, where = 0.0, ""
    for take in bodies.takes:
        rows = take.rows[:-1][np.diff(take.rows) == 1]
        place = take.joints[:, hips].mean(axis=1)
        step = np.linalg.norm(place[rows + 1] - place[rows], axis=-1)
        bad, steps = bad + int((step > limit).sum()), steps + len(step)
        if len(step) and step.max() > max(worst, limit):
            worst, where = float(step.max()), f"{take.label}, frame {int(rows[step.argmax()])}"
    speed = worst / limit * FASTEST_M_S
    verdict: Verdict = "ok" if not bad else "warn" if bad <= FEW * steps else "fail"
    return judged(
        f"speed {bodies.label}",
        f"below {FASTEST_M_S:g} m/s",
        f"{bad} of {steps} steps faster, most {speed:.0f} m/s at {where}" if bad else "possible",
        verdict,
        "recordings jump: frames are missing, or the frame rate or the unit of places is another",
    )


def _check_repeats(bodies: Bodies) -> CheckRow:
    """Frames that stand still to the last bit, and recordings that are there twice."""
    seen: dict[bytes, str] = {}
    twice, frozen, where = "", 0.0, ""
    for take in bodies.takes:
        content = np.ascontiguousarray(take.joints)
        digest = hashlib.blake2b(content.data, digest_size=16).digest()
        if digest in seen and not twice:
            twice = f"{take.label} is {seen[digest]} again"
        seen.setdefault(digest, take.label)
        if len(content) > 1:
            share = float((content[1:] == content[:-1]).all(axis=(1, 2)).mean())
            if share > frozen:
                frozen, where = share, take.label
    found = [twice] if twice else []
    if frozen > REPEATED:
        found.append(f"{100 * frozen:.0f} % of the frames of {where} repeat the one before")
    return judged(
        f"repeats {bodies.label}",
        "no recording twice, no frames that stand still",
        ", ".join(found) or "none",
        "fail" if twice else "warn" if found else "ok",
        "copies of recordings or frames: get the file again, or leave them out",
    )
