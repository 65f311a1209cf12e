"""Tables of comma-separated values, and parts that a file names in an order of its own.

A file of DeepLabCut or SLEAP has whatever its project labelled. Where the names are those of a
known set in its order, it is that set. Else the parts are matched to joints by side and stem,
and the set is the one that, without the joints the file lacks, still gives most of Human3.6M's
and keeps most of the file's. Nothing is made up: a joint that no part names is absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lifting.data.keypoints.plausibility import FloatArray
from lifting.errors import DataError
from lifting.skeleton import H36M_17, Skeleton, conversion, get_skeleton, set_of_names
from lifting.skeleton.naming import named_keypoints

# By preference; their joints of one name are the same place, but for the neck of body25b, which
# lies a little higher. The last needs no face for the trunk.
TARGETS = ("halpe26", "coco25", "body25b", "coco17neck", "coco17", "coco23", "mediapipe33")


def full_rows(path: Path, rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The rows that hold anything, without blanks around their cells.

    Args:
        path: The file, for messages.
        rows: Of text.

    Raises:
        DataError: They are not all as long as the first.
    """
    kept = {i: [cell.strip() for cell in row] for i, row in enumerate(rows, 1) if any(row)}
    kept = {i: row for i, row in kept.items() if any(row)}
    width = len(next(iter(kept.values()), []))
    for i, row in kept.items():
        if len(row) != width:
            raise DataError(
                f"expected {width} cells in every row of {path}, got {len(row)} in row {i}; it is "
                "cut short or edited: export it again"
            )
    return list(kept.values())


def columns_by_name(path: Path, rows: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """Columns under the names in the first row; those without a name are left out.

    Args:
        path: The file, for messages.
        rows: Of text.

    Raises:
        DataError: A row is of another length, or a name comes twice.
    """
    header, *body = full_rows(path, rows) or [[]]
    names = [name for name in header if name]
    if len(set(names)) < len(names):
        raise DataError(
            f"expected each column once in {path}, got a name twice; export the file again"
        )
    return {name: [row[i] for row in body] for i, name in enumerate(header) if name}


def numbers(path: Path, rows: Iterable[Sequence[str]]) -> FloatArray:
    """Cells as numbers, ``(rows, columns)``; NaN where one is empty.

    Args:
        path: The file, for messages.
        rows: Of text.

    Raises:
        DataError: A cell is no number.
    """
    return np.array([[_number(path, i, cell) for cell in row] for i, row in enumerate(rows, 1)])


def _number(path: Path, row: int, cell: str) -> float:
    try:
        return float(cell) if cell else np.nan
    except ValueError:
        raise DataError(
            f"expected numbers in the cells of {path}, got {cell[:24]!r} in row {row} below the "
            "header; export the file again"
        ) from None


class Arranged(NamedTuple):
    """Parts in the order of a set.

    Attributes:
        joints: ``(..., joints + others, 3)``: the set's joints, NaN with confidence 0 where the
            file has none, and the parts that are no joint of it.
        named: Names of the set's joints.
        extra: Names of the other parts.
        note: What was decided, in words.
    """

    joints: FloatArray
    named: tuple[str, ...]
    extra: tuple[str, ...]
    note: str


def arrange(path: Path, names: Sequence[str], parts: FloatArray) -> Arranged:
    """Bring parts into the order of the set that their names tell.

    Args:
        path: The file, for messages.
        names: Of the parts.
        parts: ``(..., parts, 3)``: x, y and confidence.

    Raises:
        DataError: They are not a person's: hips, knees, shoulders and elbows are not all there,
            or a limb has two candidates. The message lists names of the file.
    """
    known = set_of_names(names)
    if known is not None:
        return Arranged(parts, known.joints, (), f"parts: the joints of {known.name}, in order")
    try:
        found = named_keypoints(names)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    target = max(map(get_skeleton, TARGETS), key=lambda one: _worth(one, frozenset(found)))
    used = {joint: found[joint] for joint in target.joints if joint in found}
    columns = [
        _mean(parts, [list(names).index(name) for name in used.get(joint, ())])
        for joint in target.joints
    ]
    taken = {name for several in used.values() for name in several}
    extra = tuple(name for name in names if name not in taken)
    others = parts[..., [i for i, name in enumerate(names) if name in extra], :]
    joints = np.concatenate((np.stack(columns, axis=-2), others), axis=-2)
    note = f"parts: {len(used)} of the {len(target)} joints of {target.name} by name"
    if extra:
        note += f", {len(extra)} others"
    return Arranged(joints, target.joints, extra, note)


def _worth(target: Skeleton, found: frozenset[str]) -> tuple[int, int]:
    """Joints of Human3.6M that the found ones give in this set, and how many of them it has."""
    has = found & set(target.joints)
    recipes = conversion(target, H36M_17).recipes.values()
    given = sum(any(set(recipe) <= has for recipe in options) for options in recipes)
    return given, len(has)


def _mean(parts: FloatArray, places: list[int]) -> FloatArray:
    """Mean of the parts that make a joint, as sure as the least sure of them; NaN without any."""
    if not places:
        absent: FloatArray = np.full((*parts.shape[:-2], 3), np.nan)
        absent[..., 2] = 0.0
        return absent
    chosen = parts[..., places, :]
    return np.concatenate((chosen[..., :2].mean(-2), chosen[..., 2:].min(-2)), axis=-1)
