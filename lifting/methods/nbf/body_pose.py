"""Where a body stands and how: its rotations, the latents that fitting moves, and its priors.

Rotations are six numbers or vectors beside their matrices, and a body can be flipped in depth.
Latents say how far a body is turned, bent and moved from where it started. All are zero at the
start but the joints' rotation vectors. A step of one size moves the image of the body by about the
same amount through each of them: places are metres at the root's depth, and depth is a logarithm.

Priors are what is known before the features are looked at. Rotation vectors of joints relative to
their parents are taken as Gaussian, and must stay inside hard limits; shape coefficients are
standard normal. The first guess counts as a measurement of its own, with the errors such guesses
have (ours).

Source: Zhou et al., "On the Continuity of Rotation Representations", 2019, for the six numbers;
3DNBF's released code for the flip, whose exact form is ours; the project's specification of 3DNBF,
sections 11 and 14.4, for the priors, where the released code uses a learned one whose weights may
not be passed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lifting.body.kernel_body import KernelBody
from lifting.errors import check_shape
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.nn.units import MM_PER_METRE
from lifting.skeleton import H36M_17
from lifting.tto.contract import Latents
from lifting.typing import PerSample, Points3D, RotationMatrix

_LEAST = 1e-12


class BodyPose(NamedTuple):
    """Where a body stands and how.

    Attributes:
        rotations: Each joint in its parent's frame, the root's in the camera's,
            ``(batch, joints, 3, 3)``.
        betas: Shape coefficients, ``(batch, shapes)``.
        translation: Of the root, ``(batch, 3)``, mm, camera frame.
    """

    rotations: RotationMatrix
    betas: Tensor
    translation: Points3D

    def to(self, like: Tensor) -> BodyPose:
        """The same on the device and in the precision of a tensor."""
        return BodyPose(*(part.to(like) for part in self))


def choose_bodies(which: Tensor, one: BodyPose, other: BodyPose) -> BodyPose:
    """Bodies of one for the chosen samples, of the other for the rest.

    Args:
        which: ``(batch,)`` bool.
        one: Bodies.
        other: As many.
    """
    return BodyPose(
        *(
            torch.where(which.view(-1, *(1,) * (a.dim() - 1)), a, b)
            for a, b in zip(one, other, strict=True)
        )
    )


def matrix_of_six(six: Tensor) -> RotationMatrix:
    """Rotation whose first two columns are spanned by two vectors (Gram-Schmidt).

    Args:
        six: First column, then second, ``(*batch, 6)``.

    Returns:
        ``(*batch, 3, 3)``.
    """
    check_shape("six", six, "*batch 6")
    first = functional.normalize(six[..., :3], dim=-1)
    rest = six[..., 3:] - (first * six[..., 3:]).sum(-1, keepdim=True) * first
    second = functional.normalize(rest, dim=-1)
    return torch.stack((first, second, torch.linalg.cross(first, second, dim=-1)), dim=-1)


def six_of_matrix(rotation: RotationMatrix) -> Tensor:
    """First and second column of a rotation, ``(*batch, 6)``; inverse of ``matrix_of_six``."""
    return rotation[..., :2].mT.flatten(-2)


def rotation_vector(rotation: RotationMatrix) -> Points3D:
    """Axis times angle of rotations, the angle from 0 to pi.

    Through the quaternion whose largest part is formed first, so it is exact near both ends.

    Args:
        rotation: ``(*batch, 3, 3)``.

    Returns:
        ``(*batch, 3)``, radians.
    """
    check_shape("rotation", rotation, "*batch 3 3")
    r = rotation
    xx, yy, zz = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    x = torch.stack((1 + xx - yy - zz, r[..., 0, 1] + r[..., 1, 0],
                     r[..., 0, 2] + r[..., 2, 0], r[..., 2, 1] - r[..., 1, 2]), -1)  # fmt: skip
    y = torch.stack((x[..., 1], 1 - xx + yy - zz, r[..., 1, 2] + r[..., 2, 1],
                     r[..., 0, 2] - r[..., 2, 0]), -1)  # fmt: skip
    z = torch.stack((x[..., 2], y[..., 2], 1 - xx - yy + zz, r[..., 1, 0] - r[..., 0, 1]), -1)
    w = torch.stack((x[..., 3], y[..., 3], z[..., 3], 1 + xx + yy + zz), -1)
    rows = torch.stack((x, y, z, w), dim=-2)
    largest = rows.diagonal(dim1=-2, dim2=-1).argmax(-1)
    index = largest[..., None, None].expand(*largest.shape, 1, 4)
    quaternion = functional.normalize(rows.gather(-2, index)[..., 0, :], dim=-1)
    quaternion = torch.where(quaternion[..., 3:] < 0, -quaternion, quaternion)
    sine = quaternion[..., :3].norm(dim=-1, keepdim=True)
    half = torch.atan2(sine, quaternion[..., 3:])
    scale = torch.where(sine > _LEAST, 2 * half / sine.clamp(min=_LEAST), 2.0)
    return quaternion[..., :3] * scale


def mirror_sideways(pose: BodyPose, mirror: Sequence[int]) -> BodyPose:
    """The body in a mirrored image: x changes its sign, and sides are exchanged.

    Args:
        pose: The body, camera frame.
        mirror: Permutation of the joints that exchanges left and right.
    """
    sign = pose.rotations.new_tensor((-1.0, 1.0, 1.0))
    rotations = sign[:, None] * pose.rotations[:, list(mirror)] * sign
    return BodyPose(rotations, pose.betas, pose.translation * sign)


def flip_depth(pose: BodyPose, mirror: Sequence[int]) -> BodyPose:
    """The twin that looks alike from far away: relative to the root, z changes its sign.

    Sides are exchanged and local rotations mirrored; the root is mirrored in depth on its left
    and sideways on its right, which is a rotation again.

    Args:
        pose: The body.
        mirror: Permutation of the joints that exchanges left and right.

    Returns:
        The same shape at the same place.
    """
    sideways = pose.rotations.new_tensor((-1.0, 1.0, 1.0))
    depth = pose.rotations.new_tensor((1.0, 1.0, -1.0))
    local = mirror_sideways(pose, mirror).rotations
    root = depth[:, None] * pose.rotations[:, :1] * sideways
    return pose._replace(rotations=torch.cat((root, local[:, 1:]), dim=1))


def upright(like: Tensor) -> RotationMatrix:
    """Rotation of a body that stands upright and faces the camera: a half turn about x."""
    matrix: Tensor = torch.diag(like.new_tensor((1.0, -1.0, -1.0)))
    return matrix


TURN, POSE, PLACE, SHAPE = "turn", "pose", "place", "shape"


class BodyLatents(NamedTuple):
    """Which joints a body's latents bend.

    Attributes:
        joints: Those that have something hanging on them, without the root.
        fit_shape: Whether the shape coefficients move too.
    """

    joints: tuple[int, ...]
    fit_shape: bool = False

    @classmethod
    def of_body(cls, body: KernelBody, *, fit_shape: bool = False) -> BodyLatents:
        """Of all joints but the root and the ends, whose turn no joint shows."""
        inner = set(body.parents)
        bent = tuple(j for j, p in enumerate(body.parents) if p >= 0 and j in inner)
        return cls(bent, fit_shape)

    def encode(self, start: BodyPose) -> Latents:
        """Latents that decode to the start."""
        rotations = start.rotations
        latents = {
            TURN: rotations.new_zeros(len(rotations), 3),
            POSE: rotation_vector(rotations[:, list(self.joints)]),
            PLACE: rotations.new_zeros(len(rotations), 3),
        }
        if self.fit_shape:
            latents[SHAPE] = start.betas.clone()
        return latents

    def decode(self, latents: Latents, start: BodyPose) -> BodyPose:
        """The body that latents stand for, differentiable.

        Args:
            latents: As ``encode`` gives them; computed on in the precision of the start.
            start: What was encoded.
        """
        latents = {name: value.to(start.rotations) for name, value in latents.items()}
        root = axis_angle_to_matrix(latents[TURN]) @ start.rotations[:, 0]
        bent = axis_angle_to_matrix(latents[POSE])
        index = torch.tensor(self.joints, device=root.device)
        rotations = start.rotations.index_copy(1, index, bent)
        rotations = torch.cat((root[:, None], rotations[:, 1:]), dim=1)
        return BodyPose(
            rotations, latents.get(SHAPE, start.betas), _moved(start.translation, latents[PLACE])
        )


def _moved(root: Tensor, place: Tensor) -> Tensor:
    factor = place[:, 2:].exp()
    across = (root[:, :2] + MM_PER_METRE * place[:, :2]) * factor
    return torch.cat((across, root[:, 2:] * factor), dim=-1)


_NO_LIMIT = 180.0
_Triple = tuple[float, float, float]


@dataclass(frozen=True)
class _Joint:
    """Degrees about x, y and z of the left side's joint in its rest frame."""

    mean: _Triple
    spread: _Triple
    low: _Triple = (-_NO_LIMIT, -_NO_LIMIT, -_NO_LIMIT)
    high: _Triple = (_NO_LIMIT, _NO_LIMIT, _NO_LIMIT)


