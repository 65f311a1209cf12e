"""Options of the data set ``mpi_inf_3dhp``, and what it is in words. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifting.data.describe import About, on_terms
from lifting.data.sets import Pictures, always_exact

SUMMARY = "MPI-INF-3DHP, its own files or the npz form of P-STMO, 17 joints"


@dataclass
class Config:
    """MPI-INF-3DHP: ``data_train_3dhp.npz`` and ``data_test_3dhp.npz``, or those with ``_ori``.

    Where a split has no such file, ``S1..S8`` and ``mpi_inf_3dhp_test_set`` are read instead. A
    split needs its own files only.

    Attributes:
        annotation: ``univ`` scales poses to one height, as most published numbers do; ``annot3``
            (the files ending ``_ori``) agrees with the 2D, as reprojection needs.
        train_subjects: Subjects to train on, less those of ``val_subjects``.
        val_subjects: Subjects to validate on; when empty ``val_holdout`` says what validates.
        val_holdout: Without ``val_subjects``: every n-th training recording validates instead of
            training; 0 holds none out: every 20th then validates although it is trained on.
        test_sequences: Sequences to test on, which have to be there; empty takes those that are,
            at least one, and the record says which of the published six are not. Frames that are
            not valid stay for windows, masked.
        cameras: Training cameras to keep; empty keeps all of the file.
        every: Keep every n-th frame of a sequence.
        skeleton: Joints that are asked for, as older files write it; ``data.skeleton`` does so
            for every data set. The files are always read in their own order, ``mpi17``.
    """

    annotation: Literal["univ", "annot3"] = "univ"
    train_subjects: tuple[str, ...] = ("S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8")
    val_subjects: tuple[str, ...] = ()
    val_holdout: int = 0
    test_sequences: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ("0", "1", "2", "4", "5", "6", "7", "8")
    every: int = 1
    skeleton: Literal["mpi17", "h36m17"] = "mpi17"


exact = always_exact


def _file_fields(track: str) -> list[dict[str, object]]:
    """A test sequence is named by itself."""
    words = track.split("/")
    subject, recording, camera = words if len(words) == 3 else (words[0], words[0], "0")
    return [{"subject": subject, "recording": recording, "camera": camera}]


PICTURES = Pictures(
    (
        "{subject}/{recording}/imageFrames/video_{camera}/frame_{frame:06d}.jpg",
        "mpi_inf_3dhp_test_set/{subject}/imageSequence/img_{frame:06d}.jpg",
        "{subject}/imageSequence/img_{frame:06d}.jpg",
    ),
    1,
    _file_fields,
)
ABOUT = About(
    # Either part alone will do; the folders of the test are those that the reader looks in.
    files=(
        ("data_train_3dhp.npz",),
        ("data_test_3dhp.npz",),
        ("data_train_3dhp_ori.npz",),
        ("data_test_3dhp_ori.npz",),
        ("S*/Seq*/annot.mat", "S*/Seq*/camera.calibration"),
        ("mpi_inf_3dhp_test_set/TS*/annot_data.mat",),
        ("test/TS*/annot_data.mat",),
        ("TS*/annot_data.mat",),
    ),
    shown="data_train_3dhp.npz or S*/Seq*/annot.mat with camera.calibration to train; "
          "data_test_3dhp.npz or mpi_inf_3dhp_test_set/TS*/annot_data.mat to test; either part "
          "alone will do; npz files of annot3 end _ori",
    page="https://vcai.mpi-inf.mpg.de/3dhp-dataset",
    facts=(
        ("content", "8 subjects, two sequences each, 14 cameras of 2048 x 2048, 25 or 50 Hz by "
                    "sequence; six test sequences of 50 Hz, two of them outdoors; 28 joints of "
                    "which 17 are used; millimetres, camera frame"),
        ("size", "test: 24,888 frames, of which 2,929 are valid and counted"),
        ("split", "train S1-S8 (data.mpi_inf_3dhp.val_subjects validate), test TS1-TS6, or "
                  "those of them that are there, which the record then says"),
        ("annotations", "univ_annot3 is scaled to one height and used for scores; annot3 "
                        "(files ending _ori) agrees with the 2D"),
        ("keypoints", "ground truth only"),
        ("how to get the files", "accept the licence, download with the owners' script, or "
                                 "convert to the npz form with the scripts of P-STMO"),
        *on_terms("non-commercial research only"),
    ),
)  # fmt: skip
