"""Options of the data set ``h36m``, and what it is in words. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from lifting.data.describe import About, on_terms
from lifting.data.sets import Pictures, exact_by

SUMMARY = "Human3.6M in the npz form of VideoPose3D, 17 joints, four cameras"


@dataclass
class Config:
    """Human3.6M: ``data_3d_h36m.npz`` and ``data_2d_h36m_<two_d>.npz``.

    Attributes:
        two_d: Ending of the 2D file, for example ``gt``, ``cpn_ft_h36m_dbb``, ``sh_ft_h36m``, or
            ``cpn_ft_h36m_dbb_gmm`` for mixtures. Other joint orders become ``h36m17``.
        two_d_test: Ending of the 2D file of the test split; None is ``two_d``.
        train_subjects: Subjects to train on, less those of ``val_subjects``.
        val_subjects: Subjects to validate on, none of them of the test split. When empty, all of
            ``train_subjects`` are trained on and ``val_holdout`` says what validates.
        val_holdout: Without ``val_subjects``: every n-th training recording validates instead of
            training; 0 holds none out: every 20th then validates although it is trained on.
        test_subjects: Subjects to test on.
        actions: Actions to keep; empty keeps all 15.
        cameras: Camera numbers to keep; empty keeps all four.
        every: Keep every n-th frame of a recording, as if filmed at 50 / n frames a second.
        drop_corrupt: Leave out the three S9 recordings whose labels drift; they belong to the
            published test.
        max_bytes: Largest expanded size of a file; more is taken for a trap.
    """

    two_d: str = "cpn_ft_h36m_dbb"
    two_d_test: str | None = None
    train_subjects: tuple[str, ...] = ("S1", "S5", "S6", "S7", "S8")
    val_subjects: tuple[str, ...] = ()
    val_holdout: int = 0
    test_subjects: tuple[str, ...] = ("S9", "S11")
    actions: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    every: int = 1
    drop_corrupt: bool = False
    max_bytes: int = 4 * 1024**3


exact = exact_by("h36m", "two_d_test")


def _file_fields(track: str) -> list[dict[str, object]]:
    """Files have older names of two actions."""
    subject, recording, camera = track.split("/")
    action, *number = recording.split(" ")
    older = {"Photo": "TakingPhoto", "WalkDog": "WalkingDog"}.get(action)
    return [
        {"subject": subject, "recording": "_".join([name, *number]), "camera": camera}
        for name in (action, older)
        if name is not None
    ]


PICTURES = Pictures(
    (
        "{subject}/{subject}_{recording}.{camera}/{subject}_{recording}.{camera}_{frame:06d}.jpg",
        "images/{subject}_{recording}.{camera}_{frame:06d}.jpg",
        "{subject}/Images/{recording}.{camera}/{frame:06d}.jpg",
    ),
    1,
    _file_fields,
)
ABOUT = About(
    files=(("data_3d_h36m.npz", "data_2d_h36m_*.npz"),),
    page="http://vision.imar.ro/human3.6m",
    facts=(
        ("content", "7 subjects, 15 actions twice each, four cameras of 1000 pixels, 50 Hz; "
                    "32 recorded joints of which 17 are used; metres, world frame, z up; the "
                    "calibration is built in"),
        ("size", "1,559,752 training and 543,344 test frames over the four cameras"),
        ("split", "train S1, S5, S6, S7, S8; test S9, S11; data.h36m.val_subjects or "
                  "val_holdout says what validates"),
        ("keypoints", "data_2d_h36m_<two_d>.npz: gt, cpn_ft_h36m_dbb, detectron_ft_h36m, "
                      "detectron_pt_coco, sh_ft_h36m, sh_pt_mpii; mixtures end in _gmm"),
        ("how to get the files", "register, download the poses (D3_Positions), and convert "
                                 "them with the scripts of VideoPose3D, whose authors also "
                                 "say where their 2D files are"),
        *on_terms("registration; academic use only"),
    ),
)  # fmt: skip
