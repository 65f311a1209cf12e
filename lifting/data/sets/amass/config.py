"""Options of the data set ``amass``, and what it is in words. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from lifting.data.describe import About, on_terms
from lifting.data.sets import filmed

SUMMARY = "AMASS motion on a body model of yours, seen by virtual cameras"


@dataclass
class Config:
    """AMASS: ``<sub-dataset>/**/*.npz`` of the SMPL-H or SMPL-X edition.

    The default parts are the split that the data set recommends, under the folder names of old
    and new releases; a folder that is not there is passed over.

    Attributes:
        body_model: Model file, or folder of models; None takes the variable LIFTING_SMPL.
        fps: Frames a second of the clips; motion is interpolated.
        clip_seconds: Motion is cut into clips of this length, each filmed by a rig of its own.
        min_seconds: Shorter rests are left out.
        train: Sub-datasets to train on.
        val: Sub-datasets to validate on.
        test: Sub-datasets to test on.
    """

    body_model: str | None = None
    fps: float = 50.0
    clip_seconds: float = 10.0
    min_seconds: float = 1.0
    train: tuple[str, ...] = (
        "ACCAD", "BMLhandball", "BMLmovi", "BMLrub", "BioMotionLab_NTroje", "CMU", "DanceDB",
        "DFaust_67", "DFaust", "EKUT", "Eyes_Japan_Dataset", "EyesJapanDataset", "KIT",
        "MPI_Limits", "PosePrior", "TCD_handMocap", "TCDHands", "TotalCapture",
    )  # fmt: skip
    val: tuple[str, ...] = ("HumanEva", "MPI_HDM05", "HDM05", "SFU", "MPI_mosh", "MoSh")
    test: tuple[str, ...] = ("Transitions_mocap", "Transitions", "SSM_synced", "SSM")


uses = filmed

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
