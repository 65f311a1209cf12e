"""Options of the data set ``images``, and what it is in words. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from lifting.data.describe import MAKES_ITSELF, About
from lifting.data.sets import find_set

if TYPE_CHECKING:
    from lifting.data.config import DataConfig
SUMMARY = "procedural people rendered as images, several views, no download"


@dataclass
class Config:
    """Procedural images: rendered people, made once and kept in the cache.

    The splits never share a person, a motion, a camera (with ``data.cameras: random`` or
    ``wild``), clothes, a background or a texture.

    Attributes:
        size: Side of a picture, pixels.
        motion: ``synthetic`` is made from the seed; other sets of 3D motion need their files.
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
    motion: str = "synthetic"
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


def uses(data: DataConfig) -> tuple[str, ...]:
    """Where the motion comes from."""
    return ("synthetic", find_set(data.images.motion).section)


def image_size(data: DataConfig) -> int:
    """Side of a picture, pixels."""
    return int(data.images.size)


def sheet(data: DataConfig, split: str, count: int) -> DataConfig:
    """One instant of as many recordings as are needed, in all views."""
    options = replace(data.images, instants=1, **{f"{split}_images": count})
    return replace(data, cameras="random", **{"images": options})


_PICTURES = Config()
ABOUT = About(
    files=(),
    page="",
    facts=(
        ("files", f"needs {MAKES_ITSELF}"),
        ("content", f"images: train {_PICTURES.train_images}, val {_PICTURES.val_images}, "
                    f"test {_PICTURES.test_images}, {_PICTURES.size} pixels, of people "
                    f"around whom {_PICTURES.views} virtual cameras stand; 17 joints, crops, "
                    "which joints are hidden, on demand the body's pose and a map of its "
                    "parts"),
        ("size", "65 kB an image of 128 pixels, kept in the cache"),
        ("split", "each part has a seed of its own; no person, motion, clothes, background or "
                  "(data.cameras random or wild) camera is in two"),
        ("options", "data.images.* (sizes, motion, views, occluders, seed); with motion=cmu "
                    "CMU's file is needed"),
        ("terms", "none: procedural people"),
    ),
)  # fmt: skip
