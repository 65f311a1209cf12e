"""Procedural people and motion in words: content, files, split, terms."""

from __future__ import annotations

from lifting.data.describe import MAKES_ITSELF, About
from lifting.data.sets.synthetic.config import Config

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
