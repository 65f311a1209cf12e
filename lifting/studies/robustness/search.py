"""AdvOcc: the place of a textured square that each method finds worst.

With procedural pictures and textures its name is ``synthetic-advocc``: the numbers are of no use
beside those of 3DPW-AdvOcc. The place is looked for with the plain answer, the worst by MPJPE, by
PA-MPJPE and by PCKh apart; test-time optimisation is run at the first alone, as in the released
code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lifting.batch import PoseBatch
from lifting.data.images.advocc import (
    OCCLUDERS,
    Worst,
    occlude,
    occluder_texture,
    occluder_windows,
    scored_joints,
    worst_windows,
)
from lifting.experiment.callbacks import seed_everywhere
from lifting.methods.base import LiftingModule
from lifting.metrics.functional.errors import per_pose
from lifting.studies.frames import Frames
from lifting.studies.measure import (
    PLAIN,
    Answer,
    Errors,
    measure,
    moving_joints,
    pair_errors,
    picture_pckh,
)
from lifting.studies.measure import scored_joints as joints_of
from lifting.studies.plan import Plan
from lifting.studies.robustness.corruptions import true_places
from lifting.studies.robustness.plan import Trials

MPJPE, PA_MPJPE, PCKH_LOSS = "mpjpe_mm", "pa_mpjpe_mm", "pckh_loss"
SEARCH_BATCH = 256


@dataclass(frozen=True)
class Group:
    """Errors of some of the joints, the root left out.

    Attributes:
        joints: How many.
        mm: Their mean error; None where there are none.
        clean_mm: That of the same joints with the clean input.
    """

    joints: int
    mm: float | None
    clean_mm: float | None


@dataclass(frozen=True)
class Found:
    """A run before the worst places of a square.

    Attributes:
        run: Label of the run.
        answer: ``plain``, or ``optimised`` at the places that are worst for the plain one.
        occluder: Side of the square, pixels of a picture of 224.
        stride: Between two places, in the same pixels.
        places: How many places were tried.
        pictures: How many pictures.
        mpjpe_mm: Mean over the pictures of the error at the worst place, of joints in the picture
            that the square does not hide.
        pa_mpjpe_mm: The same after a similarity, at the place that is worst for it; None where
            the place was not looked for.
        pckh: The same of PCKh, percent; None for methods, too, that do not say where people stand.
        seen: Those joints of all pictures, without the root.
        hidden: Joints under the square.
    """

    run: str
    answer: str
    occluder: int
    stride: int
    places: int
    pictures: int
    mpjpe_mm: float
    pa_mpjpe_mm: float | None
    pckh: float | None
    seen: Group
    hidden: Group


@dataclass(frozen=True)
class _Gallery:
    """The pictures that are searched, in batches, and where their joints are."""

    module: LiftingModule
    batches: tuple[PoseBatch, ...]
    places: Tensor  # (pictures, joints, 2), pixels of the picture
    texture: Tensor  # (3, size, size)

    @property
    def size(self) -> int:
        return int(self.texture.shape[-1])

    def shown(self, windows: Tensor) -> Iterator[PoseBatch]:
        """The pictures with the square at one place each."""
        sizes = [len(batch) for batch in self.batches]
        for batch, own in zip(self.batches, torch.split(windows, sizes), strict=True):
            assert batch.image is not None
            places = own.to(batch.image.device)
            yield replace(batch, image=occlude(batch.image, places, self.texture))

    def scored(self, windows: Tensor) -> Tensor:
        """Joints in the picture and not under the square, ``(pictures, scored)`` bool."""
        return self._columns(scored_joints(self.places, windows, self.size))

    def inside(self) -> Tensor:
        """Joints in the picture, ``(pictures, scored)`` bool."""
        nowhere = torch.zeros(len(self.places), 4, dtype=torch.int64)
        return self._columns(scored_joints(self.places, nowhere, self.size))

    def _columns(self, cells: Tensor) -> Tensor:
        return cells[:, list(joints_of(self.module))]


def search(
    run: str,
    module: LiftingModule,
    frames: Frames,
    answers: Mapping[str, Answer],
    trials: Trials,
    plan: Plan,
) -> Iterator[Found]:
    """The worst places of both squares for one run, on some of the chosen frames.

    Args:
        run: Label of the run.
        module: The method, in evaluation mode.
        frames: The chosen frames, with pictures.
        answers: By name; the plain one searches.
        trials: How many pictures, and the stride.
        plan: Size of the batches, and the seed of the texture.
    """
    device = torch.device(module.device)
    few = frames.thinned(trials.searched)
    size = int(few.tracks.image.shape[-1])  # type: ignore[union-attr]
    gallery = _Gallery(
        module,
        tuple(few.batches(plan.batch, device)),
        true_places(few.tracks, few.rows),
        occluder_texture(size, plan.seed).to(device),
    )
    clean = {
        name: measure(module, gallery.batches, answer).errors for name, answer in answers.items()
    }
    for occluder in OCCLUDERS:
        windows = occluder_windows(size, occluder, trials.stride)
        worst = _worst(gallery, answers[PLAIN], windows)
        at = worst[MPJPE].window.cpu()
        for name, answer in answers.items():
            errors = measure(module, gallery.shown(at), answer).errors
            seen, moving = gallery.scored(at), moving_joints(module)
            yield Found(
                run=run,
                answer=name,
                occluder=occluder,
                stride=trials.stride,
                places=len(windows),
                pictures=len(at),
                mpjpe_mm=_mean_of_pictures(errors, seen & moving),
                pa_mpjpe_mm=_mean_of_worst(worst, PA_MPJPE) if name == PLAIN else None,
                pckh=_pckh_of_worst(worst) if name == PLAIN else None,
                seen=group_of(errors, clean[name], seen & moving),
                hidden=group_of(errors, clean[name], gallery.inside() & ~seen & moving),
            )


def group_of(errors: Errors, clean: Errors, chosen: Tensor) -> Group:
    """Errors of chosen joints, ``(poses, scored)`` bool, those without a label left out."""
    counted = chosen & errors.valid
    number = int(counted.sum())
    if number == 0:
        return Group(0, None, None)
    return Group(number, mean_of(errors.position, counted), mean_of(clean.position, counted))


def mean_of(values: Tensor, counted: Tensor) -> float:
    """Mean of counted values; both of one shape."""
    return float((values * counted).sum() / counted.sum())


def _worst(gallery: _Gallery, answer: Answer, windows: Tensor) -> dict[str, Worst]:
    """The worst place of each picture by each measure, ``(pictures,)`` each."""
    module = gallery.module
    moving = torch.zeros(gallery.places.shape[1], dtype=torch.bool)
    moving[list(joints_of(module))] = moving_joints(module)
    parts: dict[str, list[Worst]] = {}
    sizes = [len(batch) for batch in gallery.batches]
    for batch, places in zip(gallery.batches, torch.split(gallery.places, sizes), strict=True):
        device = batch.keypoints_2d.device
        own, counted = places.to(device), moving.to(device)

        def errors_of(
            pictures: Tensor,
            sample: Tensor,
            window: Tensor,
            batch: PoseBatch = batch,
            own: Tensor = own,
            counted: Tensor = counted,
        ) -> dict[str, Tensor]:
            shown = replace(batch.rows(sample), image=pictures)
            mask = scored_joints(own[sample], window, gallery.size) & counted
            prediction = answer(shown)
            position, aligned = pair_errors(module, prediction, shown, mask)
            found = {MPJPE: per_pose(position), PA_MPJPE: per_pose(aligned)}
            pckh = picture_pckh(module, prediction, shown, mask)
            return found if pckh is None else {**found, PCKH_LOSS: 100 - pckh}

        assert batch.image is not None
        seed_everywhere(module.settings.seed, "test")
        found = worst_windows(batch.image, errors_of, windows, gallery.texture, SEARCH_BATCH)
        for name, one in found.items():
            parts.setdefault(name, []).append(one)
    return {
        name: Worst(*(torch.cat(values) for values in zip(*several, strict=True)))
        for name, several in parts.items()
    }


def _mean_of_worst(worst: Mapping[str, Worst], name: str) -> float:
    return float(worst[name].error.nanmean())


def _pckh_of_worst(worst: Mapping[str, Worst]) -> float | None:
    return 100 - _mean_of_worst(worst, PCKH_LOSS) if PCKH_LOSS in worst else None


def _mean_of_pictures(errors: Errors, chosen: Tensor) -> float:
    """Mean over pictures of the mean error of their chosen joints."""
    counted = chosen & errors.valid
    means = (errors.position * counted).sum(1) / counted.sum(1)
    return float(means.nanmean())
