"""The switches of the student of triangulated labels. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from lifting.errors import ConfigError
from lifting.methods.settings import require

WEIGHTS = ("label", "cross_view", "reprojection", "bones", "symmetry", "velocity")


@dataclass
class Config:
    """A lifting method as the student, and the losses it learns by. Weights of zero switch off.

    Attributes:
        base: The method that lifts: its method section, a ``name`` and keys of its own, of which
            those left out keep their defaults. It is trained in one stage, and its answer can be
            differentiated.
        label: Weight of the distance from the teacher's labels.
        loss: ``smooth_l1`` of coordinates (published), or the ``distance`` of joints.
        threshold: Difference below which ``smooth_l1`` is quadratic, metres.
        scale: ``metric`` compares with labels as they are; ``free`` first scales each answer to
            them as well as can be, for labels whose scale is not known.
        scale_gradient: Let gradients through that scale.
        cross_view: Weight of the distance of the answers to two views of one instant, turned into
            one frame; it needs ``data.views`` together. Never alone: it is least for a point.
        rotation: Between the views: of the ``rig``, or that which fits the answers best
            (``procrustes``).
        reprojection: Weight of the distance of the answers' projections from the keypoints.
        bones: Weight of the change of bone lengths over the frames and views of a sample.
        symmetry: Weight of the difference of left and right bones.
        velocity: Weight of the distance of the answers' velocities from the labels'; it needs
            windows that are answered whole.
        views: Views of an instant that are drawn for a step, where views are together; 0 for all
            (published: 2).
    """

    base: dict[str, Any] = field(default_factory=lambda: {"name": "simple_baseline"})
    label: float = 1.0
    loss: Literal["smooth_l1", "distance"] = "smooth_l1"
    threshold: float = 1.0
    scale: Literal["metric", "free"] = "metric"
    scale_gradient: bool = True
    cross_view: float = 0.0
    rotation: Literal["rig", "procrustes"] = "rig"
    reprojection: float = 0.0
    bones: float = 0.0
    symmetry: float = 0.0
    velocity: float = 0.0
    views: int = 0

    def __post_init__(self) -> None:
        for name in WEIGHTS:
            require(self, name, getattr(self, name) >= 0, "not negative")
        require(self, "base", "name" in self.base, "a method section with its name")
        require(self, "threshold", self.threshold > 0, "above 0 metres")
        require(self, "views", self.views == 0 or self.views > 1, "0 for all, or 2 and more")
        if self.label == 0 and self.reprojection == 0:
            raise ConfigError(
                "expected method.label or reprojection above 0, got neither; losses that "
                "only ask for agreement are least for a point, and the training collapses"
            )

    def base_method(self) -> dict[str, Any]:
        """Method section of the method that lifts."""
        return self.base

    @staticmethod
    def successor(section: Mapping[str, Any]) -> dict[str, Any]:
        """The method section itself; one with keys of older versions is refused.

        Raises:
            ConfigError: It has ``form`` or ``keypoint``.
        """
        old = [key for key in ("form", "keypoint") if key in section]
        if old:
            raise ConfigError(
                f"expected no method.{old[0]}, which older versions had; the student's keys stand "
                "in method itself, its lifting method is method.base.name, and the refinement "
                "unit goes on top of a trained model: method.name=refinement method.over=FILE"
            )
        return dict(section)

    def weights(self) -> dict[str, float]:
        """The losses that are switched on and their weights."""
        values = asdict(self)
        return {name: values[name] for name in WEIGHTS if values[name] > 0}
