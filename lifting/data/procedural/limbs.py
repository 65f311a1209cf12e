"""Directions of limbs, from angles or from where a limb should end, and joint positions from them.

A direction is a unit vector in the frame of the chest (arms) or of the pelvis (legs): x forward,
y left, z up. Arrays are ``(2, 3, n)``: side (left, right), axis, frame.

Coordinate frames turn about their own axes, for n frames at once. A turn about an axis mixes two
of the three axis vectors, which costs far less than a product of matrices.

The root is placed, not integrated from a wished speed: it moves so that the lower ankle keeps
its place on the floor. In the air it keeps the velocity it is given and follows a parabola.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lifting.data.procedural.anthropometry import Bodies
from lifting.data.procedural.curves import BodyCurves
from lifting.skeleton import H36M_17
from lifting.typing import Pose3D

SIDES = torch.tensor((1.0, -1.0)).reshape(2, 1)  # sign of y that points away from the midline

_LEFT, _RIGHT = H36M_17.index("left_ankle"), H36M_17.index("right_ankle")
_SHARE_MM = 4.0  # height difference over which the support passes from foot to foot
_CONTACT_MM = 8.0  # clearance over which a foot counts as leaving the floor


class Axes(NamedTuple):
    """Forward, left and up vectors of a frame, ``(3, n)`` each."""

    x: Tensor
    y: Tensor
    z: Tensor

    def pitch(self, angle: Tensor) -> Axes:
        """Turn so that the up vector tilts forward; radians, ``(n,)``."""
        c, s = angle.cos(), angle.sin()
        return Axes(c * self.x - s * self.z, self.y, s * self.x + c * self.z)

    def roll(self, angle: Tensor) -> Axes:
        """Turn so that the up vector tilts to the left; radians, ``(n,)``."""
        c, s = angle.cos(), angle.sin()
        return Axes(self.x, c * self.y - s * self.z, s * self.y + c * self.z)

    def yaw(self, angle: Tensor) -> Axes:
        """Turn so that the forward vector moves to the left; radians, ``(n,)``."""
        c, s = angle.cos(), angle.sin()
        return Axes(c * self.x + s * self.y, c * self.y - s * self.x, self.z)

    def out(self, vector: Tensor) -> Tensor:
        """A vector of this frame in the outer one, ``(3, n)`` to ``(3, n)``."""
        return vector[0] * self.x + vector[1] * self.y + vector[2] * self.z

    def into(self, vector: Tensor) -> Tensor:
        """A vector of the outer frame in this one, ``(..., 3, n)`` to ``(..., 3, n)``."""
        return torch.stack([(vector * axis).sum(-2) for axis in self], dim=-2)

    def tilted_up(self, angle: Tensor) -> Tensor:
        """Direction tilted forward from the up vector, in the outer frame, ``(3, n)``."""
        return angle.sin() * self.x + angle.cos() * self.z


def heading_axes(heading: Tensor) -> Axes:
    """Upright frame that faces a heading: 0 along x, rising to the left; radians, ``(n,)``."""
    c, s, zero = heading.cos(), heading.sin(), torch.zeros_like(heading)
    one = torch.ones_like(heading)
    return Axes(
        torch.stack((c, s, zero)), torch.stack((-s, c, zero)), torch.stack((zero, zero, one))
    )


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Scalar product over the axis before the last, kept with size 1."""
    return (a * b).sum(-2, keepdim=True)


def unit(vector: Tensor) -> Tensor:
    """Vector divided by its length, over the axis before the last."""
    return vector * dot(vector, vector).clamp(min=1e-12).rsqrt()


def hanging(flexion: Tensor, abduction: Tensor) -> Tensor:
    """Direction of a segment that hangs down, then is abducted, then flexed.

    Args:
        flexion: ``(2, n)``, radians, forward from the downward vertical in the sagittal plane.
        abduction: ``(2, n)``, radians, away from the midline.

    Returns:
        ``(2, 3, n)``.
    """
    cosine = abduction.cos()
    outward = SIDES * abduction.sin()
    return torch.stack((flexion.sin() * cosine, outward, -flexion.cos() * cosine), dim=1)


