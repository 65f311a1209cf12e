"""Own recordings of several cameras in words: content, files, split, terms."""

from __future__ import annotations

from lifting.data.describe import READ_AS_IS, About

ABOUT = About(
    files=(("*/*.json",), ("*/*.npz",), ("*/*/*.json",)),
    shown="<recording>/<camera>.json, .npz or folder of JSON files; cameras.json optional",
    page="",
    facts=(
        ("content", "keypoints of one person in two or more synchronised videos of static "
                    "cameras; no 3D truth: a teacher makes the labels "
                    "(data.labels=epipolar)"),
        ("cameras", "cameras.json: image_size; where known intrinsics, rotation, position"),
        ("split", "the end of every recording validates and tests "
                  "(data.keypoint_rig.holdout)"),
        ("preparation", f"needs {READ_AS_IS}"),
        ("terms", "yours"),
    ),
)  # fmt: skip
