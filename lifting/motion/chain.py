"""Lifted frames to people who move in one world: the stages in order, each with its switch.

The bones come before the root, because a root is placed so that its pose fits the keypoints, and
contacts before up and the ground, which they tell.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lifting.errors import ConfigError
from lifting.files.npz import Array
from lifting.motion.body import SHOWN, lengths_of, scale_to, stature_of, typical, with_lengths
from lifting.motion.camera_path import CameraPath
from lifting.motion.contact import contacts_of, follow_feet, hold_feet
from lifting.motion.ground import (
    Up,
    given_up,
    up_and_ground,
    up_of_bodies,
    with_guessed_lens,
    world_axes,
)
from lifting.motion.options import EVERYONE, LEAST_M, MOST_M, MotionOptions
from lifting.motion.root import Placed, place_root, smooth_root
from lifting.skeleton import Skeleton
from lifting.skeleton.proportions import ANKLE_HEIGHT, MEAN_STATURE_MM

log = logging.getLogger(__name__)

CAMERA_UP, CAMERA_FORWARD = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])
LOWER_FOOT = "under the lower foot, taken to stand: single frames show no contact"
_FEET = ("right", "left")


@dataclass
class People:
    """Lifted frames of everyone in a video, tracks one after another. N rows.

    Attributes:
        skeleton: The joints.
        joints_3d: ``(N, joints, 3)``, relative to the root, axes of the camera, mm.
        keypoints_2d: ``(N, joints, 2)``, pixels.
        confidence: ``(N, joints)``.
        intrinsics: ``(N, 9)``, pixels; NaN where not known.
        track: ``(N,)`` int64, rising.
        frame: ``(N,)`` int64, of the video; rises by the same step within a track.
        person: ``(N,)`` int64, number of the person.
        names: Numbers that people bear, for heights.
        fps: Rows a second of a track.
        cameras: Where a camera that moves was at every row; None for one at rest.
        guessed: The focal length was guessed.
    """

    skeleton: Skeleton
    joints_3d: Array
    keypoints_2d: Array
    confidence: Array
    intrinsics: Array
    track: Array
    frame: Array
    person: Array
    names: Sequence[int]
    fps: float
    cameras: CameraPath | None = None
    guessed: bool = False


@dataclass
class Moving:
    """People in one world. N rows.

    Attributes:
        joints_3d: ``(N, joints, 3)``, relative to the root, axes of the camera, mm.
        trajectory: ``(N, 3)``, root in the frame of the camera, mm; None where it is not sought.
        world: ``(N, joints, 3)``, mm, z up, the ground at 0; None where there is none.
        contacts: ``(N, 2)``, probability that the right and the left foot stand, or None.
        up: ``(N, 3)``, in the axes of the camera, or None.
        up_deg: ``(N,)``, expected angle to the true direction.
        ground_mm: ``(N,)``, height of the ground along ``up`` from the camera's centre.
        ground_sigma_mm: ``(N,)``, how far it may be off.
        rotation: ``(N, 3, 3)``, camera to world.
        size: ``(N,)``, factor that the method's answers were brought to metric size by.
        facts: What was done, by stage, in words and numbers.
    """

    joints_3d: Array
    trajectory: Array | None
    world: Array | None
    contacts: Array | None
    up: Array | None
    up_deg: Array | None
    ground_mm: Array | None
    ground_sigma_mm: Array | None
    rotation: Array | None
    size: Array
    facts: dict[str, Any]


def settle(people: People, options: MotionOptions) -> Moving:
    """Run every stage after the lifting.

    Args:
        people: Lifted frames.
        options: Which stages, and what is known.

    Raises:
        ConfigError: A height or a bone of nobody, or bones of nobody's size.
    """
    facts: dict[str, Any] = {}
    causal, ahead, skeleton = options.causal, options.ahead(), people.skeleton
    pose = people.joints_3d.astype(np.float64)
    check_known(options, people.names, skeleton)
    lengths, stature, size = _bodies(pose, people, options, facts)
    answered = pose * size[:, None, None]
    pose = with_lengths(answered, lengths, skeleton) if options.uses("bones") else answered
    nothing = Moving(pose, None, None, None, None, None, None, None, None, size, facts)
    if not options.uses("root") or not np.isfinite(people.intrinsics).all():
        facts["root"] = "off" if not options.uses("root") else "no intrinsics"
        return nothing
    # Constant bones are longer than those answered, which fit the keypoints.
    placed = place_root(answered, people.keypoints_2d, people.confidence, people.intrinsics)
    facts["root"] = "closed form a frame, then a smoother"
    if options.moving_camera and people.cameras is None:
        facts["world"] = "none: the camera moves, or is another; positions are in its frame"
        path = smooth_root(placed, people.track, people.fps, ahead.root)
        return replace(nothing, trajectory=path)
    still = _fixed(people.cameras, len(pose))
    pose, placed = still.axes(pose), Placed(still.points(placed.trajectory), placed.weight)
    path = smooth_root(placed, people.track, people.fps, ahead.root, still.position)
    legs = _legs(skeleton)
    if legs is None or not options.uses("ground"):
        facts["ground"] = "off" if legs is not None else f"no legs in {skeleton.name}"
        return replace(nothing, trajectory=still.seen(path))
    first = _first_up(pose, people, options, legs)
    contact = _contacts(placed, pose, people, options, legs, first, still)
    if contact is not None and options.uses("feet"):
        path = follow_feet(
            placed.trajectory, placed.weight, pose[:, legs[:, 2]], contact, people.track,
            people.fps, ahead.root, still.position,
        )  # fmt: skip
        whole = hold_feet(
            pose + np.nan_to_num(path)[:, None], legs, contact, people.track, people.fps,
            0 if causal else None,
        )  # fmt: skip
        pose = whole - whole[:, skeleton.root, None]
        facts["feet"] = "held softly where they stand"
    soles = pose[:, legs[:, 2]] + path[:, None]
    soles = soles - (first.direction * (ANKLE_HEIGHT * stature)[:, None])[:, None]
    sure = np.zeros(soles.shape[:2]) if contact is None else contact
    up, floor, spread = up_and_ground(first, soles, sure, people.frame, people.fps, causal=causal)
    if people.guessed and people.cameras is None and options.up is None:
        up = with_guessed_lens(up, CAMERA_FORWARD)
    moves = len(np.unique(people.track)) < len(people.track)
    facts["ground"] = "from contacts" if moves else LOWER_FOOT
    found = _in_world(pose, path, up, floor, spread, nothing, given=people.cameras)
    if causal:
        facts["ground"] += ", of the frames so far"
    if people.cameras is None:
        facts["up_deg"] = round(float(up.tilt[np.argmax(people.frame)]), 2)
    return replace(
        found,
        joints_3d=still.axes(pose, back=True),
        trajectory=still.seen(path),
        contacts=contact,
        up=still.axes(up.direction[:, None], back=True)[:, 0],
    )


def check_known(options: MotionOptions, names: Sequence[int], skeleton: Skeleton) -> None:
    """Check, before anything is lifted, that what is known of people is of somebody in the video.

    Args:
        options: Heights and lengths of bones.
        names: Numbers that people bear.
        skeleton: The joints.

    Raises:
        ConfigError: A height or a bone of nobody.
    """
    for number in options.heights:
        if number != EVERYONE and number not in names:
            listed = ", ".join(map(str, names[:10])) + ", ..." * (len(names) > 10)
            raise ConfigError(
                f"expected heights of people in the video ({listed}), got one of person {number}; "
                "`lifting data look FILE` shows who is who"
            )
    _bones(options.bone_lengths, skeleton)


def _fixed(cameras: CameraPath | None, count: int) -> CameraPath:
    """The path of the camera; that of one at rest stays at the origin."""
    if cameras is not None:
        return cameras
    return CameraPath(np.broadcast_to(np.eye(3), (count, 3, 3)), np.zeros((count, 3)))


def _bodies(
    pose: Array, people: People, options: MotionOptions, facts: dict[str, Any]
) -> tuple[Array, Array, Array]:
    """Lengths of bones in metric size; stature of each row's person, mm; the factor to it."""
    skeleton = people.skeleton
    own = lengths_of(pose, skeleton)
    usual = typical(own, people.person, causal=options.causal, share=SHOWN)
    heights = _heights(options.heights, people)
    bones = _bones(options.bone_lengths, skeleton)
    factor = np.ones(len(pose))
    if options.uses("scale"):
        factor = scale_to(usual, people.person, skeleton, heights, bones)
    usual = usual * factor[:, None]
    tall = stature_of(usual, skeleton)
    if not options.uses("scale"):
        facts["scale"] = "off"
    else:
        facts["scale"] = _scale_in_words(heights, bones, people, tall)
    if options.uses("bones"):
        for joint, length in bones.items():
            usual[:, skeleton.index(joint)] = length
        whose = "the frames so far" if options.causal else "all frames"
        facts["bones"] = f"longer than in {SHOWN:.0%} of {whose}, left and right the same"
    return usual, np.where(np.isfinite(tall) & (tall > 0), tall, MEAN_STATURE_MM), factor


