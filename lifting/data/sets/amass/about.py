"""AMASS in words: content, files, split, terms."""

from __future__ import annotations

from lifting.data.describe import About, on_terms
from lifting.data.sets.amass.config import Config

_PARTS = Config()
ABOUT = About(
    files=tuple(
        (f"{part}/*/*.npz",) for part in (*_PARTS.train, *_PARTS.val, *_PARTS.test)
    ),
    shown="<sub-dataset>/<subject>/*.npz",
    page="https://amass.is.tue.mpg.de",
    facts=(
        ("content", "motion capture of many data sets as poses of SMPL-H or SMPL-X, 60 to "
                    "150 Hz, metres, z up; joints need a body model of yours"),
        ("body model", "data.amass.body_model or LIFTING_SMPL; SMPL-H from "
                       "https://mano.is.tue.mpg.de, SMPL-X from https://smpl-x.is.tue.mpg.de, "
                       "each under a licence of its own"),
        ("split", "by sub-dataset, as its owners recommend (data.amass.train, val, test)"),
        ("keypoints", "none recorded: virtual cameras film the motion"),
        ("how to get the files", "register, download sub-datasets, unpack each below amass/"),
        *on_terms("non-commercial; sub-datasets and body models have terms of their own"),
    ),
)  # fmt: skip
