"""Everyone a detector saw, as arrays: what the reader of each format hands on."""

from __future__ import annotations

import logging
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lifting.data.keypoints.columns import arrange
from lifting.data.keypoints.entries import AGAIN, as_numbers, place
from lifting.data.keypoints.joint_order import JointOrder, Named, joint_order
from lifting.data.keypoints.plausibility import FloatArray
from lifting.data.keypoints.timeline import IntArray
from lifting.errors import DataError
from lifting.files.json_file import as_number, shown
from lifting.skeleton import Skeleton, set_of_names

log = logging.getLogger(__name__)

_MAX_TRACK = 2**53
_BODY_PART = re.compile(
    "hip|knee|ankle|shoulder|elbow|wrist|nose|eye|ear|head|neck|pelvis|spine|leg|arm|foot|hand|paw"
)


class Sighting(NamedTuple):
    """One person in one frame, as a file claims.

    Attributes:
        frame: Index into the names of the frames.
        keypoints: x, y, confidence of every joint: a list of them one after another, or an array
            ``(joints, 3)``.
        score: Confidence in the person; None when the format has none.
        box: Four numbers; None when there is none.
        track: Number that stays with a person from frame to frame; None or negative without.
    """

    frame: int
    keypoints: object
    score: object = None
    box: object = None
    track: object = None


@dataclass
class Sightings:
    """Everyone that a file claims, before the claims are checked.

    Attributes:
        form: Name of the format.
        frames: Names of the frames in the order of the video, those without anyone too.
        people: All sightings.
        box_size: Boxes are x, y, width, height; otherwise two corners.
        visibility: The third number of a joint is 0 absent, 1 hidden, 2 visible.
        relative: Positions are parts of the image's width and height; None where the format
            allows both, which the range of the positions then tells.
        image_size: Width and height where the file says so, pixels.
        image_sizes: All sizes that the file names; where they differ there is no ``image_size``.
        frame_sizes: That of each frame, where the file says all of them.
        fps: Frames a second where the file says so.
        intrinsics: Nine numbers where the file says so, pixels.
        named: What the file calls its joints.
        prescribed: Name of the set that the format prescribes.
        extra: Names of what follows the joints of the body in ``keypoints``: hands, face, feet.
        plain: An array of a user's own, whose 17 joints may be of any network.
        ids: ``track`` numbers people by definition of the format, not by a tracker's word.
        notes: What was decided while reading, to be said.
    """

    form: str
    frames: list[str]
    people: list[Sighting]
    box_size: bool = False
    visibility: bool = False
    relative: bool | None = False
    image_size: tuple[float, float] | None = None
    image_sizes: tuple[tuple[float, float], ...] = ()
    frame_sizes: tuple[tuple[float, float], ...] = ()
    fps: float | None = None
    intrinsics: tuple[float, ...] | None = None
    named: Named | None = None
    prescribed: str | None = None
    extra: tuple[str, ...] = ()
    plain: bool = False
    ids: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class People:
    """Everyone a detector saw. D sightings in order of frame.

    Attributes:
        form: Name of the format.
        order: Joints of the detector, and how they are known.
        frames: Names of all frames.
        frame: ``(D,)`` into ``frames``.
        joints: ``(D, joints, 3)``: x, y and confidence as the file has them.
        score: ``(D,)``, NaN without.
        box: ``(D, 4)`` corners, NaN without.
        track: ``(D,)``, -1 without.
        claims: What else the file says; see :class:`Sightings`.
        extra: ``(D, joints, 3)``: hands, face and feet beside the set, named ``claims.extra``.
    """

    form: str
    order: JointOrder
    frames: Sequence[str]
    frame: IntArray
    joints: FloatArray
    score: FloatArray
    box: FloatArray
    track: IntArray
    claims: Sightings
    extra: FloatArray

    @property
    def skeleton(self) -> Skeleton:
        """Joints of the detector."""
        return self.order.skeleton

    def where(self, row: int) -> str:
        """Frame and person of a sighting, for messages."""
        first = int(np.searchsorted(self.frame, self.frame[row]))
        return place(self.frames[int(self.frame[row])], row - first)


