"""Reads exported files with programs of others, in the environment of ``make readers``.

A list of jobs, JSON, on the standard input: reader, file and the npz to write with names,
positions in millimetres and times.
"""

from __future__ import annotations

import json
import sys

import numpy as np


def pybvh(file):
    from pybvh import read_bvh_file

    found = read_bvh_file(file, world_up="+y")
    times = np.arange(found.frame_count) * found.frame_time
    return found.joint_names, found.joint_positions() * 10, times


def ezc3d(file):
    import ezc3d as package

    found = package.c3d(file)
    point = found["parameters"]["POINT"]
    assert point["UNITS"]["value"] == ["mm"]
    points = found["data"]["points"][:3].transpose(2, 1, 0)
    assert (found["data"]["meta_points"]["residuals"][0].T[np.isnan(points[..., 0])] == -1).all()
    return point["LABELS"]["value"], points, np.arange(len(points)) / point["RATE"]["value"][0]


def c3d(file):
    import c3d as package

    with open(file, "rb") as stream:  # noqa: PTH123
        found = package.Reader(stream)
        frames = np.array([points for _, points, _ in found.read_frames()])
        names = [label.strip() for label in found.point_labels]
        rate = found.point_rate
    points = np.where(frames[..., 3:4] < 0, np.nan, frames[..., :3])
    return names, points, np.arange(len(points)) / rate


def table(file):
    import opensim

    found = opensim.TimeSeriesTableVec3(file)
    names = list(found.getColumnLabels())
    columns = [found.getDependentColumn(name) for name in names]
    points = [[[column[i][k] for k in range(3)] for column in columns]
              for i in range(found.getNumRows())]  # fmt: skip
    assert found.getTableMetaDataString("Units") == "m"
    return names, np.array(points) * 1000, np.array(found.getIndependentColumn())


def trc_times(file):
    import opensim

    found = opensim.TimeSeriesTableVec3(file)
    return [], np.empty(0), np.array(found.getIndependentColumn())


def markers(file):
    import opensim

    found = opensim.MarkerData(file)
    found.convertToUnits(opensim.Units("mm"))
    names = [found.getMarkerNames().get(i) for i in range(found.getNumMarkers())]
    frames = [found.getFrame(i) for i in range(found.getNumFrames())]
    points = [[[frame.getMarker(j)[k] for k in range(3)] for j in range(len(names))]
              for frame in frames]  # fmt: skip
    return names, np.array(points), np.array([frame.getFrameTime() for frame in frames])


def long_table(file):
    import pandas

    found = pandas.read_csv(file)
    person = found[found.person == found.person.iloc[0]]
    names = list(dict.fromkeys(person.joint))
    points = person[["x_mm", "y_mm", "z_mm"]].to_numpy().reshape(-1, len(names), 3)
    return names, points, person.time_s.to_numpy()[:: len(names)]


def wide_table(file):
    import pandas

    found = pandas.read_csv(file)
    person = found[found.person == found.person.iloc[0]]
    columns = [c for c in found.columns if c.endswith(("_x_mm", "_y_mm", "_z_mm"))]
    points = person[columns].to_numpy().reshape(len(person), -1, 3)
    return [c.removesuffix("_x_mm") for c in columns[::3]], points, person.time_s.to_numpy()


def main():
    for job in json.load(sys.stdin):
        names, points, times = globals()[job["reader"]](job["file"])
        np.savez(job["out"], names=np.array(names), points=points, times=times)


if __name__ == "__main__":
    main()
