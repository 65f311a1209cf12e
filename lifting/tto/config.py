"""The ``tto`` section of an experiment. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

from lifting.errors import ConfigError

RootRule = Literal["gt", "solve", "latent", "external"]


@dataclass
class TtoConfig:
    """Test-time optimisation. The defaults tell the method nothing of the truth.

    A step of Adam moves each coordinate of the 2D latent by about ``lr`` times half the image's
    width in pixels, so ``iterations * lr`` bounds how far the optimisation can go: change them
    together.

    Attributes:
        enabled: Optimise while testing and predicting.
        latent: ``own`` takes the latents a method offers, and its 2D input where it offers none;
            ``input`` always the 2D input.
        optimise: What moves: the latent of every sample, the weights for each batch anew (they are
            put back), or both.
        optimizer: ``adam`` as published; ``short_adam`` for two or three steps in all, which fall
            from ``lr`` to nothing; ``lbfgs`` and ``gauss_newton`` learn how the objective is
            curved and take only steps that lower it. A step of Gauss-Newton costs a pass for each
            number of a sample's latent, and it knows projection and anchor only.
        iterations: Steps for each sample.
        lr: Learning rate of the latent, screen units for a 2D input: about what a coordinate moves
            by in a step of Adam, and at most what it moves by in one of the others.
        weights_lr: Adam's learning rate of the weights, where they are optimised.
        weight_projection: Weight of the mean distance from the keypoints, screen units.
        weight_anchor: Weight of the distance from the first answer over its expected error.
        weight_prior: Weight of the method's own penalty of its latents.
        root: Where the pose is placed to be projected: at the true root (``gt``, an oracle), where
            the keypoints fit best (``solve``), there and then optimised (``latent``), or where the
            method says (``external``).
        camera: ``perspective``, or ``orthographic`` for scale and offset fitted to each pose, when
            nothing is known of the camera.
        focal: Focal length ``given`` by the data, or a ``guess`` where they give none: 1.2 times
            the larger side of the image.
        tangential: Model of the tangential distortion.
        confidence_weighting: Weigh keypoints by their confidence.
        min_keypoints: A frame with fewer keypoints is not compared with at all.
        anchor_weighting: Hold each joint by its expected error, or all alike.
        anchor_root: Hold the root's entry of the pose, too.
        sigma: Take the expected error of the ``current`` iterate, or the ``initial`` one.
        sigma_scale: Calibrated log error is ``sigma_scale * log_sigma + sigma_shift``, log of mm.
        sigma_shift: See ``sigma_scale``.
        flip: Optimise the mirrored input beside the plain one and average; None does as the
            experiment's ``flip_test``.
        accept: Return the best iterate by the objective, so never one worse than the start.
        tolerance: Stop a sample whose objective fell by less than this part; 0 never does.
        history: Keep the objective of every iterate.
    """

    removed: ClassVar[Mapping[str, object]] = MappingProxyType(
        {
            "lbfgs_memory": 5, "weight_bone": 0.0, "weight_symmetry": 0.0,
            "weight_smoothness": 0.0, "root_gradient": True, "keypoint_error_mm": 20.0,
            "root_lr_scale": 10.0, "focal_guess": 1.2, "focal_lr_scale": 1.0, "penalty": "plain",
            "penalty_scale_px": 5.0, "min_confidence": 0.0, "uniform_sigma_mm": 50.0,
            "trust_radius": 0.0, "pack": True, "chunk": None, "compile": False,
        }
    )  # fmt: skip
    """Keys of older runs, and what they were where nobody changed them: that is done now."""

    enabled: bool = False
    latent: Literal["own", "input"] = "own"
    optimise: Literal["latent", "weights", "both"] = "latent"
    optimizer: Literal["adam", "short_adam", "lbfgs", "gauss_newton"] = "adam"
    iterations: int = 4
    lr: float = 1e-3
    weights_lr: float = 1e-5
    weight_projection: float = 1.0
    weight_anchor: float = 0.005
    weight_prior: float = 0.0
    root: RootRule = "solve"
    camera: Literal["perspective", "orthographic"] = "perspective"
    focal: Literal["given", "guess"] = "given"
    tangential: Literal["videopose", "brown"] = "videopose"
    confidence_weighting: bool = True
    min_keypoints: int = 4
    anchor_weighting: Literal["uncertainty", "uniform"] = "uncertainty"
    anchor_root: bool = True
    sigma: Literal["current", "initial"] = "current"
    sigma_scale: float = 1.0
    sigma_shift: float = 0.0
    flip: bool | None = None
    accept: bool = True
    tolerance: float = 0.0
    history: bool = False

    @property
    def uses_camera(self) -> bool:
        """Whether what it does depends on the intrinsics: not off, nor by parallel projection."""
        return self.enabled and self.camera == "perspective"

    @classmethod
    def faithful(cls, **changes: Any) -> Self:
        """The published procedure, which is told the true position of the root.

        Args:
            changes: Fields that differ from it.

        Source: released code.
        """
        published: dict[str, Any] = {
            "enabled": True,
            "root": "gt",
            "flip": True,
            "confidence_weighting": False,
            "min_keypoints": 1,
            "accept": False,
        }
        return cls(**(published | changes))

    def __str__(self) -> str:
        """Short name that no other settings share: the root rule and what is not default."""
        default = type(self)()
        changed = {k: v for k, v in vars(self).items() if v != getattr(default, k)}
        changed.pop("enabled", None)
        told = {"root": self.root} | changed
        return f"tto({', '.join(f'{key}={value}' for key, value in told.items())})"


def check_tto(config: TtoConfig) -> None:
    """Check values that their types do not.

    Raises:
        ConfigError: A value is out of its range, or two contradict each other.
    """
    for name in ("lr", "weights_lr"):
        _require(getattr(config, name) > 0, name, getattr(config, name), "above 0")
    weights = tuple(name for name in vars(config) if name.startswith("weight_"))
    for name in ("iterations", "tolerance", *weights):
        _require(getattr(config, name) >= 0, name, getattr(config, name), "of 0 or more")
    least = config.min_keypoints
    _require(least >= 1, "min_keypoints", least, "of 1 or more")
    if config.camera == "orthographic" and (config.root != "solve" or config.focal != "given"):
        raise ConfigError(
            "expected tto.root=solve and tto.focal=given with tto.camera=orthographic, which has "
            f"neither root nor focal length, got tto.root={config.root} and "
            f"tto.focal={config.focal}; leave both at their defaults"
        )
    if config.optimizer != "adam":
        _check_optimizer(config)


def _check_optimizer(config: TtoConfig) -> None:
    """What the optimisers of latents can do that do not move weights."""
    needed: dict[str, object] = {"optimise": "latent"}
    if config.optimizer in ("lbfgs", "gauss_newton"):
        needed["accept"] = True
    if config.optimizer == "gauss_newton":
        needed["weight_prior"] = 0.0
    for name, value in needed.items():
        given = getattr(config, name)
        if given != value:
            raise ConfigError(
                f"expected tto.{name}={value} with tto.optimizer={config.optimizer}, got "
                f"{given}; set it so, or tto.optimizer=adam"
            )


def _require(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise ConfigError(f"expected 'tto.{name}' {wanted}, got {value}; correct tto.{name}")