def tabulate(path: Path, seen: Sightings, skeleton: str | tuple[str, ...] | None) -> People:
    """Check what a file claims, and turn it into arrays.

    Args:
        path: The file or folder, for messages.
        seen: The claims.
        skeleton: Name of the detector's skeleton, or names of all its joints; None takes what the
            file says of itself, else the one with that many joints that fits.

    Raises:
        DataError: A claim is of the wrong kind or size, where the message names frame and person,
            or the order of the joints cannot be told.
        ConfigError: No skeleton has that name.
    """
    people = sorted(seen.people, key=lambda person: person.frame)
    if not people:
        raise DataError(
            f"expected at least one person in {path}, got {len(seen.frames)} frames without "
            "anyone; check the detector's threshold"
        )
    names = _Names(path, seen.frames, people)
    joints = _joints(names)
    body = joints.shape[1] - len(seen.extra)
    named = seen.named if skeleton is None and seen.plain else skeleton
    given = None if isinstance(skeleton, tuple) else skeleton
    if isinstance(named, tuple):
        _check_names(path, named, body)
        seen = replace(seen, named=named)
    if given is None and _tell_in_another_order(path, seen.named):
        seen, joints = _by_name(path, seen, joints, body)
        body = joints.shape[1] - len(seen.extra)
    order = joint_order(
        path,
        joints[:, :body],
        given,
        named=seen.named,
        form=seen.prescribed,
        plain=seen.plain,
    )
    return People(
        form=seen.form,
        order=order,
        frames=seen.frames,
        frame=np.array([person.frame for person in people], dtype=np.int64),
        joints=joints[:, : len(order.skeleton)],
        score=np.array([_score(names, i) for i in range(len(people))]),
        box=_boxes(names, seen.box_size),
        track=np.array([_track(names, i) for i in range(len(people))], dtype=np.int64),
        claims=replace(seen, people=[]),
        extra=joints[:, body:],
    )


def _tell_in_another_order(path: Path, named: Named | None) -> bool:
    """Whether names are those of body parts, but not a known set's in its order."""
    if not isinstance(named, tuple) or set_of_names(named) is not None:
        return False
    telling = any(_BODY_PART.search(name.lower()) for name in named)
    if not telling and not all(name.isdecimal() for name in named):
        log.warning(
            "the joints of %s have the names of no known set (%s); their positions tell",
            path,
            ", ".join(name[:20] for name in named[:4]),
        )
    return telling


def _check_names(path: Path, names: tuple[str, ...], body: int) -> None:
    if len(names) != body:
        raise DataError(
            f"expected a name for each of {body} joints in {path}, got {len(names)}; correct "
            "them, or give --skeleton (skeleton=)"
        )


def _by_name(
    path: Path, seen: Sightings, joints: FloatArray, body: int
) -> tuple[Sightings, FloatArray]:
    """Joints that are named in an order of their own, in that of a set."""
    names = tuple(seen.named or ())
    _check_names(path, names, body)
    found = arrange(path, names, joints[:, :body])
    everything = np.concatenate((found.joints, joints[:, body:]), axis=1)
    extra, notes = found.extra + seen.extra, (*seen.notes, found.note)
    return replace(seen, named=found.named, extra=extra, notes=notes), everything


def many_people(
    form: str, joints: FloatArray, track: IntArray | None = None, **facts: Any
) -> Sightings:
    """People as rows of an array; where all of a person's joints are NaN there is nobody.

    Args:
        form: Name of the format.
        joints: ``(frames, people, joints, 3)``.
        track: ``(people,)``, where a row is a person throughout.
        facts: Further fields of :class:`Sightings`.
    """
    there = np.argwhere(np.isfinite(joints).all(-1).any(-1)).tolist()
    people = [
        Sighting(frame, joints[frame, row], track=None if track is None else int(track[row]))
        for frame, row in there
    ]
    frames = [str(i) for i in range(len(joints))]
    return Sightings(form, frames, people, ids=track is not None, **facts)


