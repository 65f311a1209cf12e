"""Joint positions from directions of limbs, and a root that does not let feet slide.

The root is placed, not integrated from a wished speed: it moves so that the lower ankle keeps its
place on the floor. In the air it keeps the velocity it is given and follows a parabola.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lifting.data.procedural.anthropometry import Bodies
from lifting.data.procedural.curves import BodyCurves
from lifting.data.procedural.frames import Axes, heading_axes
from lifting.data.procedural.limbs import SIDES
from lifting.skeleton import H36M_17
from lifting.typing import Pose3D

_LEFT, _RIGHT = H36M_17.index("left_ankle"), H36M_17.index("right_ankle")
_SHARE_MM = 4.0  # height difference over which the support passes from foot to foot
_CONTACT_MM = 8.0  # clearance over which a foot counts as leaving the floor


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
