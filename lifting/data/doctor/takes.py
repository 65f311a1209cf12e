"""What every data set looks like to the checks: takes in 3D, and how cameras saw them.

Nothing is refused here. Arrays are as the files have them, apart from the factor to millimetres
that belongs to the unit the files should have.

A question's answer is one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch

from lifting.data.sequence import MotionClips, PoseTracks
from lifting.files.npz import Array
from lifting.geometry.camera import project
from lifting.skeleton import Skeleton

Verdict = Literal["ok", "warn", "fail"]

# Bones of MPI-INF-3DHP, measured: standard deviations of 21 to 43 mm.
MARKERLESS_MM = 45.0
_BEHIND = 1e6  # pixels; the residual of a joint that no camera can see


@dataclass(frozen=True)
class CheckRow:
    """One thing that was checked.

    Attributes:
        what: The thing.
        expected: What a good file has.
        found: What this one has.
        verdict: ``fail`` makes the file unfit, ``warn`` deserves a look.
        advice: What to do; empty when all is well.
    """

    what: str
    expected: str
    found: str
    verdict: Verdict
    advice: str = ""


def judged(what: str, expected: str, found: str, verdict: Verdict, advice: str) -> CheckRow:
    """A row whose advice is given only when something is wrong."""
    return CheckRow(what, expected, found, verdict, "" if verdict == "ok" else advice)


def judged_count(what: str, published: int, found: int, advice: str) -> CheckRow:
    """A number that must be the published one; more than that only warns."""
    verdict: Verdict = "ok" if found == published else "fail" if found < published else "warn"
    return judged(what, f"{published} (published)", str(found), verdict, advice)


def failed(what: str, expected: str, error: Exception) -> CheckRow:
    """The row of something that was refused; the refusal says what to do."""
    return CheckRow(what, expected, "refused", "fail", str(error))


@dataclass(frozen=True, kw_only=True)
class Take:
    """One recording in 3D.

    Attributes:
        subject: Who.
        name: Which recording of the subject.
        action: What was done.
        joints: ``(frames, joints, 3)``, mm if the file has the unit it should have.
        valid: ``(frames,)`` bool, labels that count; None when all do.
    """

    subject: str
    name: str
    action: str
    joints: Array
    valid: Array | None = None

    @property
    def label(self) -> str:
        """Names the take in tables."""
        return f"{self.subject}/{self.name}"

    @cached_property
    def rows(self) -> Array:
        """Indices of the frames that count and whose numbers are finite."""
        good: Array = np.isfinite(self.joints).min(axis=(1, 2))
        if self.valid is not None:
            good = good & self.valid
        return np.flatnonzero(good)


@dataclass(frozen=True, kw_only=True)
class Sight:
    """One take seen by one camera.

    Attributes:
        take: The take.
        camera: Name of the camera.
        keypoints: ``(frames, joints, 2)``, pixels.
        size: Width and height of the image, pixels.
        confidence: ``(frames, joints)``; None where the file has none.
        lens: ``(9,)`` intrinsics; None when the files do not tell them.
        rotation: World to camera, ``(3, 3)`` or one a frame; None when joints are already there.
        position: Camera centre, ``(3,)`` or one a frame, mm.
    """

    take: Take
    camera: str
    keypoints: Array
    size: tuple[float, float]
    confidence: Array | None = None
    lens: Array | None = None
    rotation: Array | None = None
    position: Array | None = None

    @property
    def label(self) -> str:
        """Names the sight in tables."""
        return f"{self.take.label}/{self.camera}"

    def points(self, rows: Array) -> Array:
        """Joints of some frames in the camera frame, ``(rows, joints, 3)`` float64, mm."""
        joints: Array = self.take.joints[rows].astype(np.float64)
        if self.rotation is None or self.position is None:
            return joints
        moving = self.rotation.ndim == 3
        rotation = self.rotation[rows] if moving else self.rotation[None]
        position = self.position[rows][:, None] if moving else self.position
        turned: Array = (joints - position) @ np.swapaxes(rotation, -1, -2)
        return turned


@dataclass(frozen=True, kw_only=True)
class Bodies:
    """All takes of a file or a group of files.

    Attributes:
        label: Names the files in tables.
        skeleton: Joints of the takes.
        unit: Unit that the files should have.
        up: Where up should be; None where the world's axes are not laid down.
        fps: Frames a second.
        bone_share: By which share the bones of a limb may change their length.
        takes: The takes.
        bone_mm: Largest standard deviation of a bone's length, mm, that the way of capture
            explains; 0 where every frame has to be within the share.
        bone_reason: Why bones vary as much as that, in a few words.
    """

    label: str
    skeleton: Skeleton
    unit: Literal["m", "mm"]
    up: Literal["+z", "-y"] | None
    fps: float
    bone_share: float
    takes: tuple[Take, ...]
    bone_mm: float = 0.0
    bone_reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Keypoints:
    """All sights of a 2D file.

    Attributes:
        label: Names the file in tables.
        layout: Joints of the keypoints.
        skeleton: Joints of the takes.
        residual_px: Median distance to the projected joints that a good file stays below.
        sights: The sights.
    """

    label: str
    layout: Skeleton
    skeleton: Skeleton
    residual_px: float
    sights: tuple[Sight, ...]


def corrected(
    keypoints: Keypoints, factor: float, order: Sequence[int] | None = None
) -> Keypoints:
    """The same sights with takes in another scale, or with their joints in another order.

    Damage that was already named would otherwise show again in every comparison.

    Args:
        keypoints: The sights.
        factor: To multiply lengths by.
        order: Permutation of the joints; None leaves them.
    """
    if factor == 1 and order is None:
        return keypoints
    takes: dict[int, Take] = {}
    for sight in keypoints.sights:
        if id(sight.take) not in takes:
            joints = sight.take.joints if order is None else sight.take.joints[:, list(order)]
            takes[id(sight.take)] = replace(sight.take, joints=joints * factor)
    sights = tuple(replace(sight, take=takes[id(sight.take)]) for sight in keypoints.sights)
    return replace(keypoints, sights=sights)


def projected(points: Array, lens: Array) -> Array:
    """Pixels of points in the camera frame, ``(..., 2)``; far away for those behind it."""
    flat = torch.from_numpy(points.reshape(-1, 3))
    pixels = project(flat, torch.from_numpy(lens.astype(np.float64))).numpy()
    pixels[~(points.reshape(-1, 3)[:, 2] > 0)] = _BEHIND
    return pixels.reshape(*points.shape[:-1], 2)


def spread(rows: Array, most: int) -> Array:
    """At most so many of the rows, evenly spread."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]


