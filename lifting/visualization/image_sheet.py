"""Many pictures in one, side by side, with their pixels as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lifting.errors import DataError, check_shape

GAP = 2
COLOURS = 256


def image_sheet(images: npt.NDArray[np.uint8], *, columns: int = 8) -> npt.NDArray[np.uint8]:
    """Put pictures on a grid with white gaps; what is left of the last row stays white.

    Args:
        images: ``(n, 3, height, width)`` uint8.
        columns: Pictures in a row.

    Returns:
        ``(rows, columns, 3)`` uint8, pixels.

    Raises:
        DataError: There is no picture.
        ShapeError: They have another form.
    """
    check_shape("images", images, "n 3 height width")
    if len(images) == 0:
        raise DataError("expected at least one picture for the sheet, got none; select some")
    count, _, height, width = images.shape
    columns = max(1, min(columns, count))
    rows = -(-count // columns)
    framed = np.full((rows * columns, height + GAP, width + GAP, 3), 255, dtype=np.uint8)
    framed[:count, :height, :width] = images.transpose(0, 2, 3, 1)
    grid = framed.reshape(rows, columns, height + GAP, width + GAP, 3)
    sheet = grid.transpose(0, 2, 1, 3, 4).reshape(rows * (height + GAP), -1, 3)
    return np.ascontiguousarray(sheet[:-GAP, :-GAP])


def save_image_sheet(path: Path, sheet: npt.NDArray[np.uint8], *, colours: int = COLOURS) -> None:
    """Write a sheet with few colours, a third of the size of all of them.

    Args:
        path: File to write; the ending chooses the format.
        sheet: ``(rows, columns, 3)`` uint8.
        colours: At most 256.
    """
    picture: Any = Image.fromarray(sheet)
    picture.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