_STIFF = _Joint((0, 0, 0), (3, 3, 3))
_BACK = _Joint((0, 0, 0), (9, 8, 6), (-45, -45, -45), (45, 45, 45))
# A turn by a negative angle about x flexes a hip, by a positive one a knee; by a negative one
# about z it lowers the left arm, and about y it bends the left elbow.
_TABLE = {
    "hip": _Joint((-12, 0, 0), (28, 12, 12), (-120, -90, -90), (30, 90, 90)),
    "knee": _Joint((22, 0, 0), (28, 3, 3), (0, -30, -30), (150, 30, 30)),
    "ankle": _STIFF,
    "spine": _BACK,
    "thorax": _BACK,
    "neck": _Joint((0, 0, 0), (14, 20, 8), (-60, -60, -60), (60, 60, 60)),
    "head": _STIFF,
    "shoulder": _Joint((-15, 0, -55), (30, 30, 30)),
    "elbow": _Joint((0, -35, 0), (25, 32, 5), (-90, -150, -45), (90, 0, 45)),
    "wrist": _STIFF,
}


class PosePrior:
    """Gaussian prior and limits of rotation vectors.

    Args:
        mean: ``(joints, 3)``, radians, without the root.
        spread: Standard deviations, ``(joints, 3)``, radians.
        low: Least angles, ``(joints, 3)``, radians.
        high: Largest angles, ``(joints, 3)``, radians.
    """

    def __init__(self, mean: Tensor, spread: Tensor, low: Tensor, high: Tensor) -> None:
        self.mean, self.spread, self.low, self.high = mean, spread, low, high

    @classmethod
    def of_h36m(cls) -> PosePrior:
        """Of the ellipsoid body, whose joints are Human3.6M's."""
        rows = [_row(name) for name in H36M_17.joints[1:]]
        parts = zip(*rows, strict=True)
        return cls(*(torch.tensor(part).deg2rad() for part in parts))

    def of_joints(self, joints: Sequence[int]) -> PosePrior:
        """Of some joints, numbered with the root as zero."""
        rows = [joint - 1 for joint in joints]
        return PosePrior(self.mean[rows], self.spread[rows], self.low[rows], self.high[rows])

    def to(self, like: Tensor) -> PosePrior:
        """The same on another device and of another precision."""
        return PosePrior(*(v.to(like) for v in (self.mean, self.spread, self.low, self.high)))

    def distance(self, turns: Points3D) -> PerSample:
        """Squared distance from the mean in standard deviations, summed.

        Args:
            turns: Rotation vectors, ``(batch, joints, 3)``, radians.
        """
        return (((turns - self.mean) / self.spread) ** 2).sum((1, 2))

    def excess(self, turns: Points3D) -> PerSample:
        """Squares of the angles beyond the limits, summed, radians squared.

        Args:
            turns: Rotation vectors, ``(batch, joints, 3)``, radians.
        """
        beyond = (self.low - turns).clamp(min=0) + (turns - self.high).clamp(min=0)
        return beyond.square().sum((1, 2))


