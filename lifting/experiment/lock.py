"""One process at a time trains in a run's folder, and clears what a killed one left half written.

Imports no torch.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lifting.atomic import not_written, unfinished_files
from lifting.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

LOCK_FILE = "lock"
WANDB_FOLDER = "wandb"
_held: set[int] = set()


def _release_in_child() -> None:
    """A loader's worker outlives a killed training by seconds: it must not hold the lock."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)


@contextmanager
def training_lock(folder: Path) -> Iterator[None]:
    """Hold a run's folder; the system lets go of it when the process ends, however that is.

    Where the file system or the system knows no such locks, a warning says so.

    Args:
        folder: Folder of the run.

    Raises:
        OutputError: Another process trains in it, or it cannot be written.
    """
    path = folder / LOCK_FILE
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise not_written(path, error) from error
    _held.add(handle)
    try:
        _take(handle, folder)
        yield
    finally:
        if handle in _held:
            _held.remove(handle)
            os.close(handle)


def remove_litter(folder: Path) -> list[Path]:
    """Remove files that a killed training was writing; call it under the lock only.

    W&B's own files stay, and so does what a prediction may be writing now, which needs no lock.

    Args:
        folder: Folder of the run.

    Returns:
        What was removed.
    """
    ours = (p for p in unfinished_files(folder) if p.relative_to(folder).parts[0] != WANDB_FOLDER)
    litter = [path for path in ours if path.suffix != ".npz"]
    for path in litter:
        path.unlink(missing_ok=True)
    return litter


def _take(handle: int, folder: Path) -> None:
    if fcntl is None:
        log.warning("%s is not locked: start no second training in it", folder)
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(handle, 200, 0).decode(errors="replace").strip()
        raise OutputError(
            f"expected to be the only training in {folder}, got another at work there, process "
            f"{holder or 'unknown'}; wait until it ends, or end it"
        ) from error
    except OSError as error:
        log.warning("%s is not locked (%s): start no second training in it", folder, error)
        return
    with contextlib.suppress(OSError):  # for the message alone
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} on {platform.node()}\n".encode(), 0)
