"""Files that are either whole or absent. Imports no torch.

A result is written beside its destination and moved over it in one step, so that a killed process
or a full disk leaves the old file or none, never half of a new one.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lifting.errors import OutputError

_UNFINISHED = re.compile(r"\..+-[a-z0-9_]{8}(\.\w+)?")  # as ``replacing`` calls them


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path`` and move it there when the block succeeds.

    Args:
        path: Where the file shall be; its folder is made when missing.

    Yields:
        The name to write to, with the suffix of ``path``.

    Raises:
        OutputError: The disk is full, or the folder cannot be written; ``path`` is as before.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _settle(temporary)
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise not_written(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def not_written(path: Path | str, error: OSError) -> OutputError:
    """The error of a file that cannot be written, such as on a full disk.

    Args:
        path: The file.
        error: What the system says.
    """
    where = "choose another folder with output=FOLDER, or --output where a command has it"
    file = next((folder for folder in Path(path).parents if folder.is_file()), None)
    if file is not None:
        return OutputError(
            f"expected to write {path} in a folder, got {file}, which is a file and not a "
            f"folder; {where}"
        )
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return OutputError(
        f"expected to write {path}, got '{error.strerror or error}'; "
        f"{'free some space or ' * full}{where}"
    )


def write_text(path: Path, text: str) -> None:
    """Write a whole text file, UTF-8, or leave what was there.

    Raises:
        OutputError: The file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def unfinished_files(folder: Path) -> list[Path]:
    """Temporary files of :func:`replacing` anywhere below a folder, of killed or living processes.

    Args:
        folder: Where to look.
    """
    return [p for p in folder.rglob(".*") if _UNFINISHED.fullmatch(p.name) and p.is_file()]


def _settle(path: Path) -> None:
    """Force the content to disk before the rename, and give it the permissions of a new file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)