def bodies_of(motion: MotionClips) -> Bodies:
    """Clips in the form of the checks, without joints that are known in no frame.

    Args:
        motion: In the world, z up, mm.
    """
    skeleton, visible = motion.skeleton, motion.visible
    known = list(range(len(skeleton)))
    if visible is not None:
        known = visible.any(0).nonzero()[:, 0].tolist()
    kept = sorted({*known, skeleton.root})
    joints = motion.joints_3d[:, kept]
    counts = None if visible is None else visible[:, known].all(1)
    pieces = zip(motion.offsets[:-1].tolist(), motion.offsets[1:].tolist(), strict=True)
    takes = tuple(
        Take(
            subject=motion.subject_names[int(motion.subject[i])],
            name=motion.names[i],
            action=motion.action_names[int(motion.action[i])],
            joints=joints[a:b].numpy(),
            valid=None if counts is None else counts[a:b].numpy(),
        )
        for i, (a, b) in enumerate(pieces)
    )
    return Bodies(
        label="3D", skeleton=_without(skeleton, kept), unit="mm", up="+z",
        fps=float(motion.fps.max()),
        bone_share=0.1, bone_mm=MARKERLESS_MM, bone_reason="capture of any kind", takes=takes,
    )  # fmt: skip


def _without(skeleton: Skeleton, kept: Sequence[int]) -> Skeleton:
    """Some joints of a skeleton, each below the nearest of them that was above it."""
    parents = []
    for joint in kept:
        above = skeleton.parents[joint]
        while above >= 0 and above not in kept:
            above = skeleton.parents[above]
        parents.append(kept.index(above) if above >= 0 else -1)
    names = tuple(skeleton.joints[joint] for joint in kept)
    mirror = tuple(pair for pair in skeleton.mirror if set(pair) <= set(names))
    return Skeleton(skeleton.name, names, tuple(parents), mirror)


def seen_takes(tracks: PoseTracks, label: str, residual_px: float) -> tuple[Bodies, Keypoints]:
    """Tracks in the form of the checks.

    Args:
        tracks: Labelled tracks.
        label: Names them in tables.
        residual_px: Median distance to the projected joints that they should stay below.

    Raises:
        DataError: The tracks have no labels.
    """
    skeleton = tracks.skeleton
    sights = tuple(_sight_of(tracks, i) for i in range(len(tracks.track_names)))
    fps = float(tracks.fps.max().nan_to_num(1.0))
    bodies = Bodies(
        label=f"3D {label}", skeleton=skeleton, unit="mm", up="-y", fps=fps,
        bone_share=0.02, bone_reason="rigid bodies",
        takes=tuple(sight.take for sight in sights),
    )  # fmt: skip
    return bodies, Keypoints(
        label=f"2D {label}", layout=skeleton, skeleton=skeleton, residual_px=residual_px,
        sights=sights,
    )  # fmt: skip


def _sight_of(tracks: PoseTracks, index: int) -> Sight:
    rows = slice(*tracks.offsets[index : index + 2].tolist())
    camera = tracks.cameras[int(tracks.camera[index])]
    take = Take(
        subject=tracks.subject_names[int(tracks.subject[index])],
        name=str(int(tracks.recording[index])),
        action=tracks.action_names[int(tracks.action[index])],
        joints=tracks.labels()[rows].numpy(),
        valid=None if tracks.visible is None else tracks.visible[rows].all(1).numpy(),
    )
    width, height = camera.size.tolist()
    scores = tracks.confidence[rows].numpy()
    return Sight(
        take=take,
        camera=tracks.track_names[index],
        keypoints=tracks.keypoints_2d[rows].numpy(),
        confidence=None if (scores == 1).all() else scores,  # projected, not detected
        size=(width, height),
        lens=camera.intrinsics.double().numpy(),
    )
