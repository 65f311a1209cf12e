"""Solved rigs kept on disk: a teacher solves a recording once, and is read from then on.

A file's name holds a hash of the keypoints, of what is known of the cameras, and of the options.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lifting.data.cache import ENVIRONMENT
from lifting.errors import DataError, OutputError
from lifting.teacher.options import TeacherOptions
from lifting.teacher.solution import RigSolution
from lifting.teacher.solution_file import FORMAT, read_solution, write_solution
from lifting.teacher.solve import REVISION, solve_rig
from lifting.teacher.views import RigViews

log = logging.getLogger(__name__)

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
    path = cache_dir / f"rig-{key}.npz"
    if path.is_file():
        try:
            return read_solution(path).solution
        except DataError as error:
            log.warning("cache file %s is damaged (%s); making it again", path, error)
    solution = solve_rig(views, options)
    try:
        write_solution(path, solution, {"key": key, "options": asdict(options)})
    except OutputError as error:
        log.warning(
            "cannot keep a solved rig in %s (%s); going on without, set data.cache or %s to a "
            "writable folder to save the time",
            cache_dir,
            error,
            ENVIRONMENT,
        )
    return solution


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
