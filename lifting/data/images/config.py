"""Options of the data sets ``images`` and ``image_folder``. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class ImagesConfig:
    """Procedural images: rendered people, made once and kept in the cache.

    The splits never share a person, a motion, a camera (with ``data.cameras: random`` or
    ``wild``), clothes, a background or a texture.

    Attributes:
        size: Side of a picture, pixels.
        motion: ``synthetic`` is made from the seed; ``cmu`` needs CMU's file.
        train_images: Images of the training split at most, over all views.
        val_images: Images of the validation split at most.
        test_images: Images of the test split at most.
        views: Cameras, 1 to 4, that see every instant.
        instants: Instants of a recording, half a second apart; people change their clothes from
            one recording to the next.
        margin: Side of a picture over that of the 2 m square at the root's depth; above 1, a
            picture can be turned and moved without running out.
        occluders: Probability that one to three objects stand before a person.
        occluders_train: That of the training split, where it differs.
        seed: Seed of people, motion, clothes and scenery.
        extras: Also deliver ``body`` (rotations, betas, translation) or ``parts`` (a map of the
            body's parts); only when asked for.
        device: Where pictures are rendered; the bits differ between devices.
    """

    size: int = 128
    motion: Literal["synthetic", "cmu"] = "synthetic"
    train_images: int = 4096
    val_images: int = 256
    test_images: int = 1024
    views: int = 4
    instants: int = 4
    margin: float = 1.0
    occluders: float = 0.5
    occluders_train: float | None = None
    seed: int = 0
    extras: tuple[str, ...] = ()
    device: Literal["cpu", "cuda"] = "cpu"


@dataclass
class ImageFolderConfig:
    """Pictures on disk beside the labels of another data set, cut out once and kept in the cache.

    Attributes:
        labels: Data set with labels and cameras; its own section of the options says which
            subjects, cameras and frames.
        files: Path of a picture below the data set's folder, with ``{subject}``, ``{recording}``,
            ``{camera}`` and ``{frame}`` in it, as in
            ``{subject}/{recording}.{camera}/{frame:06d}.jpg``; None looks for the usual forms.
        first: Number of a recording's first picture; None is the usual one. The labels of 3DOH50K
            name their pictures, as ``{subject}/{recording}``, and number none.
        size: Side of a picture as it is kept, pixels.
        margin: Side of a picture over that of the 2 m square at the root's depth.
        threads: Pictures that are read at a time.
    """

    labels: Literal["h36m", "mpi_inf_3dhp", "3dpw", "3doh50k"] = "h36m"
    files: str | None = None
    first: int | None = None
    size: int = 256
    margin: float = 1.0
    threads: int = 4
