"""What people see of a fit: features explained and body over the image, on the way, also hidden.

Every person is shown twice, as in the batch and behind a textured square at the place that is
worst for the first guess. The bodies are those that the fit held after some of its steps. A test
that optimises draws its first images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import WandbLogger
from torch import Tensor
from torch.nn import functional

from lifting.batch import PoseBatch, root_relative
from lifting.body.kernel_body import LIMBS
from lifting.data.images.advocc import (
    OCCLUDERS,
    REFERENCE_SIZE,
    occlude,
    occluder_texture,
    occluder_windows,
    scored_joints,
    worst_windows,
)
from lifting.errors import ConfigError
from lifting.methods.nbf.body_pose import BodyPose
from lifting.methods.nbf.crop import CropView
from lifting.methods.nbf.drawing import FitFrame, FitPicture, save_fits
from lifting.methods.nbf.fitting import Recorder, fit_bodies
from lifting.methods.nbf.network import NeuralBody
from lifting.methods.nbf.objective import FeatureObjective, Scores, negative_log_likelihood
from lifting.methods.nbf.render import RenderOptions, render
from lifting.methods.nbf.selection import RayGrid
from lifting.metrics.functional.errors import per_pose
from lifting.metrics.functional.position import joint_errors
from lifting.tto.callback import TestTimeOptimization
from lifting.typing import PerJoint, PerSample, Pose2D, Pose3D

PICTURES_FITS, FILM_FITS = "pictures/fits", "pictures/fits_film"
"""Keys that sheet and film are logged under; the dashboard shows them."""

CLEAN, OCCLUDED = "clean", "occluded"
_ERROR = "error"
_SOLID = 3.0  # absorptivity that gives a body a clear outline


@dataclass(frozen=True)
class FitView:
    """What is shown of fits.

    Attributes:
        people: At most so many, the first of the batch.
        occluder: Side of the square, pixels of an image of 224.
        stride: Between two places of it that are tried, in the same pixels.
        frames: Bodies of a fit, the first guess and the answer among them.
        side: Pixels of a drawn body's side.
        seed: Of the square's texture.
    """

    people: int = 3
    occluder: int = OCCLUDERS[-1]
    stride: int = 24
    frames: int = 24
    side: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.occluder <= REFERENCE_SIZE:
            raise ConfigError(
                f"expected an occluder of 1 to {REFERENCE_SIZE} pixels, got {self.occluder}; "
                f"its size refers to an image of {REFERENCE_SIZE} pixels"
            )
        if min(self.people, self.stride, self.side) < 1 or self.frames < 2:
            raise ConfigError(
                "expected at least one person, stride and pixel, and two frames, got "
                f"{self.people}, {self.stride}, {self.side} and {self.frames}; give more"
            )


def fit_pictures(network: NeuralBody, batch: PoseBatch, what: FitView) -> tuple[FitPicture, ...]:
    """Fit bodies to the first images of a batch, clean and hidden, and show how it went.

    Args:
        network: Held still, in evaluation mode.
        batch: With images; labels are used where it has any.
        what: What is shown.

    Returns:
        The clean and the occluded picture of each person.
    """
    people = min(what.people, len(batch))
    batch = batch.rows(slice(people))
    assert batch.image is not None
    texture = occluder_texture(batch.image.shape[-1], what.seed).to(batch.image.device)
    hidden = occlude(batch.image, worst_squares(network, batch, what, texture), texture)
    twice = torch.arange(2 * people, device=hidden.device) % people
    both = replace(batch.rows(twice), image=torch.cat((batch.image, hidden)))
    frames = _frames(network, both, what)
    images = both.image.cpu().numpy()  # type: ignore[union-attr]
    return tuple(
        FitPicture(person=i, case=case, image=images[row], frames=tuple(frames[row]))
        for i in range(people)
        for case, row in ((CLEAN, i), (OCCLUDED, people + i))
    )


class FitPictures(Callback):
    """Draws fits of the first images of a test that optimises, to files and to W&B.

    Args:
        folder: Where sheet and film go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Draw the first batch."""
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        optimises = any(isinstance(c, TestTimeOptimization) for c in callbacks)
        is_first = batch_idx == 0 and dataloader_idx == 0 and isinstance(batch, PoseBatch)
        if not (is_first and optimises and trainer.is_global_zero):
            return
        sheet, film = save_fits(pl_module.fit_pictures(batch), pl_module.skeleton, self.folder)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image(PICTURES_FITS, [str(sheet)])
                logger.log_video(FILM_FITS, [str(film)], format=["gif"])


@torch.no_grad()
def worst_squares(network: NeuralBody, batch: PoseBatch, what: FitView, texture: Tensor) -> Tensor:
    """Where a square harms the first guess most, of the joints that it does not hide.

    Only places that hide a joint are looked at. Without labels the guess from the clean image
    stands in for them.

    Args:
        network: Guesses.
        batch: With images.
        what: Size of the square and the places that are tried.
        texture: Of the square, ``(3, side, side)``.

    Returns:
        ``(batch, 4)`` int64, first row and column, and those after the last.
    """
    assert batch.image is not None
    view = CropView.of_batch(batch)
    clean = _joints(network, network.guess(batch)[1])
    wanted = clean if batch.joints_3d is None else batch.joints_3d[:, 0]
    places, side = _pixels(view, wanted), view.side
    nowhere = torch.zeros(len(batch), 4, dtype=torch.int64, device=places.device)
    inside = scored_joints(places, nowhere, side)

    def harm(images: Tensor, sample: Tensor, windows: Tensor) -> dict[str, Tensor]:
        shown = replace(batch.rows(sample), image=images)
        found = _joints(network, network.guess(shown)[1])
        counted = scored_joints(places[sample], windows, side)
        hides = (inside[sample] & ~counted).any(-1)
        error = _mean_error(found, wanted[sample], counted)
        return {_ERROR: torch.where(hides, error, torch.nan)}

    windows = occluder_windows(side, what.occluder, what.stride)
    return worst_windows(batch.image, harm, windows, texture)[_ERROR].window


def _frames(network: NeuralBody, batch: PoseBatch, what: FitView) -> list[list[FitFrame]]:
    """Fit all images together, and draw what was held after some steps, by image."""
    view, model = CropView.of_batch(batch), network.fit_model()
    features, starts = network.starts(batch)
    start = starts[0]
    grid, recorder = view.grid(network.config.stride), Recorder()
    found = fit_bodies(model, features, grid, starts, watch=recorder)
    objective = FeatureObjective(model, features, grid, start)
    course = recorder.course(start, found)
    steps = [0, *recorder.steps]
    shown = [_frame(network, objective, course[i], view, batch, steps[i], what.side)
             for i in spread(len(course), what.frames)]  # fmt: skip
    return [list(own) for own in zip(*shown, strict=True)]


def spread(count: int, wanted: int) -> Sequence[int]:
    """Numbers below a count, evenly spread, the first and the last among them."""
    wanted = min(wanted, count)
    return sorted({round(i * (count - 1) / max(wanted - 1, 1)) for i in range(wanted)})


@torch.no_grad()
def _frame(
    network: NeuralBody,
    objective: FeatureObjective,
    body: BodyPose,
    view: CropView,
    batch: PoseBatch,
    step: int,
    side: int,
) -> list[FitFrame]:
    """One body of every image."""
    explained = objective.explain(body.to(objective.observed))
    scores, opacity = explained.scores, explained.opacity
    cells = objective.grid.height
    ratio, share = ((v.view(-1, cells, cells).double().cpu().numpy())
                    for v in (scores.body - scores.clutter, opacity))  # fmt: skip
    gains = _gain(objective, scores, opacity).tolist()
    joints = _joints(network, body)
    pixels = _pixels(view, joints).double().cpu().numpy()
    errors = _errors(joints, batch)
    limbs = _limbs(network, body, view, side).cpu().numpy()
    return [
        FitFrame(
            step=step, ratio=ratio[i], opacity=share[i], limbs=limbs[i], keypoints=pixels[i],
            gain=gains[i], error_mm=errors[i],
        )
        for i in range(len(batch))
    ]  # fmt: skip


def _gain(objective: FeatureObjective, scores: Scores, opacity: Tensor) -> PerSample:
    """Log likelihood above that of an image without a body."""
    options = objective.model.options
    unlikely = negative_log_likelihood(scores, opacity, options.occlusion, options.kappa)
    return -unlikely - options.kappa * scores.clutter.sum(-1)


def _limbs(network: NeuralBody, body: BodyPose, view: CropView, side: int) -> Tensor:
    """Share of each limb in the pixels of a drawing, ``(batch, side, side, limbs)`` uint8."""
    scale = side / view.side
    grid = RayGrid(side, side, view.focal * scale, view.centre * scale)
    kernels = network.body.kernels(*body)
    member = functional.one_hot(network.body.limb, len(LIMBS)).to(kernels.means)
    found = render(kernels.means, kernels.precisions, grid, RenderOptions(absorptivity=_SOLID))
    shares = found.composite(member.expand(len(view.focal), -1, -1))
    return (255 * shares.clamp(0, 1)).round().to(torch.uint8).view(-1, side, side, len(LIMBS))


def _errors(joints: Pose3D, batch: PoseBatch) -> list[float | None]:
    """MPJPE of each image, mm, over the joints with labels."""
    if batch.joints_3d is None:
        return [None] * len(batch)
    labels = batch.joints_3d[:, 0]
    known = torch.ones_like(labels[..., 0], dtype=torch.bool)
    if batch.visible is not None:
        known = batch.visible[:, 0].bool()
    errors = _mean_error(joints, labels, known).tolist()
    return [error if error == error else None for error in errors]


def _mean_error(joints: Pose3D, wanted: Pose3D, counted: PerJoint) -> PerSample:
    """Mean distance of the joints that count, relative to the root, mm; NaN for none."""
    return per_pose(joint_errors(root_relative(joints, 0), root_relative(wanted, 0), counted))


def _joints(network: NeuralBody, body: BodyPose) -> Pose3D:
    return network.body.joints(*body).joints


def _pixels(view: CropView, joints: Pose3D) -> Pose2D:
    """Pixels of the image."""
    return (view.project(joints) + 1) / 2 * view.side
