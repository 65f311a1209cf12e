"""Label files of Ultralytics, and rows of YOLOv7, of 40 frames with two people."""

from __future__ import annotations

import json

import numpy as np
from detected import SIZE, detected

PEOPLE = detected("coco17", 40, 2)
SURE = (0.93, 0.87)


def box(person, size=(1, 1)):
    low, high = person[:, :2].min(0) / size, person[:, :2].max(0) / size
    return [*((low + high) / 2).tolist(), *(high - low).tolist()]


def label(person, *more, columns=3, kind=0):
    """A line: class, box, joints, and what follows."""
    scaled = (person / [*SIZE, 1])[:, :columns]
    numbers = [*box(person, SIZE), *scaled.reshape(-1).tolist(), *more]
    return " ".join([str(kind), *(f"{v:.9g}" for v in numbers)])


def labels(*, conf=False, track=False, columns=3, people=PEOPLE, empty=()):
    """A folder of them; a frame without people has no file."""

    def write(folder):
        inside = folder / "labels"
        inside.mkdir()
        for i, frame in enumerate(people, 1):
            lines = [
                label(person, *([SURE[k]] * conf), *([k + 4] * track), columns=columns)
                for k, person in enumerate(frame)
            ]
            if i not in empty:
                (inside / f"clip_{i}.txt").write_text("".join(line + "\n" for line in lines))
        return inside

    return write


def row(frame, person, kind=0):
    return [frame, kind, *box(person), SURE[0], *person.reshape(-1).tolist()]


def rows_json(folder):
    path = folder / "rows.json"
    path.write_text(json.dumps([row(i, p) for i, frame in enumerate(PEOPLE) for p in frame]))
    return path


def rows_by_frame(folder):
    path = folder / "frames.json"
    path.write_text(json.dumps([[row(0, p) for p in frame] for frame in PEOPLE]))
    return path


def rows_text(folder):
    path = folder / "rows.txt"
    np.savetxt(path, [row(i, p) for i, frame in enumerate(PEOPLE) for p in frame], fmt="%.9g")
    return path


def entries(folder):
    path = folder / "entries.json"
    path.write_text(json.dumps([{"frame": i, "keypoints": row(i, p)[7:]}
                                for i, frame in enumerate(PEOPLE) for p in frame]))  # fmt: skip
    return path


WRITERS = {
    "yolo-labels": labels(),
    "yolo-labels-conf": labels(conf=True),
    "yolo-labels-id": labels(track=True),
    "yolo-labels-conf-id": labels(conf=True, track=True),
    "yolo-labels-xy": labels(columns=2),
    "yolo-labels-xy-conf": labels(columns=2, conf=True),
    "yolo-labels-xy-conf-id": labels(columns=2, conf=True, track=True),
    "yolov7-rows": rows_json,
    "yolov7-rows-by-frame": rows_by_frame,
    "yolov7-rows-text": rows_text,
    "yolov7-entries": entries,
}
