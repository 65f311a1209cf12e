"""What Ultralytics' results write of 40 frames with two people, in pixels or relative."""

from __future__ import annotations

import csv
import io
import json

from detected import SIZE, detected

PEOPLE = detected("coco17", 40, 2)
PEOPLE[3, 1, 9] = 0  # a wrist that was not found


def box(person):
    found = person[person[:, 2] > 0, :2]
    return dict(zip(("x1", "y1", "x2", "y2"),
                    [*found.min(0).tolist(), *found.max(0).tolist()], strict=True))  # fmt: skip


def entry(person, track=None, visible=True):
    keypoints = {"x": person[:, 0].tolist(), "y": person[:, 1].tolist()}
    if visible:
        keypoints["visible"] = person[:, 2].tolist()
    tracked = {} if track is None else {"track_id": track}
    return {"name": "person", "class": 0, "confidence": 0.91, "box": box(person), **tracked,
            "keypoints": keypoints}  # fmt: skip


def frames(people=PEOPLE, **how):
    return [[entry(person, k + 3, **how) for k, person in enumerate(frame)] for frame in people]


def dumped(name, content):
    def write(folder):
        path = folder / f"{name}.json"
        path.write_text(json.dumps(content))
        return path

    return write


def json_lines(folder):
    path = folder / "lines.jsonl"
    path.write_text("".join(json.dumps(frame) + "\n" for frame in frames()))
    return path


def json_folder(folder):
    inside = folder / "results"
    inside.mkdir()
    for i, frame in enumerate(frames()):
        (inside / f"clip_{i}.json").write_text(json.dumps(frame, indent=2))
    return inside


def table(people, *, split=False, as_json=False):
    """``to_csv`` of an image, whose nested values are the text of a Python dict."""
    text = io.StringIO()
    header = ["name", "class", "confidence", *(["box.x1", "box.y1", "box.x2", "box.y2"]
              if split else ["box"]), "track_id", "keypoints"]  # fmt: skip
    rows = csv.writer(text)
    rows.writerow(["", *header])
    for i, one in enumerate(people):
        nested = json.dumps if as_json else str
        inside = list(one["box"].values()) if split else [nested(one["box"])]
        rows.writerow([i, one["name"], one["class"], one["confidence"], *inside, one["track_id"],
                       nested(one["keypoints"])])  # fmt: skip
    return text.getvalue()


def csv_folder(**how):
    def write(folder):
        inside = folder / "tables"
        inside.mkdir()
        for i, frame in enumerate(frames()):
            (inside / f"clip_{i}.csv").write_text(table(frame, **how))
        return inside

    return write


WRITERS = {
    "ultralytics-lists": dumped("lists", frames()),
    "ultralytics-relative": dumped("relative", frames(PEOPLE / [*SIZE, 1])),
    "ultralytics-by-frame": dumped("by_frame", {str(i): f for i, f in enumerate(frames())}),
    "ultralytics-text": dumped("text", [json.dumps(frame) for frame in frames()]),
    "ultralytics-lines": json_lines,
    "ultralytics-folder": json_folder,
    "ultralytics-csv": csv_folder(),
    "ultralytics-csv-columns": csv_folder(split=True, as_json=True),
}
