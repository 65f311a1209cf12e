"""People of a user's own video as unlabelled tracks."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import NamedTuple, Unpack

import numpy as np
import torch

from lifting.data.keypoints.people import People
from lifting.data.keypoints.persons import ALL, LARGEST
from lifting.data.keypoints.read import Lens, Person, Reading, VideoSeen, View, read_video
from lifting.data.keypoints.timeline import Filled, Timeline
from lifting.data.sequence import PoseTracks, offsets_of, rate_of_each
from lifting.errors import ConfigError, DataError
from lifting.geometry.camera import Camera
from lifting.skeleton import H36M_17, Skeleton
from lifting.skeleton.convert import remap_joints
from lifting.typing import PerJoint, Pose2D

log = logging.getLogger(__name__)

PHOTOGRAPHS = "photographs"
"""In the facts of tracks: how many unrelated images they are of, where they are."""


def read_keypoints(path: Path, **options: Unpack[Reading]) -> PoseTracks:
    """Read the people of a user's own video, see :func:`read_video`.

    Args:
        path: A file of keypoints, or a folder with one a frame.
        options: How it is read.

    Returns:
        Unlabelled tracks in ``h36m17``, see :func:`tracks_of`.

    Raises:
        MissingDataError: There is no such file.
        DataError: The file is damaged, of no known format, or contradicts the arguments.
        ConfigError: An argument is of no use.
    """
    return tracks_of(path, read_video(path, **options))


def tracks_of(path: Path, video: VideoSeen) -> PoseTracks:
    """People as unlabelled tracks, one for each person and piece of them.

    Args:
        path: The file, whose name the tracks bear.
        video: Its people. Gaps longer than those that are filled cut a person into pieces; each
            person of photographs has a track of one frame before a camera of its own. Names of
            tracks give the person where there are several, and the first and last frame of
            what does not span the video.
    """
    people = video.people
    parts = [h36m_joints(person.filled, people.skeleton) for person in video.persons]
    names = [name for person in video.persons for name in _names(path, video, person)]
    lengths = [np.diff(person.filled.offsets) for person in video.persons]
    who = np.repeat(np.arange(len(lengths)), [len(one) for one in lengths])
    none = torch.zeros(len(names), dtype=torch.int64)
    joints = [person.filled.joints for person in video.persons]
    starts = np.concatenate([p.filled.number[p.filled.offsets[:-1]] for p in video.persons])
    several = len(video.persons) > 1
    first = torch.from_numpy(starts)
    return PoseTracks(
        skeleton=H36M_17,
        keypoints_2d=torch.cat([points for points, _ in parts]),
        confidence=torch.cat([confidence for _, confidence in parts]),
        offsets=offsets_of(torch.from_numpy(np.concatenate(lengths))),
        cameras=camera_of(video),
        camera=first if video.photographs else none,
        recording=torch.arange(len(names)),
        subject=torch.from_numpy(who),
        action=none,
        track_names=tuple(names),
        subject_names=tuple(f"person {p.track}" for p in video.persons)
        if several
        else ("unknown",),
        action_names=("unknown",),
        fps=rate_of_each(
            math.nan if video.fps is None else video.fps / video.when.step, len(names)
        ),
        camera_kind="guessed" if video.lens.is_guessed else "true",
        first_frame=video.when.first + first * video.when.step,
        frame_step=video.when.step,
        source={
            **video.facts,
            "dataset": "own keypoints",
            "split": "test",
            "file": str(path),
            "two_d": f"{people.form} ({people.skeleton.name})",
            "format": people.form,
            "detector_skeleton": people.skeleton.name,
            "frames": str(sum(len(one) for one in joints)),
            "frames_filled": str(sum(person.filled.frames for person in video.persons)),
            "pieces": str(len(names)),
            "joints_missing": str(sum(int((one[..., 2] <= 0).sum()) for one in joints)),
        },
    )


class PersonSeen(NamedTuple):
    """One person of one video.

    Attributes:
        people: Everyone, in pixels.
        filled: The person without gaps, in the detector's joints.
        when: Numbers of the frames.
        camera: ``(1,)``, given or guessed.
        lens: Its intrinsics, and where they are from.
        keypoints_2d: ``(frames, 17, 2)``, pixels, in ``h36m17``.
        confidence: ``(frames, 17)``, 0 to 1.
        facts: What was read and changed, by key.
        fps: Frames a second of what was read; None where nobody says.
    """

    people: People
    filled: Filled
    when: Timeline
    camera: Camera
    lens: Lens
    keypoints_2d: Pose2D
    confidence: PerJoint
    facts: dict[str, str]
    fps: float | None


def read_person(path: Path, **options: Unpack[Reading]) -> PersonSeen:
    """One person of a video, with the numbers of the frames; says so where there are more.

    Args:
        path: A file of keypoints, or a folder with one a frame.
        options: How it is read; ``person`` is the largest where it is not given.

    Raises:
        MissingDataError: There is no such file.
        DataError: The file is damaged, of no known format, or contradicts the arguments.
        ConfigError: An argument is of no use, or ``person`` asks for all.
    """
    if options.get("person") is None:
        options["person"] = LARGEST
    asked = options["person"]
    if asked == ALL:
        raise ConfigError("expected one person, got all; give 'largest', 'longest' or a number")
    video = read_video(path, **options)
    if video.photographs:
        raise DataError(
            f"expected a video of one person in {path}, got {video.facts['photographs']}; give "
            "the keypoints of a video"
        )
    (person,) = video.persons
    if video.of > 1:
        log.warning(
            "%s has %d people, of whom %s is read (%s)", path, video.of, person.track, asked
        )
    points, confidence = h36m_joints(person.filled, video.people.skeleton)
    return PersonSeen(
        video.people,
        person.filled,
        video.when,
        camera_of(video),
        video.lens,
        points,
        confidence,
        video.facts,
        None if video.fps is None else video.fps / video.when.step,
    )


def camera_of(video: VideoSeen) -> Camera:
    """The camera of a video, ``(1,)``, or of each photograph, ``(photographs,)``.

    Args:
        video: The video.
    """
    views = video.photographs or (View(video.size, video.lens),)
    return Camera(
        intrinsics=torch.tensor([view.lens.numbers for view in views]),
        size=torch.tensor([view.size for view in views]),
    )


def h36m_joints(filled: Filled, skeleton: Skeleton) -> tuple[Pose2D, PerJoint]:
    """A person in ``h36m17``: positions ``(T, 17, 2)``, pixels, and confidence ``(T, 17)``.

    Args:
        filled: The person, in the detector's joints.
        skeleton: These joints.
    """
    joints = torch.from_numpy(filled.joints)
    points, confidence = remap_joints(
        joints[..., :2].contiguous(), skeleton, H36M_17, joints[..., 2]
    )
    return points.float(), confidence.float()


def _names(path: Path, video: VideoSeen, person: Person) -> tuple[str, ...]:
    """One name a piece: the person where there are several, the frames where it lacks some."""
    filled, frames = person.filled, video.people.frames
    stem = f"{path.stem}/person{person.track}" if len(video.persons) > 1 else path.stem
    if video.photographs:
        return (f"{path.stem}/person{person.track}/{_printable(frames[int(filled.number[0])])}",)
    first, last = filled.number[filled.offsets[:-1]], filled.number[filled.offsets[1:] - 1]
    numbers = video.when.number
    if len(first) == 1 and first[0] == numbers[0] and last[0] == numbers[-1]:
        return (stem,)
    ends = zip(np.searchsorted(numbers, first), np.searchsorted(numbers, last), strict=True)
    return tuple(f"{stem}/{_printable(frames[a])}..{_printable(frames[b])}" for a, b in ends)


def _printable(name: str) -> str:
    """A frame's name without halves of characters, which no file could be written with."""
    return name[-60:].encode("utf-8", "replace").decode()
