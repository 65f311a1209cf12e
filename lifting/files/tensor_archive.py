"""Reads the files that ``torch.save`` wrote for this project, tested to the last byte.

Such a file is an archive: a pickle, and the numbers of every tensor in a member of their own. The
archive holds a checksum of each member, which torch itself never looks at: it takes a flipped bit
for a weight. Here a file is read once; what was tested is what is used.

The pickle is a program. It is run by the restricted reader of ``lifting.files.pickles``, which
knows containers and dense tensors of real numbers, and no tensor that has more numbers than its
member of the archive.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
import sys
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from lifting.errors import CheckpointError
from lifting.files.checks import UNREADABLE
from lifting.files.pickles import DAMAGE, MAX_DEPTH, RestrictedUnpickler, UnknownName

_EXPANDED = 2**24  # numbers at most of a tensor that repeats some
_PICKLE, _ORDER = "/data.pkl", "/byteorder"
_NUMBERS = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16,
    "BFloat16": torch.bfloat16, "Long": torch.int64, "Int": torch.int32, "Short": torch.int16,
    "Char": torch.int8, "Byte": torch.uint8, "Bool": torch.bool,
}  # fmt: skip


def read_tensor_archive(path: Path) -> Any:
    """Tensors and plain values of a file of ours, none of whose bytes changed since.

    Args:
        path: An existing file, written by ``torch.save``.

    Returns:
        Dictionaries, lists, tuples, texts, numbers and tensors of the processor.

    Raises:
        CheckpointError: The file is cut short, damaged or compressed, or holds anything else.
    """
    try:
        members = _tested_members(path)
        unpickler = _Unpickler(members)
        content = unpickler.load()
        _check_plain(content, len(members[_PICKLE]))
    except UnknownName as error:
        raise CheckpointError(
            f"expected only tensors of real numbers and plain values in {path}, got other pickled "
            f"objects, which could run code when loaded and are refused ({error!s:.120}); take "
            "another file"
        ) from error
    except (pickle.UnpicklingError, struct.error, *UNREADABLE, *DAMAGE) as error:
        raise CheckpointError(
            f"expected a whole checkpoint in {path}, got one that is damaged, cut short or "
            f"changed ({type(error).__name__}: {error!s:.120}); take another file"
        ) from error
    return content


def _tested_members(path: Path) -> dict[str, bytes]:
    """Content of every member by its name below the archive's own folder.

    Reading a member compares its checksum.
    """
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        names = [info.filename for info in infos]
        roots = [name.removesuffix(_PICKLE) for name in names if name.endswith(_PICKLE)]
        if len(roots) != 1 or len(set(names)) < len(names):
            raise zipfile.BadZipFile("it has no pickle of its own, or members of one name")
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
            raise zipfile.BadZipFile("another program compressed it")
        if sum(info.file_size for info in infos) > path.stat().st_size:
            raise zipfile.BadZipFile("its members are larger than the file")
        members = {info.filename.removeprefix(roots[0]): archive.read(info) for info in infos}
    if members.get(_ORDER, b"little") != sys.byteorder.encode():
        raise zipfile.BadZipFile("its numbers have their bytes in another order")
    return members


class _Named(dict[Any, Any]):
    """Stands in for an ordered dictionary; what torch keeps beside its items is dropped."""

    def __setstate__(self, state: object) -> None:
        """Keep nothing."""


class _Unpickler(RestrictedUnpickler):
    """Makes dense tensors over the members of an archive.

    Args:
        members: Their content by name.
    """

    stateful: ClassVar[tuple[type, ...]] = (_Named,)

    def __init__(self, members: Mapping[str, bytes]) -> None:
        names: dict[tuple[str, str], Any] = {
            ("torch", f"{name}Storage"): kind for name, kind in _NUMBERS.items()
        }
        names["torch._utils", "_rebuild_tensor_v2"] = _tensor
        names["torch._utils", "_rebuild_parameter"] = lambda tensor, *_: tensor
        names["collections", "OrderedDict"] = lambda: _Named()
        names["collections", "Counter"] = Counter  # the milestones of a schedule
        names["torch", "Size"] = _counts
        super().__init__(io.BytesIO(members[_PICKLE]), names)
        self._members = members
        self._numbers: dict[str, Tensor] = {}

    def persistent_load(self, pid: object) -> Tensor:
        """The numbers of a member, as one row.

        Args:
            pid: ``storage``, the type of its numbers, its name, where it was, and their count.
        """
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage":
            raise pickle.UnpicklingError("it asks for an object outside the file")
        _, kind, key, _, count = pid
        if not isinstance(kind, torch.dtype) or not isinstance(key, str):
            raise pickle.UnpicklingError("unexpected description of a tensor's numbers")
        if key not in self._numbers:
            data = self._members[f"/data/{key}"]
            self._numbers[key] = (
                torch.frombuffer(bytearray(data), dtype=kind)
                if data
                else torch.empty(0, dtype=kind)
            )
        numbers = self._numbers[key]
        if numbers.dtype != kind or len(numbers) != count:
            raise pickle.UnpicklingError(
                f"member {key:.20} has {len(numbers)} numbers of {numbers.dtype} where "
                f"{count!r:.20} of {kind} were claimed"
            )
        return numbers


def _tensor(
    numbers: object, start: object, shape: object, strides: object, _grad: object, hooks: object
) -> Tensor:
    """A tensor over a row of numbers, none of which is outside it; few repeat, as expanded."""
    if not isinstance(numbers, Tensor) or numbers.ndim != 1 or hooks:
        raise pickle.UnpicklingError("unexpected arguments of a tensor")
    sizes, steps = _counts(shape), _counts(strides)
    (first,) = _counts((start,))
    count = math.prod(sizes)
    last = first + sum((n - 1) * step for n, step in zip(sizes, steps, strict=True))
    if count > max(len(numbers), _EXPANDED) or (last + 1 if count else first) > len(numbers):
        raise pickle.UnpicklingError(
            f"a tensor of shape {sizes!s:.80} asks for more than its {len(numbers)} numbers"
        )
    return numbers.as_strided(sizes, steps, first)


def _counts(given: object) -> tuple[int, ...]:
    if not isinstance(given, tuple) or not all(type(n) is int and n >= 0 for n in given):
        raise pickle.UnpicklingError(f"unexpected shape or strides of a tensor: {given!r:.80}")
    return given


def _check_plain(content: object, limit: int) -> None:
    """Check that there are only plain values, not nested deeply nor repeated without end.

    Args:
        content: What was read.
        limit: Of the values, each counted as often as it is referred to: bytes of the pickle.
    """
    if _weight(content, 0, {}) > limit:
        raise pickle.UnpicklingError("its values repeat one another without end")


def _weight(value: object, depth: int, known: dict[int, int]) -> int:
    if value is None or isinstance(value, str | bytes | int | float | Tensor):
        return 1
    if not isinstance(value, dict | list | tuple):
        raise pickle.UnpicklingError(f"it holds a {type(value).__name__}")
    if depth > MAX_DEPTH or known.get(id(value)) == 0:
        raise pickle.UnpicklingError("it is nested deeply, or contains itself")
    if id(value) not in known:
        known[id(value)] = 0
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_weight(v, depth + 1, known) for v in inner)
    return known[id(value)]