def _heights(given: Mapping[int, float], people: People) -> dict[int, float]:
    """Metres by the index of a person."""
    everyone = given.get(EVERYONE)
    found = {} if everyone is None else dict.fromkeys(range(len(people.names)), everyone)
    for number, height in given.items():
        if number != EVERYONE:
            found[list(people.names).index(number)] = height
    return found


def _bones(given: Mapping[str, float], skeleton: Skeleton) -> dict[str, float]:
    """Known lengths of both sides."""
    found: dict[str, float] = {}
    for joint, length in given.items():
        index = skeleton.index(joint)
        if index == skeleton.root:
            raise ConfigError(
                f"expected bones by the names of their lower joints, got the root '{joint}'; "
                "give left_knee=430, for example"
            )
        found[joint] = length
        found.setdefault(skeleton.joints[skeleton.flip_index[index]], length)
    return found


def _scale_in_words(
    heights: Mapping[int, float], bones: Mapping[str, float], people: People, tall: Array
) -> list[str]:
    said = []
    for index, number in enumerate(people.names):
        rows = np.flatnonzero(people.person == index)
        if not len(rows):
            continue
        metres = float(tall[rows[-1]]) / 1000
        unlikely = np.isfinite(metres) and not LEAST_M <= metres <= MOST_M
        if index in heights:
            words = f"{heights[index]:g} m, as given"
        elif bones:
            if unlikely:
                given = ", ".join(f"{joint}={length:g}" for joint, length in bones.items())
                raise ConfigError(
                    f"expected bones of somebody from {LEAST_M} to {MOST_M} metres tall, got "
                    f"{given} mm, which make person {number} {metres:.2f} m tall; correct --bone "
                    "(bone_lengths=), or give --height (height=) in its place"
                )
            words = f"by {len(bones)} known bones, {metres:.2f} m tall"
        else:
            if unlikely:
                log.warning(
                    "person %d is %.2f m tall as the method answers, not from %g to %g m; give "
                    "--height (height=), and check the keypoints", number, metres, LEAST_M, MOST_M,
                )  # fmt: skip
            words = f"not given: {metres:.2f} m tall, as the method answers"
        said.append(f"person {number}: {words}")
    return said


