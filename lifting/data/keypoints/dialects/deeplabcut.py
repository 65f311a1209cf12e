"""DeepLabCut, and what writes as it does (Lightning Pose, Anipose in 2D): a table a video.

A column has a header of three or four levels: scorer, individual (of several), body part, and
which number it is. A row is a frame, or a picture of labelled data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lifting.data.keypoints.columns import arrange, full_rows, numbers
from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.people import Sightings, many_people
from lifting.data.keypoints.plausibility import FloatArray
from lifting.data.keypoints.source import Source
from lifting.data.keypoints.timeline import natural_key
from lifting.errors import DataError
from lifting.files.pickles import read_pickled_names
from lifting.files.sandbox import Limits, read_mat

Columns = Sequence[tuple[str, ...]]

LEVELS = (("scorer", "bodyparts", "coords"), ("scorer", "individuals", "bodyparts", "coords"))
UNIQUE = "single"
LIKELY = 0.6  # DeepLabCut's own bound: what is less likely it does not show
_BLOCK = "values_block_0"
_CSV = "give the csv that DeepLabCut writes beside it"
_AGAIN = "export it again from DeepLabCut"


def read_csv(source: Source) -> Sightings:
    """Everyone in a csv file.

    Args:
        source: Rows of text: three or four of headers, then one a frame, begun by the number of
            the frame or the path of a picture. An empty number is absent.

    Raises:
        DataError: A row or header is of another form, see also :func:`_sightings`.
    """
    path = source.path
    rows = full_rows(path, source.content)
    levels = tuple(row[0] for row in rows[:4] if row[0] in LEVELS[1])
    header, body = rows[: len(levels)], rows[len(levels) :]
    if levels not in LEVELS or not body:
        raise DataError(
            f"expected rows of {', '.join(LEVELS[1])} (without individuals where there is one) "
            f"and then frames in {path}, got {', '.join(levels)} and {len(body)} others; {_AGAIN}"
        )
    # The path of a picture may be spread over three columns, without headers.
    first = next((i for i, cell in enumerate(header[-1]) if i and cell), len(header[-1]))
    columns = list(zip(*(row[first:] for row in header), strict=True))
    frames = ["/".join(row[:first]) for row in body]
    return _sightings(path, columns, frames, numbers(path, (row[first:] for row in body)))


def read_h5(source: Source) -> Sightings:
    """Everyone in an HDF5 file that pandas wrote as a table.

    Args:
        source: One group with ``table``: a row a frame, ``index`` and ``values_block_0``. The
            names of the columns are a pickle among the attributes of the group, which is scanned
            for names and not unpickled.

    Raises:
        DataError: It is of another form, see also :func:`_sightings`.
    """
    path, entries = source.path, source.content
    group, *others = _frames_of(source)
    form, held = entries[group].attributes["pandas_type"], entries.get(f"{group}/table")
    dtype = held.dtype if held else ""
    shape: tuple[int, ...] = (held.shape or ()) if held else ()
    plain = len(shape) == 1 and f"'{_BLOCK}', '<f" in dtype and "_block_1" not in dtype
    if others or form != "frame_table" or not plain or "'index', '<i" not in dtype:
        raise DataError(
            f"expected one pandas table of numbers by frame, not of the fixed form, in {path}, "
            f"got {1 + len(others)}, the first '{group[:40]}' of type {form[:40]} with "
            f"columns {dtype[:120] or 'of its own'}; {_CSV}"
        )
    columns = _columns(path, entries[group].attributes.get("non_index_axes", ""))
    block = held.attributes.get(f"{_BLOCK}_kind")
    if block is not None and _tuples(read_pickled_names(block, str(path))) != columns:
        raise DataError(
            f"expected the columns of {path} in one order, got two that differ; {_CSV}"
        )
    index, values = f"{group}/table[index]", f"{group}/table[{_BLOCK}]"
    source.size.check_frames(path, shape[0])
    source.size.check_bytes(path, 8 * shape[0] * (1 + len(columns)))
    try:
        found = read_mat(path, {index: 1, values: 2}, Limits(max_bytes=source.size.bytes))
    except DataError as error:
        raise DataError(f"{error}, or {_CSV}") from None
    frames = [str(number) for number in found[index].tolist()]
    return _sightings(path, columns, frames, found[values].astype(np.float64))


def _columns(path: Path, text: str) -> Columns:
    """Headers of the columns: ``[(1, [(scorer, part, x), ...])]``."""
    axes = read_pickled_names(text, f"the names of the columns of {path}")
    if isinstance(axes, list) and len(axes) == 1 and isinstance(axes[0], tuple):
        axis, *names = axes[0]
        if axis == 1 and len(names) == 1 and (columns := _tuples(names[0])):
            return columns
    raise DataError(f"expected names of columns in {path}, got none that are complete; {_CSV}")


def _tuples(names: object) -> Columns:
    """A list of tuples of texts, all of three or all of four; empty where it is another."""
    rows = names if isinstance(names, list) else []
    fit = [row for row in rows if isinstance(row, tuple) and all(type(v) is str for v in row)]
    sizes = {len(row) for row in fit}
    return fit if len(fit) == len(rows) and sizes <= {3, 4} and len(sizes) == 1 else []


def _sightings(path: Path, columns: Columns, frames: list[str], values: FloatArray) -> Sightings:
    """Everyone in a table, ``(frames, columns)``.

    Raises:
        DataError: Columns contradict one another, are of several scorers or of 3D, or the names
            are not a person's.
    """
    place = {(c[1] if len(c) == 4 else "", c[-2], c[-1]): i for i, c in enumerate(columns)}
    scorers = {column[0] for column in columns}
    coords = sorted({coord for _, _, coord in place})
    if len(scorers) != 1 or len(place) != len(columns) or values.shape[1:] != (len(columns),):
        raise DataError(
            f"expected each column once, of one scorer, in {path}, got {values.shape[-1]} columns "
            f"with {len(place)} names of {len(scorers)} scorers; export one network at a time"
        )
    everyone = list(dict.fromkeys(one for one, _, _ in place))
    people = [one for one in everyone if one != UNIQUE] or everyone
    parts = list(dict.fromkeys(part for one, part, _ in place if one in people))
    wanted = {(one, part, coord) for one in people for part in parts for coord in coords}
    if coords not in (["likelihood", "x", "y"], ["x", "y"]) or not wanted <= set(place):
        raise DataError(
            f"expected x, y and likelihood, or x and y, of every part and person in {path}, got "
            f"{', '.join(coord[:20] for coord in coords[:6])}, {len(wanted - set(place))} of them "
            f"lacking; {_AGAIN}, from the 2D tables of the cameras where there is z"
        )
    chosen = [[[place.get((one, part, c), 0) for c in ("x", "y", "likelihood")] for part in parts]
              for one in people]  # fmt: skip
    joints = values[:, np.array(chosen)]  # (frames, people, parts, 3)
    if "likelihood" not in coords:  # labelled by hand
        joints[..., 2] = np.where(np.isnan(joints[..., :2]).any(-1), 0.0, 1.0)
    unsure = joints[..., 2] < LIKELY
    joints[unsure] = (np.nan, np.nan, 0.0)
    order = _order(path, frames)
    arranged = arrange(path, parts, joints[order])
    said = [f"{unsure.mean():.0%} of the parts are less likely than {LIKELY}, and absent"]
    if UNIQUE in everyone and UNIQUE not in people:
        said.append(f"parts of nobody ('{UNIQUE}') left out")
    found = many_people(
        "deeplabcut",
        arranged.joints,
        np.arange(len(people)) if len(people) > 1 else None,
        named=arranged.named,
        extra=arranged.extra,
        notes=(arranged.note, *said),
    )
    found.frames = [frames[i] for i in order]
    return found


def _order(path: Path, frames: list[str]) -> list[int]:
    """Rows in the order of the video: numbers rise, pictures are of one folder."""
    pictures = [not frame.isdecimal() for frame in frames]
    rising = not any(pictures) and (np.diff([int(f[:18]) for f in frames]) > 0).all()
    order = sorted(range(len(frames)), key=lambda i: natural_key(frames[i]))
    folders = {re.sub(r"[^/\\]*$", "", frame) for frame in frames}
    named = all(pictures) and all(re.search(r"\.[A-Za-z]\w*$", frame) for frame in frames)
    if not rising and not (named and len(folders) == 1 and len(set(frames)) == len(frames)):
        raise DataError(
            f"expected numbers of frames that rise, or pictures of one video, each once, as the "
            f"first column of {path}, got {len(frames)} rows from '{frames[0][:40]}' to "
            f"'{frames[-1][:40]}' of {len(folders)} folders; {_AGAIN}, one video a file"
        )
    return order


def _frames_of(source: Source) -> list[str]:
    """Groups that pandas wrote."""
    return [name for name, one in source.content.items() if "pandas_type" in one.attributes]


DIALECTS = (
    Dialect("deeplabcut-csv", "DeepLabCut csv", ("table",), ("scorer",),
            lambda s: not s.is_folder and s.content[0][:1] == ["scorer"], read_csv),
    Dialect("deeplabcut-h5", "DeepLabCut h5", ("hdf5",), ("df_with_missing",),
            lambda s: bool(_frames_of(s)), read_h5),
)  # fmt: skip
