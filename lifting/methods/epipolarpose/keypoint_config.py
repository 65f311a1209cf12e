"""The switches of EpipolarPose's keypoint form. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from lifting.errors import ConfigError
from lifting.methods.discovery import load_config_class

WEIGHTS = ("label", "cross_view", "reprojection", "bones", "symmetry", "velocity")


@dataclass
class KeypointConfig:
    """A lifting method as the student, and the losses it learns by. Weights of zero switch off.

    Attributes:
        lifter: Name of the method that lifts; one that is trained in one stage and whose answer
            can be differentiated.
        options: Keys of its own configuration; those left out keep their defaults.
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

    lifter: str = "simple_baseline"
    options: dict[str, Any] = field(default_factory=dict)
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
            if getattr(self, name) < 0:
                raise self._refused(name, "not negative")
        if self.threshold <= 0:
            raise self._refused("threshold", "above 0 metres")
        if self.views < 0 or self.views == 1:
            raise self._refused("views", "0 for all, or 2 and more")
        if self.label == 0 and self.reprojection == 0:
            raise ConfigError(
                "expected method.keypoint.label or reprojection above 0, got neither; losses that "
                "only ask for agreement are least for a point, and the training collapses"
            )

    def lifter_config(self) -> Any:
        """The lifter's own ``Config``.

        Raises:
            ConfigError: No such method or key, or a value that it refuses.
        """
        try:
            return load_config_class(self.lifter)(**self.options)
        except TypeError as error:
            raise ConfigError(
                f"expected keys of {self.lifter}'s configuration in method.keypoint.options, got: "
                f"{error}; see lifting/methods/{self.lifter}/config.py"
            ) from error

    def weights(self) -> dict[str, float]:
        """The losses that are switched on and their weights."""
        values = asdict(self)
        return {name: values[name] for name in WEIGHTS if values[name] > 0}

    def _refused(self, name: str, expected: str) -> ConfigError:
        return ConfigError(
            f"expected method.keypoint.{name} to be {expected}, got {getattr(self, name)!r}; "
            "change it in the method section"
        )