def bent(flexion: Tensor, abduction: Tensor, twist: Tensor, hinge: Tensor) -> Tensor:
    """Direction of the distal segment of a limb behind a hinge.

    Args:
        flexion: ``(2, n)``, radians, of the proximal segment.
        abduction: ``(2, n)``, radians, of the proximal segment.
        twist: ``(2, n)``, radians, of the proximal segment about its long axis, inward.
        hinge: ``(2, n)``, radians, forward positive: an elbow's flexion, a knee's negated.

    Returns:
        ``(2, 3, n)``.
    """
    ahead, down = hinge.sin() * twist.cos(), hinge.cos()
    across = -SIDES * hinge.sin() * twist.sin()
    cosine, sine = abduction.cos(), abduction.sin()
    left = across * cosine + SIDES * down * sine
    up = SIDES * across * sine - down * cosine
    cosine, sine = flexion.cos(), flexion.sin()
    return torch.stack((ahead * cosine - up * sine, left, ahead * sine + up * cosine), dim=1)


def two_bone(
    target: Tensor, first: Tensor, second: Tensor, pole: Tensor, most: float
) -> tuple[Tensor, Tensor]:
    """Directions of two segments whose end meets a target.

    A target out of reach is approached as far as the limb, or its hinge's limit, allows.

    Args:
        target: ``(2, 3, n)``, end of the limb relative to its beginning, mm.
        first: ``(2, n)``, length of the proximal segment, mm.
        second: ``(2, n)``, length of the distal segment, mm.
        pole: ``(2, 3, n)``, direction to which the hinge points; need not be perpendicular.
        most: Largest flexion of the hinge, radians.

    Returns:
        Proximal and distal directions, ``(2, 3, n)`` each.
    """
    a, b = first[:, None], second[:, None]
    closest = (a * a + b * b + 2 * a * b * torch.cos(torch.tensor(most))).sqrt()
    wanted = dot(target, target).clamp(min=1e-6).sqrt()
    axis = target / wanted
    distance = torch.minimum(torch.maximum(wanted, closest), 0.9995 * (a + b))
    side = unit(pole - axis * dot(pole, axis))
    cosine = ((a * a + distance * distance - b * b) / (2 * a * distance)).clamp(-1, 1)
    proximal = axis * cosine + side * (1 - cosine * cosine).clamp(min=0).sqrt()
    distal = (axis * distance - proximal * a) / b
    return proximal, unit(distal)


def swivelled_pole(
    target: Tensor, swivel: Tensor, sign: float, sag: tuple[float, float] = (0.0, 0.0)
) -> Tensor:
    """Pole of a limb that bends in its sagittal plane, turned outward about its axis.

    Hanging, an elbow points backward and a knee forward; raised forward, an elbow points down and
    a knee up; raised overhead, an elbow points forward.

    Args:
        target: ``(2, 3, n)``, end of the limb relative to its beginning.
        swivel: ``(2, n)``, radians, outward.
        sign: 1 for arms, -1 for legs.
        sag: Pull backward and downward, which decides where the limb points to the side.

    Returns:
        ``(2, 3, n)``, perpendicular to the target.
    """
    axis = unit(target)
    x, _, z = axis.unbind(1)
    zero = torch.zeros_like(x)
    plane = sign * torch.stack((z, zero, -x), dim=1)
    if any(sag):
        plane = plane - torch.tensor((sag[0], 0.0, sag[1]))[:, None]
    plane = unit(plane - axis * dot(plane, axis))
    outward = torch.linalg.cross(axis, plane, dim=1) * (sign * SIDES[..., None])
    return plane * swivel.cos()[:, None] + outward * swivel.sin()[:, None]


def joint_offsets(curves: BodyCurves, bodies: Bodies, heading: Tensor) -> Tensor:
    """Forward kinematics: joints relative to the root, in world orientation.

    Args:
        curves: Configuration over n frames; the directions have unit length.
        bodies: Of the frames.
        heading: ``(n,)``, radians.

    Returns:
        ``(joints, 3, n)``, mm; bone lengths are those of the bodies.
    """
    t, length = curves.torso, bodies.lengths
    pelvis = heading_axes(heading + t[2]).pitch(t[0]).roll(t[1])
    waist = pelvis.pitch(0.4 * t[3]).roll(0.4 * t[4]).yaw(0.4 * t[5])
    chest = waist.pitch(0.6 * t[3]).roll(0.6 * t[4]).yaw(0.6 * t[5])
    neck = chest.pitch(0.5 * t[6]).roll(0.5 * t[7]).yaw(0.5 * t[8])
    head = neck.pitch(0.5 * t[6]).roll(0.5 * t[7]).yaw(0.5 * t[8])
    joints: dict[str, Tensor] = {"hip": torch.zeros_like(pelvis.x)}

    def grow(parent: str, joint: str, direction: Tensor) -> None:
        joints[joint] = joints[parent] + length[H36M_17.index(joint)] * direction

    chain = ("hip", "spine", "thorax", "neck", "head")
    for i, axes in enumerate((waist, chest, neck, head)):
        grow(chain[i], chain[i + 1], axes.tilted_up(bodies.posture[i]))
    for side, name in enumerate(("left", "right")):
        out = float(SIDES[side])
        grow("hip", f"{name}_hip", out * pelvis.y)
        grow(f"{name}_hip", f"{name}_knee", pelvis.out(curves.limbs[0, side]))
        grow(f"{name}_knee", f"{name}_ankle", pelvis.out(curves.limbs[1, side]))
        grow("thorax", f"{name}_shoulder", _shoulder(chest, bodies, curves.shoulders, side))
        grow(f"{name}_shoulder", f"{name}_elbow", chest.out(curves.limbs[2, side]))
        grow(f"{name}_elbow", f"{name}_wrist", chest.out(curves.limbs[3, side]))
    return torch.stack([joints[name] for name in H36M_17.joints])


