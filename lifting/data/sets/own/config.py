"""Options of the data set ``own``. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

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
