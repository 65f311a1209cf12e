"""Human3.6M in words: content, files, split, terms."""

from __future__ import annotations

from lifting.data.describe import About, on_terms

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
