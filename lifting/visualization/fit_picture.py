"""A body on its way over a picture, as plain arrays, which ``fit_plots`` draws.

Imports no matplotlib.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
ByteArray: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class FitFrame:
    """A body before a picture.

    Attributes:
        step: Steps that were made; 0 is the first guess.
        ratio: How much better the body explains each cell of the feature map than the background
            does, ``(cells, cells)``, cosine less cosine.
        opacity: Share of each cell that is body, ``(cells, cells)``.
        limbs: Share of each pixel of a finer drawing that each limb of ``LIMBS`` takes,
            ``(side, side, 9)`` uint8, 255 for all.
        keypoints: Joints, ``(joints, 2)``, pixels of the picture.
        gain: Log likelihood of the features above that of a picture without a body.
        error_mm: MPJPE; None where it is not known.
    """

    step: int
    ratio: FloatArray
    opacity: FloatArray
    limbs: ByteArray
    keypoints: FloatArray
    gain: float
    error_mm: float | None


@dataclass(frozen=True, kw_only=True)
class FitPicture:
    """A picture and the body that was fitted to it.

    Attributes:
        person: Number of the person; pictures of one follow one another.
        case: What was done to the picture, such as ``clean``.
        image: ``(3, side, side)`` uint8.
        frames: The first guess, some steps, and what was answered.
    """

    person: int
    case: str
    image: ByteArray
    frames: tuple[FitFrame, ...]
