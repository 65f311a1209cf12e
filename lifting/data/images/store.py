"""Pictures on disk: plain arrays, written whole or not at all, and mapped into memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lifting.atomic import replacing
from lifting.data.cache import key_hash, warn_not_kept
from lifting.data.images.render import Pictures
from lifting.errors import OutputError

log = logging.getLogger(__name__)

_KINDS = ("image", "parts")


def stored_pictures(
    key: Mapping[str, object],
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    make: Callable[[], Iterator[Pictures]],
    folder: Path,
) -> Pictures:
    """Rendered pictures of a key and their part maps, see :func:`stored_arrays`.

    Args:
        key: Everything the pictures depend on, as plain values.
        shapes: Of images and part maps.
        make: Renders them, some at a time.
        folder: Where files are kept; it is created.
    """
    image, parts = stored_arrays(key, dict(zip(_KINDS, shapes, strict=True)), make, folder)
    return Pictures(image, parts)


def stored_arrays(
    key: Mapping[str, object],
    shapes: Mapping[str, tuple[int, ...]],
    make: Callable[[], Iterator[Sequence[Tensor]]],
    folder: Path,
) -> tuple[Tensor, ...]:
    """Arrays of bytes of a key: mapped from their files, or made and kept.

    Files that are absent, damaged or of another shape are made again; a folder that cannot be
    written costs a warning and memory, not the run.

    Args:
        key: Everything the arrays depend on, as plain values.
        shapes: By what ends the name of the file; the first are pictures.
        make: Makes them in the order of ``shapes``, some at a time.
        folder: Where files are kept; it is created.
    """
    paths = [folder / f"images-{key_hash(key)}-{kind}.npy" for kind in shapes]
    kept = _read(paths, shapes)
    if kept is not None:
        return kept
    count, *_, size = next(iter(shapes.values()))
    log.info("making %d pictures of %d pixels, once", count, size)
    try:
        _write(paths, shapes, make)
    except OutputError as error:
        warn_not_kept("pictures", folder, error)
        return tuple(torch.cat(parts) for parts in zip(*make(), strict=True))
    written = _read(paths, shapes)
    assert written is not None
    return written


def _read(paths: list[Path], shapes: Mapping[str, tuple[int, ...]]) -> tuple[Tensor, ...] | None:
    """All arrays, or None if one of them has to be made."""
    found = []
    for path, shape in zip(paths, shapes.values(), strict=True):
        array = _mapped(path, shape)
        if array is None:
            return None
        found.append(array)
    return tuple(found)


def _write(
    paths: list[Path],
    shapes: Mapping[str, tuple[int, ...]],
    make: Callable[[], Iterator[Sequence[Tensor]]],
) -> None:
    with ExitStack() as stack:
        files = [
            np.lib.format.open_memmap(
                stack.enter_context(replacing(path)), mode="w+", dtype=np.uint8, shape=shape
            )
            for path, shape in zip(paths, shapes.values(), strict=True)
        ]
        first = 0
        for arrays in make():
            last = first + len(arrays[0])
            for file, values in zip(files, arrays, strict=True):
                file[first:last] = values.cpu().numpy()
            first = last
        for file in files:
            file.flush()


def _mapped(path: Path, shape: tuple[int, ...]) -> Tensor | None:
    """An array's file as a tensor; None where it is absent, damaged or of another shape."""
    if not path.is_file():
        return None
    try:
        # Copy on write: torch asks for writable memory, and the file must stay as it is.
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        log.warning("picture file %s is damaged (%s); making it again", path, error)
        return None
    if array.shape != shape or array.dtype != np.uint8:
        log.warning("picture file %s has shape %s; making it again", path, array.shape)
        return None
    return torch.from_numpy(array)
