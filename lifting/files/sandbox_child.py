"""The child process of ``sandbox``: parses files with other people's libraries.

Started by path, never imported by the package: it needs numpy and the one library that reads the
file, and no module of the project. Requests come as JSON on standard input; the arrays of request
number i are left in ``i.npz`` of the output folder, or the reason for their absence in ``i.txt``.
Whatever else goes wrong ends the process, and the parent words it.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

try:
    import resource
except ImportError:  # not on Windows: there the parent's time limit stands alone
    resource = None  # type: ignore[assignment]

Array = np.ndarray[Any, np.dtype[Any]]

HDF5_MARK = b"\x89HDF\r\n\x1a\n"
HDF5_STARTS = (0, 512)  # MATLAB puts 512 bytes of its own before the file proper
MATLAB_MARK = b"MATLAB"
LISTING = "?"  # asks for what is in a file, as JSON; behind a name, for the texts of an array
MOST_LISTED, DEEPEST, MOST_ATTRIBUTES, LONGEST_TEXT = 2000, 8, 64, 2**20
FILTERS = {1, 2, 3}  # deflate, shuffle, checksum: built in, never from a plug-in
REFUSALS = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError,
    NotImplementedError, OSError, RecursionError, RuntimeError, TypeError, ValueError, zlib.error,
)  # fmt: skip


def main() -> None:
    """Serve the requests on standard input."""
    order = json.load(sys.stdin)
    _limit(order)
    folder = Path(order["folder"])
    for number, request in order["requests"]:
        _serve(folder, number, request, order)


def _limit(order: Mapping[str, Any]) -> None:
    if resource is None:
        return
    limits = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, order["max_bytes"] + 2**20)]
    if sys.platform == "linux":  # elsewhere the limit is refused or not kept
        limits.append((resource.RLIMIT_AS, order["memory"]))
    for kind, value in limits:
        resource.setrlimit(kind, (value, value))


def _serve(
    folder: Path, number: int, request: Mapping[str, Any], order: Mapping[str, Any]
) -> None:
    # The signal's default ends the process, also from within a library that never returns.
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, order["seconds"])
    try:
        arrays = parse(Path(request["path"]), request["names"], order["max_bytes"])
        with (folder / f"{number}.part").open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        (folder / f"{number}.part").rename(folder / f"{number}.npz")
    except MemoryError:
        (folder / f"{number}.txt").write_text("it asks for more memory than is allowed")
    except REFUSALS as error:
        text = f"{type(error).__name__}: {error}"
        (folder / f"{number}.txt").write_text(text[:500], encoding="utf-8", errors="replace")
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def parse(path: Path, names: Sequence[str], limit: int) -> dict[str, Array]:
    """Arrays of numbers by name.

    Args:
        path: File of MATLAB 5, or of HDF5, which MATLAB 7.3 writes, or a C3D file.
        names: Variables; ``name[i]`` is element i of a cell array, in MATLAB's order. Of HDF5
            also ``name[column]`` of a table, and ``name?``, a list of texts as JSON.
        limit: Bytes all arrays may take together.
    """
    if path.suffix.lower() == ".c3d":
        return _parse_c3d(path, names)
    if _is_hdf5(path):
        return _parse_hdf5(path, names, limit)
    return _parse_mat5(path, names, limit)


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(HDF5_STARTS[-1] + len(HDF5_MARK))
    if any(head[start:].startswith(HDF5_MARK) for start in HDF5_STARTS):
        return True
    if not head.startswith(MATLAB_MARK):
        raise ValueError(f"it begins with {head[:8]!r}, neither MATLAB nor HDF5")
    return False


def _parse_hdf5(path: Path, names: Sequence[str], limit: int) -> dict[str, Array]:
    import h5py

    arrays: dict[str, Array] = {}
    with h5py.File(path, "r", rdcc_nbytes=2**20) as file:
        if list(names) == [LISTING]:
            return {LISTING: _as_json(_listing(file, "", {}))}
        for name in names:
            place, _, column = name.removesuffix(LISTING).partition("[")
            column = column.removesuffix("]")
            dataset = _dataset(file, place)
            kind = dataset.dtype
            if column:
                if column not in (kind.names or ()):
                    raise KeyError(f"no column '{column}' in '{place}'")
                kind = kind[column]
            is_text = name.endswith(LISTING)
            if is_text and h5py.check_string_dtype(kind) is None:
                raise TypeError(f"'{place}' holds {kind}, not texts")
            if not is_text and kind.base.kind not in "fiu":
                raise TypeError(f"'{name}' holds {kind}, not numbers")
            _check_dataset(name, dataset)
            limit -= math.prod(dataset.shape) * max(kind.itemsize, 8)
            if limit < 0:
                raise ValueError(f"'{name}' of shape {dataset.shape} is larger than is allowed")
            if is_text:
                arrays[name] = _texts(name, dataset)
            else:
                arrays[name] = np.asarray(dataset[column or ()])
    return arrays


def _dataset(file: Any, name: str) -> Any:
    """An array that lies in the file itself, as do the groups that lead to it."""
    import h5py

    parts = name.split("/")
    for end in range(1, len(parts) + 1):
        link = file.get("/".join(parts[:end]), getlink=True)
        if link is None:
            raise KeyError(f"no variable '{name}' among {sorted(file)[:20]}")
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"'{name}' is a link to another place or file")
    if not isinstance(file[name], h5py.Dataset):
        raise TypeError(f"'{name}' is no array")
    return file[name]


def _texts(name: str, dataset: Any) -> Array:
    if len(dataset.shape) != 1 or len(dataset) > MOST_LISTED:
        raise ValueError(f"'{name}' of shape {dataset.shape} is no list of names")
    texts = [t.decode("utf-8", "replace") if isinstance(t, bytes) else t for t in dataset[()]]
    return _as_json([text[:LONGEST_TEXT] for text in texts])


def _as_json(value: Any) -> Array:
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


def _listing(group: Any, prefix: str, found: dict[str, Any]) -> dict[str, Any]:
    """Shape, type and attributes of what lies in a file itself, by path."""
    import h5py

    for name in group:
        if len(found) >= MOST_LISTED or prefix.count("/") > DEEPEST:
            raise ValueError("it holds more than a file of keypoints does")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        one = group[name]
        shape = getattr(one, "shape", None)
        found[prefix + name] = {
            "shape": None if shape is None else list(shape),
            "dtype": str(getattr(one, "dtype", "")),
            "attributes": _attributes(one),
        }
        if isinstance(one, h5py.Group):
            _listing(one, f"{prefix}{name}/", found)
    return found


def _attributes(one: Any) -> dict[str, str]:
    """Texts among the attributes."""
    texts: dict[str, str] = {}
    for key in list(one.attrs)[:MOST_ATTRIBUTES]:
        value = one.attrs[key]
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, str):
            texts[key] = value[:LONGEST_TEXT]
    return texts


def _check_dataset(name: str, dataset: Any) -> None:
    """Only what lies in the file itself, packed by what the library brings along."""
    if dataset.shape is None:
        raise ValueError(f"'{name}' is empty")
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"the numbers of '{name}' lie in another file")
    made = dataset.id.get_create_plist()
    foreign = {made.get_filter(i)[0] for i in range(made.get_nfilters())} - FILTERS
    if foreign:
        raise ValueError(f"'{name}' is packed in a way that is not allowed ({sorted(foreign)})")


def _parse_mat5(path: Path, names: Sequence[str], limit: int) -> dict[str, Array]:
    from scipy.io import loadmat

    variables = sorted({name.partition("[")[0] for name in names})
    found = loadmat(path, appendmat=False, variable_names=variables)
    arrays: dict[str, Array] = {}
    for name in names:
        variable, _, cell = name.partition("[")
        if variable not in found:
            raise KeyError(f"no variable '{variable}' among {sorted(found)[:20]}")
        value = found[variable]
        if cell:
            value = value.reshape(-1, order="F")[int(cell.removesuffix("]"))]
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            raise TypeError(f"'{name}' is no array of numbers")
        limit -= value.nbytes
        if limit < 0:
            raise ValueError(f"'{name}' of shape {value.shape} is larger than is allowed")
        arrays[name] = np.ascontiguousarray(value)
    return arrays


def _parse_c3d(path: Path, names: Sequence[str]) -> dict[str, Array]:
    with path.open("rb") as stream:
        start = stream.read(2)
    if start[1:] != b"\x50":
        raise ValueError(f"it begins with {start!r}, which is not C3D")
    import ezc3d

    file = ezc3d.c3d(str(path))
    point = {key: held.get("value") for key, held in file["parameters"]["POINT"].items()}
    # A list of texts holds at most 255; further labels are in LABELS2, LABELS3 ...
    labels = [
        label
        for key in ("LABELS", *(f"LABELS{i}" for i in range(2, 258)))
        for label in point.get(key) or ()
    ]
    points = file["data"]["points"]
    arrays: dict[str, Array] = {
        "points": np.ascontiguousarray(points[:3].transpose(2, 1, 0)),
        "residuals": np.ascontiguousarray(file["data"]["meta_points"]["residuals"][0].T),
        "rate": np.array(float(point["RATE"][0])),
        "labels": _codes(labels),
        "units": _codes(point.get("UNITS") or ()),
    }
    return {name: arrays[name] for name in names}


def _codes(texts: Sequence[str]) -> Array:
    """Texts as one array of UTF-8, a line each."""
    joined = "\n".join(text.replace("\n", " ") for text in texts)
    return np.frombuffer(joined.encode("utf-8", errors="replace"), dtype=np.uint8)


if __name__ == "__main__":
    main()
