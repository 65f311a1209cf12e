"""Options of the data set ``image_folder``, and what it is in words. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lifting.data.describe import About, on_terms
from lifting.data.sets import find_set

if TYPE_CHECKING:
    from lifting.data.config import DataConfig
SUMMARY = "pictures on disk beside the labels of h36m, mpi_inf_3dhp, 3dpw or 3doh50k"


@dataclass
class Config:
    """Pictures on disk beside the labels of another data set, cut out once and kept in the cache.

    Attributes:
        labels: Data set with labels, cameras and pictures; its own section says which subjects,
            cameras and frames.
        files: Path of a picture below the data set's folder, with ``{subject}``, ``{recording}``,
            ``{camera}`` and ``{frame}`` in it, as in
            ``{subject}/{recording}.{camera}/{frame:06d}.jpg``; None looks for the usual forms.
        first: Number of a recording's first picture; None is the usual one. The labels of 3DOH50K
            name their pictures, as ``{subject}/{recording}``, and number none.
        size: Side of a picture as it is kept, pixels.
        margin: Side of a picture over that of the 2 m square at the root's depth.
        threads: Pictures that are read at a time.
    """

    labels: str = "h36m"
    files: str | None = None
    first: int | None = None
    size: int = 256
    margin: float = 1.0
    threads: int = 4


def uses(data: DataConfig) -> tuple[str, ...]:
    """The set that has the labels."""
    return (find_set(data.image_folder.labels).section,)


def image_size(data: DataConfig) -> int:
    """Side of a picture, pixels."""
    return int(data.image_folder.size)


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
