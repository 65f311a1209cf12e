"""Table of the ellipsoid body: rest joints, segments with their radii, shape coefficients.

Radii agree with ordinary adult circumferences. Body frame: x left, y up, z forward; T-pose;
stature about 1.72 m; millimetres.

Source: the project's specification of 3DNBF's body, sections 14.3 and 15.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lifting.skeleton import H36M_17

SHAPES = (
    "hip width", "thigh", "shank", "foot", "lower trunk", "upper trunk", "neck and head",
    "shoulder width", "upper arm", "forearm and hand",
    "trunk thickness", "arm thickness", "leg thickness", "head thickness",
)  # fmt: skip
LENGTHS = 10
"""Shape coefficients that change lengths; the others change thickness."""
LENGTH_SD, THICKNESS_SD = 0.06, 0.12

REST_OFFSETS: dict[str, tuple[float, float, float]] = {
    "hip": (0.0, 0.0, 0.0),
    "left_hip": (130.0, -20.0, 0.0), "right_hip": (-130.0, -20.0, 0.0),
    "left_knee": (0.0, -430.0, 0.0), "right_knee": (0.0, -430.0, 0.0),
    "left_ankle": (0.0, -430.0, 0.0), "right_ankle": (0.0, -430.0, 0.0),
    "spine": (0.0, 235.0, 0.0), "thorax": (0.0, 255.0, 0.0),
    "neck": (0.0, 115.0, 20.0), "head": (0.0, 115.0, 0.0),
    "left_shoulder": (150.0, -30.0, 0.0), "right_shoulder": (-150.0, -30.0, 0.0),
    "left_elbow": (285.0, 0.0, 0.0), "right_elbow": (-285.0, 0.0, 0.0),
    "left_wrist": (250.0, 0.0, 0.0), "right_wrist": (-250.0, 0.0, 0.0),
}  # fmt: skip
"""Offset of each joint from its parent."""
BONE_SHAPE: dict[str, str] = {
    "hip": "hip width", "knee": "thigh", "ankle": "shank", "spine": "lower trunk",
    "thorax": "upper trunk", "neck": "neck and head", "head": "neck and head",
    "shoulder": "shoulder width", "elbow": "upper arm", "wrist": "forearm and hand",
}  # fmt: skip
"""Shape coefficient of the bone that ends at a joint, by the joint's name without its side."""


@dataclass(frozen=True)
class Segment:
    """A piece of a limb, from its joint along an axis.

    Attributes:
        name: Name without the side.
        joint: Joint that it starts at and that carries it.
        end: Joint that it leads to, or the offset of its end from its start, mm.
        rings: Rings of kernels along the axis.
        around: Kernels of a ring.
        start: Semi-axes across and in depth at the start, mm.
        stop: The same at the end.
        limb: Limb of ``LIMBS``.
        length: Shape coefficient of its length.
        thickness: Shape coefficient of its radii.
    """

    name: str
    joint: str
    end: str | tuple[float, float, float]
    rings: int
    around: int
    start: tuple[float, float]
    stop: tuple[float, float]
    limb: str
    length: str
    thickness: str

    @property
    def axis(self) -> tuple[float, float, float]:
        """From start to end in the rest pose of the mean shape, mm."""
        return REST_OFFSETS[self.end] if isinstance(self.end, str) else self.end


def _segments() -> tuple[Segment, ...]:
    trunk, head, legs, arms = (f"{word} thickness" for word in ("trunk", "head", "leg", "arm"))
    middle = [
        Segment("lower trunk", "hip", "spine", 3, 10, (165, 115), (140, 105), "torso",
                "lower trunk", trunk),
        Segment("upper trunk", "spine", "thorax", 4, 10, (140, 105), (165, 115), "torso",
                "upper trunk", trunk),
        Segment("seat", "hip", (0, -90, 0), 1, 8, (165, 115), (150, 110), "torso",
                "lower trunk", trunk),
        Segment("neck", "thorax", "neck", 2, 6, (58, 58), (55, 58), "torso",
                "neck and head", head),
        Segment("head", "neck", "head", 3, 8, (68, 90), (75, 95), "torso",
                "neck and head", head),
    ]  # fmt: skip
    for side, out in (("left", 1.0), ("right", -1.0)):
        middle += [
            Segment("shoulder", "thorax", f"{side}_shoulder", 2, 6, (65, 65), (55, 55), "torso",
                    "shoulder width", trunk),
            Segment("upper arm", f"{side}_shoulder", f"{side}_elbow", 4, 6, (50, 50), (42, 42),
                    f"{side} upper arm", "upper arm", arms),
            Segment("forearm", f"{side}_elbow", f"{side}_wrist", 4, 6, (42, 42), (28, 30),
                    f"{side} lower arm", "forearm and hand", arms),
            Segment("hand", f"{side}_wrist", (170 * out, 0, 0), 2, 4, (20, 42), (15, 35),
                    f"{side} lower arm", "forearm and hand", arms),
            Segment("thigh", f"{side}_hip", f"{side}_knee", 5, 8, (88, 88), (60, 60),
                    f"{side} thigh", "thigh", legs),
            Segment("shank", f"{side}_knee", f"{side}_ankle", 5, 6, (58, 60), (38, 40),
                    f"{side} calf", "shank", legs),
            Segment("foot", f"{side}_ankle", (0, -45, 200), 2, 4, (45, 40), (45, 25),
                    f"{side} calf", "foot", legs),
        ]  # fmt: skip
    return tuple(middle)


SEGMENTS = _segments()


def rest_joints() -> Tensor:
    """Rest positions of the 17 joints of the mean shape, ``(17, 3)`` float64, mm."""
    places = torch.zeros(len(H36M_17), 3, dtype=torch.float64)
    for joint in H36M_17.depth_order:
        parent = H36M_17.parents[joint]
        offset = torch.tensor(REST_OFFSETS[H36M_17.joints[joint]], dtype=torch.float64)
        places[joint] = offset + (places[parent] if parent >= 0 else 0.0)
    return places


def bone_shapes() -> list[int]:
    """Shape coefficient of the bone that ends at each joint."""
    words = [joint.removeprefix("left_").removeprefix("right_") for joint in H36M_17.joints]
    return [SHAPES.index(BONE_SHAPE[word]) for word in words]
