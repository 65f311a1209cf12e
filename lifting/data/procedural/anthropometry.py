"""People who do not exist: bone lengths from anthropometric proportions, and habitual posture."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Tensor

from lifting.data.procedural.draws import Draws
from lifting.errors import ConfigError, suggest
from lifting.skeleton import H36M_17

BodyKind = Literal["human", "h36m"]
BODY_KINDS: tuple[BodyKind, ...] = ("human", "h36m")

# Mean, standard deviation, lowest and highest fraction of stature; bones by child joint.
_FRACTIONS: dict[str, tuple[float, float, float, float]] = {
    "hip": (0.060, 0.008, 0.042, 0.078),
    "knee": (0.245, 0.010, 0.215, 0.275),
    "ankle": (0.246, 0.010, 0.220, 0.272),
    "floor": (0.045, 0.004, 0.035, 0.055),
    "spine": (0.128, 0.010, 0.105, 0.155),
    "thorax": (0.140, 0.008, 0.120, 0.160),
    "neck": (0.075, 0.006, 0.062, 0.090),
    "head": (0.070, 0.008, 0.055, 0.090),
    "shoulder": (0.100, 0.012, 0.078, 0.125),
    "elbow": (0.165, 0.010, 0.140, 0.188),
    "wrist": (0.146, 0.007, 0.130, 0.165),
}
_H36M_MM: dict[str, float] = {
    "hip": 132.9, "knee": 442.9, "ankle": 454.2, "floor": 82.0, "spine": 233.4, "thorax": 257.1,
    "neck": 121.1, "head": 115.0, "shoulder": 151.0, "elbow": 278.9, "wrist": 251.7,
}  # fmt: skip
_LIMB_BONES = ("knee", "ankle", "elbow", "wrist")
_MIDLINE = ("spine", "thorax", "neck", "head")
# Mean and standard deviation, degrees. Tilts are forward from the upright of the bone's frame.
_POSTURE: dict[str, tuple[float, float]] = {
    "spine_tilt": (-2.0, 6.0),
    "thorax_tilt": (0.0, 6.0),
    "neck_tilt": (6.0, 9.0),
    "head_tilt": (8.0, 11.0),
    "shoulder_up": (6.0, 9.0),
    "shoulder_forward": (-5.0, 6.0),
}


@dataclass(frozen=True)
class Bodies:
    """Proportions of n people, or of n frames: the last axis is always n.

    Attributes:
        lengths: ``(joints, n)``, length of the bone from the parent to each joint, mm; 0 at the
            root.
        ankle_height: ``(n,)``, ankle above the floor when the foot is flat, mm.
        posture: ``(6, n)``, radians: forward tilt of the bones that end at spine, thorax, neck
            and head; elevation and protraction of the shoulders.
    """

    lengths: Tensor
    ankle_height: Tensor
    posture: Tensor

    def take(self, rows: Tensor) -> Bodies:
        """The people of the given indices, ``(m,)`` int64, with repetition."""
        return Bodies(**{f.name: getattr(self, f.name)[..., rows] for f in fields(self)})

    def bone(self, joint: str) -> Tensor:
        """Lengths of a bone of the left and the right side, ``(2, n)``, mm."""
        sides = [H36M_17.index(f"{side}_{joint}") for side in ("left", "right")]
        return self.lengths[sides]

    @property
    def leg(self) -> Tensor:
        """Mean of both sides of thigh plus shank, ``(n,)``, mm."""
        return (self.bone("knee") + self.bone("ankle")).mean(0)


def sample_bodies(draws: Draws, kind: BodyKind = "human") -> Bodies:
    """Draw bone lengths and posture, one person an id.

    ``human``: stature of men or women with equal odds, fractions of stature as in classic
    anthropometry, limb lengths correlated by a common factor. ``h36m``: one calibrated skeleton
    scaled as a whole. Both: left and right differ by 1 %.

    Args:
        draws: One stream a person.
        kind: Which proportions.

    Returns:
        ``n`` people.

    Raises:
        ConfigError: The kind is not known.

    Source: the project's anthropometric table; calibrated skeleton of Human3.6M.
    """
    if kind not in BODY_KINDS:
        raise ConfigError(f"unknown body kind '{kind}'; {suggest(kind, BODY_KINDS)}")
    mm = _human_mm(draws) if kind == "human" else _h36m_mm(draws)
    lengths = torch.zeros(len(H36M_17), len(draws.ids))
    for bone, length in mm.items():
        if bone in _MIDLINE:
            lengths[H36M_17.index(bone)] = length
        elif bone != "floor":
            skew = draws.normal(f"asymmetry {bone}", sd=0.005).clamp(-0.02, 0.02)
            lengths[H36M_17.index(f"left_{bone}")] = length * (1 + skew)
            lengths[H36M_17.index(f"right_{bone}")] = length * (1 - skew)
    tilts = [draws.normal(f"posture {k}", mean=m, sd=s) for k, (m, s) in _POSTURE.items()]
    return Bodies(lengths, mm["floor"], torch.stack(tilts).deg2rad())


def _human_mm(draws: Draws) -> dict[str, Tensor]:
    man = draws.uniform("sex") < 0.5
    spread = draws.normal("stature")
    stature = torch.where(man, 1759 + 67 * spread, 1618 + 63 * spread).clamp(1450, 2050)
    common = draws.normal("limbs", sd=0.02)
    result = {}
    for bone, (mean, sd, low, high) in _FRACTIONS.items():
        shared = common if bone in _LIMB_BONES else torch.zeros_like(common)
        # The common factor takes its part of the variance, so that the total stays as tabled.
        rest = max(sd**2 - (0.02 * mean) ** 2, 0.0) ** 0.5 if bone in _LIMB_BONES else sd
        fraction = mean * (1 + shared) + rest * draws.normal(f"fraction {bone}")
        result[bone] = stature * fraction.clamp(low, high)
    return result


def _h36m_mm(draws: Draws) -> dict[str, Tensor]:
    scale = draws.normal("scale", mean=1.0, sd=0.05).clamp(0.8, 1.2)
    return {bone: length * scale for bone, length in _H36M_MM.items()}
