"""Solved rigs kept on disk: a teacher solves a recording once, and is read from then on.

A file's name holds a hash of the keypoints, of what is known of the cameras, and of the options.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lifting.data.cache import kept
from lifting.teacher.options import TeacherOptions
from lifting.teacher.solution import RigSolution
from lifting.teacher.solution_file import FORMAT, read_solution, write_solution
from lifting.teacher.solve import REVISION, solve_rig
from lifting.teacher.views import RigViews

_TENSORS = ("keypoints", "confidence", "sizes", "intrinsics", "rotation", "centre")


def solved_rig(
    views: RigViews, options: TeacherOptions | None = None, cache_dir: Path | None = None
) -> RigSolution:
    """The solution of a rig, read if it was solved before, else solved and kept.

    A damaged file is made again; a folder that cannot be written costs a warning, not the run.

    Args:
        views: Keypoints and what is known of the cameras.
        options: How the rig is solved.
        cache_dir: Where solutions are kept; None keeps none.

    Raises:
        ConfigError: As ``solve_rig``.
        DataError: As ``solve_rig``.
        ShapeError: As ``solve_rig``.
    """
    options = options or TeacherOptions()
    if cache_dir is None:
        return solve_rig(views, options)
    key = rig_hash(views, options)

    def read(path: Path) -> RigSolution:
        return read_solution(path).solution

    def write(path: Path, solution: RigSolution) -> None:
        write_solution(path, solution, {"key": key, "options": asdict(options)})

    return kept(
        cache_dir / f"rig-{key}.npz", read, partial(solve_rig, views, options), write,
        "a solved rig",
    )  # fmt: skip


def rig_hash(views: RigViews, options: TeacherOptions) -> str:
    """Hash of everything that a solution depends on, 24 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=12)
    facts = {
        "format": FORMAT,
        "revision": REVISION,
        "options": asdict(options),
        "skeleton": views.skeleton.plain(),
        "names": views.names,
    }
    digest.update(json.dumps(facts, sort_keys=True).encode())
    for name in _TENSORS:
        value = getattr(views, name)
        parts = (value,) if value is None or isinstance(value, Tensor) else value
        for part in parts:
            digest.update(name.encode())
            if part is not None:
                array = np.ascontiguousarray(torch.as_tensor(part).detach().cpu().numpy())
                digest.update(f"{array.dtype}{array.shape}".encode())
                digest.update(array.data)
    return digest.hexdigest()
