"""A data section: what is right and wrong with its files, and whether the reader takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import numpy as np

from lifting.data.check import check_tracks
from lifting.data.config import DataConfig, Split
from lifting.data.doctor.body import LIMB_JOINTS, check_bodies
from lifting.data.doctor.constancy import check_constancy
from lifting.data.doctor.keypoints import check_keypoints
from lifting.data.doctor.reprojection import check_sights
from lifting.data.doctor.takes import (
    Bodies,
    CheckRow,
    Keypoints,
    bodies_of,
    corrected,
    failed,
    seen_takes,
)
from lifting.data.sequence import MotionClips, PoseTracks
from lifting.data.sets import find_set
from lifting.errors import ConfigError, DataError

SPLITS: tuple[Split, ...] = get_args(Split)
_DETECTED_PX = 25.0


def check_takes(bodies: Bodies, files: list[Keypoints]) -> list[CheckRow]:
    """Everything that poses, and keypoints beside them, tell.

    Damage of the 3D that has a known cure is cured before the comparison with 2D, so that it is
    named once.

    Args:
        bodies: 3D.
        files: 2D files of the same takes.
    """
    report = check_bodies(bodies)
    rows = [*report.rows, *check_constancy(bodies, report.factor, report.ordered)]
    for keypoints in files:
        own = check_keypoints(keypoints)
        rows += own
        pixels = all(r.verdict != "fail" for r in own if r.what == f"pixels {keypoints.label}")
        if report.comparable and pixels and keypoints.sights:
            rows += check_sights(corrected(keypoints, report.factor, report.order))
        elif keypoints.sights:
            rows.append(
                CheckRow(
                    f"reprojection {keypoints.label}",
                    "3D falls on 2D",
                    "not compared",
                    "warn",
                    "mend what failed above, then check again",
                )
            )
    return rows


def check_content(config: DataConfig) -> list[CheckRow]:
    """Read every part, and judge what is in it; for sets without checks of their own.

    Args:
        config: The data section.
    """
    reader = find_set(config.name).reader()
    read = getattr(reader, "tracks", None) or reader.motion
    rows: list[CheckRow] = []
    judged: list[CheckRow] = []
    for split in SPLITS:
        row, found = _read_part(read, config, split)
        rows.append(row)
        judged += [replace(one, what=f"{one.what}, {split}") for one in _judged(found, split)]
    return rows + judged


def _judged(found: PoseTracks | MotionClips | None, split: Split) -> list[CheckRow]:
    """What the people of a part tell, where it was read and has them."""
    if isinstance(found, MotionClips):
        bodies = bodies_of(found)
        whole = set(bodies.skeleton.joints) >= LIMB_JOINTS
        return check_takes(bodies, []) if whole else []
    if found is None or found.joints_3d is None:
        return []
    bodies, keypoints = seen_takes(found, split, _DETECTED_PX)
    return check_takes(bodies, [keypoints])


def check_reading(
    read: Callable[[DataConfig, Split], PoseTracks | MotionClips],
    config: DataConfig,
    splits: tuple[Split, ...] = SPLITS,
) -> list[CheckRow]:
    """Read every part as an experiment would.

    Args:
        read: The reader.
        config: Where the files are, and which.
        splits: Parts to read.
    """
    return [_read_part(read, config, split)[0] for split in splits]


def _read_part(
    read: Callable[[DataConfig, Split], PoseTracks | MotionClips], config: DataConfig, split: Split
) -> tuple[CheckRow, PoseTracks | MotionClips | None]:
    """What was read, None where the reader refuses, and a row of it."""
    what, expected = f"reader {split}", "takes the files"
    try:
        found = read(config, split)
        if isinstance(found, PoseTracks):
            found = check_tracks(found, split)
            words = f"{len(found)} frames in {len(found.track_names)} tracks"
        else:
            words = f"{len(found.joints_3d)} frames in {len(found.names)} clips"
    except (DataError, ConfigError) as error:
        return failed(what, expected, error), None
    return CheckRow(what, expected, words, "ok"), found


def check(config: DataConfig) -> list[CheckRow]:
    """Look at the files of a data set, with the options that experiments use.

    Args:
        config: The data section of a file in ``experiments/data``.

    Returns:
        One row a question; questions that make no sense after an earlier answer are left out. A
        set without checks of its own is read, split by split, and its people are judged.

    Raises:
        ConfigError: No data set has that name.
    """
    own = find_set(config.name).command("check")
    # Damaged numbers overflow; the rows say so better than warnings in between.
    with np.errstate(all="ignore"):
        rows: list[CheckRow] = check_content(config) if own is None else own(config)
        return rows
