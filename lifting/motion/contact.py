"""Which feet stand on the ground, and feet that stay where they stand.

A foot that stands does not move in the picture of a camera at rest. That is told far better than
its depth, so the speed across the line of sight decides, and the height.
"""

from __future__ import annotations

import numpy as np

from lifting.files.npz import Array
from lifting.motion.smooth import Window, smooth

SPEED_S = 0.2
STILL_MM_S, SPEED_WIDTH = 220.0, 30.0
"""Speed across the line of sight at which a foot counts as half standing, and how sharply."""
LOW_MM, HEIGHT_WIDTH = 80.0, 12.0
"""Height above the other foot, or above the ground, at which it does."""
BELOW_MM, BELOW_WIDTH = 100.0, 30.0
"""How far below the root: the feet of people who lie or stand on their hands are not."""
DRIFT = 0
HOLD_S, HOLD_MM, RELEASE_S, SOFT = 1.0, 120.0, 0.15, 0.9
ROOT_S, ROOT_DEPTH_S, STEP_S, FREE_S, FREE = 0.3, 2.0, 0.16, 0.6, 0.1


def contacts_of(
    feet: Array,
    known: Array,
    up: Array,
    track: Array,
    fps: float,
    lookahead: int | None,
    *,
    root: Array,
    eye: Array,
    ground: Array | None = None,
) -> Array:
    """Probability that each foot stands, ``(N, feet)``.

    Args:
        feet: ``(N, feet, 3)``, mm, in a frame that does not move.
        known: ``(N,)`` bool.
        up: ``(N, 3)``, unit.
        track: ``(N,)`` int64, rising.
        fps: Frames a second.
        lookahead: Frames that are known ahead of an answer; None for all.
        root: ``(N, 3)``, mm, in the same frame.
        eye: Centre of the camera, ``(N, 3)``.
        ground: ``(N,)``, height along ``up`` at which ankles stand, mm; None asks only which foot
            is the lower one.
    """
    given = np.nan_to_num(feet)
    weights = np.broadcast_to(known[:, None], given.shape[:2]).astype(float)
    window = Window.of(SPEED_S, fps, lookahead)
    found = smooth(given, weights, track, window)
    place = np.nan_to_num(found.values)
    sight = place - eye[:, None]
    sight = sight / np.maximum(np.linalg.norm(sight, axis=-1, keepdims=True), 1.0)
    slope = np.nan_to_num(found.slope)
    across = slope - sight * (sight * slope).sum(-1, keepdims=True)
    speed = np.linalg.norm(across, axis=-1) * fps
    height = (place * up[:, None]).sum(-1)
    above = height - height.min(1, keepdims=True)
    if ground is not None:
        above = np.maximum(above, height - ground[:, None])
    sure = _falling(speed, STILL_MM_S, SPEED_WIDTH) * _falling(above, LOW_MM, HEIGHT_WIDTH)
    over = ((given - np.nan_to_num(root)[:, None]) * up[:, None]).sum(-1)
    sure = sure * _falling(over, -BELOW_MM, BELOW_WIDTH)
    return np.where(known[:, None], sure, 0.0)


def _falling(value: Array, half: float, width: float) -> Array:
    share: Array = 1 / (1 + np.exp(np.clip((value - half) / width, -50, 50)))
    return share