@dataclass(frozen=True)
class GuessErrors:
    """Standard errors of a first guess, about each axis.

    Attributes:
        turn: Of the root's rotation, radians.
        bend: Of the other joints' rotations, radians.
        across: Of the root's place across the line of sight, mm.
        depth: Of its depth, as a share of it.
    """

    turn: float = 0.25
    bend: float = 0.6
    across: float = 40.0
    depth: float = 0.03

    def distance(self, body: BodyPose, guess: BodyPose) -> PerSample:
        """Squared distance of bodies from their guesses in standard errors, summed.

        An angle counts as twice the sine of its half, so that the gradient is smooth up to a half
        turn.

        Args:
            body: The bodies.
            guess: The guesses.
        """
        chord = (body.rotations - guess.rotations).square().sum((-1, -2)) / 2
        far = body.translation[:, 2].clamp(min=1.0) / guess.translation[:, 2].clamp(min=1.0)
        across = body.translation[:, :2] / far[:, None] - guess.translation[:, :2]
        return (
            chord[:, 0] / self.turn**2
            + chord[:, 1:].sum(-1) / self.bend**2
            + across.square().sum(-1) / self.across**2
            + (far.log() / self.depth) ** 2
        )


def _row(name: str) -> tuple[_Triple, _Triple, _Triple, _Triple]:
    """A joint's entry; the right side mirrors the left: y and z change their sign."""
    entry = _TABLE[name.removeprefix("left_").removeprefix("right_")]
    if not name.startswith("right_"):
        return entry.mean, entry.spread, entry.low, entry.high

    def mirrored(v: _Triple) -> _Triple:
        return v[0], -v[1], -v[2]

    low, high = mirrored(entry.high), mirrored(entry.low)
    return (
        mirrored(entry.mean),
        entry.spread,
        (entry.low[0], low[1], low[2]),
        (entry.high[0], high[1], high[2]),
    )
