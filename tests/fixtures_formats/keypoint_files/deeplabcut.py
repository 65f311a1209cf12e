"""DeepLabCut files: csv of one and of several individuals, and h5 as pandas writes a table.

The h5 structure is that measured on a file of DeepLabCut: a group with the columns' names as a
pickle of protocol 0, and ``table`` of (index, values_block_0).
"""

from __future__ import annotations

import pickle

import h5py
import numpy as np
from detected import detected

from lifting.skeleton import get_skeleton

FIRST = 42150
SCORER = "DLC_resnet50_walkJan1shuffle1_1000"
COORDS = ("x", "y", "likelihood")


def columns_of(parts, individuals=(), coords=COORDS, scorer=SCORER):
    """Headers of the columns, in DeepLabCut's order."""
    return [
        (scorer, *([one] if individuals else []), part, coord)
        for one in individuals or [""]
        for part in parts
        for coord in coords
    ]


def write_csv(path, columns, index, values, levels=None):
    """Rows of text; NaN is an empty cell."""
    several = len(columns[0]) == 4
    levels = levels or ("scorer", *(["individuals"] if several else []), "bodyparts", "coords")
    lines = [
        [level, *names] for level, names in zip(levels, zip(*columns, strict=True), strict=True)
    ]
    for number, row in zip(index, values, strict=True):
        lines.append([str(number), *("" if np.isnan(v) else repr(float(v)) for v in row)])
    path.write_text("".join(",".join(line) + "\n" for line in lines))
    return path


def write_h5(path, columns, index, values, group="df_with_missing", names=None, **storage):
    """A pandas table; ``names`` replaces the pickled names of the columns."""
    kind = np.dtype([("index", "<i8"), ("values_block_0", "<f8", (values.shape[1],))])
    rows = np.empty(len(values), kind)
    rows["index"], rows["values_block_0"] = index, values
    with h5py.File(path, "w") as file:
        frame = file.create_group(group)
        frame.attrs["pandas_type"] = np.bytes_(b"frame_table")
        frame.attrs["table_type"] = np.bytes_(b"appendable_frame")
        frame.attrs["values_cols"] = np.bytes_(pickle.dumps(["values_block_0"], 0))
        text = pickle.dumps([(1, columns)], 0) if names is None else names
        frame.attrs["non_index_axes"] = np.bytes_(text)
        table = frame.create_dataset("table", data=rows, chunks=(min(16, len(rows)),), **storage)
        table.attrs["index_kind"] = np.bytes_(b"integer")
    return path


def numbers(people):
    """``(frames, persons, joints, 3)`` as ``(frames, columns)``."""
    return people.reshape(len(people), -1)


def likely(name, *frames, **options):
    """People of whom nothing is less likely than 0.6, which DeepLabCut does not show."""
    people = detected(name, *frames, **options)
    people[..., 2] = (0.2 + 0.8 * people[..., 2]).round(3)
    return people


def csv_of_one(folder):
    people = likely("coco17")
    columns = columns_of(get_skeleton("coco17").joints)
    return write_csv(folder / "walkDLC.csv", columns, range(len(people)), numbers(people))


def csv_of_two(folder):
    people = likely("coco17", persons=2)
    columns = columns_of(get_skeleton("coco17").joints, ("p1", "p2"))
    return write_csv(folder / "walkDLC_el.csv", columns, range(len(people)), numbers(people))


def labelled(folder):
    people = likely("coco17")[..., :2]
    columns = columns_of(get_skeleton("coco17").joints, coords=("x", "y"), scorer="me")
    index = [f"labeled-data/walk/img{i:04d}.png" for i in range(len(people))]
    return write_csv(folder / "CollectedData_me.csv", columns, index, numbers(people))


def h5_of_one(folder):
    people = likely("coco17")
    columns = columns_of(get_skeleton("coco17").joints)
    return write_h5(
        folder / "walkDLC.h5", columns, range(FIRST, FIRST + len(people)), numbers(people)
    )


def h5_of_two(folder):
    people = likely("coco17", persons=2)
    columns = columns_of(get_skeleton("coco17").joints, ("p1", "p2"))
    path = folder / "walkDLC_el.h5"
    return write_h5(path, columns, range(len(people)), numbers(people), group="keypoints")


WRITERS = {
    "deeplabcut-csv": csv_of_one,
    "deeplabcut-csv-multi": csv_of_two,
    "deeplabcut-csv-labelled": labelled,
    "deeplabcut-h5": h5_of_one,
    "deeplabcut-h5-multi": h5_of_two,
}
