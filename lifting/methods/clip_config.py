"""Switches that methods share which answer all frames of a window at once. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

from lifting.methods.settings import require


@dataclass
class LossWeights:
    """Weights of the terms of the training loss; a term of weight 0 is not computed.

    Attributes:
        position: Of the mean distance of joints.
        scale: Of the same after each frame's best factor.
        velocity: Of the mean distance of motions from a frame to the next.
        limb_variance: Of the variance of limb lengths over a window.
        limb_length: Of the mean difference of limb lengths.
        angle: Of the mean difference of angles between limbs, radians.
        angle_velocity: Of the mean difference of their changes, radians.
    """

    position: float = 1.0
    scale: float = 0.5
    velocity: float = 20.0
    limb_variance: float = 0.0
    limb_length: float = 0.0
    angle: float = 0.0
    angle_velocity: float = 0.0

    def __post_init__(self) -> None:
        for one in fields(self):
            require(self, one.name, getattr(self, one.name) >= 0, "not negative", "loss.")
        total = sum(getattr(self, one.name) for one in fields(self))
        require(self, "position", total > 0, "above 0 where no other term has a weight", "loss.")


@dataclass
class ClipConfig:
    """What the network answers, and how it is trained.

    Attributes:
        answer: ``metric``, joints relative to the root in metres. ``image`` is the released form,
            screen units: the place of a joint in the image, and its depth from the root by the
            scale of the image at the root. Such an answer has no length of its own: it is given
            the mean size of the people of the training, and beside it, where there are labels,
            scored as ``oracle_factor`` with the true scale of each frame.
        root: Of the answer in training: ``relative`` to each frame's; or of ``image`` answers
            ``first_frame``, a place in the image and a depth from the first frame's root.
        confidence: Read the keypoints' confidence; else all count as seen.
        loss: Weights of the terms.
        stills: Share of a training batch's windows of which only the middle frame is taken, at a
            place in the window that is drawn, and lifted without what mixes frames, which does
            nothing at the start; a still counts as much as a window (released: none).
    """

    answer: Literal["metric", "image"] = "metric"
    root: Literal["relative", "first_frame"] = "relative"
    confidence: bool = True
    loss: LossWeights = field(default_factory=LossWeights)
    stills: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.loss, dict):  # as a checkpoint holds it
            self.loss = LossWeights(**self.loss)
        holds = self.root == "relative" or self.answer == "image"
        require(self, "root", holds, "'relative' where method.answer is 'metric'")
        require(self, "stills", 0 <= self.stills < 1, "between 0 and below 1")
