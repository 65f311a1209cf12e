"""The data set ``images``: procedural people rendered as several cameras see them."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from lifting.data.cache import cache_folder
from lifting.data.check import check_ranges
from lifting.data.config import DataConfig, Rig, Split, noise_of
from lifting.data.film import VIEWS, film
from lifting.data.images.crops import SIDE_MM, crop_around, crop_pixels
from lifting.data.images.people import People, people_key, sample_people
from lifting.data.images.raycast import joint_sight
from lifting.data.images.render import RENDER_VERSION, Sitting, Studio
from lifting.data.images.scenery import covers
from lifting.data.images.store import stored_pictures
from lifting.data.sequence import PoseTracks
from lifting.data.sets.images.config import Config as ImagesConfig
from lifting.data.sets.synthetic.reader import check as check_motion
from lifting.data.sets.synthetic.reader import split_seed
from lifting.data.window import track_of_rows
from lifting.errors import ConfigError, DataError, suggest
from lifting.geometry.camera import project
from lifting.nn.threads import torch_threads

check = check_motion  # that which is rendered
EXTRAS = ("body", "parts")
_BODY = ("rotations", "betas", "translation")
_SIZES = (16, 1024)
_CHUNK = 256
# Recordings made for each that is wanted, since not all cameras of a rig see the person.
_SPARE: dict[Rig, float] = {"h36m": 1.3, "random": 1.3, "wild": 4.0}


@torch_threads(1)
def tracks(config: DataConfig, split: Split) -> PoseTracks:
    """People of one split, seen by their rigs; pictures are added by ``complete``.

    A track is one recording seen by one camera; its frames are instants half a second apart.
    Tracks of one recording have the same frames, and every recording has all its views. The
    labels are the joints of the body that is drawn. Beside them stand the crops, and the extras
    ``sight`` (state of each joint, see ``images.raycast``), ``rotations``, ``betas`` and
    ``translation`` (of the body, in the camera's frame).

    Args:
        config: The data section; ``images``, ``cameras`` and ``noise`` are read.
        split: Which split.

    Raises:
        ConfigError: An option is out of range.
        DataError: The motion is too short, or no camera sees it.
    """
    options = config.images
    check_options(options)
    count = _count(options, split)
    recordings = -(-count // (options.views * options.instants))
    people = sample_people(config, split, math.ceil(_SPARE[config.cameras] * recordings) + 2)
    noise, seed = noise_of(config, split), split_seed(config.noise_seed, split)
    seen = film(people.motion, rig=config.cameras, noise=noise, seed=seed)
    seen = seen.select(_complete(seen, options, count))
    seen.source["dataset"] = "images"
    seen.source["motion"] = options.motion
    return _with_bodies(seen, people, config, split)


def cache_key(config: DataConfig, split: Split) -> dict[str, object]:
    """Everything in the options and files that decides ``tracks``.

    Args:
        config: The data section.
        split: Which split.
    """
    options = config.images
    return {
        **people_key(config, split),
        "render": RENDER_VERSION,
        "seed": split_seed(options.seed, split),
        "count": _count(options, split),
        "views": options.views,
        "instants": options.instants,
        "margin": options.margin,
        "occluders": _occluders(options, split),
        "rig": config.cameras,
        "noise": [config.noise, config.noise_train],
        "noise_seed": config.noise_seed,
    }


@torch_threads(1)
def complete(seen: PoseTracks, config: DataConfig, split: Split) -> PoseTracks:
    """The same tracks with their pictures, mapped from the cache or rendered into it.

    Args:
        seen: From ``tracks``.
        config: The data section.
        split: Which split.

    Raises:
        ConfigError: An option is out of range, or an extra is not known.
    """
    options = config.images
    check_options(options)
    size, count = options.size, len(seen)
    studio = Studio(
        seed=split_seed(options.seed, split),
        size=size,
        occluders=_occluders(options, split),
        device=options.device,
    )
    pictures = stored_pictures(
        {"pictures": cache_key(config, split), "split": split, "size": size},
        ((count, 3, size, size), (count, size, size)),
        lambda: studio.shoot(sitting_of(seen)),
        cache_folder(config.cache),
    )
    kept = ["sight", *(_BODY if "body" in options.extras else ())]
    extras = {name: seen.extras[name] for name in kept}
    if "parts" in options.extras:
        extras["parts"] = pictures.parts
    source = {**seen.source, "pictures": f"{size} px, version {RENDER_VERSION}"}
    return replace(seen, image=pictures.image, extras=extras, source=source)


def check_options(options: ImagesConfig) -> None:
    """Check the numbers of the section ``data.images``.

    Raises:
        ConfigError: One is out of range, or an extra is not known.
    """
    counts = ("train_images", "val_images", "test_images", "instants")
    bounds: dict[str, tuple[float, float]] = dict.fromkeys(counts, (1, 2**31))
    bounds |= {"size": _SIZES, "views": (1, VIEWS), "seed": (0, 2**60), "margin": (0.5, 4)}
    bounds |= {"occluders": (0, 1), "occluders_train": (0, 1)}
    check_ranges("images", options, bounds)
    for name in options.extras:
        if name not in EXTRAS:
            raise ConfigError(
                f"unknown extra '{name}' in data.images.extras; {suggest(name, EXTRAS)}"
            )


def _count(options: ImagesConfig, split: Split) -> int:
    return int(getattr(options, f"{split}_images"))


def _occluders(options: ImagesConfig, split: Split) -> float:
    given = options.occluders_train if split == "train" else None
    return options.occluders if given is None else given


def _complete(seen: PoseTracks, options: ImagesConfig, count: int) -> Tensor:
    """Tracks to keep: the first views of recordings that have enough, as many as are wanted."""
    first = seen.recording.diff(prepend=seen.recording[:1] - 1) != 0
    place = torch.arange(len(first))
    start = torch.where(first, place, 0).cummax(0).values
    total = torch.bincount(seen.recording)[seen.recording]
    kept = ((total >= options.views) & (place - start < options.views)).nonzero()[:, 0]
    if len(kept) == 0:
        raise DataError(
            f"expected recordings that {options.views} cameras see, got none of "
            f"{len(total)} tracks; lower data.images.views or choose another data.cameras"
        )
    return kept[: max(options.views, count // options.instants)]


def _with_bodies(seen: PoseTracks, people: People, config: DataConfig, split: Split) -> PoseTracks:
    """Crops, bodies in the cameras' frames, and what each picture shows of the joints."""
    track = track_of_rows(seen.offsets)
    within = torch.arange(len(seen)) - seen.offsets[track]
    row = seen.recording[track] * config.images.instants + within
    cameras = seen.cameras[seen.camera[track]]
    assert cameras.rotation is not None
    assert cameras.position is not None
    rotations = people.rotations[row].clone()
    rotations[:, 0] = cameras.rotation @ rotations[:, 0]
    root = seen.labels()[:, seen.skeleton.root]
    seen = replace(
        seen,
        crop=crop_around(root, cameras.intrinsics, config.images.margin * SIDE_MM),
        extras={"rotations": rotations, "betas": people.betas[row], "translation": root.clone()},
    )
    options = config.images
    studio = Studio(
        seed=split_seed(options.seed, split), size=1, occluders=_occluders(options, split)
    )
    sitting = sitting_of(seen)
    chunks = range(0, len(seen), _CHUNK)
    sight = [_sight(studio, sitting.rows(slice(first, first + _CHUNK))) for first in chunks]
    return replace(seen, extras={**seen.extras, "sight": torch.cat(sight)})


def sitting_of(seen: PoseTracks) -> Sitting:
    """What each picture of the tracks shows; they need the extras of the body."""
    assert seen.crop is not None
    track = track_of_rows(seen.offsets)
    return Sitting(
        rotations=seen.extras["rotations"],
        betas=seen.extras["betas"],
        translation=seen.extras["translation"],
        camera=seen.cameras[seen.camera[track]],
        crop=seen.crop,
        person=seen.subject[track],
        recording=seen.recording[track],
        view=track,
        picture=torch.arange(len(seen)),
    )


def _sight(studio: Studio, sitting: Sitting) -> Tensor:
    chain, posed = studio.pose(sitting)
    pixels = project(chain.joints, sitting.camera.intrinsics)
    places = crop_pixels(pixels, sitting.crop, 1)
    inside = ((places > 0) & (places < 1)).all(-1)
    covered = covers(studio.objects(sitting, chain), places, 1)
    return joint_sight(studio.solids, posed, chain.joints, covered, inside)
