"""Arrays that users save: rtmlib's results as npz, and plain npy of every shape."""

from __future__ import annotations

import numpy as np
from detected import SIZE, detected


def npz(folder, **arrays):
    np.savez(folder / "clip.npz", **arrays)
    return folder / "clip.npz"


def npy(folder, array):
    np.save(folder / "clip.npy", array)
    return folder / "clip.npy"


def rtmlib(folder, people):
    """With a place for everyone: NaN where there are fewer people."""
    return npz(folder, keypoints=people[..., :2], scores=people[..., 2])


def documented(folder, people):
    return npz(
        folder,
        keypoints_2d=people[:, 0, :, :2],
        confidence=people[:, 0, :, 2],
        image_size=np.array(SIZE),
        fps=np.array(25.0),
    )


WRITERS = {
    "rtmlib-npz": lambda folder: rtmlib(folder, detected("halpe26", persons=3)),
    "npz": lambda folder: documented(folder, detected("coco17")),
    "npy-people": lambda folder: npy(folder, detected("coco17", persons=2)),
    "npy-pairs": lambda folder: npy(folder, detected("body25")[:, 0, :, :2]),
    "npy-triples": lambda folder: npy(folder, detected("coco17")[:, 0]),
    "npy-rows": lambda folder: npy(folder, detected("coco17")[:, 0].reshape(-1, 51)),
    "npy-frame": lambda folder: npy(folder, detected("halpe26", 1)[0, 0]),
}
