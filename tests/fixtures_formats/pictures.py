"""Writes pictures of places, black but for a spot."""

from __future__ import annotations

import numpy as np
from PIL import Image


def spot(path, place, size):
    """A black picture with one white square of 40 pixels around a place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    x, y = (max(round(float(v)) - 20, 0) for v in place)
    picture[y : y + 40, x : x + 40] = 255
    Image.fromarray(picture).save(path)
