"""Joins recordings, one after another, into ``PoseTracks``, holding no second copy of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from lifting.data.config import Split
from lifting.data.sequence import CameraKind, PoseTracks, offsets_of, rate_of_each
from lifting.errors import DataError
from lifting.geometry.camera import Camera
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose2D, Pose3D


@dataclass(frozen=True, kw_only=True)
class TrackContent:
    """The frames of one track.

    Attributes:
        keypoints_2d: ``(frames, joints, 2)``, pixels.
        joints_3d: ``(frames, joints, 3)``, camera frame, absolute, mm.
        confidence: ``(frames, joints)``, 0 to 1; None where the file gives none.
        visible: ``(frames, joints)`` bool; None when all labels are valid.
        extras: Further tensors ``(frames, ...)`` by name.
    """

    keypoints_2d: Pose2D
    joints_3d: Pose3D
    confidence: PerJoint | None = None
    visible: PerJoint | None = None
    extras: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrackPlan:
    """A track that is still to be read.

    Attributes:
        name: For tables and messages.
        subject: Index of the subject's name.
        action: Index of the action's name.
        recording: Shared by tracks of one recording.
        camera: Index into the cameras.
        frames: Number of frames that ``read`` gives.
        read: Makes the content.
    """

    name: str
    subject: int
    action: int
    recording: int
    camera: int
    frames: int
    read: Callable[[], TrackContent]


def assemble_tracks(
    plans: Sequence[TrackPlan],
    *,
    skeleton: Skeleton,
    cameras: Camera,
    subject_names: tuple[str, ...],
    action_names: tuple[str, ...],
    fps: Tensor | float,
    source: dict[str, str],
    camera_kind: CameraKind = "true",
    world: Literal["z up"] | None = None,
) -> PoseTracks:
    """Read tracks one by one into the tensors of all.

    Args:
        plans: The tracks, in the order they are wanted.
        skeleton: Joints of labels and keypoints.
        cameras: With one leading axis.
        subject_names: Names behind ``TrackPlan.subject``.
        action_names: Names behind ``TrackPlan.action``.
        fps: Frames a second, of all or one a track.
        source: Facts for the result record.
        camera_kind: How the intrinsics are known.
        world: Which way is up in the world of the cameras, where that is known.

    Raises:
        DataError: There is no track, or the extras of two tracks differ in form.
    """
    if not plans:
        raise DataError(
            f"expected recordings in the {source.get('split', '')} split of "
            f"{source.get('dataset', 'the data')}, got none; check the subjects, actions and "
            "cameras of the data section"
        )
    lengths = torch.tensor([plan.frames for plan in plans])
    offsets = offsets_of(lengths)
    count, joints = int(offsets[-1]), len(skeleton)
    keypoints, labels = torch.empty(count, joints, 2), torch.empty(count, joints, 3)
    confidence = torch.ones(count, joints)
    visible: Tensor | None = None
    extras: dict[str, Tensor] = {}
    for plan, start in zip(plans, offsets.tolist(), strict=False):
        rows, content = slice(start, start + plan.frames), plan.read()
        keypoints[rows], labels[rows] = content.keypoints_2d, content.joints_3d
        if content.confidence is not None:
            confidence[rows] = content.confidence
        if content.visible is not None:
            visible = torch.ones(count, joints, dtype=torch.bool) if visible is None else visible
            visible[rows] = content.visible
        if start == 0:
            extras = {k: v.new_empty(count, *v.shape[1:]) for k, v in content.extras.items()}
        _check_form(plan.name, content.extras, extras)
        for name, values in content.extras.items():
            extras[name][rows] = values
    return PoseTracks(
        skeleton=skeleton,
        joints_3d=labels,
        keypoints_2d=keypoints,
        confidence=confidence,
        visible=visible,
        offsets=offsets,
        cameras=cameras,
        camera=torch.tensor([plan.camera for plan in plans]),
        recording=torch.tensor([plan.recording for plan in plans]),
        subject=torch.tensor([plan.subject for plan in plans]),
        action=torch.tensor([plan.action for plan in plans]),
        track_names=tuple(plan.name for plan in plans),
        subject_names=subject_names,
        action_names=action_names,
        fps=rate_of_each(fps, len(plans)),
        source=source,
        camera_kind=camera_kind,
        world=world,
        extras=extras,
    )


def shared_facts(dataset: str, split: Split, every: int, terms: str) -> dict[str, str]:
    """Facts for the result record that every data set of recordings has.

    Args:
        dataset: Its name.
        split: The part.
        every: Every n-th frame is kept.
        terms: Of use.
    """
    frames = f"every {every}" if every > 1 else "all"
    return {"dataset": dataset, "split": split, "frames": frames, "terms": terms}


def _check_form(name: str, got: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    forms = [{k: tuple(v.shape[1:]) for k, v in extras.items()} for extras in (got, expected)]
    if forms[0] != forms[1]:
        raise DataError(
            f"expected the same form in every recording, {forms[1]} as in the first, got "
            f"{forms[0]} in {name}; use a 2D file that was made in one piece"
        )
