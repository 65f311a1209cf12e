"""Shape and pose of the ellipsoid body from 17 joints, in closed form for a whole batch.

Joints are gone through from the root outwards. One with several bones takes the rotation that fits
them best; one with a single bone aims it at the target's joint, from where the body's own joint
has come to lie, so that errors do not add up along a limb. What the bone leaves open, the turn
about it, is read off the plane in which a knee or an elbow bends.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lifting.body.ellipsoid import EllipsoidBody
from lifting.body.ellipsoid_layout import LENGTH_SD, LENGTHS, SHAPES, bone_shapes, rest_joints
from lifting.errors import check_shape
from lifting.geometry.kinematics import bone_lengths
from lifting.geometry.rotation import average_rotations
from lifting.skeleton import H36M_17
from lifting.typing import PerJoint, Points3D, Pose3D, RotationMatrix

# A straight limb takes the turn of what it hangs on; from this sine of the bend on, its own plane
# alone counts.
_BENT, _SHARE = 0.4, 0.15
_SHORTEST_MM = 1.0


class BodyFit(NamedTuple):
    """A body that stands like some joints.

    Attributes:
        rotations: Each joint in its parent's frame, ``(*batch, 17, 3, 3)``.
        betas: ``(*batch, 14)``.
        translation: Position of the root, ``(*batch, 3)``, mm.
        error: Mean distance of the body's joints from the given ones, ``(*batch,)``, mm.
    """

    rotations: RotationMatrix
    betas: Tensor
    translation: Points3D
    error: Tensor


def shape_of_bones(lengths: PerJoint) -> Tensor:
    """Shape coefficients of people with given bones; thickness and feet stay at the mean.

    Args:
        lengths: Of the bone from the parent to each joint, ``(*batch, 17)``, mm, for one person
            best the mean over frames; the root's entry is ignored.

    Returns:
        ``(*batch, 14)``. Bones that share a coefficient are added up first.
    """
    check_shape("lengths", lengths, "*batch joints", joints=len(H36M_17))
    rest = bone_lengths(rest_joints(), H36M_17).to(lengths)
    owner = torch.tensor(bone_shapes(), device=lengths.device)
    member = functional.one_hot(owner, len(SHAPES)).to(lengths)
    member[H36M_17.root] = 0
    known = member.sum(0) > 0
    ratio = (lengths @ member).clamp(min=_SHORTEST_MM) / (rest @ member).clamp(min=_SHORTEST_MM)
    measured = known & (torch.arange(len(SHAPES), device=lengths.device) < LENGTHS)
    return torch.where(measured, ratio.log() / LENGTH_SD, 0.0)


def fit_body(body: EllipsoidBody, joints: Pose3D, betas: Tensor | None = None) -> BodyFit:
    """Pose a body like given joints.

    Args:
        body: The body.
        joints: ``(*batch, 17, 3)``, mm, any frame.
        betas: ``(*batch, 14)``, broadcastable; None takes them from the bones of each pose.

    Raises:
        ShapeError: Another number of joints or coefficients.
    """
    check_shape("joints", joints, "*batch joints 3", joints=len(H36M_17))
    if betas is None:
        betas = shape_of_bones(bone_lengths(joints, H36M_17))
    betas = betas.expand(*joints.shape[:-2], body.shape_count)
    fit = _Fit(body.rest_joints(betas), joints)
    fit.run()
    rotations = fit.local()
    posed = body.joints(rotations, betas, fit.place["hip"]).joints
    error = (posed - joints).norm(dim=-1).mean(-1)
    return BodyFit(rotations, betas, fit.place["hip"], error)


class _Fit:
    """Rotations and places of the joints that have been gone through."""

    def __init__(self, rest: Pose3D, target: Pose3D) -> None:
        self.rest, self.target = rest, target
        self.turn: dict[str, RotationMatrix] = {}
        self.place: dict[str, Points3D] = {}

    def run(self) -> None:
        pelvis = ("right_hip", "left_hip", "spine")
        self.turn["hip"] = self._best("hip", self._at(self.target, "hip"), pelvis)
        seen = torch.stack([self._at(self.target, name) for name in ("hip", *pelvis)])
        arms = torch.stack([self._arm("hip", "hip"), *(self._arm("hip", p) for p in pelvis)])
        self.place["hip"] = (seen - arms).mean(0)
        self._spine()
        self._move("thorax", "neck")
        sideways = self.turn["thorax"][..., :, 0]
        self._bone("neck", "head", 1, 1.0, 0, sideways)
        for side, out in (("left", 1.0), ("right", -1.0)):
            self._leg(side)
            self._arm_of(side, out)
        self.turn["head"] = self.turn["neck"]

    def local(self) -> RotationMatrix:
        """Rotations in the parents' frames, ``(*batch, 17, 3, 3)``."""
        world = torch.stack([self.turn[name] for name in H36M_17.joints], dim=-3)
        parents = list(H36M_17.parents)
        parents[H36M_17.root] = H36M_17.root
        relative = world[..., parents, :, :].mT @ world
        root = torch.arange(len(parents), device=world.device) == H36M_17.root
        return torch.where(root[:, None, None], world, relative)

    def _spine(self) -> None:
        """The trunk above the waist: turned half way from the hips to the shoulders."""
        self._move("hip", "spine")
        self._move("hip", "left_hip")
        self._move("hip", "right_hip")
        hips = self.turn["hip"][..., :, 0]
        shoulders = self._at(self.target, "left_shoulder") - self._at(
            self.target, "right_shoulder"
        )
        between = hips + functional.normalize(shoulders, dim=-1)
        self._bone("spine", "thorax", 1, 1.0, 0, between)
        self.turn["thorax"] = self._best(
            "thorax", self.place["thorax"], ("neck", "left_shoulder", "right_shoulder")
        )
        self._move("thorax", "left_shoulder")
        self._move("thorax", "right_shoulder")

    def _leg(self, side: str) -> None:
        """Hip, knee and foot: a knee bends about the lateral axis, backwards."""
        hip, knee, ankle = (f"{side}_{joint}" for joint in ("hip", "knee", "ankle"))
        hinge = _hinge(self._plane(hip, knee, ankle), self.turn["hip"][..., :, 0])
        self._bone(hip, knee, 1, -1.0, 0, hinge)
        self._bone(knee, ankle, 1, -1.0, 0, hinge)
        self.turn[ankle] = self.turn[knee]

    def _arm_of(self, side: str, out: float) -> None:
        """Shoulder, elbow and hand: an elbow bends about the arm's vertical axis, forwards."""
        shoulder, elbow, wrist = (f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist"))
        chest = self.turn["thorax"]
        upper = self._at(self.target, elbow) - self.place[shoulder]
        swung = _swing(out * chest[..., :, 0], upper) @ chest[..., :, 1, None]
        hinge = _hinge(-out * self._plane(shoulder, elbow, wrist), swung[..., 0])
        self._bone(shoulder, elbow, 0, out, 1, hinge)
        self._bone(elbow, wrist, 0, out, 1, hinge)
        self.turn[wrist] = self.turn[elbow]

    def _plane(self, start: str, middle: str, end: str) -> Points3D:
        """Axis about which a limb is bent, as long as the sine of the bend."""
        first = self._at(self.target, middle) - self._at(self.target, start)
        second = self._at(self.target, end) - self._at(self.target, middle)
        unit = (functional.normalize(first, dim=-1), functional.normalize(second, dim=-1))
        return torch.linalg.cross(*unit, dim=-1)

    def _bone(
        self, joint: str, end: str, axis: int, sign: float, second: int, hint: Points3D
    ) -> None:
        """Aim the bone, which rests along an axis of the body, and turn it by the hint."""
        aim = sign * (self._at(self.target, end) - self.place[joint])
        self.turn[joint] = _frame(aim, axis, hint, second)
        self._move(joint, end)

    def _best(self, joint: str, start: Points3D, ends: tuple[str, ...]) -> RotationMatrix:
        """Rotation that brings several bones closest to their targets."""
        moment = torch.zeros_like(self.target[..., :3, :])
        for end in ends:
            seen = self._at(self.target, end) - start
            moment = moment + seen[..., :, None] * self._rest_bone(joint, end)[..., None, :]
        return average_rotations(moment[..., None, :, :])

    def _move(self, joint: str, end: str) -> None:
        self.place[end] = self.place[joint] + self._arm(joint, end)

    def _arm(self, joint: str, end: str) -> Points3D:
        return (self.turn[joint] @ self._rest_bone(joint, end)[..., None])[..., 0]

    def _rest_bone(self, joint: str, end: str) -> Points3D:
        return self._at(self.rest, end) - self._at(self.rest, joint)

    @staticmethod
    def _at(pose: Pose3D, joint: str) -> Points3D:
        return pose[..., H36M_17.index(joint), :]


def _hinge(plane: Points3D, straight: Points3D) -> Points3D:
    """Axis of a knee or an elbow: that of its bend, or another where it is nearly straight."""
    bend = plane.norm(dim=-1, keepdim=True)
    return plane + _SHARE * (1 - bend / _BENT).clamp(min=0) * straight


def _frame(aim: Points3D, axis: int, hint: Points3D, second: int) -> RotationMatrix:
    """Rotation whose column ``axis`` is the aim, and whose column ``second`` is near the hint."""
    first = functional.normalize(aim, dim=-1)
    side = hint - (hint * first).sum(-1, keepdim=True) * first
    other = functional.normalize(side, dim=-1)
    third = torch.linalg.cross(first, other, dim=-1)
    columns: list[Tensor] = [third, third, third]
    columns[axis], columns[second] = first, other
    rest = 3 - axis - second
    columns[rest] = third if (second - axis) % 3 == 1 else -third
    return torch.stack(columns, dim=-1)


def _swing(start: Points3D, end: Points3D) -> RotationMatrix:
    """The smallest rotation that turns one direction into another; about any axis if opposite."""
    first, second = functional.normalize(start, dim=-1), functional.normalize(end, dim=-1)
    middle = functional.normalize(first + second, dim=-1)
    eye = torch.eye(3, dtype=start.dtype, device=start.device)

    def half_turn(axis: Points3D) -> RotationMatrix:
        return 2 * axis[..., :, None] * axis[..., None, :] - eye

    return half_turn(middle) @ half_turn(first)
