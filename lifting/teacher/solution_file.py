"""Solutions of rigs as files: plain arrays beside a description, nothing that can run code."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from lifting.atomic import replacing
from lifting.errors import DataError, MissingDataError
from lifting.skeleton import Skeleton
from lifting.teacher.quality import RigQuality
from lifting.teacher.solution import RigSolution

FORMAT = 1
_META = "meta"
_ARRAYS = (
    "intrinsics", "sizes", "rotation", "centre", "joints", "valid", "weights", "residual",
    "inlier", "covariance", "swapped",
)  # fmt: skip
_FACTS = ("names", "sigma", "scale_rule", "metric")
_DAMAGE = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile)


def write_solution(
    path: Path, solution: RigSolution, facts: Mapping[str, object] | None = None
) -> None:
    """Write a solution to an npz file, atomically.

    Its arrays carry the names of the solution's attributes; ``meta`` is the rest as JSON, UTF-8.

    Args:
        path: The file to make or replace.
        solution: What to write.
        facts: Kept in the file, for people who look.

    Raises:
        OutputError: The file cannot be written.
    """
    arrays = {name: getattr(solution, name).cpu().numpy() for name in _ARRAYS}
    meta = {
        "format": FORMAT,
        **{name: getattr(solution, name) for name in _FACTS},
        "quality": asdict(solution.quality),
        "skeleton": solution.skeleton.plain(),
        "facts": dict(facts or {}),
    }
    text = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{_META: text, **arrays})


class KeptSolution(NamedTuple):
    """What a file of :func:`write_solution` holds.

    Attributes:
        solution: The solved rig.
        facts: What was kept beside it.
    """

    solution: RigSolution
    facts: dict[str, Any]


def read_solution(path: Path) -> KeptSolution:
    """Read a solution from a file of :func:`write_solution`.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is damaged, or no solution of a rig.
    """
    if not path.is_file():
        raise MissingDataError(
            f"expected a solved rig in {path}, got no file; make one with 'lifting rig solve'"
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            meta = json.loads(archive[_META].tobytes())
            tensors = {name: torch.from_numpy(archive[name]) for name in _ARRAYS}
        if meta["format"] != FORMAT:
            raise ValueError(f"format {meta['format']}")
        return KeptSolution(_solution(meta, tensors), dict(meta["facts"]))
    except _DAMAGE as error:
        raise DataError(
            f"expected a solved rig of format {FORMAT} in {path}, got damage or another file "
            f"({error}); make it again with 'lifting rig solve'"
        ) from error


def _solution(meta: Mapping[str, Any], tensors: Mapping[str, Any]) -> RigSolution:
    quality: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in meta["quality"].items()
    }
    quality["pairs"] = tuple((int(a), int(b)) for a, b in quality["pairs"])
    facts: dict[str, Any] = {name: meta[name] for name in _FACTS}
    facts["names"] = tuple(facts["names"])
    return RigSolution(
        quality=RigQuality(**quality), skeleton=Skeleton.of(meta["skeleton"]), **facts, **tensors
    )
