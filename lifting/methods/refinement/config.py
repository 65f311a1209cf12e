"""The switches of the refinement unit. Imports no torch. The defaults are the published unit."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lifting.errors import ConfigError
from lifting.methods.settings import require


@dataclass
class Config:
    """Configuration of the refinement unit, which goes on top of another model.

    Attributes:
        over: Checkpoint of the trained model, of any method, that the unit goes on top of.
        base: Where ``over`` names none: the method section, with its ``name``, of a method of one
            stage that is trained first.
        base_epochs: Epochs of that; None takes the trainer's.
        width: Width of the unit (published: 1024).
        dropout: Its dropout (published: 0.5).
        activation: ``relu`` (released) or ``leaky`` (paper).
        joints: ``published``, the 15 of MPII without the hip, others stay; or ``all``.
        lr: Learning rate of the unit; it is multiplied by 0.96 every 100,000 steps.
        start: File with weights of the unit to start from: the authors', or a checkpoint of this
            method.
    """

    over: str | None = None
    base: dict[str, Any] = field(default_factory=dict)
    base_epochs: int | None = None
    width: int = 1024
    dropout: float = 0.5
    activation: Literal["relu", "leaky"] = "relu"
    joints: Literal["published", "all"] = "published"
    lr: float = 1e-3
    start: str | None = None

    def __post_init__(self) -> None:
        if self.over is None and "name" not in self.base:
            raise ConfigError(
                "expected a model for the refinement unit to go on top of, got none; name a "
                "trained one's checkpoint with method.over=FILE, or in method.base.name the "
                "method that is trained first"
            )
        require(self, "base_epochs", self.base_epochs is None or self.base_epochs >= 1, "from 1")
        require(self, "width", self.width >= 1, "at least 1")
        require(self, "dropout", 0 <= self.dropout < 1, "between 0 and below 1")
        require(self, "lr", self.lr > 0, "above 0")

    def base_method(self) -> Path | dict[str, Any]:
        """The checkpoint that is refined, or the method section of what is trained first."""
        return self.base if self.over is None else Path(self.over)
