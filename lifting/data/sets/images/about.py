"""Procedural people rendered as images in words: content, files, split, terms."""

from __future__ import annotations

from lifting.data.describe import MAKES_ITSELF, About
from lifting.data.sets.images.config import Config

_PICTURES = Config()
ABOUT = About(
    files=(),
    page="",
    facts=(
        ("files", f"needs {MAKES_ITSELF}"),
        ("content", f"images: train {_PICTURES.train_images}, val {_PICTURES.val_images}, "
                    f"test {_PICTURES.test_images}, {_PICTURES.size} pixels, of people "
                    f"around whom {_PICTURES.views} virtual cameras stand; 17 joints, crops, "
                    "which joints are hidden, on demand the body's pose and a map of its "
                    "parts"),
        ("size", "65 kB an image of 128 pixels, kept in the cache"),
        ("split", "each part has a seed of its own; no person, motion, clothes, background or "
                  "(data.cameras random or wild) camera is in two"),
        ("options", "data.images.* (sizes, motion, views, occluders, seed); with motion=cmu "
                    "CMU's file is needed"),
        ("terms", "none: procedural people"),
    ),
)  # fmt: skip
