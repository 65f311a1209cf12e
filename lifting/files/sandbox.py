"""Reads MATLAB, HDF5 and C3D files in a child process, so that none harms the one that trains.

The libraries that parse these formats are large programs in C which were not written for hostile
input. The child has a limit on time and, on Linux, on memory; it hands back plain arrays through
a temporary file that is itself read without trust. A crash, a limit or a wrong answer becomes a
data error that names the file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lifting.errors import DataError
from lifting.files.checks import check_file
from lifting.files.npz import Array, Kind, read_plain_npz

CHILD = Path(__file__).with_name("sandbox_child.py")
LISTING = "?"
START_SECONDS = 60.0
_CALM = {
    "OMP_NUM_THREADS": "1",  # every thread of a numerical library reserves address space
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "HDF5_PLUGIN_PRELOAD": "::",  # HDF5's own word for: load no plug-ins
    "HDF5_USE_FILE_LOCKING": "FALSE",  # data folders are often read-only
}


@dataclass(frozen=True)
class Limits:
    """What a file may cost.

    Attributes:
        seconds: Time to parse one file.
        memory: Address space of the child, bytes.
        max_bytes: Size of all arrays asked of one file, bytes.
    """

    seconds: float = 120.0
    memory: int = 4 * 1024**3
    max_bytes: int = 2 * 1024**3


@dataclass(frozen=True)
class MatRequest:
    """Which arrays of which file.

    Attributes:
        path: File of MATLAB 5 to 7.2, or of MATLAB 7.3 (HDF5); which one is seen from its start.
            A name that ends in ``.c3d`` is read as C3D, see ``lifting.data.mocap.markers``.
        axes: Number of axes by variable; ``name[i]`` is element i of a cell array, in MATLAB's
            order. HDF5 files have no cell arrays here, since their references are not followed;
            there ``name[column]`` is a column of a table, and ``name?`` a list of texts, which
            has one axis and goes to :func:`texts_of`.
    """

    path: Path
    axes: Mapping[str, int]


def read_mat(
    path: Path, axes: Mapping[str, int], limits: Limits | None = None
) -> dict[str, Array]:
    """Named numeric arrays of one MATLAB or HDF5 file.

    Args:
        path: The file.
        axes: Number of axes by variable, see :class:`MatRequest`.
        limits: What it may cost.

    Returns:
        The arrays by name; those of HDF5 have their axes in the file's order, which is the
        reverse of MATLAB's.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is damaged, unsafe, too costly, or without these arrays.
    """
    (answer,) = read_mats([MatRequest(path, axes)], limits)
    if isinstance(answer, DataError):
        raise answer
    return answer


@dataclass(frozen=True)
class Hdf5Entry:
    """One group or array of an HDF5 file.

    Attributes:
        shape: Of an array; None for a group.
        dtype: Of its values, as text.
        attributes: Texts among its attributes.
    """

    shape: tuple[int, ...] | None
    dtype: str
    attributes: Mapping[str, str]


def list_hdf5(path: Path, limits: Limits | None = None) -> dict[str, Hdf5Entry]:
    """What lies in an HDF5 file, by path.

    Args:
        path: The file.
        limits: What it may cost.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is damaged, unsafe or too costly.
    """
    found = read_mat(path, {LISTING: 1}, limits)[LISTING]
    return {
        name: Hdf5Entry(
            None if one["shape"] is None else tuple(one["shape"]), one["dtype"], one["attributes"]
        )
        for name, one in json.loads(found.astype("uint8").tobytes()).items()
    }


def texts_of(array: Array) -> tuple[str, ...]:
    """Texts of an HDF5 file that were asked for as ``name?``.

    Args:
        array: What came of it.
    """
    return tuple(map(str, json.loads(array.astype("uint8").tobytes())))


def read_mats(
    requests: Sequence[MatRequest], limits: Limits | None = None
) -> list[dict[str, Array] | DataError]:
    """The same for many files; one child serves all for as long as it lives.

    Args:
        requests: What is wanted.
        limits: What each file may cost.

    Returns:
        The arrays of each file, or the error that :func:`read_mat` would raise.
    """
    limits = limits or Limits()
    answers: dict[int, dict[str, Array] | DataError] = {}
    waiting: list[int] = []
    for number, request in enumerate(requests):
        try:
            check_file(request.path)
            waiting.append(number)
        except DataError as error:
            answers[number] = error
    while waiting:
        with tempfile.TemporaryDirectory(prefix="lifting-parse-") as name:
            folder = Path(name)
            end = _run_child(folder, [(i, requests[i]) for i in waiting], limits)
            for number in waiting:
                answer = _answer(folder, number, requests[number], limits)
                if answer is None:
                    answers[number] = _refusal(requests[number].path, end)
                    break
                answers[number] = answer
        waiting = [number for number in waiting if number not in answers]
    return [answers[number] for number in range(len(requests))]


def _run_child(folder: Path, requests: Sequence[tuple[int, MatRequest]], limits: Limits) -> str:
    """Serve requests until all are done or the child ends; says how it ended."""
    order = {
        "folder": str(folder),
        "seconds": limits.seconds,
        "memory": limits.memory,
        "max_bytes": limits.max_bytes,
        "requests": [
            (number, {"path": str(request.path.resolve()), "names": list(request.axes)})
            for number, request in requests
        ],
    }
    complaints = folder / "stderr"
    try:
        with complaints.open("wb") as stderr:
            ended = subprocess.run(
                [sys.executable, "-P", str(CHILD)],
                input=json.dumps(order).encode(),
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env={**os.environ, **_CALM},
                timeout=START_SECONDS + limits.seconds * len(requests),
                check=False,
            )
    except subprocess.TimeoutExpired:
        return f"parsing took longer than {limits.seconds:g} s"
    return _ending(ended.returncode, complaints, limits)


def _ending(code: int, complaints: Path, limits: Limits) -> str:
    if code == -getattr(signal, "SIGALRM", 0):
        return f"parsing took longer than {limits.seconds:g} s"
    said = complaints.read_text(encoding="utf-8", errors="replace")[-2000:].strip()
    last = said.splitlines()[-1] if said else "without a word"
    if code < 0:
        return f"the parser was ended by signal {-code} ({last:.200})"
    return f"the parser ended with code {code} ({last:.200})"


def _answer(
    folder: Path, number: int, request: MatRequest, limits: Limits
) -> dict[str, Array] | DataError | None:
    """What the child left for one request; None when it left nothing."""
    reason, result = folder / f"{number}.txt", folder / f"{number}.npz"
    if reason.is_file():
        return _refusal(request.path, reason.read_text(encoding="utf-8", errors="replace")[:500])
    if not result.is_file():
        return None
    kinds: dict[str, tuple[Kind, int]] = {n: ("number", axes) for n, axes in request.axes.items()}
    try:
        return read_plain_npz(result, kinds, max_bytes=limits.max_bytes + 2**20)
    except DataError as error:
        return _refusal(request.path, str(error).replace(str(result), "it"))
    finally:
        result.unlink()


def _refusal(path: Path, reason: str) -> DataError:
    kind = "C3D" if path.suffix.lower() == ".c3d" else "MATLAB or HDF5"
    return DataError(
        f"expected arrays of a {kind} file in {path}, but: {reason}; the file is damaged, "
        "unsafe or of another form: get it again from its source"
    )
