"""MediaPipe landmarks in the layouts that users write, of 40 frames.

``PEOPLE`` and ``PERSON`` are what the files hold: x and y in parts of the image, and visibility.
"""

from __future__ import annotations

import json

import numpy as np
from detected import SIZE, detected

from lifting.skeleton import get_skeleton

PEOPLE = detected("mediapipe33", 40, 2) / [*SIZE, 1]
PERSON = detected("mediapipe33", 40, 1)[:, 0] / [*SIZE, 1]
NAMES = [
    "MOUTH_LEFT" if name == "left_mouth" else "MOUTH_RIGHT" if name == "right_mouth"
    else name.upper() for name in get_skeleton("mediapipe33").joints
]  # fmt: skip


def objects(person, **more):
    """The landmarks of a person, as the library's objects have them."""
    return [
        {"x": x, "y": y, "z": -0.05 + 0.01 * j, "visibility": v, **more}
        for j, (x, y, v) in enumerate(person.tolist())
    ]


def arrays(person):
    return [[x, y, -0.05 + 0.01 * j, v] for j, (x, y, v) in enumerate(person.tolist())]


def flat(points):
    return [number for point in points for number in point]


def world(person):
    """Metres around the hips, y down."""
    metres = (person[:, :2] * SIZE - (person[23, :2] + person[24, :2]) * SIZE / 2) / 160
    return [{"x": x, "y": y, "z": 0.1, "visibility": 0.9} for x, y in metres.tolist()]


def without_zeros(points):
    """What MessageToDict makes of objects: a number that is zero is left out."""
    return [{key: value for key, value in point.items() if value} for point in points]


def dumped(name, content):
    def write(folder):
        path = folder / f"{name}.json"
        path.write_text(json.dumps(content))
        return path

    return write


def wrapper(numbers="frame", places=range(40), key="landmarks"):
    frames = [
        {numbers: i, "timestamp_ms": round(i * 1000 / 30), key: objects(person)}
        for i, person in zip(places, PERSON, strict=True)
    ]
    return {"fps": 30, "width": SIZE[0], "height": SIZE[1], "frames": frames}


def csv_numbered(folder):
    header = [f"{axis}{j}" for j in range(1, 34) for axis in "xyzv"]
    lines = [",".join(["class", *header])]
    lines += [
        ",".join(["walk", *(repr(v) for point in arrays(person) for v in point)])
        for person in PERSON
    ]
    path = folder / "coords.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def csv_named(folder):
    header = [f"{name}_{axis}" for name in NAMES for axis in ("x", "y", "z", "visibility")]
    lines = [",".join(["frame", *header])]
    lines += [
        ",".join([str(i), *(repr(v) for point in arrays(person) for v in point)])
        for i, person in enumerate(PERSON)
    ]
    path = folder / "named.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def npz(folder):
    values = np.array([arrays(person) for person in PERSON])
    np.savez(folder / "landmarks.npz", landmarks=values)
    return folder / "landmarks.npz"


def json_lines(folder):
    path = folder / "frames.jsonl"
    path.write_text("".join(json.dumps({"pose_landmarks": [objects(p) for p in frame]}) + "\n"
                            for frame in PEOPLE))  # fmt: skip
    return path


def a_file_a_frame(folder):
    inside = folder / "frames"
    inside.mkdir()
    for i, person in enumerate(PERSON):
        (inside / f"frame_{i}.json").write_text(json.dumps(objects(person)))
    return inside


# Of PERSON unless the name is in SEVERAL, then of PEOPLE.
WRITERS = {
    "mediapipe-legacy": dumped("a", [objects(p) for p in PERSON]),
    "mediapipe-message": dumped("b", [{"landmark": without_zeros(objects(p))} for p in PERSON]),
    "mediapipe-message-result": dumped(
        "c", [{"poseLandmarks": {"landmark": without_zeros(objects(p))},
               "poseWorldLandmarks": {"landmark": without_zeros(world(p))}} for p in PERSON],
    ),
    "mediapipe-legacy-js": dumped(
        "d", [{"poseLandmarks": objects(p), "poseWorldLandmarks": world(p)} for p in PERSON]
    ),
    "mediapipe-tasks": dumped(
        "e", [{"pose_landmarks": [objects(p, presence=0.9) for p in frame],
               "pose_world_landmarks": [world(p) for p in frame]} for frame in PEOPLE],
    ),
    "mediapipe-tasks-js": dumped(
        "f", [{"landmarks": [objects(p) for p in frame],
               "worldLandmarks": [world(p) for p in frame], "timestamp": 1000 / 30 * i}
              for i, frame in enumerate(PEOPLE)],
    ),
    "mediapipe-arrays": dumped("g", [arrays(p) for p in PERSON]),
    "mediapipe-flat": dumped("h", [flat(arrays(p)) for p in PERSON]),
    "mediapipe-by-number": dumped(
        "i", [{str(j): point for j, point in enumerate(objects(p))} for p in PERSON]
    ),
    "mediapipe-by-name": dumped(
        "j", [dict(zip(NAMES, objects(p), strict=True)) for p in PERSON]
    ),
    "mediapipe-wrapper": dumped("k", wrapper()),
    "mediapipe-wrapper-keypoints": dumped("l", wrapper("frame_number", key="keypoints")),
    "mediapipe-csv": csv_numbered,
    "mediapipe-csv-named": csv_named,
    "mediapipe-npz": npz,
    "mediapipe-lines": json_lines,
    "mediapipe-folder": a_file_a_frame,
}  # fmt: skip
SEVERAL = {"mediapipe-tasks", "mediapipe-tasks-js", "mediapipe-lines"}
