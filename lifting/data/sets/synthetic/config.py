"""Options of the data set ``synthetic``, and what it is in words. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifting.data.describe import MAKES_ITSELF, About
from lifting.errors import ConfigError

SUMMARY = "procedural people and motion, no download (the default)"


@dataclass
class Config:
    """Size and kind of the procedural data.

    Attributes:
        train_sequences: Motions in the training split, each seen by every camera of its rig.
        val_sequences: Motions in the validation split.
        test_sequences: Motions in the test split.
        sequence_frames: Frames a motion, at 50 a second.
        seed: Seeds of the three splits are derived from it and never overlap.
        skeleton: ``human`` samples anthropometric proportions, ``h36m`` scales one skeleton.
        extras: Also make ``heatmaps`` or 2D ``mixtures``; only when asked for.
    """

    train_sequences: int = 480
    val_sequences: int = 16
    test_sequences: int = 40
    sequence_frames: int = 250
    seed: int = 0
    skeleton: Literal["human", "h36m"] = "human"
    extras: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("train_sequences", "val_sequences", "test_sequences", "sequence_frames"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"expected 'data.synthetic.{name}' to be a whole number from 1, got "
                    f"{getattr(self, name)!r}; correct it in the file or with "
                    f"data.synthetic.{name}=VALUE"
                )
        if not 0 <= self.seed < 2**32:
            raise ConfigError(
                f"expected 'data.synthetic.seed' to be from 0 to 4294967295, got {self.seed!r}; "
                "correct it in the file or with data.synthetic.seed=VALUE"
            )


_SIZES = Config()
ABOUT = About(
    files=(),
    page="",
    facts=(
        ("files", f"needs {MAKES_ITSELF}"),
        ("content", f"sequences: train {_SIZES.train_sequences}, val {_SIZES.val_sequences}, "
                    f"test {_SIZES.test_sequences}, {_SIZES.sequence_frames} frames each at "
                    "50 Hz, 17 joints, four virtual cameras"),
        ("split", "each part has a seed of its own; no person or motion is in two"),
        ("options", "data.synthetic.* (sizes, seed, skeleton)"),
        ("terms", "none: procedural motion"),
    ),
)  # fmt: skip
