"""AlphaPose: the default list, and the styles cmu and open, in a file or one an image."""

from __future__ import annotations

import json

from detected import detected

from keypoint_files.coco import box_of, numbers


def results(path, people, *, idx=lambda k: [0.0], first=1):
    """The default list: score is a sum, and ``idx`` tells nobody apart unless there are tracks."""
    entries = [
        {"image_id": f"out{first + i:07d}.png", "category_id": 1, "keypoints": numbers(person),
         "score": 3.02 + k, "idx": idx(k), "box": box_of(person)}
        for i, frame in enumerate(people) for k, person in enumerate(frame)
    ]  # fmt: skip
    path.write_text(json.dumps(entries))
    return path


def image(frame, style):
    """People of one image in the style cmu or open."""
    if style == "cmu":
        bodies = [{"joints": numbers(person)} for person in frame]
        return {"version": "AlphaPose v0.3", "bodies": bodies}
    people = [{"pose_keypoints_2d": numbers(person)} for person in frame]
    return {"version": "AlphaPose v0.3", "people": people}


def by_image(path, people, style):
    """One object by image name."""
    path.write_text(
        json.dumps({f"{i}.jpg": image(frame, style) for i, frame in enumerate(people)})
    )
    return path


def separate(folder, people, style):
    """A file an image."""
    folder.mkdir(exist_ok=True)
    for i, frame in enumerate(people):
        (folder / f"{i}.json").write_text(json.dumps(image(frame, style)))
    return folder


WRITERS = {
    "alphapose": lambda folder: results(folder / "alphapose-results.json", detected("halpe26")),
    "alphapose-people": lambda folder: results(
        folder / "people.json", detected("coco17", persons=2)
    ),
    "alphapose-tracks": lambda folder: results(
        folder / "tracks.json", detected("coco17", persons=2), idx=lambda k: k + 1
    ),
    "alphapose-136": lambda folder: results(folder / "136.json", detected("halpe136")),
    "alphapose-cmu": lambda folder: by_image(
        folder / "cmu.json", detected("coco18", persons=2), "cmu"
    ),
    "alphapose-open": lambda folder: by_image(folder / "open.json", detected("coco18"), "open"),
    "alphapose-cmu-folder": lambda folder: separate(
        folder / "sep-json-cmu", detected("coco18"), "cmu"
    ),
    "alphapose-open-folder": lambda folder: separate(
        folder / "sep-json-open", detected("coco18", persons=2), "open"
    ),
}
