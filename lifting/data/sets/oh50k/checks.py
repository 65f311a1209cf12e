"""What ``lifting data check 3doh50k`` looks at."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from lifting.data.config import DataConfig, Split
from lifting.data.doctor.body import check_bodies
from lifting.data.doctor.presence import SUMS, attempt, check_content, check_presence, find_files
from lifting.data.doctor.reading import check_reading
from lifting.data.doctor.rows import CheckRow, judged, judged_count
from lifting.data.doctor.specimen import Bodies, Take, spread
from lifting.data.sets.oh50k import reader as oh50k
from lifting.data.sets.oh50k.files import Oh50kAnnotations, read_annotations
from lifting.data.sets.oh50k.place import PlacedPeople, place_people
from lifting.skeleton import SMPL_24

_SPLITS: dict[str, tuple[Split, ...]] = {"train": ("train", "val"), "test": ("test",)}
_LOOKED_AT = 2000  # images whose poses are judged
_FEW = 0.01
_WHOLE = f"use {oh50k.ANNOTATIONS} as it is downloaded, or expect other figures than published"


def check(config: DataConfig, published: dict[str, int] | None = None) -> list[CheckRow]:
    """Look at the files of 3DOH50K.

    Args:
        config: The data section.
        published: How many images a part has; None for the published numbers.
    """
    counts = oh50k.PUBLISHED if published is None else published
    rows: list[CheckRow] = []
    root = config.root
    for part, folders in oh50k.PARTS.items():
        patterns = [f"{folder}/{oh50k.ANNOTATIONS}" for folder in folders]
        found = (find_files(oh50k.NAME, root, [pattern]) for pattern in patterns)
        paths = next(filter(None, found), [])
        rows.append(check_presence(oh50k.NAME, root, patterns[0], paths))
        if paths:
            rows += check_content([path for path in paths[:1] if (path.parent / SUMS).is_file()])
            rows += _check_part(part, paths[0], counts[part])
            rows += check_reading(oh50k.tracks, config, _SPLITS[part])
    return rows


def _check_part(part: str, path: Path, published: int) -> list[CheckRow]:
    rows: list[CheckRow] = []
    labels = attempt(
        rows, f"form {part}", "annotations of 3DOH50K", partial(read_annotations, path)
    )
    if labels is None:
        return rows
    number = judged_count(f"images {part}", published, len(labels), _WHOLE)
    rows += [number, _check_pictures(part, labels)]
    expected = "3D falls on 2D in one frame, people of the size of people"
    placed = attempt(rows, f"labels {part}", expected, partial(place_people, labels))
    if placed is None:
        return rows
    found = f"frame of the {placed.facts['label_frame']}; {placed.facts['label_unit']}"
    rows += [CheckRow(f"labels {part}", expected, found, "ok"), _check_valid(part, placed)]
    return rows + check_bodies(_bodies(part, labels, placed)).rows


def _check_pictures(part: str, labels: Oh50kAnnotations) -> CheckRow:
    places = [labels.path.parent / picture for picture in labels.pictures]
    missing = [place for place in places if not place.is_file()]
    return judged(
        f"pictures {part}",
        "a picture for every image",
        f"{len(missing)} of {len(places)} are not there, first {missing[0]}"
        if missing
        else f"{len(places)} pictures",
        "fail" if missing else "ok",
        f"unpack the images beside {oh50k.ANNOTATIONS}",
    )


def _check_valid(part: str, placed: PlacedPeople) -> CheckRow:
    bad, total = int((~placed.valid).sum()), len(placed.valid)
    return judged(
        f"people {part}",
        "finite joints before the camera",
        f"{bad} of {total} are not, first number {int((~placed.valid).nonzero()[0])}"
        if bad
        else f"{total} people",
        "ok" if not bad else "warn" if bad <= _FEW * total else "fail",
        "these images are masked: get the file again, or leave them out",
    )


def _bodies(part: str, labels: Oh50kAnnotations, placed: PlacedPeople) -> Bodies:
    """People evenly spread over the file, a take each."""
    valid = np.flatnonzero(placed.valid.numpy())
    return Bodies(
        label=f"3D {part}", skeleton=SMPL_24, unit="mm", up="-y", fps=1.0, bone_share=0.05,
        bone_reason="a body model's",
        takes=tuple(
            Take(subject="unknown", name=labels.pictures[i], action="unknown",
                 joints=placed.joints[i : i + 1].numpy())
            for i in spread(valid, _LOOKED_AT).tolist()
        ),
    )  # fmt: skip
