"""Pictures on disk: plain arrays, written whole or not at all, and mapped into memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lifting.atomic import replacing
from lifting.data.cache import ENVIRONMENT, key_hash
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
    """Pictures of a key: mapped from their files, or rendered and kept.

    Files that are absent, damaged or of another shape are made again; a folder that cannot be
    written costs a warning and memory, not the run.

    Args:
        key: Everything the pictures depend on, as plain values.
        shapes: Of images and part maps.
        make: Renders them, some at a time.
        folder: Where files are kept; it is created.
    """
    paths = [folder / f"images-{key_hash(key)}-{kind}.npy" for kind in _KINDS]
    kept = [_mapped(path, shape) for path, shape in zip(paths, shapes, strict=True)]
    if kept[0] is not None and kept[1] is not None:
        return Pictures(kept[0], kept[1])
    log.info("rendering %d pictures of %d pixels, once", *shapes[0][:: len(shapes[0]) - 1])
    try:
        _write(paths, shapes, make)
    except OutputError as error:
        log.warning(
            "cannot keep pictures in %s (%s); going on without, set data.cache or %s to a "
            "writable folder to save the time",
            folder,
            error,
            ENVIRONMENT,
        )
        parts = list(make())
        return Pictures(torch.cat([p.image for p in parts]), torch.cat([p.parts for p in parts]))
    written = [_mapped(path, shape) for path, shape in zip(paths, shapes, strict=True)]
    assert written[0] is not None
    assert written[1] is not None
    return Pictures(written[0], written[1])


def _write(
    paths: list[Path],
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    make: Callable[[], Iterator[Pictures]],
) -> None:
    with ExitStack() as stack:
        files = [
            np.lib.format.open_memmap(
                stack.enter_context(replacing(path)), mode="w+", dtype=np.uint8, shape=shape
            )
            for path, shape in zip(paths, shapes, strict=True)
        ]
        first = 0
        for pictures in make():
            last = first + len(pictures.image)
            for file, values in zip(files, pictures, strict=True):
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
