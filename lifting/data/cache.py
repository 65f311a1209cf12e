"""Derived tracks kept on disk, so that a split is filmed once and then read.

A file is an uncompressed archive of plain arrays beside their description as JSON; nothing in it
can run code. Its name holds a hash of everything the tracks depend on.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from lifting.atomic import replacing
from lifting.data.sequence import PoseTracks
from lifting.errors import DataError, OutputError
from lifting.geometry.camera import Camera
from lifting.skeleton import Skeleton

log = logging.getLogger(__name__)

FORMAT = 3
META = "meta"
ENVIRONMENT = "LIFTING_CACHE"
Kept = TypeVar("Kept")
_TENSORS = ("keypoints_2d", "confidence", "offsets", "camera", "recording", "subject", "action")
_OPTIONAL = ("joints_3d", "visible", "crop")
_CAMERA = ("intrinsics", "size", "rotation", "position")
_NAMES = ("track_names", "subject_names", "action_names")
_DAMAGE = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile)


def cache_folder(configured: str | None) -> Path:
    """Folder of derived data: the configured one, LIFTING_CACHE, or the user's cache folder."""
    chosen = configured or os.environ.get(ENVIRONMENT)
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "lifting"


def cached_tracks(
    key: Mapping[str, object], make: Callable[[], PoseTracks], folder: Path
) -> PoseTracks:
    """Read the tracks of a key, or make them and keep them.

    A damaged file is made again; a folder that cannot be written costs a warning, not the run.

    Args:
        key: Everything the tracks depend on, as plain values.
        make: Makes the tracks.
        folder: Where files are kept; it is created.
    """

    def made() -> PoseTracks:
        what = " ".join(str(key[part]) for part in ("dataset", "split") if part in key)
        log.info("preparing tracks, once, for %s: %s", folder, what)
        return make()

    def write(path: Path, tracks: PoseTracks) -> None:
        write_tracks(path, tracks, key)

    path = folder / f"tracks-{key_hash(key)}.npz"
    return kept(path, read_tracks, made, write, "derived data")


def kept(
    path: Path,
    read: Callable[[Path], Kept],
    make: Callable[[], Kept],
    write: Callable[[Path, Kept], None],
    what: str,
) -> Kept:
    """Read something from its file, or make it and keep it there.

    A damaged file is made again; a folder that cannot be written costs a warning, not the run.

    Args:
        path: The file.
        read: Reads it.
        make: Makes what it holds.
        write: Writes that, whole or not at all; the file's folder is created.
        what: What is kept, in words.
    """
    if path.is_file():
        try:
            return read(path)
        except _DAMAGE as error:
            log.warning("cache file %s is damaged (%s); making it again", path, error)
    found = make()
    try:
        write(path, found)
    except OutputError as error:
        warn_not_kept(what, path.parent, error)
    return found


def warn_not_kept(what: str, folder: Path, error: OutputError) -> None:
    """Say that something has to be made again by the next run."""
    log.warning(
        "cannot keep %s in %s (%s); going on without, set data.cache or %s to a writable folder "
        "to save the time", what, folder, error, ENVIRONMENT,
    )  # fmt: skip


def key_hash(key: Mapping[str, object]) -> str:
    """Hash of a key and of the file format, 24 hexadecimal digits."""
    text = json.dumps({"format": FORMAT, **key}, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def tracks_hash(tracks: PoseTracks) -> str:
    """Hash of the tracks' tensors, names and skeleton, 16 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=8)
    for name, array in sorted(_arrays(tracks).items()):
        digest.update(f"{name}{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    digest.update(json.dumps(_describe(tracks), sort_keys=True).encode())
    return digest.hexdigest()


def write_tracks(path: Path, tracks: PoseTracks, key: Mapping[str, object]) -> None:
    """Write tracks to a file, atomically.

    Args:
        path: The file to make or replace.
        tracks: What to write.
        key: Kept in the file, for people who look.

    Raises:
        OutputError: The folder cannot be written.
    """
    arrays = _arrays(tracks)
    meta = {"format": FORMAT, "key": dict(key), **_describe(tracks)}
    meta |= {"camera_kind": tracks.camera_kind, "world": tracks.world}
    text = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{META: text, **arrays})  # type: ignore[arg-type]


def read_tracks(path: Path) -> PoseTracks:
    """Read tracks from a file; its checksums are verified on the way.

    Raises:
        DataError: The file has another format.
        OSError: It cannot be read; damage shows as this, ValueError, KeyError or BadZipFile.
    """
    with np.load(path, allow_pickle=False) as archive:
        meta = json.loads(archive[META].tobytes())
        if meta["format"] != FORMAT:
            raise DataError(
                f"expected format {FORMAT} in {path}, got {meta['format']}; delete the file"
            )
        values = {name: torch.from_numpy(archive[name]) for name in archive.files if name != META}
    fields: dict[str, Any] = {name: tuple(meta[name]) for name in _NAMES}
    fields |= {name: values[name] for name in _TENSORS}
    fields |= {name: values.get(name) for name in _OPTIONAL}
    cameras: dict[str, Any] = {name: values.get(f"camera.{name}") for name in _CAMERA}
    return PoseTracks(
        skeleton=Skeleton.of(meta["skeleton"]),
        cameras=Camera(**cameras),
        fps=torch.as_tensor(meta["fps"], dtype=torch.float64),
        camera_kind=meta["camera_kind"],
        world=meta["world"],
        source={str(k): str(v) for k, v in meta["source"].items()},
        extras={n.removeprefix("extra."): v for n, v in values.items() if n.startswith("extra.")},
        **fields,
    )


def _arrays(tracks: PoseTracks) -> dict[str, np.ndarray[Any, Any]]:
    tensors: dict[str, Tensor | None] = {n: getattr(tracks, n) for n in _TENSORS + _OPTIONAL}
    tensors |= {f"camera.{name}": getattr(tracks.cameras, name) for name in _CAMERA}
    tensors |= {f"extra.{name}": value for name, value in tracks.extras.items()}
    return {name: value.cpu().numpy() for name, value in tensors.items() if value is not None}


def _describe(tracks: PoseTracks) -> dict[str, object]:
    names: dict[str, object] = {name: list(getattr(tracks, name)) for name in _NAMES}
    rates = tracks.fps.tolist()
    return {
        **names,
        "skeleton": tracks.skeleton.plain(),
        "fps": rates[0] if len(set(rates)) == 1 else rates,
        "source": tracks.source,
    }