def follow_feet(
    root: Array,
    weight: Array,
    feet: Array,
    contact: Array,
    track: Array,
    fps: float,
    lookahead: int | None,
    eye: Array,
) -> Array:
    """Path of the root that standing feet carry.

    Between two frames the body moves as its standing foot moves back under it; where no foot
    stands, as the smoothed root does. What is left to smooth is how far this drifts from where
    frames by themselves place the root, which is slow.

    Args:
        root: ``(N, 3)``, frame by frame, mm, NaN where not known.
        weight: ``(N,)``, how well it is.
        feet: ``(N, feet, 3)``, relative to the root, axes of the same frame.
        contact: ``(N, feet)``.
        track: ``(N,)`` int64, rising.
        fps: Frames a second.
        lookahead: Frames that are known ahead of an answer; None for all.
        eye: Centre of the camera, ``(N, 3)``.
    """
    given, sure = np.nan_to_num(root), np.where(np.isfinite(root[:, 0]), weight, 0.0)
    distance = np.linalg.norm(given - eye, axis=-1)[:, None]
    tolerance = np.maximum(0.05 * distance, 1.0)
    ahead = None if lookahead is None else 0
    plain = smooth(
        given[:, None], sure[:, None], track, Window.of(FREE_S, fps, ahead), tolerance=tolerance
    )
    free = np.nan_to_num(plain.slope[:, 0])
    both = contact[1:] * contact[:-1]
    legs = smooth(
        np.nan_to_num(feet), np.ones(contact.shape), track, Window.of(STEP_S, fps, ahead)
    )
    step = -(np.diff(legs.values, axis=0) * both[..., None]).sum(1)
    move = (step + FREE * free[1:]) / (both.sum(1, keepdims=True) + FREE)
    move[track[1:] != track[:-1]] = 0.0
    carried = np.concatenate((np.zeros((1, 3)), move.cumsum(0)))
    drift = (given - carried)[:, None]
    near, far = (
        smooth(
            drift, sure[:, None], track, Window.of(s, fps, lookahead, DRIFT), tolerance=tolerance
        )
        for s in (ROOT_S, ROOT_DEPTH_S)
    )
    place, along = near.values[:, 0] + carried, far.values[:, 0] + carried
    sight = place - eye
    sight = sight / np.maximum(np.linalg.norm(sight, axis=-1, keepdims=True), 1.0)
    path: Array = place + sight * (sight * (along - place)).sum(-1, keepdims=True)
    return path


def hold_feet(
    joints: Array, legs: Array, contact: Array, track: Array, fps: float, lookahead: int | None
) -> Array:
    """Poses whose standing feet are drawn softly to where they stand; bones keep their lengths.

    Args:
        joints: ``(N, joints, 3)``, mm, in a frame that does not move.
        legs: ``(feet, 3)``, indices of hip, knee and ankle.
        contact: ``(N, feet)``.
        track: ``(N,)`` int64, rising.
        fps: Frames a second.
        lookahead: Frames that are known ahead of an answer; None for all.
    """
    feet = joints[:, legs[:, 2]]
    tolerance = np.full((len(feet), 1), HOLD_MM)
    window = Window.of(HOLD_S, fps, lookahead, degree=0)
    given = np.nan_to_num(feet)
    wanted = smooth(given, contact, track, window, tolerance=tolerance, present=True)
    pull = np.where(np.isfinite(wanted.values), wanted.values - feet, 0.0)
    # A foot that leaves the ground, or comes to it, is let go of over a while.
    window = Window.of(RELEASE_S, fps, lookahead, degree=0)
    around = np.nan_to_num(smooth(pull, contact, track, window).values)
    near = smooth(contact[..., None], np.ones_like(contact), track, window).values
    released = around * np.minimum(1.0, 2 * near)
    aim = feet + SOFT * (contact[..., None] * pull + (1 - contact[..., None]) * released)
    held = joints.copy()
    held[:, legs[:, 1]], held[:, legs[:, 2]] = bend(
        joints[:, legs[:, 0]], joints[:, legs[:, 1]], feet, aim
    )
    return held


def bend(top: Array, middle: Array, end: Array, aim: Array) -> tuple[Array, Array]:
    """Two bones bent in their own plane so that the end comes as near to its aim as they reach.

    Args:
        top: Where the first bone starts, ``(..., 3)``.
        middle: Where the first ends and the second starts.
        end: Where the second ends.
        aim: Where it shall end.

    Returns:
        The middle and the end.
    """
    first = np.linalg.norm(middle - top, axis=-1, keepdims=True)
    second = np.linalg.norm(end - middle, axis=-1, keepdims=True)
    line = aim - top
    wide = np.linalg.norm(line, axis=-1, keepdims=True)
    reach = np.clip(wide, np.abs(first - second) + 1e-3, first + second - 1e-3)
    line = line / np.maximum(wide, 1e-6)
    along = (first**2 - second**2 + reach**2) / (2 * np.maximum(reach, 1e-6))
    out = np.sqrt(np.maximum(first**2 - along**2, 0.0))
    side = middle - top
    side = side - line * (side * line).sum(-1, keepdims=True)
    size = np.linalg.norm(side, axis=-1, keepdims=True)
    side = side / np.maximum(size, 1e-6)
    knee, foot = top + line * along + side * out, top + line * reach
    still = (np.linalg.norm(aim - end, axis=-1, keepdims=True) < 1e-9) | (size < 1e-6)
    return np.where(still, middle, knee), np.where(still, end, foot)
