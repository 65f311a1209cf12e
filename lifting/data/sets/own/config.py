"""Options of the data set ``own``, and what it is in words. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from lifting.data.describe import READ_AS_IS, About
from lifting.data.sets import filmed

SUMMARY = "3D motion of your own (npz, TRC, C3D, BVH), seen by virtual cameras"


@dataclass
class Config:
    """3D motion of one's own: every ``.npz``, ``.trc``, ``.c3d`` and ``.bvh`` below the folder.

    A recording validates or tests as its npz says; where it does not, by the subjects that are
    named here; without such, the last recordings by name do. A text file's subject is the folder
    it lies in, directly below the root.

    Attributes:
        files: Patterns of the files; other kinds of file are passed over.
        map: JSON or TOML file that says which names of the files are the joints, where they are
            not known; None goes by the names.
        val_subjects: Subjects to validate on.
        test_subjects: Subjects to test on.
        holdout: Without subjects, share of the recordings that validate, and as many that test.
        clip_seconds: Longer recordings are cut evenly, each clip is filmed by a rig of its own.
    """

    files: tuple[str, ...] = ("**/*",)
    map: str | None = None
    val_subjects: tuple[str, ...] = ()
    test_subjects: tuple[str, ...] = ()
    holdout: float = 0.1
    clip_seconds: float = 10.0


uses = filmed

SCHEMA = """\
One npz file of plain arrays (numpy.savez; objects are refused). T frames, J joints, R recordings.

  joints_3d     (T, J, 3) numbers; NaN where a joint is missing
  positions_mm  (T, J, 3) in its place, numbers of any type, millimetres
  skeleton      text: a known joint set, such as coco17          } one of
  joint_names   (J,) texts: the name of each joint               } these
  fps           number: frames a second
  unit          text: mm, cm or m       } where absent, told by
  up            text: z, y or -y        } the people in the file
  offsets       (R + 1,) integers from 0 to T: recording i is frames offsets[i]:offsets[i + 1]
  names         (R,) texts; each once
  subjects      (R,) texts: who moves, so that parts can keep people apart
  actions       (R,) texts
  split         (R,) texts: train, val or test

Needed: the positions, a skeleton or joint_names, and fps. All else may be left out.
"""
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
