"""Pose sequences in memory: every frame of every (recording, camera) pair in a few tensors.

A *track* is one recording seen by one camera. Tracks lie one after another along the first axis,
so a window is gathered by index in one operation, on any device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from lifting.batch import PoseBatch
from lifting.errors import DataError, check_shape
from lifting.geometry.camera import Camera
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose2D, Pose3D

CameraKind = Literal["true", "estimated", "guessed", "unknown"]
"""Whether intrinsics are calibrated (or of a virtual camera), were estimated from labelled frames
or by a teacher, were guessed from the size of the image, or are not known (NaN)."""


Record = TypeVar("Record", "PoseTracks", PoseBatch)
_OF_FRAMES = ("keypoints_2d", "confidence", "joints_3d", "visible", "image", "crop")
_OF_TRACKS = (
    "camera", "recording", "subject", "action", "fps", "read_fps", "read_frames", "first_frame",
)  # fmt: skip


@dataclass(kw_only=True)
class MotionClips:
    """3D motion that no camera has seen yet, concatenated. N frames, S clips.

    Attributes:
        skeleton: Joints of the positions.
        joints_3d: ``(N, joints, 3)`` float32, in ``world`` and ``unit``.
        visible: ``(N, joints)`` bool, whether a position is known; None when all are.
        offsets: ``(S + 1,)`` int64; clip i is rows ``offsets[i]:offsets[i + 1]``.
        subject: ``(S,)`` int64 into ``subject_names``.
        action: ``(S,)`` int64 into ``action_names``.
        names: One a clip.
        subject_names: Names of the subjects.
        action_names: Names of the actions.
        fps: Frames a second of each clip, ``(S,)`` float64.
        source: Facts for the result record, by key.
        unit: Of the positions.
        world: Which way is up; the floor is near zero.
    """

    skeleton: Skeleton
    joints_3d: Pose3D
    offsets: Tensor
    subject: Tensor
    action: Tensor
    names: tuple[str, ...]
    subject_names: tuple[str, ...]
    action_names: tuple[str, ...]
    fps: Tensor
    source: dict[str, str]
    visible: PerJoint | None = None
    unit: Literal["mm"] = "mm"
    world: Literal["z up"] = "z up"

    def __post_init__(self) -> None:
        self.fps = rate_of_each(self.fps, len(self.names))


@dataclass(kw_only=True)
class PoseTracks:
    """All frames of a set of tracks, concatenated. N frames, S tracks, C cameras.

    Attributes:
        skeleton: Joints of the 3D labels and of the keypoints.
        joints_3d: ``(N, joints, 3)`` float32, camera frame, absolute, mm; None without labels.
        keypoints_2d: ``(N, joints, 2)`` float32, pixels.
        confidence: ``(N, joints)`` float32, 0 to 1.
        visible: ``(N, joints)`` bool, label valid; None when all are.
        offsets: ``(S + 1,)`` int64; track i is rows ``offsets[i]:offsets[i + 1]``.
        cameras: Cameras with one leading axis, ``(C, ...)``.
        camera: ``(S,)`` int64, camera of each track.
        recording: ``(S,)`` int64; tracks of one recording seen by several cameras share it.
        subject: ``(S,)`` int64 into ``subject_names``.
        action: ``(S,)`` int64 into ``action_names``.
        track_names: One a track, for tables and messages.
        subject_names: Names of the subjects.
        action_names: Names of the actions.
        fps: Frames a second of each track, ``(S,)`` float64; NaN where it is not known.
        source: Where the data come from, in words fit for a result record, by key
            (``dataset``, ``split``, ``two_d``, ``approximate_joints`` ...).
        image: ``(N, 3, height, width)`` uint8, RGB, around the person; None without images.
        crop: The square that each image shows: centre x, centre y and side, ``(N, 3)`` float32,
            pixels of the full image.
        extras: Further per-frame tensors ``(N, ...)`` by name (for example mixtures).
        camera_kind: How the intrinsics are known.
        world: Which way is up in the world that the cameras stand in; None where it is not known.
        unit: Of the labels.
        read_fps: Frames a second that resampled tracks were read with, ``(S,)``; else None.
        read_frames: Frames that they had, ``(S,)`` int64.
        first_frame: Number of each track's first frame in its video, ``(S,)`` int64; None for 0.
        frame_step: Numbers from one frame to the next.
    """

    skeleton: Skeleton
    keypoints_2d: Pose2D
    confidence: PerJoint
    offsets: Tensor
    cameras: Camera
    camera: Tensor
    recording: Tensor
    subject: Tensor
    action: Tensor
    track_names: tuple[str, ...]
    subject_names: tuple[str, ...]
    action_names: tuple[str, ...]
    fps: Tensor
    source: dict[str, str]
    joints_3d: Pose3D | None = None
    visible: PerJoint | None = None
    image: Tensor | None = None
    crop: Tensor | None = None
    extras: dict[str, Tensor] = field(default_factory=dict)
    camera_kind: CameraKind = "true"
    world: Literal["z up"] | None = None
    unit: Literal["mm"] = "mm"
    read_fps: Tensor | None = None
    read_frames: Tensor | None = None
    first_frame: Tensor | None = None
    frame_step: int = 1

    def __post_init__(self) -> None:
        joints = len(self.skeleton)
        check_shape("keypoints_2d", self.keypoints_2d, "frames joints 2", joints=joints)
        frames = int(self.keypoints_2d.shape[0])
        check_shape("confidence", self.confidence, "f j", f=frames, j=joints)
        if self.joints_3d is not None:
            check_shape("joints_3d", self.joints_3d, "f j 3", f=frames, j=joints)
        tracks = len(self.track_names)
        self.fps = rate_of_each(self.fps, tracks)
        check_shape("offsets", self.offsets, "n", n=tracks + 1)
        for name in ("camera", "recording", "subject", "action"):
            check_shape(name, getattr(self, name), "n", n=tracks)
        if int(self.offsets[-1]) != frames or bool((self.offsets.diff() <= 0).any()):
            raise DataError(
                f"expected rising offsets that end at {frames} frames, "
                f"got {self.offsets.tolist()[:8]}"
            )

    def __len__(self) -> int:
        return int(self.keypoints_2d.shape[0])

    def labels(self) -> Pose3D:
        """The 3D labels, ``(N, joints, 3)``, mm.

        Raises:
            DataError: The tracks carry none.
        """
        if self.joints_3d is None:
            raise DataError(
                f"expected 3D labels in {self.source.get('dataset', 'the data')}, got keypoints "
                "only; use a labelled data set"
            )
        return self.joints_3d

    def to(self, device: torch.device | str) -> PoseTracks:
        """The same tracks on another device."""
        return map_tensors(self, lambda values: values.to(device))

    def select(self, tracks: Tensor) -> PoseTracks:
        """The named tracks only, in the given order.

        Args:
            tracks: ``(n,)`` int64, indices of tracks.
        """
        lengths = self.offsets.diff()[tracks]
        offsets = offsets_of(lengths)
        rows = torch.arange(int(offsets[-1]), device=lengths.device)
        rows = rows + (self.offsets[tracks] - offsets[:-1]).repeat_interleave(lengths)
        return self.take(rows, tracks, lengths)

    def take(self, rows: Tensor, tracks: Tensor, lengths: Tensor) -> PoseTracks:
        """Some frames only.

        Args:
            rows: ``(N',)`` int64, the frames, track by track.
            tracks: ``(n,)`` int64, indices of the tracks that they are of.
            lengths: ``(n,)`` int64, how many frames each has.
        """
        chosen: dict[str, Any] = {}
        for names, kept in ((_OF_FRAMES, rows), (_OF_TRACKS, tracks)):
            values = {name: getattr(self, name) for name in names}
            chosen |= {name: v[kept] for name, v in values.items() if v is not None}
        return replace(
            self,
            extras={name: values[rows] for name, values in self.extras.items()},
            offsets=offsets_of(lengths),
            track_names=tuple(self.track_names[i] for i in tracks.tolist()),
            **chosen,
        )


def map_tensors(record: Record, change: Callable[[Tensor], Tensor]) -> Record:
    """The same tracks or batch with a function applied to every tensor of it."""
    changed: dict[str, Any] = {}
    for f in fields(record):
        value = getattr(record, f.name)
        if isinstance(value, Tensor):
            changed[f.name] = change(value)
        elif isinstance(value, Camera):
            changed[f.name] = value.map(change)
    extras = {name: change(value) for name, value in record.extras.items()}
    return replace(record, extras=extras, **changed)


def offsets_of(lengths: Tensor) -> Tensor:
    """First row of each of some tracks that lie one after another, then the number of rows.

    Args:
        lengths: ``(count,)`` int64, rows of each.

    Returns:
        ``(count + 1,)`` int64.
    """
    return torch.cat((lengths.new_zeros(1), lengths.cumsum(0)))


def rate_of_each(fps: Tensor | float, count: int) -> Tensor:
    """Frames a second of each of some tracks or clips, ``(count,)`` float64.

    Args:
        fps: One rate a track, or one for all; NaN where it is not known.
        count: How many there are.

    Raises:
        DataError: A rate is not positive, or there is not one a track.
    """
    rates = torch.as_tensor(fps, dtype=torch.float64)
    rates = rates.expand(count) if rates.ndim == 0 else rates
    if rates.shape != (count,) or bool((rates <= 0).any() | rates.isinf().any()):
        raise DataError(
            f"expected a positive number of frames a second for each of {count} tracks, got "
            f"{rates.tolist()[:8]}; correct the rates of the data"
        )
    return rates
