"""Pictures beside the labels of another data set, in words: content, files, split, terms."""

from __future__ import annotations

from lifting.data.describe import About, on_terms

ABOUT = About(
    files=(
        ("h36m/*/*/*.jpg",), ("h36m/images/*.jpg",), ("h36m/*/Images/*/*.jpg",),
        ("mpi_inf_3dhp/*/*/imageFrames/*/*.jpg",), ("mpi_inf_3dhp/*/*/imageSequence/*.jpg",),
        ("3dpw/imageFiles/*/*.jpg",), ("3doh50k/t*/images/*.jpg",),
    ),
    shown="the pictures of h36m, mpi_inf_3dhp, 3dpw or 3doh50k, in the folders of these",
    page="http://vision.imar.ro/human3.6m",
    facts=(
        ("content", "the frames of a data set (data.image_folder.labels) with their pictures, "
                    "cut to the square around the person; JPEG or PNG"),
        ("split", "that of the data set, and its options"),
        ("options", "data.image_folder.* (labels, files, first, size, margin)"),
        ("how to get the files", "download the films or pictures beside the data set's own "
                                 "files and extract the frames, see lifting/data/README.md"),
        *on_terms("those of the data set"),
    ),
)  # fmt: skip
