"""What networks see of keypoints: the whole picture, or a person by themself.

* ``screen``  screen units of the picture, as the published networks do;
* ``person``  relative to the middle and the size of the person, with a confidence a joint that is
  zero where it is missing; beside it where in the picture the person is and how large, and the
  same as angles where the focal length is told;
* ``turned``  the same, seen by the camera turned towards the person, about which the answer is
  turned back; where the focal length is not told, a usual one is taken.

A place that is not known never reaches a network by ``person`` and ``turned``.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from einops import rearrange
from torch import Tensor

from lifting.batch import GUESSED_LENS, PoseBatch
from lifting.nn.units import to_network_units
from lifting.typing import PerJoint, PerSample, Points2D, Pose2D, Pose3D, RotationMatrix

InputKind = Literal["screen", "person", "turned"]

USUAL_FOCAL = 1.2
"""Focal length that is taken where none is told, in longer sides of the picture."""

_WHOLE = 7  # numbers of a person, see Seen.whole
_LOG_SHIFT = 2.0  # of log sizes, which brings usual people near zero


class Seen(NamedTuple):
    """What a network sees of some frames.

    Attributes:
        joints: ``(*batch, joints, channels)``: two coordinates and, of a person, the confidence.
        whole: ``(*batch, 7)`` of a person: place and log of the size in the picture, direction and
            log of the angle where the focal length is told (else zeros), and whether it is; None
            of a picture.
        turn: ``(*batch, 3, 3)``, from the camera's axes to those of the camera that is turned
            towards the person; None where it is not.
    """

    joints: Tensor
    whole: Tensor | None = None
    turn: RotationMatrix | None = None

    def by_joint(self) -> Tensor:
        """Channels of each joint, those of the whole person among them."""
        if self.whole is None:
            return self.joints
        shape = (*self.joints.shape[:-1], -1)
        return torch.cat((self.joints, self.whole.unsqueeze(-2).expand(shape)), dim=-1)

    def flat(self) -> Tensor:
        """All numbers of a frame, ``(*batch, numbers)``."""
        joints = self.joints.flatten(-2)
        return joints if self.whole is None else torch.cat((joints, self.whole), dim=-1)

    def back(self, pose: Pose3D) -> Pose3D:
        """An answer in the axes of the camera, ``(*batch, joints, 3)``, relative to its root."""
        return pose if self.turn is None else pose @ self.turn


def channels_of(kind: InputKind) -> int:
    """Channels of ``Seen.by_joint``."""
    return 2 if kind == "screen" else 3 + _WHOLE


def numbers_of(kind: InputKind, joints: int) -> int:
    """Numbers of ``Seen.flat``."""
    return 2 * joints if kind == "screen" else 3 * joints + _WHOLE


def words_of(kind: InputKind) -> str:
    """How pixels become the input, as it stands with weights."""
    if kind == "screen":
        return "screen units: half image widths from the centre"
    seen = " seen by the camera turned towards the person" if kind == "turned" else ""
    return f"person: from the middle of the known joints, over their spread{seen}"


def see(kind: InputKind, batch: PoseBatch, told: PerSample | None = None) -> Seen:
    """What a network sees of a batch.

    Args:
        kind: Which input.
        batch: Pixels, confidence and cameras; without confidence, all joints are known.
        told: ``(batch,)`` bool, samples whose focal length may be told; None for all.

    Returns:
        Of all frames; ``*batch`` is ``batch frames``.
    """
    if kind == "screen":
        return Seen(to_network_units(batch.keypoints_2d, batch.camera.size))
    points, confidence = known_joints(batch)
    middle, size = _middle_and_size(points, confidence)
    picture = batch.camera.size[:, None]
    longest = picture.amax(-1, keepdim=True)
    place = (middle - picture / 2) / longest
    lens = batch.camera.intrinsics[:, None]
    told = focal_told(batch, told)[:, None, None]
    focal = torch.where(told, lens[..., :2], USUAL_FOCAL * longest)
    centre = torch.where(told, lens[..., 2:4], picture / 2)
    direction = (middle - centre) / focal
    angle = (size / focal.mean(-1, keepdim=True)).log() + _LOG_SHIFT
    flag = told.to(points).expand_as(size)
    whole = torch.cat(
        (
            place, (size / longest).log() + _LOG_SHIFT,
            torch.where(told, torch.cat((direction, angle), dim=-1), 0.0), flag,
        ),
        dim=-1,
    )  # fmt: skip
    turn = None
    if kind == "turned":
        turn = _turn_towards(direction)
        rays = (points - centre.unsqueeze(-2)) / focal.unsqueeze(-2)
        points = _turned(rays, turn)
        middle, size = _middle_and_size(points, confidence, least=1e-3)
    shown = (points - middle.unsqueeze(-2)) / size.unsqueeze(-2)
    shown = torch.where((confidence > 0)[..., None], shown, 0.0)
    return Seen(torch.cat((shown, confidence[..., None]), dim=-1), whole, turn)


def known_joints(batch: PoseBatch) -> tuple[Pose2D, PerJoint]:
    """Keypoints, pixels, and confidence, both zero where a joint is not known."""
    points, confidence = batch.keypoints_2d, batch.confidence
    if confidence is None:
        confidence = torch.ones_like(points[..., 0])
    known = (confidence > 0) & points.isfinite().all(-1)
    return torch.where(known[..., None], points, 0.0), torch.where(known, confidence, 0.0)


def focal_told(batch: PoseBatch, told: PerSample | None = None) -> PerSample:
    """Whose focal length is known and not guessed, ``(batch,)`` bool.

    Args:
        batch: A batch.
        told: ``(batch,)`` bool, those that may be told; None for all.
    """
    known = batch.camera.intrinsics[..., :4].isfinite().all(-1)
    if GUESSED_LENS in batch.extras:
        known = known & ~batch.extras[GUESSED_LENS]
    return known if told is None else known & told


def over_frames(values: Tensor) -> Tensor:
    """Channels of a joint in all frames of a window as those of one frame.

    Args:
        values: ``(batch, frames, joints, channels)``.

    Returns:
        ``(batch, 1, joints, frames channels)``.
    """
    return rearrange(values, "batch frames joints channels -> batch 1 joints (frames channels)")


def _middle_and_size(
    points: Pose2D, confidence: PerJoint, least: float = 1.0
) -> tuple[Points2D, Tensor]:
    """Mean of the known joints, and their mean distance from it ``(*batch, 1)``."""
    known = (confidence > 0).to(points)
    count = known.sum(-1, keepdim=True).clamp(min=1)
    middle = (points * known[..., None]).sum(-2) / count
    away = ((points - middle.unsqueeze(-2)).square().sum(-1) * known).sum(-1, keepdim=True)
    return middle, (away / count).clamp(min=least**2).sqrt()


def _turn_towards(direction: Points2D) -> RotationMatrix:
    """The smallest rotation that brings rays ``(x, y, 1)`` to the optical axis."""
    x, y = direction.unbind(-1)
    length = (x.square() + y.square() + 1).sqrt()
    x, y, z = x / length, y / length, 1 / length
    bend = 1 / (1 + z)
    rows = (
        (1 - bend * x * x, -bend * x * y, -x),
        (-bend * x * y, 1 - bend * y * y, -y),
        (x, y, z),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _turned(rays: Pose2D, turn: RotationMatrix) -> Pose2D:
    """Rays as a turned camera sees them; those beside or behind it are held in front."""
    seen = torch.cat((rays, torch.ones_like(rays[..., :1])), dim=-1) @ turn.mT
    return seen[..., :2] / seen[..., 2:].clamp(min=0.1)