def _shoulder(chest: Axes, bodies: Bodies, shoulders: Tensor, side: int) -> Tensor:
    up = bodies.posture[4] + shoulders[side, 0]
    forward = bodies.posture[5] + shoulders[side, 1]
    flat = up.cos()
    local = torch.stack(
        (forward.sin() * flat, float(SIDES[side]) * forward.cos() * flat, up.sin())
    )
    return chest.out(local)


def headings(rate: Tensor, start: Tensor, fps: float) -> Tensor:
    """Heading by adding up its rate.

    Args:
        rate: ``(clips, frames)``, rad/s.
        start: ``(clips,)``, radians.
        fps: Frames a second.

    Returns:
        ``(clips, frames)``, radians.
    """
    return start[:, None] + (rate / fps).cumsum(1)


def root_path(
    offsets: Tensor, travel: Tensor, heading: Tensor, ankle_height: Tensor, fps: float
) -> Tensor:
    """Position of the root such that the supporting ankle keeps its place.

    Args:
        offsets: ``(joints, 3, clips, frames)``, joints relative to the root, mm.
        travel: ``(4, clips, frames)``, see BodyCurves.
        heading: ``(clips, frames)``, radians.
        ankle_height: ``(clips, frames)``, mm.
        fps: Frames a second.

    Returns:
        ``(3, clips, frames)``, mm; starts at x = y = 0, the floor is z = 0.
    """
    left, right = offsets[_LEFT], offsets[_RIGHT]
    gap = (left[2] - right[2]).abs() / 4
    # A smooth maximum without its surplus where both feet are level would dip: keep it, it is
    # under 3 mm.
    ground = ankle_height - torch.minimum(left[2], right[2]) + 4 * torch.log1p((-gap).exp())
    airborne = (travel[1] - ground) / _CONTACT_MM
    height = ground + _CONTACT_MM * functional.softplus(airborne)
    contact = torch.sigmoid(-airborne)[:, 1:]
    share = _smooth(torch.sigmoid((right[2] - left[2]) / _SHARE_MM), fps)
    share = (share[:, 1:] + share[:, :-1]) / 2
    support = share * left[:2].diff(dim=-1) + (1 - share) * right[:2].diff(dim=-1)
    flight = heading_axes(heading).out(functional.pad(travel[2:], (0, 0, 0, 0, 0, 1)))[:2]
    step = (1 - contact) * flight[..., 1:] / fps - contact * support
    return torch.cat((functional.pad(step.cumsum(-1), (1, 0)), height[None]))


def _smooth(value: Tensor, fps: float) -> Tensor:
    """Moving mean over 60 ms, ends repeated, ``(clips, frames)``."""
    width = max(1, round(0.06 * fps))
    if width == 1:
        return value
    before = (width - 1) // 2
    padded = functional.pad(value[:, None], (before, width - 1 - before), mode="replicate")[:, 0]
    return padded.unfold(-1, width, 1).mean(-1)


def place_in_room(joints: Pose3D, spot: Tensor, room: float) -> Pose3D:
    """Move clips so that they stay near the middle of the room.

    Args:
        joints: ``(clips, frames, joints, 3)``, mm.
        spot: ``(clips, 2)``, where in the unit disc the middle of the path should be.
        room: Radius of the room, mm; a path that leaves less room is moved less.

    Returns:
        ``(clips, frames, joints, 3)``.
    """
    root = joints[:, :, H36M_17.root, :2]
    low, high = root.amin(1), root.amax(1)
    slack = (room - (high - low).norm(dim=-1) / 2).clamp(0, 1500)
    shift = spot * slack[:, None] - (low + high) / 2
    return joints + functional.pad(shift, (0, 1))[:, None, None]
