"""The ``tto`` section of an experiment. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

from lifting.errors import ConfigError

RootRule = Literal["gt", "solve", "latent", "external"]
Penalty = Literal["plain", "huber", "geman_mcclure"]


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
        optimizer: ``adam`` as published; ``lbfgs`` and ``gauss_newton`` learn how the objective is
            curved and take only steps that lower it. A step of Gauss-Newton costs a pass for each
            number of a sample's latent, and it knows projection and anchor only.
        lbfgs_memory: Steps that ``lbfgs`` remembers.
        iterations: Steps for each sample.
        lr: Learning rate of the latent, screen units for a 2D input: about what a coordinate moves
            by in a step of Adam, and at most what it moves by in one of the others.
        weights_lr: Adam's learning rate of the weights, where they are optimised.
        weight_projection: Weight of the mean distance from the keypoints, screen units.
        weight_anchor: Weight of the distance from the first answer over its expected error.
        weight_prior: Weight of the method's own penalty of its latents.
        weight_bone: Weight of the change of bone lengths, metres.
        weight_symmetry: Weight of the difference of left and right bone lengths, metres.
        weight_smoothness: Weight of the acceleration between frames of a window, metres.
        root: Where the pose is placed to be projected: at the true root (``gt``, an oracle), where
            the keypoints fit best (``solve``), there and then optimised (``latent``), or where the
            method says (``external``).
        root_gradient: Differentiate through the solved root; else it is a constant of each step.
        keypoint_error_mm: What a keypoint's error amounts to on the body; with each joint's
            expected error it weighs the keypoints that place the root.
        root_lr_scale: Factor of the learning rate of an optimised root, metres.
        camera: ``perspective``, or ``orthographic`` for scale and offset fitted to each pose, when
            nothing is known of the camera.
        focal: Focal length ``given`` by the data, a ``guess`` where they give none, or ``latent``,
            which starts from those and is optimised.
        focal_guess: The guessed focal length over the larger side of the image.
        focal_lr_scale: Factor of the learning rate of an optimised focal length, natural log.
        tangential: Model of the tangential distortion.
        penalty: Of a keypoint's distance: itself, or one that lets outliers go.
        penalty_scale_px: Distance at which a robust penalty lets go, pixels.
        confidence_weighting: Weigh keypoints by their confidence.
        min_confidence: Keypoints up to this confidence are not compared with.
        min_keypoints: A frame with fewer keypoints is not compared with at all.
        anchor_weighting: Hold each joint by its expected error, or all alike.
        anchor_root: Hold the root's entry of the pose, too.
        uniform_sigma_mm: Expected error where all joints are held alike, and of a method that
            gives none.
        sigma: Take the expected error of the ``current`` iterate, or the ``initial`` one.
        sigma_scale: Calibrated log error is ``sigma_scale * log_sigma + sigma_shift``, log of mm.
        sigma_shift: See ``sigma_scale``.
        flip: Optimise the mirrored input beside the plain one and average; None does as the
            experiment's ``flip_test``.
        accept: Return the best iterate by the objective, so never one worse than the start.
        tolerance: Stop a sample whose objective fell by less than this part; 0 never does.
        trust_radius: Stop a sample when one coordinate of its latent has moved so far, in units of
            the first latent's ``lr``-scaled coordinates; 0 sets no bound.
        pack: Where samples may stop, go on without those that did once they are most of them.
            It asks the device after each step how many there are, and changes no result.
        chunk: Samples of a batch that are optimised at a time, 0 for all; None is 64 on a
            processor, whose caches and allocator suffer from larger tensors, and all on a GPU.
            Results do not depend on it; where weights are optimised it is always all.
        compile: Compile the method's decoding, once for every shape of a batch. It takes up to a
            minute and a C++ compiler, and pays on a GPU; on a processor it gains little.
        history: Keep the objective of every iterate.
    """

    enabled: bool = False
    latent: Literal["own", "input"] = "own"
    optimise: Literal["latent", "weights", "both"] = "latent"
    optimizer: Literal["adam", "lbfgs", "gauss_newton"] = "adam"
    lbfgs_memory: int = 5
    iterations: int = 4
    lr: float = 1e-3
    weights_lr: float = 1e-5
    weight_projection: float = 1.0
    weight_anchor: float = 0.005
    weight_prior: float = 0.0
    weight_bone: float = 0.0
    weight_symmetry: float = 0.0
    weight_smoothness: float = 0.0
    root: RootRule = "solve"
    root_gradient: bool = True
    keypoint_error_mm: float = 20.0
    root_lr_scale: float = 10.0
    camera: Literal["perspective", "orthographic"] = "perspective"
    focal: Literal["given", "guess", "latent"] = "given"
    focal_guess: float = 1.2
    focal_lr_scale: float = 1.0
    tangential: Literal["videopose", "brown"] = "videopose"
    penalty: Penalty = "plain"
    penalty_scale_px: float = 5.0
    confidence_weighting: bool = True
    min_confidence: float = 0.0
    min_keypoints: int = 4
    anchor_weighting: Literal["uncertainty", "uniform"] = "uncertainty"
    anchor_root: bool = True
    uniform_sigma_mm: float = 50.0
    sigma: Literal["current", "initial"] = "current"
    sigma_scale: float = 1.0
    sigma_shift: float = 0.0
    flip: bool | None = None
    accept: bool = True
    tolerance: float = 0.0
    trust_radius: float = 0.0
    pack: bool = True
    chunk: int | None = None
    compile: bool = False
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
    positive = ("lr", "weights_lr", "focal_guess", "uniform_sigma_mm", "keypoint_error_mm")
    for name in (*positive, "penalty_scale_px"):
        _require(getattr(config, name) > 0, name, getattr(config, name), "above 0")
    rest = ("iterations", "min_confidence", "tolerance", "trust_radius", "root_lr_scale")
    weights = tuple(name for name in vars(config) if name.startswith("weight_"))
    for name in (*rest, *weights, "focal_lr_scale"):
        _require(getattr(config, name) >= 0, name, getattr(config, name), "of 0 or more")
    _require((config.chunk or 0) >= 0, "chunk", config.chunk, "of 0 or more")
    for name in ("min_keypoints", "lbfgs_memory"):
        _require(getattr(config, name) >= 1, name, getattr(config, name), "of 1 or more")
    if config.camera == "orthographic" and (config.root != "solve" or config.focal != "given"):
        raise ConfigError(
            "expected tto.root=solve and tto.focal=given with tto.camera=orthographic, which has "
            f"neither root nor focal length, got tto.root={config.root} and "
            f"tto.focal={config.focal}; leave both at their defaults"
        )
    if config.optimizer != "adam":
        _check_descent(config)


def _check_descent(config: TtoConfig) -> None:
    """What the optimisers that judge their steps can do."""
    needed: dict[str, object] = {"optimise": "latent", "accept": True}
    if config.optimizer == "gauss_newton":
        rest = ("weight_prior", "weight_bone", "weight_symmetry", "weight_smoothness")
        needed |= {"penalty": "plain"} | dict.fromkeys(rest, 0.0)
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