def _legs(skeleton: Skeleton) -> Array | None:
    """Indices of hip, knee and ankle of the right and the left leg, ``(2, 3)``."""
    names = [[f"{side}_{joint}" for joint in ("hip", "knee", "ankle")] for side in _FEET]
    if not {name for leg in names for name in leg} <= set(skeleton.joints):
        return None
    return np.array([[skeleton.index(name) for name in leg] for leg in names])


def _first_up(pose: Array, people: People, options: MotionOptions, legs: Array) -> Up:
    if people.cameras is not None:
        return given_up(np.array([0.0, 0.0, 1.0]), len(pose))
    if options.up is not None:
        return given_up(np.array(options.up), len(pose))
    top = "thorax" if "thorax" in people.skeleton.joints else None
    chest = (
        pose[:, people.skeleton.index(top)]
        if top
        else (pose * _shoulders(people.skeleton)[:, None]).sum(1)
    )
    ankles = pose[:, legs[:, 2]].mean(1)
    thigh = np.linalg.norm(pose[:, legs[:, 1]] - pose[:, legs[:, 0]], axis=-1).mean(1)
    shank = np.linalg.norm(pose[:, legs[:, 2]] - pose[:, legs[:, 1]], axis=-1).mean(1)
    trunk = np.linalg.norm(chest, axis=-1)
    axis = chest - ankles
    with np.errstate(invalid="ignore", divide="ignore"):
        straight = np.linalg.norm(axis, axis=-1) / (thigh + shank + trunk)
    return up_of_bodies(axis, straight, people.frame, people.fps, CAMERA_UP, causal=options.causal)


def _shoulders(skeleton: Skeleton) -> Array:
    """Weights of joints whose mean is the middle of the shoulders, ``(joints,)``."""
    share = np.array([name.endswith("_shoulder") for name in skeleton.joints], dtype=float)
    weights: Array = share / max(share.sum(), 1.0)
    return weights


def _contacts(
    placed: Placed,
    pose: Array,
    people: People,
    options: MotionOptions,
    legs: Array,
    up: Up,
    still: CameraPath,
) -> Array | None:
    """Contacts, first by the lower foot, then by the ground that these tell."""
    if not options.uses("contacts"):
        return None
    known = np.isfinite(placed.trajectory[:, 0])
    feet = placed.trajectory[:, None] + pose[:, legs[:, 2]]
    ahead, track, fps = options.ahead().contacts, people.track, people.fps
    eye = still.position
    root = placed.trajectory
    found = contacts_of(feet, known, up.direction, track, fps, ahead, root=root, eye=eye)
    better, ground, _ = up_and_ground(up, feet, found, people.frame, fps, causal=options.causal)
    ground = np.where(np.isfinite(ground), ground, -np.inf)
    return contacts_of(
        feet, known, better.direction, track, fps, ahead, root=root, eye=eye, ground=ground
    )


def _in_world(
    pose: Array,
    path: Array,
    up: Up,
    floor: Array,
    spread: Array,
    nothing: Moving,
    *,
    given: CameraPath | None,
) -> Moving:
    facts = nothing.facts
    lost = ~np.isfinite(floor)
    whole = pose + path[:, None]
    if lost.all():
        facts["ground"] = "no foot stood: z = 0 is the camera's"
    if given is not None:
        facts["world"] = "that of the camera's poses"
        turn, world = given.rotation.swapaxes(1, 2), whole
    else:
        facts["world"] = "z up, y along the camera's view, origin on the ground below the camera"
        turn = world_axes(up.direction, CAMERA_FORWARD, np.array([1.0, 0.0, 0.0]))
        world = np.einsum("nij,nkj->nki", turn, whole)
        world[..., 2] -= np.where(lost, 0.0, floor)[:, None]
    return replace(
        nothing, world=world, up_deg=up.tilt, ground_mm=floor, ground_sigma_mm=spread,
        rotation=turn,
    )  # fmt: skip