class _Names:
    """Sightings with the words for their place, made only when a message needs them."""

    def __init__(self, path: Path, frames: Sequence[str], people: list[Sighting]) -> None:
        self.path, self.frames, self.people = path, frames, people

    def __call__(self, row: int) -> str:
        frame = self.people[row].frame
        first = row
        while first and self.people[first - 1].frame == frame:
            first -= 1
        return place(self.frames[frame], row - first)


def _joints(names: _Names) -> FloatArray:
    """Positions and confidences, ``(D, joints, 3)``; an absent number is NaN."""
    if all(isinstance(p.keypoints, np.ndarray) for p in names.people):
        return np.stack([np.asarray(p.keypoints, dtype=np.float64) for p in names.people])
    flat: list[list[Any]] = []
    for i, person in enumerate(names.people):
        row = person.keypoints
        if not isinstance(row, list):
            raise DataError(
                f"expected a list of keypoints in {names.path} ({names(i)}), got {shown(row)}; "
                f"{AGAIN}"
            )
        size = len(flat[0] if flat else row)
        if size % 3 and len(row) == size:
            raise DataError(
                f"expected x, y and confidence of every joint in {names.path} ({names(i)}), got "
                f"{size} numbers, which is not a multiple of 3; give 2D keypoints with their "
                "confidences"
            )
        if len(row) != size or not size:
            raise DataError(
                f"expected x, y and confidence of every joint in {names.path} ({names(i)}), as "
                f"many for every person ({size} numbers for the first), got {len(row)} numbers; "
                "give the file of one detector"
            )
        flat.append(row)
    try:
        numbers = np.frombuffer(array("d", chain.from_iterable(flat)), dtype=np.float64).copy()
    except (TypeError, OverflowError):
        numbers = np.stack(
            [as_numbers(names.path, r, f"a keypoint ({names(i)})") for i, r in enumerate(flat)]
        )
    return numbers.reshape(len(flat), -1, 3)


def _score(names: _Names, row: int) -> float:
    score = names.people[row].score
    if type(score) is float:
        return score
    if score is None:
        return float("nan")
    return as_number(names.path, score, f"the score ({names(row)})")


def _boxes(names: _Names, size: bool) -> FloatArray:
    boxes = np.full((len(names.people), 4), np.nan)
    for i, person in enumerate(names.people):
        box = person.box
        if box is None:
            continue
        if isinstance(box, list) and len(box) == 1:
            box = box[0]
        if not isinstance(box, list) or len(box) != 4:
            raise DataError(
                f"expected a box of four numbers in {names.path} ({names(i)}), got {shown(box)}; "
                f"{AGAIN}"
            )
        boxes[i] = [as_number(names.path, v, f"the box ({names(i)})") for v in box]
    if size:
        with np.errstate(over="ignore", invalid="ignore"):  # a damaged box is left out later
            boxes[:, 2:] += boxes[:, :2]
    return boxes


def _track(names: _Names, row: int) -> int:
    """Number of the person; the first of a list, as trackers that merge sightings write."""
    track: object = names.people[row].track
    depth = 0
    while isinstance(track, list) and depth < 3:
        track = track[0] if track else None
        depth += 1
    if track is None:
        return -1
    value = as_number(names.path, track, f"the track ({names(row)})")
    if not value.is_integer() or abs(value) >= _MAX_TRACK:
        raise DataError(
            f"expected a whole number as track in {names.path} ({names(row)}), got "
            f"{shown(track)}; write the file again with the tracker's own export"
        )
    return max(int(value), -1)
