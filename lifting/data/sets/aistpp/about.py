"""AIST++ in words: content, files, split, terms."""

from __future__ import annotations

from lifting.data.describe import About, on_terms

ABOUT = About(
    files=(("keypoints3d/*.pkl", "cameras/mapping.txt", "cameras/*.json", "splits/*.txt"),),
    page="https://google.github.io/aistplusplus_dataset",
    facts=(
        ("content", "1408 sequences of dance, 10 genres, 30 dancers, nine fixed cameras, 60 Hz; "
                    "COCO's 17 joints triangulated from detections (keypoints3d_optim), and the "
                    "detections (keypoints2d, not needed with data.aistpp.two_d=gt)"),
        ("split", "the data set's own lists pose_{train,val,test}.txt, or crossmodal_..."
                  " (data.aistpp.split); what ignore_list.txt names is left out"),
        ("joints", "no hip among them: data.skeleton=h36m17 makes one, the middle of both hips"),
        ("how to get the files", "download and unpack the annotations; videos are not needed"),
        *on_terms("annotations CC BY 4.0 (Google LLC); the videos are another licence"),
    ),
)  # fmt: skip
