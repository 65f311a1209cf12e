"""SLEAP analysis files: HDF5 in both orders of axes, and csv."""

from __future__ import annotations

import json

import h5py
import numpy as np
from detected import detected

from lifting.skeleton import get_skeleton

AXES = ("frame", "track", "node", "xy")
MATLAB = ("track", "xy", "node", "frame")


def write_h5(path, people, names, axes=MATLAB, *, says=False, tracks=None, vlen=False):
    """``(frames, persons, parts, 3)``; ``says`` writes ``dims``, as newer files do."""
    persons = people.shape[1]
    tracks = [f"track_{i}" for i in range(persons)] if tracks is None else tracks
    seen = np.isfinite(people[..., :2]).all(-1).any(-1)
    scores = np.where(seen, 0.9, np.nan)
    arrays = {
        "tracks": (people[..., :2], axes),
        "point_scores": (people[..., 2], tuple(a for a in axes if a != "xy")),
        "instance_scores": (scores, tuple(a for a in axes if a in AXES[:2])),
        "tracking_scores": (0 * scores, tuple(a for a in axes if a in AXES[:2])),
        "track_occupancy": (seen.astype(np.uint8), AXES[:2]),
    }
    text = h5py.string_dtype() if vlen else f"S{max(map(len, names))}"
    with h5py.File(path, "w") as file:
        for name, (array, order) in arrays.items():
            turned = array.transpose([AXES.index(axis) for axis in order])
            file.create_dataset(name, data=turned, compression="gzip")
            if says:
                file[name].attrs["dims"] = json.dumps(order)
        file.create_dataset("node_names", data=[name.encode() for name in names], dtype=text)
        file.create_dataset("track_names", data=np.array(tracks, dtype="S16"))
        file["video_path"] = "walk.mp4"
        if says:
            file.attrs["preset"] = "matlab" if axes == MATLAB else "standard"
    return path


def write_csv(path, people, names, frames=None, tracks=None):
    """A row a person and frame where there is one; ``tracks`` names them, empty for none."""
    tracks = [f"track_{i}" for i in range(people.shape[1])] if tracks is None else tracks
    parts = [f"{name}.{what}" for name in names for what in ("x", "y", "score")]
    lines = [["track", "frame_idx", "instance.score", *parts]]
    for i, frame in enumerate(people):
        for track, person in zip(tracks, frame, strict=True):
            if np.isfinite(person[..., 0]).any():
                cells = ["" if np.isnan(v) else repr(float(v)) for v in person.reshape(-1)]
                number = i if frames is None else frames[i]
                lines.append([track, str(number), "0.9", *cells])
    path.write_text("".join(",".join(line) + "\n" for line in lines))
    return path


NAMES = get_skeleton("coco17").joints

WRITERS = {
    "sleap-h5": lambda folder: write_h5(
        folder / "walk.analysis.h5", detected("coco17", persons=2), NAMES
    ),
    "sleap-h5-dims": lambda folder: write_h5(
        folder / "new.analysis.h5", detected("coco17", persons=2), NAMES, AXES, says=True
    ),
    "sleap-csv": lambda folder: write_csv(
        folder / "walk.analysis.csv", detected("coco17", persons=2), NAMES
    ),
}
