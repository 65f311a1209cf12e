"""Squares of pictures on disk, in the form of rendered ones.

Only JPEG and PNG are opened, and nothing is decoded before the picture's size was checked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lifting.errors import DataError, MissingDataError

FORMATS = ("JPEG", "PNG")
_CHUNK = 64
_FROM_FILMS = "extract it from its film, or correct data.image_folder.files"


def cut_photos(
    paths: Sequence[Path], squares: Tensor, sizes: Tensor, side: int, threads: int
) -> Iterator[tuple[Tensor]]:
    """Squares of pictures, some at a time.

    Args:
        paths: ``n`` pictures.
        squares: Centre x, centre y and side, ``(n, 3)``, pixels of the picture; the first pixel
            covers 0 to 1.
        sizes: Width and height that the pictures must have, ``(n, 2)``.
        side: Side of the result, pixels.
        threads: Pictures that are read at a time.

    Returns:
        ``(some, 3, side, side)`` uint8, RGB, black where a square leaves its picture.

    Raises:
        MissingDataError: There is no such picture.
        DataError: A picture cannot be read, or has another size.
    """
    rows = list(zip(paths, squares.tolist(), sizes.long().tolist(), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(rows), _CHUNK):
            # Decoding lets other threads run; a chunk bounds what waits in memory.
            cut = list(
                pool.map(
                    lambda row: _cut(row[0], row[1], row[2], side), rows[first : first + _CHUNK]
                )
            )
            yield (torch.stack(cut),)


def photo_sizes(paths: Sequence[Path], threads: int, cure: str) -> Tensor:
    """Sizes of pictures, from the beginnings of their files; nothing is decoded.

    Args:
        paths: ``n`` pictures.
        threads: Pictures that are read at a time.
        cure: What to do where there is no picture, for the message.

    Returns:
        Width and height, ``(n, 2)`` float64, pixels.

    Raises:
        MissingDataError: There is no such picture.
        DataError: A file is no picture.
    """

    def size_of(path: Path) -> tuple[int, int]:
        with _opened(path, cure) as picture:
            return picture.size

    with ThreadPoolExecutor(threads) as pool:
        sizes = list(pool.map(size_of, paths))
    return torch.tensor(sizes, dtype=torch.float64).reshape(-1, 2)


def _cut(path: Path, square: Sequence[float], size: Sequence[int], side: int) -> Tensor:
    with _opened(path, _FROM_FILMS) as picture:
        if list(picture.size) != list(size):
            raise DataError(
                f"expected a picture of {size[0]} x {size[1]} pixels in {path}, as its camera "
                f"has, got {picture.size[0]} x {picture.size[1]}; give the pictures in their "
                "own size, or correct data.image_folder.files"
            )
        return _resampled(picture.convert("RGB"), square, side)


@contextmanager
def _opened(path: Path, cure: str) -> Iterator[Image.Image]:
    """A picture whose head was read; whatever goes wrong with it is told as an error of ours."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            yield picture
    except FileNotFoundError as error:
        raise MissingDataError(f"expected a picture at {path}, found none; {cure}") from error
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"expected a JPEG or PNG picture in {path}, got one that cannot be read ({error}); "
            "get or extract it again"
        ) from error


def _resampled(picture: Image.Image, square: Sequence[float], side: int) -> Tensor:
    """The square, each pixel of it an average of those that it covers."""
    x, y, length = square
    left, top = x - length / 2, y - length / 2
    # The part with whole pixels first: what lies outside of the picture becomes black.
    edges = [math.floor(left), math.floor(top), math.ceil(left + length), math.ceil(top + length)]
    part = picture.crop((edges[0], edges[1], edges[2], edges[3]))
    across, down = left - edges[0], top - edges[1]
    # Rounding must not carry the box over the edge.
    box = (across, down, min(across + length, part.width), min(down + length, part.height))
    cut = part.resize((side, side), Image.Resampling.BILINEAR, box=box)
    return torch.from_numpy(np.array(cut)).permute(2, 0, 1)
