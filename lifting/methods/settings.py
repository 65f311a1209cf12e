"""What every method is given beside its own configuration, and how that is checked. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from lifting.errors import ConfigError


@dataclass
class OptimizerConfig:
    """Optimiser and learning-rate schedule, used by the base module.

    Attributes:
        name: Which optimiser; ``muon`` is Muon for matrices of weights, AdamW for all else.
        lr: Learning rate at the start.
        matrix_lr: That of Muon for the matrices.
        betas: Adam's moment decay rates.
        weight_decay: Decoupled for adamw and muon, added to the gradient for adam.
        amsgrad: Adam's variant that keeps the largest second moment (UAO).
        schedule: ``exponential`` multiplies by ``gamma`` every ``every`` epochs, ``cosine`` falls
            to ``final`` times the start over the whole training, ``constant`` does nothing.
        gamma: Factor of the exponential schedule.
        every: Epochs between two steps of the exponential schedule.
        final: Learning rate at the end of the cosine schedule, as a fraction of the start.
        warmup_steps: Optimiser steps over which the rate rises linearly from zero.
    """

    name: Literal["adam", "adamw", "muon"] = "adam"
    lr: float = 1e-3
    matrix_lr: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    amsgrad: bool = False
    schedule: Literal["constant", "exponential", "cosine"] = "constant"
    gamma: float = 0.95
    every: int = 1
    final: float = 0.02
    warmup_steps: int = 0


@dataclass(frozen=True)
class Stage:
    """One part of a training: a fit of its own, with its own checkpoints.

    Attributes:
        name: Names the checkpoints' folder and prefixes the logged keys of all but the last stage.
        epochs: How long it lasts; None takes the trainer's ``max_epochs``.
        lr: Its learning rate; None takes the optimiser section's.
    """

    name: str
    epochs: int | None = None
    lr: float | None = None


@dataclass
class ModuleSettings:
    """What a module needs to know of the run around it; plain values, saved with the weights.

    Attributes:
        method: Name of the method's folder.
        skeleton: Joints of labels and keypoints: a known name, or the plain values of a skeleton.
        protocol: Name of the benchmark protocol that scores it.
        frames: Frames in a window.
        image_size: Side of the data's pictures, pixels; None where it is not known.
        target: Whether the middle frame or all frames of a window are answered.
        flip_test: Average the prediction with that of the mirrored input.
        pss: Files with the clusters of the pose structure score.
        seed: Seed of whatever a method draws when it predicts.
        optimizer: Optimiser and schedule.
    """

    method: str
    skeleton: str | dict[str, Any] = "h36m17"
    protocol: str = "default"
    frames: int = 1
    image_size: int | None = None
    target: Literal["middle", "all"] = "middle"
    flip_test: bool = False
    pss: tuple[str, ...] = ()
    seed: int = 0
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)


def require(config: object, name: str, holds: bool, expected: str, section: str = "") -> None:
    """Refuse a value of a method's configuration that does not hold.

    Args:
        config: The configuration, or a section of it.
        name: Of the value; with dots for one in a section.
        holds: Whether it may be so.
        expected: What it should be.
        section: Before the name in the message, where ``config`` is a section.

    Raises:
        ConfigError: It does not hold.
    """
    if not holds:
        raise ConfigError(
            f"expected method.{section}{name} to be {expected}, got {attrgetter(name)(config)!r}; "
            "change it in the method section"
        )


@runtime_checkable
class BuiltOn(Protocol):
    """The ``Config`` of a method that is built on another one, whichever that is.

    The run makes the other method's module and hands it to this one's ``Module`` as its third
    argument. Whether the camera tells is the other method's to say.
    """

    def base_method(self) -> Path | dict[str, Any]:
        """The other method.

        Returns:
            The checkpoint of a trained one, which comes frozen and in evaluation mode; or the
            method section of one that comes with fresh weights.
        """
        ...
