"""Motion of one's own in words: the form of the files, how they are divided."""

from __future__ import annotations

from lifting.data.describe import READ_AS_IS, About
from lifting.data.mocap.own_npz import SCHEMA

ABOUT = About(
    files=tuple((f"own/**/*.{kind}",) for kind in ("npz", "trc", "c3d", "bvh")),
    shown="own/**/*.npz, *.trc, *.c3d or *.bvh",
    page="",
    facts=(
        ("content", "recordings of people as positions of joints or markers, or as BVH; C3D needs "
                    "`pip install 'lifting[c3d]'`; AMC with ASF: `lifting data prepare cmu`"),
        ("joints", "those of the file where it names a known set; else the 17 of h36m17 by the "
                   "names of joints, markers or bones, or by a map of yours (data.own.map); "
                   "joints that are missing or only near are masked"),
        ("unit and up", "what the file says, else told by the people in it, and said"),
        ("split", "as the npz says, else by subject (data.own.val_subjects, test_subjects), else "
                  "the last recordings by name (data.own.holdout)"),
        ("keypoints", "none recorded: virtual cameras film the motion"),
        ("preparation", f"needs {READ_AS_IS}"),
        ("terms", "your own"),
        ("npz", SCHEMA),
    ),
)  # fmt: skip
