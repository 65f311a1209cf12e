"""SLEAP: its analysis files, HDF5 and csv; projects (``.slp``) are refused.

Where tracks have names, they are people; else the rows of a frame are in no order.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from lifting.data.keypoints.columns import Arranged, arrange, columns_by_name, numbers
from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.people import Sighting, Sightings
from lifting.data.keypoints.plausibility import FloatArray
from lifting.data.keypoints.source import Source
from lifting.errors import DataError
from lifting.files.npz import Array
from lifting.files.sandbox import Limits, read_mat, texts_of

AXES = ("frame", "track", "node", "xy")
# How SLEAP itself has always written; later files say it.
_USUAL = {
    "tracks": ("track", "xy", "node", "frame"),
    "point_scores": ("track", "node", "frame"),
    "instance_scores": ("track", "frame"),
}
_FIRST = ("track", "frame_idx", "instance.score")
_AGAIN = "export it again from SLEAP, as analysis HDF5 or csv"


def read_analysis(source: Source) -> Sightings:
    """Everyone in an analysis file.

    Args:
        source: HDF5 with ``tracks``, in the order that ``dims`` names, or without it
            ``(tracks, 2, nodes, frames)``, NaN where absent; ``node_names``, and where they are
            there ``point_scores``, ``instance_scores`` and ``track_names``.

    Raises:
        DataError: Shapes contradict one another, or the names are not a person's.
    """
    path, entries = source.path, source.content
    asked = [name for name in _USUAL if name in entries]
    source.size.check_frames(path, max(entries["tracks"].shape or (0,)))
    source.size.check_bytes(path, sum(8 * math.prod(entries[n].shape or (0,)) for n in asked))
    limits = Limits(max_bytes=source.size.bytes)
    axes = {"node_names?": 1, **{name: len(_USUAL[name]) for name in asked}}
    found = read_mat(path, axes, limits)
    names = texts_of(found["node_names?"])
    arrays = {name: _in_order(source, name, found[name]) for name in asked}
    points = arrays["tracks"]
    for name, array in arrays.items():
        _check(path, name, array.shape, (*points.shape[:2], len(names), 2)[: array.ndim])
    tracks = entries["track_names"].shape if "track_names" in entries else (0,)
    tracked = tracks != (0,)
    if tracked:
        _check(path, "track_names", tracks, points.shape[1:2])
    sure = arrays.get("point_scores", np.full(points.shape[:3], np.nan))
    table = np.concatenate((points, _sureness(points, sure)[..., None]), axis=-1)
    arranged = arrange(path, names, table.astype(np.float64))
    scores = arrays.get("instance_scores", np.full(points.shape[:2], np.nan))
    there = np.argwhere(np.isfinite(points).all(-1).any(-1)).tolist()
    people = [
        Sighting(t, arranged.joints[t, row], float(scores[t, row]), track=row if tracked else None)
        for t, row in there
    ]
    return _sightings([str(i) for i in range(len(points))], people, arranged)


def read_csv(source: Source) -> Sightings:
    """Everyone in an analysis csv.

    Args:
        source: Rows ``track, frame_idx, instance.score`` and x, y, score of every part, one a
            person and frame; frames without anyone have no row.

    Raises:
        DataError: A row is of another form, a track is twice in a frame, or the names are not a
            person's.
    """
    path = source.path
    columns = columns_by_name(path, source.content)
    names = [name.removesuffix(".x") for name in columns if name.endswith(".x")]
    wanted = [f"{name}.{what}" for name in names for what in ("x", "y", "score")]
    frame, track = columns["frame_idx"], columns["track"]
    pairs = [(t, one) for t, one in zip(frame, track, strict=True) if one]
    if (
        set(columns) != {*_FIRST, *wanted}
        or not frame
        or len(set(pairs)) < len(pairs)
        or not all(cell.isdecimal() and len(cell) < 16 for cell in frame)
    ):
        raise DataError(
            f"expected {', '.join(_FIRST)} and x, y, score of every part in {path}, and rows with "
            f"the number of a frame and each track once, got {len(columns)} columns with "
            f"{len(names)} parts, and {len(frame)} rows of {len(set(pairs))} pairs of frame and "
            f"track; {_AGAIN}, one video a file"
        )
    table = numbers(path, zip(*(columns[name] for name in (_FIRST[2], *wanted)), strict=True))
    points = table[:, 1:].reshape(len(frame), len(names), 3)
    points[..., 2] = _sureness(points[..., :2], points[..., 2])
    arranged = arrange(path, names, points)
    number = np.array(frame, dtype=np.int64)
    order, places = np.unique(number, return_inverse=True)
    known = list(dict.fromkeys(one for one in track if one))
    people = [
        Sighting(int(t), joints, float(score), None, known.index(one) if one else None)
        for t, joints, score, one in zip(places, arranged.joints, table[:, 0], track, strict=True)
    ]
    return _sightings([str(number) for number in order], people, arranged)


def refuse_project(source: Source) -> Sightings:
    """Say what to export of a ``.slp`` file."""
    raise DataError(
        f"expected exported keypoints in {source.path}, got a SLEAP project; export it from "
        "SLEAP as analysis HDF5 or csv"
    )


def _in_order(source: Source, name: str, array: Array) -> Array:
    """An array with its axes in the order of :data:`AXES`."""
    entries, usual = source.content, _USUAL[name]
    said = entries[name].attributes.get("dims")
    if said is not None:
        try:
            usual = tuple(json.loads(said))
        except (ValueError, TypeError, RecursionError):
            usual = ()
    elif name == "tracks" and "track_occupancy" in entries:
        shape = entries["track_occupancy"].shape
        _check(source.path, "track_occupancy", shape, (array.shape[3], array.shape[0]))
    if sorted(map(str, usual)) != sorted(_USUAL[name]):
        raise DataError(
            f"expected the axes {', '.join(_USUAL[name])} of '{name}' in {source.path}, got "
            f"{said!s:.60}; {_AGAIN}"
        )
    return array.transpose([usual.index(axis) for axis in AXES if axis in usual])


def _check(path: Path, name: str, shape: object, wanted: tuple[int, ...]) -> None:
    if shape != wanted:
        raise DataError(
            f"expected '{name}' of {path} to have {wanted} as the frames, tracks and parts of the "
            f"other arrays have, got {shape}; {_AGAIN}"
        )


def _sureness(points: FloatArray, scores: FloatArray) -> FloatArray:
    """Confidences; a point that a person placed has no score and is sure."""
    seen = np.isfinite(points).all(-1)
    return np.where(np.isfinite(scores), scores, np.where(seen, 1.0, 0.0))


def _sightings(frames: list[str], people: list[Sighting], arranged: Arranged) -> Sightings:
    tracked = any(person.track is not None for person in people)
    return Sightings(
        "sleap", frames, people, ids=tracked, named=arranged.named, extra=arranged.extra,
        notes=(arranged.note,),
    )  # fmt: skip


DIALECTS = (
    Dialect("sleap-h5", "SLEAP analysis HDF5", ("hdf5",),
            ("tracks", "node_names", "track_occupancy", "point_scores"),
            lambda source: {"tracks", "node_names"} <= source.keys, read_analysis),
    Dialect("sleap-csv", "SLEAP analysis csv", ("table",), _FIRST,
            lambda source: not source.is_folder and set(_FIRST) <= source.keys, read_csv),
    Dialect("sleap-project", "a SLEAP project", ("hdf5",),
            ("instances", "frames", "points", "pred_points"),
            lambda source: {"instances", "frames"} <= source.keys, refuse_project),
)  # fmt: skip
