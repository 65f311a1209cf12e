"""3DOH50K in words: content, files, split, terms."""

from __future__ import annotations

from lifting.data.describe import About, on_terms

ABOUT = About(
    files=tuple((f"train{s}/annots.json", f"test{s}/annots.json") for s in ("set", "")),
    page="https://www.yangangwang.com/papers/ZHANG-OOH-2020-03.html",
    facts=(
        ("content", "50,310 training and 1,290 test images, each of a person behind "
                    "objects; SMPL's 24 joints and parameters, a camera each, no detections"),
        ("split", "its own; the last training images validate (data.oh50k.holdout)"),
        ("joints", "from SMPL's, or with a regressor of yours (data.oh50k.joint_regressor)"),
        ("how to get the files", "accept the licence, download and unpack both parts"),
        *on_terms("non-commercial research only"),
    ),
)  # fmt: skip
