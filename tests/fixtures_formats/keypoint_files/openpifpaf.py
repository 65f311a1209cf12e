"""OpenPifPaf's predictions of images and of videos."""

from __future__ import annotations

import json

from detected import detected


def prediction(person, track=None):
    low, high = person[:, :2].min(0), person[:, :2].max(0)
    entry = {
        "keypoints": person.reshape(-1).tolist(),
        "bbox": [*low.tolist(), *(high - low).tolist()],
        "score": 0.91,
        "category_id": 1,
    }
    return entry if track is None else entry | {"id_": track}


def images(folder, people):
    inside = folder / "out"
    inside.mkdir()
    for i, frame in enumerate(people):
        file = inside / f"frame_{i}.jpg.predictions.json"
        file.write_text(json.dumps([prediction(p) for p in frame]))
    return inside


def image(folder, people):
    path = folder / "photo.jpg.predictions.json"
    path.write_text(json.dumps([prediction(p) for p in people[0]]))
    return path


def video(folder, people, *, tracked=True):
    lines = [
        json.dumps(
            {
                "frame": i + 1,
                "predictions": [
                    prediction(p, k + 1 if tracked else None) for k, p in enumerate(frame)
                ],
            }
        )
        for i, frame in enumerate(people)
    ]
    path = folder / "clip.mp4.openpifpaf.json"
    path.write_text("\n".join(lines) + "\n")
    return path


WRITERS = {
    "openpifpaf-images": lambda folder: images(folder, detected("coco17", persons=2)),
    "openpifpaf-image": lambda folder: image(folder, detected("coco17", 1, 2)),
    "openpifpaf-video": lambda folder: video(folder, detected("coco17", persons=3)),
    "openpifpaf-wholebody": lambda folder: video(
        folder, detected("wholebody133", persons=2), tracked=False
    ),
}
