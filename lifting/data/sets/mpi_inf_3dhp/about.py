"""MPI-INF-3DHP in words: content, files, split, terms."""

from __future__ import annotations

from lifting.data.describe import About, on_terms

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
